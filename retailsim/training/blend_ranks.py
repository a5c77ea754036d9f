"""Ranks of the tuned blend on a split's hidden products, fitted on the weeks before it (SPEC C33)."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from retailsim.evaluation.baselines import rank_hidden
from retailsim.evaluation.blend import Blend, learn, lessons
from retailsim.evaluation.candidates import Kitchen
from retailsim.evaluation.hidden import HiddenSet
from retailsim.evaluation.line_up import BEFORE_TRIP
from retailsim.evaluation.ranking import Ranks
from retailsim.evaluation.settings import DEFAULTS
from retailsim.reading import load_calendar, load_vocabulary
from retailsim.training.baseline_ranks import fit_end_of, tuned_settings
from retailsim.training.protocol import Protocol, load_protocols

EARLIER = {"test": ("train", "val"), "val": ("train",)}  # splits on whose last weeks the ranker learns
STEPS = 9
WEEKS = 15  # that the ranker learns on where the validation has fewer, but no more than a quarter of all then
BASKETS = 40_000  # that the ranker learns on at most, evenly spaced: about 1.6 GB


def rank_blend(root: Path, split: str, protocol: Protocol, on_step: Callable[[str], None]) -> dict[str, Ranks]:
    """Ranks by name of the blends with the trip unknown, known and before it; `on_step` is told of each of STEPS steps when it begins.

    The ranker learns on the last weeks before `split`, from methods fitted on the weeks before those; then the methods are fitted
    anew on all weeks before `split`.
    """
    settings = tuned_settings(root) or DEFAULTS
    fit_end = fit_end_of(root, split)
    first, last = load_calendar(root).weeks_in("val")
    begin = fit_end - weeks_to_learn_on(last - first + 1, fit_end)
    on_step("blend: methods")
    learned_on = hidden_between(root, EARLIER[split], begin, fit_end)
    kitchen = Kitchen(protocol.market, begin, settings)
    on_step("blend: candidates")
    taught = lessons(kitchen, *learned_on)
    rankers = {}
    for is_trip_known in (False, True):
        on_step("blend: ranker")
        rankers[is_trip_known] = learn(taught, is_trip_known)
    del taught  # 1.6 GB
    on_step("blend: candidates before the trip")
    taught = lessons(kitchen, *(hidden.unseen() for hidden in learned_on))
    on_step("blend: ranker before the trip")
    unseeing = learn(taught, is_trip_known=False)
    del taught
    on_step("blend: methods up to the split")
    kitchen = Kitchen(protocol.market, fit_end, settings)
    blends = [Blend(kitchen, ranker, fit_end, is_trip_known) for is_trip_known, ranker in rankers.items()]
    on_step("blend: ranks")
    ranks = {blend.name: rank_hidden(blend, protocol.hidden, protocol.market.first_purchases) for blend in blends}
    on_step("blend: ranks before the trip")
    before = Blend(kitchen, unseeing, fit_end, is_trip_known=False)
    ranks[Blend.FAMILY + BEFORE_TRIP] = rank_hidden(before, protocol.hidden.unseen())
    return ranks


def weeks_to_learn_on(validated: int, fit_end: int) -> int:
    """How many weeks up to `fit_end` the ranker learns on, where so many are validated on: half of all weeks at most.

    >>> [weeks_to_learn_on(15, 95), weeks_to_learn_on(1, 95), weeks_to_learn_on(1, 24), weeks_to_learn_on(9, 10)]
    [15, 15, 6, 5]
    """
    return min(max(validated, min(WEEKS, fit_end // 4)), fit_end // 2)


def hidden_between(root: Path, splits: Sequence[str], begin: int, end: int) -> list[HiddenSet]:
    """What baskets of weeks begin < W ≤ end hide, by split; of more than BASKETS every second, or third, …."""
    sets = [protocol.hidden for protocol in load_protocols(root, splits, load_vocabulary(root)).values()]
    rows = [np.flatnonzero((hidden.week > begin) & (hidden.week <= end)) for hidden in sets]
    step = max(1, math.ceil(sum(map(len, rows)) / BASKETS))
    return [hidden.select(of_split[::step]) for hidden, of_split in zip(sets, rows, strict=True)]
