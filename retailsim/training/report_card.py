"""What an evaluation found, as the JSON of SPEC C32 and as tables for the terminal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table as Grid

from retailsim.evaluation.intervals import interval, interval_of_difference, units_of
from retailsim.evaluation.metrics import Metrics, slice_codes, sliced
from retailsim.labels import TRIP_LABELS, UNKNOWN
from retailsim.training.protocol import Protocol

TRIPS = ("trip_known", "trip_unknown")
SEED = 0  # of the bootstrap


@dataclass(frozen=True)
class Findings:
    """Ranks of every method on the same hidden products, and the trips guessed with T6 hidden."""

    protocol: Protocol
    ranks: Mapping[str, np.ndarray]  # by TRIPS, each [M]
    baselines: Mapping[str, np.ndarray]  # by name, each [M]
    guesses: np.ndarray  # [B, 4]
    majority: np.ndarray  # [4], the most frequent class of each label in the training weeks

    def views(self) -> dict[str, np.ndarray]:
        """Which hidden products each view holds, bool [M]."""
        is_replay = self.protocol.of_hidden(self.protocol.samples.columns["is_replay"])
        return {"fresh": ~is_replay, "replayed": is_replay, "all": np.ones_like(is_replay)}


def to_json(findings: Findings, split: str, checkpoint: str) -> dict[str, Any]:
    """The evaluation as JSON (SPEC C32), with 95 % intervals by customer and the replay-free weeks besides."""
    views, fresh = findings.views(), findings.views()["fresh"]
    unknown = findings.ranks["trip_unknown"]
    record: dict[str, Any] = {
        "split": split,
        "checkpoint": checkpoint,
        "views": {
            view: {trip: Metrics.from_ranks(findings.ranks[trip][rows]).to_json() for trip in TRIPS}
            for view, rows in views.items()
        },
        "slices": {
            key: {name: metrics.to_json() for name, metrics in names.items()}
            for key, names in _slices(findings, fresh).items()
        },
        "auxiliary": auxiliary(findings),
        "baselines": {name: Metrics.from_ranks(ranks[fresh]).to_json() for name, ranks in findings.baselines.items()},
        "intervals": _intervals(findings, fresh) if fresh.any() else {},
    }
    weeks = findings.protocol.replay_free_weeks()
    if weeks:
        week = findings.protocol.of_hidden(findings.protocol.samples.columns["week"])
        rows = (week >= weeks[0]) & (week <= weeks[1])
        methods = {
            "model, trip unknown": unknown,
            "model, trip known": findings.ranks["trip_known"],
            **findings.baselines,
        }
        record["replay_free"] = {
            "weeks": list(weeks),
            **{name: Metrics.from_ranks(ranks[rows]).to_json() for name, ranks in methods.items()},
        }
    return record


def auxiliary(findings: Findings) -> dict[str, dict[str, float | int | None]]:
    """Accuracy of each trip label on fresh baskets with T6 hidden, beside always saying the training weeks' majority."""
    samples, result = findings.protocol.samples, {}
    is_fresh = ~samples.columns["is_replay"]
    for i, label in enumerate(TRIP_LABELS):
        rows = is_fresh & (samples.trip[:, i] != UNKNOWN)
        truth, n = samples.trip[rows, i], int(rows.sum())
        result[label] = {
            "accuracy": float((findings.guesses[rows, i] == truth).mean()) if n else None,
            "majority": float((truth == findings.majority[i]).mean()) if n else None,
            "n": n,
        }
    return result


def _slices(findings: Findings, rows: np.ndarray) -> dict[str, dict[str, Metrics]]:
    protocol = findings.protocol
    columns = protocol.samples.columns
    per_basket = (columns["day"] % 7 + 1, columns["n_products"], columns["trips"])
    codes = slice_codes(*(protocol.of_hidden(values)[rows] for values in per_basket))
    return sliced(findings.ranks["trip_unknown"][rows], codes)


def _intervals(findings: Findings, rows: np.ndarray) -> dict[str, Any]:
    protocol, ranks = findings.protocol, findings.ranks["trip_unknown"][rows]
    units = units_of(protocol.of_hidden(protocol.hidden.customer)[rows], protocol.hidden.basket[rows])
    best = max(findings.baselines, key=lambda name: Metrics.from_ranks(findings.baselines[name][rows]).mrr)
    others = findings.baselines[best][rows]
    return {
        "level": 0.95,
        "fresh_trip_unknown": {
            m: list(interval(ranks, units, m, SEED)) for m in ("top1", "top5", "top10", "mrr", "ndcg10")
        },
        "best_baseline": best,
        "difference": {
            m: list(interval_of_difference(ranks, others, units, m, SEED)) for m in ("top1", "top10", "mrr")
        },
    }


def metrics_table(title: str, methods: Mapping[str, Mapping[str, Any]]) -> Grid:
    """One line per method: Top-1/5/10 in percent, MRR, NDCG@10, hidden products."""
    grid = Grid(
        "method", "Top-1", "Top-5", "Top-10", "MRR", "NDCG@10", "hidden products", title=title, title_justify="left"
    )
    for name, m in methods.items():
        grid.add_row(name, *_percents(m, "top1", "top5", "top10"), *_fractions(m, "mrr", "ndcg10"), f"{m['n']:,}")
    return grid


def headline(record: Mapping[str, Any]) -> list[Grid]:
    """The tables that every evaluation prints: fresh baskets beside the baselines, replay-free weeks, replays, labels."""
    fresh = record["views"]["fresh"]
    model = {"model, trip unknown": fresh["trip_unknown"], "model, trip known": fresh["trip_known"]}
    grids = [
        metrics_table("Fresh baskets (no exact earlier copy by the same customer)", {**model, **record["baselines"]})
    ]
    if "replay_free" in record:
        methods = dict(record["replay_free"])
        first, last = methods.pop("weeks")
        grids.append(metrics_table(f"Weeks {first}–{last}, in which at most 5 % of the baskets are replays", methods))
    replayed = record["views"]["replayed"]
    if replayed["trip_unknown"]["n"]:
        rows = {"model, trip unknown": replayed["trip_unknown"], "model, trip known": replayed["trip_known"]}
        grids.append(metrics_table("Replayed baskets: memory, not understanding", rows))
    labels = Grid(
        "label",
        "accuracy",
        "majority class",
        "baskets",
        title="Trip labels, with the trip hidden (how many products the basket has is visible, and gives its size away)",
        title_justify="left",
    )
    for name, m in record["auxiliary"].items():
        labels.add_row(name.replace("_", " "), *_percents(m, "accuracy", "majority"), f"{m['n']:,}")
    return [*grids, labels]


def breakdowns(record: Mapping[str, Any]) -> list[str]:
    """The document's breakdown lines, on fresh baskets with the trip unknown."""
    titles = {
        "weekday": "Day of Week",
        "basket_size": "Basket Size (distinct products)",
        "customer_history": "Customer History (earlier trips)",
    }
    lines = []
    for key, title in titles.items():
        lines += ["", f"Breakdown by {title}", "─" * 48]
        for name, m in record["slices"][key].items():
            top1, top5, top10 = _percents(m, "top1", "top5", "top10")
            lines.append(f"{name + ':':12s} Top-1: {top1}  |  Top-5: {top5}  |  Top-10: {top10}  |  {m['n']:,} hidden")
    return lines


def _percents(m: Mapping[str, Any], *names: str) -> list[str]:
    return ["–" if m[name] is None else f"{100 * m[name]:.2f}%" for name in names]


def _fractions(m: Mapping[str, Any], *names: str) -> list[str]:
    return ["–" if m[name] is None else f"{m[name]:.4f}" for name in names]
