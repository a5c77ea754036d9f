"""The tuned blend: a LightGBM ranker (lambdarank, Burges 2010) over the candidates of all other methods (SPEC C33).

The ranker learns on weeks that its ingredients were not fitted on, and ranks later weeks with ingredients fitted anew up to
them: first fit ≤ a, learn a < weeks ≤ b, then fit ≤ b and rank weeks > b. Needs `pip install retailsim[blend]`.
"""

from typing import Any, NamedTuple

import numpy as np

from retailsim.errors import UserError
from retailsim.evaluation.candidates import FEATURES, Kitchen, without_trip
from retailsim.evaluation.hidden import HiddenSet, Shown
from retailsim.evaluation.purchases import refuse_fit_period

ROUNDS = 250
PARAMETERS = {
    "objective": "lambdarank", "learning_rate": 0.07, "num_leaves": 63, "min_data_in_leaf": 100, "feature_fraction": 0.7,
    "lambdarank_truncation_level": 20, "max_bin": 127, "verbosity": -1, "deterministic": True, "force_row_wise": True,
}  # fmt: skip


class Blend:
    """Ranks candidates by the ranker; all other products stay behind them, in the order of EASE with histories."""

    FAMILY = "blend"
    looks_at_basket = True

    def __init__(self, kitchen: Kitchen, ranker: Any, fit_end: int, is_trip_known: bool) -> None:
        self.name = f"{self.FAMILY}, trip {'known' if is_trip_known else 'unknown'}"
        self._kitchen, self._ranker, self._fit_end, self._is_trip_known = kitchen, ranker, fit_end, is_trip_known

    def scores(self, shown: Shown) -> np.ndarray:
        """Higher is likelier; only the order means something."""
        refuse_fit_period(self.name, shown.week, self._fit_end)
        found = self._kitchen.serve(shown, self._is_trip_known)
        ranked = self._ranker.predict(found.features)
        floor = ranked.min(initial=0.0) - 1
        scores = found.fallback - found.fallback.max(axis=1, keepdims=True) + floor
        scores[found.row, found.product] = ranked
        return scores


class Lessons(NamedTuple):
    """Candidates from which a ranker learns, basket by basket, with all that is known of the trip."""

    features: np.ndarray  # float32 [C, F], in the order of FEATURES
    is_hidden: np.ndarray  # bool [C]
    groups: np.ndarray  # int [n], candidates of each basket


def lessons(kitchen: Kitchen, *sets: HiddenSet) -> Lessons:
    """The candidates of all baskets of `sets`, whose weeks are later than those that `kitchen` was fitted on.

    A basket none of whose hidden products is a candidate teaches nothing and is left out.
    """
    parts = []
    for hidden in sets:
        lengths = np.diff(hidden.starts)
        for baskets, shown in hidden.blocks():
            found = kitchen.serve(shown, is_trip_known=True)
            of_block = np.repeat(np.arange(len(baskets)), lengths[baskets])
            target = np.concatenate([hidden.target[hidden.starts[b] : hidden.starts[b + 1]] for b in baskets])
            known = target < found.fallback.shape[1]
            is_hidden = np.zeros_like(found.fallback, dtype=bool)
            is_hidden[of_block[known], target[known]] = True
            label = is_hidden[found.row, found.product]
            has_any = np.bincount(found.row, weights=label, minlength=len(baskets)) > 0
            keep = has_any[found.row]
            groups = np.bincount(found.row, minlength=len(baskets))[has_any]
            parts.append(Lessons(found.features[keep], label[keep], groups))
    if not any(len(part.groups) for part in parts):
        raise UserError("the blend has no basket to learn on in the weeks before the split: leave out --blend")
    return Lessons(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def learn(taught: Lessons, is_trip_known: bool, seed: int = 0) -> Any:
    """The ranker of candidates, with what is known of the trip or without it."""
    lightgbm = load_lightgbm()
    features = taught.features if is_trip_known else without_trip(taught.features)
    names = [name.replace(" ", "_").replace(",", "") for name in FEATURES]
    data = lightgbm.Dataset(features, taught.is_hidden.astype(np.int32), group=taught.groups, feature_name=names)
    return lightgbm.train({**PARAMETERS, "seed": seed}, data, ROUNDS)


def load_lightgbm() -> Any:
    """The library of the extra `blend`; a UserError says how to get it."""
    try:
        import lightgbm
    except ModuleNotFoundError as error:
        raise UserError('the blend needs LightGBM: pip install "retailsim[blend]", or leave out --blend') from error
    return lightgbm
