"""What was trained on what, how training went, and how good the model is beside the baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

from retailsim.report.page import COLOURS, Figure, Section, in_percent, line, paragraph, table

METRICS = {"top1": "Top-1", "top5": "Top-5", "top10": "Top-10", "mrr": "MRR", "ndcg10": "NDCG@10"}


def provenance(facts: Sequence[tuple[str, str]]) -> Section:
    """What was trained on what; pairs of a name and a value."""
    reading = (
        "How good the model is was measured on weeks that it was not trained on. Two reports with the same fingerprints describe the "
        "same model on the same data."
    )
    return Section("What was trained on what", reading, [table((), facts)])


def curves(epochs: Sequence[Mapping[str, Any]]) -> Section:
    """Losses and accuracy by epoch, with the phases; one record of metrics.jsonl per epoch."""
    reading = (
        "The loss says how far off the guesses are: lower is better, and what counts is the line of the validation weeks, which are "
        "not trained on. Where it rises while the other falls, receipts are learned by heart. The accuracy is the share of hidden "
        "products that are guessed at the first attempt."
    )
    if not epochs:
        return Section(
            "Training", reading, [paragraph("There is no metrics.jsonl beside the checkpoint.", is_soft=True)]
        )
    x = [epoch["epoch"] for epoch in epochs]
    best = max((epoch["epoch"] for epoch in epochs if epoch["is_best"]), default=x[-1])
    lines = [
        line("training loss (of its phase)", x, [epoch["train_loss"] for epoch in epochs], COLOURS[0]),
        line("validation loss", x, [epoch["val_loss"] for epoch in epochs], COLOURS[1]),
    ]
    phases = list(dict.fromkeys(epoch["phase"] for epoch in epochs))
    bands, names = [], []
    for i, phase in enumerate(phases):
        inside = [epoch["epoch"] for epoch in epochs if epoch["phase"] == phase]
        bands.append(
            {
                "type": "rect", "yref": "paper", "x0": inside[0] - 0.5, "x1": inside[-1] + 0.5, "y0": 0, "y1": 1,
                "fillcolor": COLOURS[i % len(COLOURS)], "opacity": 0.08, "line": {"width": 0}, "layer": "below",
            }
        )  # fmt: skip
        edge = {"x": inside[0] - 0.5, "xanchor": "left"}
        if i and phase == phases[-1]:
            edge = {"x": inside[-1] + 0.5, "xanchor": "right"}
        names.append({**edge, "y": 1.03 + 0.08 * (i % 2), "yref": "paper", "text": phase, "showarrow": False})
    layout = {
        "shapes": bands,
        "annotations": names,
        "xaxis": {"title": {"text": "epoch"}, "dtick": 1 if len(x) < 25 else 5, "range": [x[0] - 0.5, x[-1] + 0.5]},
    }
    accuracy = [
        line("validation accuracy at hidden places", x, [100 * epoch["val_accuracy"] for epoch in epochs], COLOURS[2])
    ]
    return Section(
        "Training",
        reading,
        [
            paragraph(f"{len(x)} epoch{'s' if len(x) > 1 else ''}; the best by validation loss is epoch {best}."),
            Figure(lines, layout),
            Figure(accuracy, {**layout, "yaxis": {"ticksuffix": " %", "rangemode": "tozero"}}),
        ],
    )


def metrics(found: Mapping[str, Any] | None, command: str) -> Section:
    """The model beside the baselines on fresh baskets, with 95 % intervals; `command` makes the figures that are missing."""
    title = "How good it is"
    reading = (
        "15 % of each basket's products are hidden, and every method ranks all products for each hidden place. Top-10: the share of "
        "hidden products that stand among a method's first ten. MRR and NDCG@10 go from 0 to 1, the higher the nearer to the first "
        "place the hidden products stand. A bar's thin line is its 95 % interval: so far the figure may move with other customers of the same kind."
    )
    if found is None:
        return Section(title, reading, [paragraph(f"Not evaluated yet: {command}", is_soft=True)])
    fresh = found["views"]["fresh"]
    methods = {
        "model, trip unknown": fresh["trip_unknown"],
        "model, trip known": fresh["trip_known"],
        **found["baselines"],
    }
    rows = [
        [name, *(_figure(values[key], key) for key in METRICS), f"{values['n']:,}"] for name, values in methods.items()
    ]
    intervals = found.get("intervals", {})
    parts: list[str | Figure] = [
        paragraph(
            f"Baskets of the {found['split']} weeks without an exact earlier copy by the same customer. With the trip known the model "
            "also sees labels that are read off the whole basket: that is no prediction before the trip."
        ),
        table(("method", *METRICS.values(), "hidden products"), rows, own=(0, 1)),
        Figure(
            [bars(methods, _whiskers(intervals))],
            {
                "title": {"text": "Top-10, fresh baskets, with 95 % intervals"},
                "xaxis": {"ticksuffix": " %"},
                "margin": {"l": 160, "t": 40, "r": 10, "b": 40},
            },
        ),
    ]
    if intervals:
        spans = ", ".join(
            f"{METRICS[key]} {_figure(low, key)} to {_figure(high, key)}"
            for key, (low, high) in intervals["fresh_trip_unknown"].items()
        )
        parts.insert(
            2, paragraph(f"95 % intervals of the model with the trip unknown, by customer: {spans}.", is_soft=True)
        )
        said = [verdict(intervals["best_baseline"], *intervals["difference"]["mrr"])]
        clean = found.get("replay_free_intervals")  # evaluations of an earlier version have none
        if clean and clean != intervals:
            (first, last), (low, high) = found["periods"]["replay_free"]["weeks"], clean["difference"]["mrr"]
            when = f"with the trip unknown on all baskets of weeks {first}–{last}, which hold few copies or none"
            said.append(verdict(clean["best_baseline"], low, high, when))
        parts.insert(0, paragraph(" ".join(said)))
    parts += _before_trip(found.get("before_trip"))
    parts += _labels(found["auxiliary"])
    return Section(title, reading, parts)


def verdict(best: str, low: float, high: float, when: str = "with the trip unknown") -> str:
    """Who is ahead, from the 95 % interval of the difference in MRR between the model and the `best` baseline."""
    who = (
        f"The model is ahead of the best baseline, {best}"
        if low > 0
        else f"The model is behind the best baseline, {best}"
        if high < 0
        else f"The model and the best baseline, {best}, cannot be told apart"
    )
    return f"{who}: the difference in MRR, {when}, is between {low:+.4f} and {high:+.4f} (95 %)."


def _before_trip(found: Mapping[str, Any] | None) -> list[str]:
    """The same hidden products with nothing of the basket visible, beside the baselines that can be asked so."""
    if not found:
        return []
    low, high = found["against_best"]["difference"]["mrr"]
    rows = [
        [name, *(_figure(values[key], key) for key in METRICS), f"{values['n']:,}"]
        for name, values in {"model": found["model"], **found["baselines"]}.items()
    ]
    return [
        paragraph(
            "Before the trip: the same products, but nothing of the basket is visible, neither a product nor how many there will be. "
            + verdict(found["against_best"]["baseline"], low, high, "before the trip")
        ),
        table(("method", *METRICS.values(), "hidden products"), rows, own=(0,)),
    ]


def _labels(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How well the trip's labels are guessed beside two rivals, and which are not guessed better (SPEC C22)."""
    rivals = ("accuracy", "majority", "regression")
    rows = [
        [name.replace("_", " "), *(_figure(of[rival], "top1") for rival in rivals), f"{of['n']:,}"]
        for name, of in found.items()
    ]
    known = {name.replace("_", " "): of["beats_both"] for name, of in found.items() if of["beats_both"] is not None}
    behind = ", ".join(name for name, is_ahead in known.items() if not is_ahead)
    verdict = f"It does not beat both rivals on {behind}." if behind else "Where a label is known it beats both rivals."
    if not known:
        verdict = "No label is known."
    return [
        paragraph(f"Labels of the trip, guessed by the model with the trip hidden. {verdict}"),
        table(("label", "model", "most frequent class", "logistic regression on the visible basket", "baskets"), rows),
    ]


def _whiskers(intervals: Mapping[str, Any]) -> dict[str, Sequence[float]]:
    """The interval of Top-10 by method, as an evaluation has it."""
    found = {
        f"model, {trip.replace('_', ' ')}": intervals.get(f"fresh_{trip}", {})
        for trip in ("trip_unknown", "trip_known")
    }
    found |= intervals.get("baselines", {})
    return {name: of["top10"] for name, of in found.items() if "top10" in of}


def bars(methods: Mapping[str, Mapping[str, Any]], whiskers: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Top-10 of every method as a trace of bars from top to bottom, with the intervals that are known."""
    names = list(methods)[::-1]
    values = [in_percent(methods[name]["top10"]) for name in names]
    low, high = (
        [
            abs(100 * whiskers[name][end] - value) if name in whiskers and value is not None else 0.0
            for name, value in zip(names, values, strict=True)
        ]
        for end in (0, 1)
    )
    return {
        "type": "bar", "orientation": "h", "y": names, "x": values,
        "marker": {"color": [COLOURS[0] if name.startswith("model") else COLOURS[7] for name in names]},
        "error_x": {"type": "data", "symmetric": False, "array": high, "arrayminus": low},
        "hovertemplate": "%{y}: %{x:.2f} %<extra></extra>",
    }  # fmt: skip


def _figure(value: float | None, key: str) -> str:
    """A metric as it is read: shares in percent, means of ranks as fractions."""
    if value is None:
        return "–"
    return f"{value:.4f}" if key in ("mrr", "ndcg10") else f"{100 * value:.2f} %"
