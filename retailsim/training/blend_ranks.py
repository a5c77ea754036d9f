"""Ranks of the tuned blend on a split's hidden products, fitted on the weeks before it (SPEC C33)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from retailsim.evaluation.baselines import rank_hidden
from retailsim.evaluation.blend import Blend, learn
from retailsim.evaluation.candidates import Kitchen
from retailsim.evaluation.ranking import Ranks
from retailsim.evaluation.settings import DEFAULTS
from retailsim.reading import load_calendar, load_vocabulary
from retailsim.training.baseline_ranks import fit_end_of, tuned_settings
from retailsim.training.protocol import Protocol, load_protocol

LEARNED_ON = {"test": "val", "val": "train"}  # the split whose last weeks the ranker learns on
STEPS = 5
BASKETS = 8000  # that the ranker learns on, evenly spaced


def rank_blend(root: Path, split: str, protocol: Protocol, on_step: Callable[[str], None]) -> dict[str, Ranks]:
    """Ranks of both blends by name; `on_step` is told of each of five steps when it begins.

    The ranker learns on as many weeks before `split` as the validation has, from methods fitted on the weeks before those;
    then the methods are fitted anew on all weeks before `split`.
    """
    settings = tuned_settings(root) or DEFAULTS
    first, last = load_calendar(root).weeks_in("val")
    fit_end = fit_end_of(root, split)
    begin = fit_end - (last - first + 1)
    on_step("blend: methods")
    earlier = load_protocol(root, LEARNED_ON[split], load_vocabulary(root)).hidden
    rows = np.flatnonzero((earlier.week > begin) & (earlier.week <= fit_end))
    learned_on = earlier.select(rows[:: max(1, len(rows) // BASKETS)])
    kitchen = Kitchen(protocol.market, begin, settings)
    rankers = {}
    for is_trip_known in (False, True):
        on_step("blend: ranker")
        rankers[is_trip_known] = learn(kitchen, learned_on, is_trip_known)
    on_step("blend: methods up to the split")
    kitchen = Kitchen(protocol.market, fit_end, settings)
    blends = [Blend(kitchen, ranker, fit_end, is_trip_known) for is_trip_known, ranker in rankers.items()]
    on_step("blend: ranks")
    return {blend.name: rank_hidden(blend, protocol.hidden, protocol.market.first_purchases) for blend in blends}
