"""Ranks of the baselines on a split's hidden products: fitted once, kept in data/evaluation/ with a manifest.

What is tuned is tuned on the validation weeks and fitted on the weeks before them; what ranks a split is fitted on the weeks
before that split.
"""

import math
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa

from retailsim import console
from retailsim.artifacts import (
    BASELINE_RANKS,
    BASELINE_SETTINGS,
    BASELINES,
    CALENDAR,
    SAMPLE_TABLES,
    TRANSACTIONS,
    VOCABULARY,
)
from retailsim.errors import UserError
from retailsim.evaluation.baselines import rank_both, rank_hidden
from retailsim.evaluation.blend import Blend
from retailsim.evaluation.line_up import BEFORE_TRIP, LINE_UP, SPEAKS_OF_BASKETS
from retailsim.evaluation.ranking import Ranks
from retailsim.evaluation.settings import DEFAULTS, Settings
from retailsim.evaluation.tuning import Trial, tune
from retailsim.manifest import Manifest, at_root
from retailsim.reading import load_calendar
from retailsim.storage import connect
from retailsim.training.protocol import Protocol

# What ranks depend on besides the inputs.
CODE = ("evaluation/", "training/protocol.py", "training/baseline_ranks.py", "training/blend_ranks.py")
TUNING_BASKETS = 4000  # of the validation weeks at most, evenly spaced


def tuned_settings(root: Path) -> Settings | None:
    """The settings that `retailsim baselines` chose on this data with this code; None where it has not."""
    if not _tuning_manifest(root).is_current():
        return None
    return Settings.from_json(BASELINE_SETTINGS.read(root)["settings"])


def tune_settings(root: Path, protocol: Protocol, on_trial: Callable[[Trial], None]) -> Settings:
    """Choose the settings on `protocol`, that of the validation weeks, and keep them with every trial."""
    step = math.ceil(len(protocol.samples) / TUNING_BASKETS)
    hidden = protocol.hidden.select(np.arange(0, len(protocol.samples), step))
    trials: list[Trial] = []

    def note(trial: Trial) -> None:
        trials.append(trial)
        on_trial(trial)

    settings = tune(protocol.market, hidden, fit_end_of(root, "val"), note)
    BASELINE_SETTINGS.write(root, {"settings": settings.to_json(), "trials": [vars(trial) for trial in trials]})
    _tuning_manifest(root).write()
    return settings


def fit_end_of(root: Path, split: str) -> int:
    """The last week before `split`."""
    return load_calendar(root).weeks_in(split)[0] - 1


def kept_ranks(root: Path, split: str) -> dict[str, Ranks]:
    """Ranks by method, as far as they are kept and current; in the order of the line-up."""
    settings = tuned_settings(root) or DEFAULTS
    if not _ranks_manifest(root, split, settings).is_current():
        return {}
    engine = connect()
    table = engine.to_pyarrow(BASELINE_RANKS[split].read(root, engine).order_by("hidden"))
    methods, overall, novel = (table[name].to_numpy(zero_copy_only=False) for name in ("method", "rank", "novel_rank"))
    overall, novel = (np.where(np.isnan(overall), np.inf, ranks) for ranks in (overall, novel))
    found = {name: Ranks(overall[methods == name], novel[methods == name]) for name in dict.fromkeys(methods)}
    in_order = [*LINE_UP, *(name + BEFORE_TRIP for name in LINE_UP)]
    names = [*in_order, *sorted(found.keys() - set(in_order))]
    return {name: found[name] for name in names if name in found}


def line_up_ranks(root: Path, split: str, protocol: Protocol, blend_follows: bool = False) -> dict[str, Ranks]:
    """Ranks of the whole line-up on `split`, and of the blend where it is kept; what is not kept is fitted under a bar, and kept.

    A blend of other data or code goes with the file that held it, which is said unless the caller fits another one (`blend_follows`).
    """
    ranks = kept_ranks(root, split)
    missing = [name for name in LINE_UP if name not in ranks]
    if missing:
        if not (blend_follows or _has_blend(ranks)) and _has_blend(_stored_methods(root, split)):
            command = shlex.join(["retailsim", "baselines", "--blend", *at_root(root)])
            console.err.print(
                f'warning: the blend that was kept of {split} is of other data or code, and is left out: run "{command}"'
            )
        with console.stages(len(missing)) as advance:
            ranks |= rank_line_up(root, split, protocol, missing, advance)
        keep_ranks(root, split, ranks)
    return ranks


def _has_blend(methods: Iterable[str]) -> bool:
    """Whether one of `methods` is the blend."""
    return any(name.startswith(Blend.FAMILY) for name in methods)


def _stored_methods(root: Path, split: str) -> list[str]:
    """Methods in the file of `split`, whatever it was made from; none where there is no such file that can be read."""
    try:
        stored = BASELINE_RANKS[split].load(root, ["method"])
    except UserError:
        return []
    return stored["method"].unique().to_pylist()


def rank_line_up(
    root: Path, split: str, protocol: Protocol, methods: Iterable[str], on_method: Callable[[str], None]
) -> dict[str, Ranks]:
    """Fit `methods` of the line-up on the weeks before `split` and rank its hidden products; each is told when it begins.

    Those that need no visible product also rank them as before the trip.
    """
    settings = tuned_settings(root) or DEFAULTS
    ranks = {}
    for name in methods:
        on_method(name)
        baseline = LINE_UP[name](protocol.market, fit_end_of(root, split), settings)
        first = protocol.market.first_purchases
        if name in SPEAKS_OF_BASKETS:
            ranks[name] = rank_hidden(baseline, protocol.hidden, first)
        else:
            ranks[name], ranks[name + BEFORE_TRIP] = rank_both(baseline, protocol.hidden, first)
    return ranks


def keep_ranks(root: Path, split: str, ranks: dict[str, Ranks]) -> None:
    """Write ranks by method, all that are known, beside a manifest of what they were made from."""
    rows = pa.table(
        {
            "method": pa.array(np.repeat(list(ranks), [len(r.overall) for r in ranks.values()]).tolist(), pa.string()),
            "hidden": np.concatenate([np.arange(len(r.overall)) for r in ranks.values()]),
            "rank": _finite([r.overall for r in ranks.values()]),
            "novel_rank": _finite([r.novel for r in ranks.values()]),
        }
    )
    table = ibis.memtable(rows)
    BASELINE_RANKS[split].write(root, table, connect(), ["method", "hidden"])
    _ranks_manifest(root, split, tuned_settings(root) or DEFAULTS).write()


def _finite(parts: list[np.ndarray]) -> pa.Array:
    values = np.concatenate(parts)
    return pa.array(values, mask=~np.isfinite(values))


def _tuning_manifest(root: Path) -> Manifest:
    inputs = [artifact.at(root) for artifact in (TRANSACTIONS, CALENDAR, VOCABULARY, SAMPLE_TABLES["val"])]
    return Manifest(BASELINES, root, inputs, {}, [BASELINE_SETTINGS], CODE)


def _ranks_manifest(root: Path, split: str, settings: Settings) -> Manifest:
    inputs = [artifact.at(root) for artifact in (TRANSACTIONS, CALENDAR, VOCABULARY, SAMPLE_TABLES[split])]
    return Manifest(f"{BASELINES}_{split}", root, inputs, settings.to_json(), [BASELINE_RANKS[split]], CODE)
