"""An evaluation's JSON as tables and lines for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table as Grid

from retailsim.training.replays import TELLING_PRODUCTS

TITLES = {
    "weekday": "Day of Week",
    "basket_size": "Basket Size (distinct products)",
    "customer_history": "Customer History (earlier trips)",
    "bought_before": "Repetition (did this customer buy the hidden product in an earlier week?)",
    "product_history": "Product History (training baskets with the hidden product)",
}


def metrics_table(title: str, methods: Mapping[str, Mapping[str, Any]]) -> Grid:
    """One line per method: Top-1/5/10 in percent, MRR, NDCG@10, hidden products."""
    grid = Grid(
        "method", "Top-1", "Top-5", "Top-10", "MRR", "NDCG@10", "hidden products", title=title, title_justify="left"
    )
    for name, m in methods.items():
        grid.add_row(name, *percents(m, "top1", "top5", "top10"), *fractions(m, "mrr", "ndcg10"), f"{m['n']:,}")
    return grid


def headline(record: Mapping[str, Any]) -> list[Grid]:
    """What every evaluation prints: fresh baskets beside the baselines, the periods apart, and the trip's labels.

    A period with the very figures of the fresh baskets is named above theirs instead of drawn again.
    """
    of_fresh = record["views"]["fresh"]
    fresh = {"model, trip unknown": of_fresh["trip_unknown"], "model, trip known": of_fresh["trip_known"]}
    fresh |= record["baselines"]
    same, grids = "Fresh baskets (no exact earlier copy by the same customer)", []
    titles = {
        "replay_free": f"in which at most 5 % of the baskets of {TELLING_PRODUCTS} and more products are replays",
        "fresh_later": "fresh baskets of the later weeks",
        "replayed": "replayed baskets: memory, not understanding",
    }
    for key, title in titles.items():
        if key in record["periods"]:
            methods = dict(record["periods"][key])
            first, last = methods.pop("weeks")
            if methods == fresh:
                same += f"\nThe same figures: weeks {first}–{last}, {title}"
            else:
                grids.append(metrics_table(f"Weeks {first}–{last}, {title}", methods))
    return [metrics_table(same, fresh), *grids, labels_table(record["auxiliary"])]


def labels_table(auxiliary: Mapping[str, Mapping[str, Any]]) -> Grid:
    """One line per trip label: the model's accuracy beside both rivals', by how much it leads the regression, and whether it beats both."""
    title = (
        "Trip labels, with the trip hidden (how many products the basket has is visible, and gives its size away); beaten: the "
        "95 % interval of the paired difference, by customer, is above 0"
    )
    grid = Grid(
        "label", "accuracy", "majority class", "regression on visible basket", "− regression, in points", "model beats both",
        "baskets", title=title, title_justify="left",
    )  # fmt: skip
    for name, m in auxiliary.items():
        verdict = {True: "yes", False: "NO", None: "–"}[m["beats_both"]]
        shares = percents(m, "accuracy", "majority", "regression")
        grid.add_row(name.replace("_", " "), *shares, _span(m), verdict, f"{m['n']:,}")
    return grid


def _span(label: Mapping[str, Any]) -> str:
    """The 95 % interval of a label's lead over the regression, in percentage points."""
    if not label["leads"]:
        return "–"
    low, high = (100 * end for end in label["leads"]["regression"])
    return f"{low:+.2f} … {high:+.2f}"


def gap_lines(record: Mapping[str, Any], trip: str) -> list[str]:
    """The model's lead over the best baseline with 95 % intervals: on fresh baskets, and on the replay-free weeks if they are others."""
    fresh, clean = record["intervals"], record["replay_free_intervals"]
    lines, question = [], f"against_best_{trip}"
    if fresh:
        best = record["baselines"][fresh[question]["baseline"]]
        lines.append(_lead(record["views"]["fresh"][trip], best, fresh[question], trip, "fresh baskets"))
    if clean and clean != fresh:
        period = record["periods"]["replay_free"]
        model, best = period[f"model, {trip.replace('_', ' ')}"], period[clean[question]["baseline"]]
        first, last = period["weeks"]
        lines.append(_lead(model, best, clean[question], trip, f"all baskets of weeks {first}–{last}"))
    return lines


def novel_table(record: Mapping[str, Any]) -> list[Grid | str]:
    """How first-time purchases are ranked among novel products, and the model's lead there; nothing where there are none."""
    found = record["novel"]
    if not found:
        return []
    methods = found["methods"]
    title = "First-time purchases, ranked among the products that the customer never bought before (fresh baskets)"
    leads = []
    for trip in ("trip_unknown", "trip_known"):
        gap = found[f"against_best_{trip}"]
        model = methods[f"model, {trip.replace('_', ' ')}"]
        leads.append(_lead(model, methods[gap["baseline"]], gap, trip, "first-time purchases among novel products"))
    return [metrics_table(title, methods), *leads]


def before_trip_table(record: Mapping[str, Any], is_detailed: bool) -> list[Grid | str]:
    """The same hidden products before the trip, the model's lead over the best baseline there, and its calibration."""
    found = record["before_trip"]
    if not found:
        return []
    title = "Before the trip: the same products with nothing of the basket visible, not even its size (fresh baskets)"
    gap = found["against_best"]
    lead = _lead(found["model"], found["baselines"][gap["baseline"]], gap, "before the trip", "fresh baskets")
    table = metrics_table(title, {"model": found["model"], **found["baselines"]})
    return [table, lead, *_calibration_lines(found["calibration"], "before the trip", is_detailed)]


def _lead(model: Mapping[str, Any], best: Mapping[str, Any], gap: Mapping[str, Any], trip: str, where: str) -> str:
    parts = []
    for name, metric, scale, digits in (("Top-1", "top1", 100, 2), ("Top-10", "top10", 100, 2), ("MRR", "mrr", 1, 4)):
        low, high = (scale * end for end in gap["difference"][metric])
        lead = scale * (model[metric] - best[metric])
        parts.append(f"{name} {lead:+.{digits}f} ({low:+.{digits}f} … {high:+.{digits}f})")
    low, high = gap["difference"]["mrr"]
    verdict = "ahead" if low > 0 else "BEHIND" if high < 0 else "not told apart"
    said = trip.replace("_", " ")
    return f"Model ({said}) − {gap['baseline']}, {where}: {', '.join(parts)}: {verdict} (95 % intervals, bootstrap by customer)"


def calibration_lines(record: Mapping[str, Any], trip: str, is_detailed: bool) -> list[str]:
    """ECE and Brier score of the top prediction before and after temperature scaling; detailed: the reliability table."""
    return _calibration_lines(record["calibration"][trip], trip.replace("_", " "), is_detailed)


def _calibration_lines(found: Mapping[str, Any], where: str, is_detailed: bool) -> list[str]:
    before, after = found["before"], found["after"]
    if before["ece"] is None:
        return []
    lines = [
        f"Calibration of the top prediction ({where}): {_believed(before)}; at temperature {found['temperature']:.3f}, fitted on "
        f"validation: {_believed(after)}"
    ]
    if is_detailed:
        lines += [
            f"  said {100 * b['confidence']:5.1f}%  right {100 * b['accuracy']:5.1f}%  of {b['n']:,}"
            for b in after["reliability"]
        ]
    return lines


def _believed(found: Mapping[str, Any]) -> str:
    """ECE beside what chance alone makes of it, the side to which the model errs, and Brier score."""
    return (
        f"ECE {found['ece']:.4f} ({found['ece_by_chance']:.4f} by chance alone), said − right {found['too_sure']:+.4f}, "
        f"Brier {found['brier']:.4f}"
    )


def breakdowns(record: Mapping[str, Any]) -> list[str]:
    """The document's breakdown lines on fresh baskets, trip unknown, beside Top-1 and Top-10 of the best baseline and with it known."""
    lines: list[str] = []
    best = record["intervals"]["best_baseline"]
    for key, title in TITLES.items():
        lines += ["", f"Breakdown by {title}", "─" * 48]
        for name, m in record["slices"][key].items():
            top1, top5, top10 = percents(m, "top1", "top5", "top10")
            rival1, rival10 = percents(record["rival_slices"][key][name], "top1", "top10")
            known1, known10 = percents(record["trip_known_slices"][key][name], "top1", "top10")
            lines.append(
                f"{name + ':':12s} Top-1: {top1}  |  Top-5: {top5}  |  Top-10: {top10}  |  {m['n']:,} hidden  |  "
                f"{best}: Top-1 {rival1}, Top-10 {rival10}  |  trip known: Top-1 {known1}, Top-10 {known10}"
            )
    return lines


def percents(m: Mapping[str, Any], *names: str) -> list[str]:
    """Shares 0–1 as percent."""
    return ["–" if m[name] is None else f"{100 * m[name]:.2f}%" for name in names]


def fractions(m: Mapping[str, Any], *names: str) -> list[str]:
    """Numbers with four digits."""
    return ["–" if m[name] is None else f"{m[name]:.4f}" for name in names]
