"""What a ranker is told about a few hundred products per basket: scores of the other methods, habits, companions (SPEC C33).

A candidate is a product that one of the methods places high; each gets a row of FEATURES. All is looked up as of the week
before the basket, and what is fitted is fitted on weeks ≤ fit_end.

Legend: n baskets · V vocabulary · C candidates of all baskets · F features · G product groups.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from retailsim.evaluation.baselines import Baseline, PersonalFrequency, Popularity, RecentPopularity, StorePopularity
from retailsim.evaluation.companions import Ease, ItemItem
from retailsim.evaluation.ease_histories import EaseWithHistories
from retailsim.evaluation.hidden import Shown
from retailsim.evaluation.line_up import LINE_UP, Market
from retailsim.evaluation.own_baskets import OwnBaskets
from retailsim.evaluation.purchases import DecayedCounts, baskets_until
from retailsim.evaluation.ranking import excluded_rows
from retailsim.evaluation.settings import Settings

METHODS = {  # method → how many of its highest products become candidates
    EaseWithHistories.name: 100,
    PersonalFrequency.name: 100,
    StorePopularity.name: 50,
    Ease.name: 50,
    ItemItem.name: 50,
    RecentPopularity.name: 25,
    Popularity.name: 0,
}
HALF_LIVES = (2.0, 8.0, 26.0)  # weeks, of the customer's frequency
AGE_HALF_LIFE = 0.25  # weeks: so short that the latest purchase alone tells the decayed count
TRIP_PRIOR = 10.0  # baskets: how much a label's product counts lean on the product's share in all baskets
LABELS = ("type", "focus", "sensitivity", "size")  # in the order of labels.TRIP_LABELS
TRIP_FEATURES = (*(f"{label} lift" for label in LABELS), *(f"{label} lift, visible" for label in LABELS), *LABELS)
FEATURES = (
    *(f"{name} {kind}" for name in METHODS for kind in ("score", "place")),
    *(f"frequency {half_life:g}" for half_life in HALF_LIVES),
    "last week", "weeks since bought", "group co-occurrence", "visible of group", "visible groups", "own basket", "visible", "trips",
    *TRIP_FEATURES,
)  # fmt: skip


@dataclass(frozen=True)
class Candidates:
    """Candidates basket by basket, and what is known of each."""

    row: np.ndarray  # int [C], index of the basket, rising
    product: np.ndarray  # int [C]
    features: np.ndarray  # float32 [C, F], in the order of FEATURES; NaN unknown
    fallback: np.ndarray  # float64 [n, V], scores for the products that are no candidates


class Kitchen:
    """All methods and counts from which candidates and their features are made."""

    def __init__(self, market: Market, fit_end: int, settings: Settings) -> None:
        self._methods: dict[str, Baseline] = {name: LINE_UP[name](market, fit_end, settings) for name in METHODS}
        purchases, size = market.purchases, market.size
        self._habits = [DecayedCounts(purchases, purchases.customer, size, h) for h in HALF_LIVES]
        self._last_week = RecentPopularity(purchases, size, replace(settings, recent_weeks=1))
        self._ages = DecayedCounts(purchases, purchases.customer, size, AGE_HALF_LIFE)
        self._own = OwnBaskets(purchases, size)
        self._group = np.where(market.product_group >= 0, market.product_group, market.product_group.max() + 1)
        baskets = baskets_until(purchases, size, fit_end)
        ones = np.ones(size)
        self._membership = csr_array((ones, (np.arange(size), self._group)), shape=(size, self._group.max() + 1))
        by_group = csr_array(baskets @ self._membership)
        by_group.data[:] = 1
        together = (by_group.T @ by_group).toarray()
        self._together = together / np.maximum(np.diag(together), 1)[:, None]  # [G, G], share of i's baskets with j
        self._lifts = _trip_lifts(baskets, market.trip[purchases.week <= fit_end])

    def serve(self, shown: Shown, is_trip_known: bool) -> Candidates:
        """Candidates for the baskets of `shown`."""
        visible = shown.visible.toarray() > 0
        excluded = excluded_rows(visible)
        scores = {name: method.scores(shown) for name, method in self._methods.items()}
        chosen = np.zeros_like(excluded)
        for name, count in METHODS.items():
            count = min(count, excluded.shape[1] - 1)
            best = np.argpartition(np.where(excluded, np.inf, -scores[name]), count, axis=1)[:, :count]
            np.put_along_axis(chosen, best, True, axis=1)
        row, product = np.nonzero(chosen & ~excluded)
        columns: list[np.ndarray] = []
        for values in scores.values():
            picked = values[row, product]
            columns += [picked, _places(row, picked)]
        for habits in self._habits:
            counts, trips = habits.before(shown.week, shown.customer)
            columns.append(counts[row, product] / (trips[row] + 1))
        columns.append(self._last_week.scores(shown)[row, product])
        age = self._ages.before(shown.week, shown.customer)[0][row, product]
        columns.append(-AGE_HALF_LIFE * np.log2(age, out=np.full(len(age), np.nan), where=age > 0))
        of_group = (shown.visible @ self._membership).toarray()
        groups = of_group > 0
        n_groups = groups.sum(axis=1)
        columns.append((groups @ self._together / np.maximum(n_groups, 1)[:, None])[row, self._group[product]])
        columns += [of_group[row, self._group[product]], n_groups[row]]
        columns.append(self._own.similarity(shown)[row, product])
        columns.append(visible.sum(axis=1)[row])
        columns.append(self._habits[-1].before(shown.week, shown.customer)[1][row])
        columns += self._trip_columns(shown, row, product)
        features = np.stack(columns, axis=1).astype(np.float32)
        if not is_trip_known:
            features = without_trip(features)
        return Candidates(row, product, features, scores[EaseWithHistories.name].astype(np.float64))

    def _trip_columns(self, shown: Shown, row: np.ndarray, product: np.ndarray) -> list[np.ndarray]:
        """TRIP_FEATURES: lifts of the candidate, their mean over the visible products, and the labels' codes."""
        n_visible = np.maximum(np.diff(shown.visible.indptr), 1)
        own, beside, codes = [], [], []
        for label, table in enumerate(self._lifts):
            code = shown.trip[:, label]
            is_known = (code >= 0) & (code < len(table))
            of_class = np.where(is_known, code, 0)
            mean = (shown.visible @ table.T)[np.arange(len(code)), of_class] / n_visible
            own.append(np.where(is_known[row], table[of_class[row], product], np.nan))
            beside.append(np.where(is_known, mean, np.nan)[row])
            codes.append(np.where(code >= 0, code, np.nan)[row])
        return [*own, *beside, *codes]


def without_trip(features: np.ndarray) -> np.ndarray:
    """The same features [C, F] with nothing known of the trip."""
    return np.where(np.isin(FEATURES, TRIP_FEATURES), np.float32(np.nan), features)


def _places(row: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Place 0, 1, … of each candidate among its basket's, highest score first; `row` rises."""
    order = np.lexsort((-scores, row))
    place = np.empty(len(row))
    starts = np.searchsorted(row, row)
    place[order] = np.arange(len(row)) - starts
    return place


def _trip_lifts(baskets: csr_array, trip: np.ndarray) -> list[np.ndarray]:
    """Per label the log of a product's share in a class's baskets over its share in all, float64 [classes, V]."""
    overall = (np.asarray(baskets.sum(axis=0)) + 0.5) / (baskets.shape[0] + 1)
    lifts = []
    for codes in trip.T:
        known = np.flatnonzero(codes >= 0)
        classes = int(codes.max(initial=0)) + 1
        of_class = csr_array((np.ones(len(known)), (codes[known], known)), shape=(classes, len(codes)))
        counts = (of_class @ baskets).toarray()
        trips = of_class.sum(axis=1)
        lifts.append(np.log((counts + TRIP_PRIOR * overall) / (trips + TRIP_PRIOR)[:, None] / overall))
    return lifts
