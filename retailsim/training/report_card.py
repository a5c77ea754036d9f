"""What an evaluation found, as the JSON of SPEC C32; the tables made of it are in `report_tables`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from retailsim.evaluation.calibration import summary
from retailsim.evaluation.intervals import LEVEL, intervals, units_of
from retailsim.evaluation.metrics import VALUES, Metrics, slice_codes, sliced
from retailsim.evaluation.ranking import Ranks
from retailsim.training.auxiliary import LabelRivals, accuracies
from retailsim.training.history_slices import bought_before, product_baskets
from retailsim.training.masking import Question
from retailsim.training.protocol import Protocol
from retailsim.training.scoring import Scored
from retailsim.training.temperature import TEMPERATURE_OF

TRIPS: tuple[Question, ...] = ("trip_known", "trip_unknown")
KNOWS_TRIP = "trip known"  # in the name of a baseline that looks at the trip's labels
SEED = 0  # of the bootstrap


@dataclass(frozen=True)
class Findings:
    """What every method said about the same hidden products."""

    protocol: Protocol
    scored: Mapping[Question, Scored]  # the model; before the trip fresh baskets only, if there are any
    temperatures: Mapping[str, float]  # by temperature.KINDS
    baselines: Mapping[str, Ranks]  # by name
    before_trip: Mapping[str, Ranks]  # of baselines by name, nothing visible
    rivals: LabelRivals
    train_end: int  # last week that the model was trained on

    def views(self) -> dict[str, np.ndarray]:
        """Which hidden products each view holds, bool [M]."""
        is_replay = self.protocol.of_hidden(self.protocol.samples.columns["is_replay"])
        return {"fresh": ~is_replay, "replayed": is_replay, "all": np.ones_like(is_replay)}

    def methods(self) -> dict[str, Ranks]:
        """Ranks of the model, trip unknown and known, and of every baseline."""
        model = {f"model, {trip.replace('_', ' ')}": self.scored[trip].ranks for trip in reversed(TRIPS)}
        return {**model, **self.baselines}

    def first_time(self) -> np.ndarray:
        """Which hidden products an identified customer had never bought before, bool [M]."""
        return bought_before(self.protocol.market.first_purchases, self.protocol.hidden) == 0

    def best_baseline(self, rows: np.ndarray, trip: Question, among: Literal["overall", "novel"] = "overall") -> str:
        """The baseline with the highest MRR on the hidden products `rows`; one that sees the trip only where the model does."""
        allowed = [name for name in self.baselines if trip == "trip_known" or KNOWS_TRIP not in name]
        return max(allowed, key=lambda name: Metrics.from_ranks(getattr(self.baselines[name], among)[rows]).mrr)


def to_json(findings: Findings, split: str, checkpoint: str) -> dict[str, Any]:
    """The evaluation as JSON (SPEC C32): the contract's keys, then what goes beyond them."""
    views, fresh = findings.views(), findings.views()["fresh"]
    periods = _periods(findings, views)
    unknown = findings.scored["trip_unknown"]
    record: dict[str, Any] = {
        "split": split,
        "checkpoint": checkpoint,
        "views": {
            view: {trip: Metrics.from_ranks(findings.scored[trip].ranks.overall[rows]).to_json() for trip in TRIPS}
            for view, rows in views.items()
        },
        "slices": _slices(findings, fresh, unknown.ranks.overall),
        "trip_known_slices": _slices(findings, fresh, findings.scored["trip_known"].ranks.overall),
        "auxiliary": accuracies(unknown.guesses, findings.rivals, findings.protocol, SEED),
        "baselines": {
            name: Metrics.from_ranks(ranks.overall[fresh]).to_json() for name, ranks in findings.baselines.items()
        },
        "intervals": _intervals(findings, fresh) if fresh.any() else {},
        "replay_free_intervals": _intervals(findings, periods["replay_free"]) if "replay_free" in periods else {},
        "calibration": {trip: _calibration(findings, fresh, trip) for trip in TRIPS},
        "periods": {name: _period(findings, rows) for name, rows in periods.items() if rows.any()},
        "novel": _novel(findings, fresh & findings.first_time()),
        "before_trip": _before_trip(findings, fresh) if fresh.any() else {},
    }
    if fresh.any():
        best = findings.best_baseline(fresh, "trip_unknown")
        record["rival_slices"] = _slices(findings, fresh, findings.baselines[best].overall)
    return record


def _slices(findings: Findings, rows: np.ndarray, ranks: np.ndarray) -> dict[str, dict[str, Any]]:
    protocol = findings.protocol
    columns = protocol.samples.columns
    codes = slice_codes(
        protocol.of_hidden(columns["day"] % 7 + 1),
        protocol.of_hidden(columns["n_products"]),
        protocol.of_hidden(columns["trips"]),
        bought_before(protocol.market.first_purchases, protocol.hidden),
        product_baskets(protocol.market.purchases, protocol.hidden, findings.train_end),
    )
    codes = {key: of_hidden[rows] for key, of_hidden in codes.items()}
    return {
        key: {name: metrics.to_json() for name, metrics in names.items()}
        for key, names in sliced(ranks[rows], codes).items()
    }


def _intervals(findings: Findings, rows: np.ndarray) -> dict[str, Any]:
    protocol = findings.protocol
    units = units_of(protocol.of_hidden(protocol.hidden.customer)[rows], protocol.hidden.basket[rows])
    values: dict[tuple[str, str], np.ndarray] = {}
    best = {trip: findings.best_baseline(rows, trip) for trip in TRIPS}
    baselines = {name: ranks.overall[rows] for name, ranks in findings.baselines.items()}
    for trip in reversed(TRIPS):
        ranks, others = findings.scored[trip].ranks.overall[rows], baselines[best[trip]]
        values |= {(f"fresh_{trip}", m): of(ranks) for m, of in VALUES.items()}
        values |= {(f"against_best_{trip}", m): of(ranks) - of(others) for m, of in VALUES.items()}
    values |= {(name, m): VALUES[m](ranks) for name, ranks in baselines.items() for m in ("top10", "mrr")}
    by_name: dict[str, dict[str, list[float]]] = {}
    for (name, metric), ends in intervals(values, units, SEED).items():
        by_name.setdefault(name, {})[metric] = list(ends)
    found: dict[str, Any] = {"level": LEVEL}
    for trip in reversed(TRIPS):
        found[f"fresh_{trip}"] = by_name[f"fresh_{trip}"]
        found[f"against_best_{trip}"] = {"baseline": best[trip], "difference": by_name[f"against_best_{trip}"]}
    found["baselines"] = {name: by_name[name] for name in baselines}
    unknown = found["against_best_trip_unknown"]
    return {**found, "best_baseline": unknown["baseline"], "difference": unknown["difference"]}


def _novel(findings: Findings, rows: np.ndarray) -> dict[str, Any]:
    """First-time purchases `rows` among novel products: every method, and the model against the best baseline there."""
    if not rows.any():
        return {}
    protocol = findings.protocol
    units = units_of(protocol.of_hidden(protocol.hidden.customer)[rows], protocol.hidden.basket[rows])
    ranks = {name: found.novel[rows] for name, found in findings.methods().items()}
    best = {trip: findings.best_baseline(rows, trip, "novel") for trip in TRIPS}
    leads = {
        (trip, m): of(findings.scored[trip].ranks.novel[rows]) - of(ranks[best[trip]])
        for trip in reversed(TRIPS)
        for m, of in VALUES.items()
    }
    ends = intervals(leads | {(name, "top10"): VALUES["top10"](of) for name, of in ranks.items()}, units, SEED)
    return {
        "methods": {name: Metrics.from_ranks(of).to_json() for name, of in ranks.items()},
        "intervals": {name: {"top10": list(ends[name, "top10"])} for name in ranks},
        **{
            f"against_best_{trip}": {"baseline": best[trip], "difference": {m: list(ends[trip, m]) for m in VALUES}}
            for trip in reversed(TRIPS)
        },
    }


def _before_trip(findings: Findings, rows: np.ndarray) -> dict[str, Any]:
    """The same hidden products `rows` with nothing visible: every method, the model against the best baseline, calibration."""
    hidden = findings.protocol.hidden
    units = units_of(findings.protocol.of_hidden(hidden.customer)[rows], hidden.basket[rows])
    ranks = {name: of.overall[rows] for name, of in findings.before_trip.items()}
    metrics = {name: Metrics.from_ranks(of) for name, of in ranks.items()}
    best = max(metrics, key=lambda name: metrics[name].mrr)
    own = findings.scored["before_trip"].ranks.overall
    leads = {m: of(own) - of(ranks[best]) for m, of in VALUES.items()}
    return {
        "model": Metrics.from_ranks(own).to_json(),
        "baselines": {name: of.to_json() for name, of in metrics.items()},
        "against_best": {
            "baseline": best,
            "difference": {m: list(ends) for m, ends in intervals(leads, units, SEED).items()},
        },
        "calibration": _calibration(findings, np.ones(len(own), dtype=bool), "before_trip"),
    }


def _calibration(findings: Findings, rows: np.ndarray, question: Question) -> dict[str, Any]:
    """Before and after temperature scaling, of the top prediction at the hidden places `rows`."""
    scored = findings.scored[question]
    is_hit = scored.ranks.overall[rows] <= 1
    return {
        "temperature": findings.temperatures[TEMPERATURE_OF[question]],
        "before": summary(scored.confidence[rows], is_hit),
        "after": summary(scored.tempered[rows], is_hit),
    }


def _periods(findings: Findings, views: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Which hidden products each period holds, bool [M]: replay-free weeks (all baskets), fresh baskets of later weeks, replays."""
    protocol = findings.protocol
    week = protocol.of_hidden(protocol.samples.columns["week"])
    clean = protocol.replay_free_weeks()
    periods = {"replayed": views["replayed"]}
    if clean:
        periods["replay_free"] = (week >= clean[0]) & (week <= clean[1])
        periods["fresh_later"] = views["fresh"] & (week > clean[1])
    return periods


def _period(findings: Findings, rows: np.ndarray) -> dict[str, Any]:
    """First and last week of the hidden products `rows`, and every method on them."""
    week = findings.protocol.of_hidden(findings.protocol.samples.columns["week"])[rows]
    methods = {name: Metrics.from_ranks(of.overall[rows]).to_json() for name, of in findings.methods().items()}
    return {"weeks": [int(week.min()), int(week.max())], **methods}
