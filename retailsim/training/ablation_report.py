"""What an ablation found, as JSON and as a table beside the founding document's claims (SPEC C34)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table as Grid
from scipy.stats import t as student

from retailsim.evaluation.intervals import LEVEL, share_intervals
from retailsim.evaluation.metrics import VALUES, Metrics
from retailsim.training.ablation import CLAIMS, TENSORS

METRICS = tuple(VALUES)


def exchanged_record(ranks: Mapping[str | None, np.ndarray], units: np.ndarray, seed: int) -> dict[str, Any]:
    """What exchanging each tensor costs: metrics, and the drop as a share of the whole model's with its 95 % interval.

    Args:
        ranks: [M] by exchanged tensor; None: nothing exchanged.
        units: int [M], what the bootstrap draws together (`intervals.units_of`).
        seed: of the bootstrap.
    """
    whole = ranks[None]
    full = Metrics.from_ranks(whole)
    record: dict[str, Any] = {"full": full.to_json(), "tensors": {}}
    lost = {
        (tensor, name): VALUES[name](whole) - VALUES[name](ranks[tensor])
        for tensor in ranks
        if tensor
        for name in METRICS
    }
    ends = share_intervals(lost, {key: VALUES[key[1]](whole) for key in lost}, units, seed)
    for tensor in (name for name in ranks if name):
        left = Metrics.from_ranks(ranks[tensor])
        drops = {}
        for name in METRICS:
            before, after = getattr(full, name), getattr(left, name)
            drops[name] = {
                "drop": _part(before - after, before),
                "interval": list(ends[tensor, name]),
            }
        record["tensors"][tensor] = {"metrics": left.to_json(), "drops": drops, "claim": CLAIMS[tensor]}
    return record


def retrained_record(runs: Mapping[str, Sequence[Mapping[str, float | int]]]) -> dict[str, Any]:
    """What training without each tensor costs, over seeds, and the synergy of all six where it was measured.

    The 95 % interval of a drop is Student's over the seeds, each compared with the whole model of the same seed: so far it may move
    with another seed, on the same baskets. One seed has none.

    Args:
        runs: metrics of each seed by run: "full", "without T1" …, "without all", "only T1" ….
    """
    means = {run: {name: float(np.mean([m[name] for m in seeds])) for name in METRICS} for run, seeds in runs.items()}
    record: dict[str, Any] = {"seeds": len(runs["full"]), "runs": {}}
    for run, seeds in runs.items():
        drops = {
            name: {
                "mean": means[run][name],
                "sd": float(np.std([m[name] for m in seeds], ddof=1)) if len(seeds) > 1 else None,
                **_drop([m[name] for m in runs["full"]], [m[name] for m in seeds]),
            }
            for name in METRICS
        }
        record["runs"][run] = {"metrics": drops, "claim": CLAIMS.get(run.removeprefix("without "))}
    if all(f"only {tensor}" in runs for tensor in TENSORS):
        record["synergy"] = {}
        for name in METRICS:
            none = means["without all"][name]
            singles = {tensor: means[f"only {tensor}"][name] - none for tensor in TENSORS}
            together = means["full"][name] - none
            record["synergy"][name] = {
                "all_six": together,
                "single": singles,
                "sum_of_singles": sum(singles.values()),
                "synergy": together - sum(singles.values()),
            }
    return record


def ablation_table(record: Mapping[str, Any]) -> Grid:
    """One line per tensor: drops when exchanged and when missing in training, beside the document's claim.

    Where synergy was measured, also what the tensor alone adds to the MRR of a model without any.
    """
    title = "What is lost without each tensor, share of the whole model's figure (fresh baskets, trip known)"
    columns = ("tensor", "Top-1, exchanged", "MRR, exchanged", "MRR, retrained", "document claims")
    retrained = record.get("retrained", {})
    runs, alone = retrained.get("runs", {}), retrained.get("synergy", {}).get("mrr", {}).get("single")
    grid = Grid(*columns, *(("MRR gained alone",) if alone else ()), title=title, title_justify="left")
    for tensor, found in record["exchanged"]["tensors"].items():
        run = runs.get(f"without {tensor}")
        cells = [_cell(found["drops"][name]) for name in ("top1", "mrr")]
        cells += [_cell(run["metrics"]["mrr"]) if run else "–", f"{_percent(found['claim'])}%"]
        grid.add_row(tensor, *cells, *([f"{alone[tensor]:+.4f}"] if alone else []))
    return grid


def synergy_line(record: Mapping[str, Any]) -> str | None:
    """All six tensors against the sum of what each adds alone, in MRR; None where it was not measured."""
    found = record.get("retrained", {}).get("synergy", {}).get("mrr")
    if not found:
        return None
    return (
        f"Synergy (MRR): all six tensors add {found['all_six']:+.4f} to a model without any, each alone adds "
        f"{found['sum_of_singles']:+.4f} in sum: {found['synergy']:+.4f}"
    )


def _drop(full: Sequence[float], less: Sequence[float]) -> dict[str, Any]:
    """The mean drop of seeds as a share of the whole model's figure, and its interval; None where they cannot be had."""
    drops = [_part(before - after, before) for before, after in zip(full, less, strict=True)]
    known = [drop for drop in drops if drop is not None]
    if len(known) < len(drops):
        return {"drop": None, "interval": None}
    mean = float(np.mean(known))
    if len(known) < 2:
        return {"drop": mean, "interval": None}
    half = float(student.ppf((1 + LEVEL) / 2, len(known) - 1) * np.std(known, ddof=1) / len(known) ** 0.5)
    return {"drop": mean, "interval": [mean - half, mean + half]}


def _cell(drop: Mapping[str, Any]) -> str:
    if drop["drop"] is None:
        return "–"
    mean = f"{_percent(drop['drop'])}%"
    if drop["interval"] is None:
        return mean
    low, high = drop["interval"]
    return f"{mean} ({_percent(high)} … {_percent(low)})"


def _percent(drop: float) -> str:
    return f"{-100 * drop + 0.0:+.1f}"


def _part(difference: float, full: float) -> float | None:
    return difference / full if full else None
