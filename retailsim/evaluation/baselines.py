"""What a model has to beat on the same hidden products: popularity and personal frequency (SPEC C33).

All are shares of baskets with a product, so that they can be added. What is fitted is fitted on weeks ≤ fit_end; what
is looked up for a basket of week W comes from weeks ≤ W − 1. What goes with the visible products: `companions`.
"""

from typing import Protocol

import numpy as np

from retailsim.evaluation.hidden import HiddenSet, Shown
from retailsim.evaluation.purchases import ChainCounts, DecayedCounts, FirstPurchases, Purchases, refuse_fit_period
from retailsim.evaluation.ranking import Ranks, ahead_of, ranks_of_all
from retailsim.evaluation.settings import DEFAULTS, Settings


class Baseline(Protocol):
    """A method that scores the vocabulary for baskets of one week."""

    name: str
    looks_at_basket: bool  # whether the scores depend on the visible products

    def scores(self, shown: Shown) -> np.ndarray:
        """Higher is likelier; floats [n, V], one row per basket of `shown`."""
        ...


def rank_hidden(baseline: Baseline, hidden: HiddenSet, first: FirstPurchases | None = None) -> Ranks:
    """Ranks of all hidden products in the order of `hidden.target`; among novel ones only where `first` is given."""
    return _rank(baseline, hidden, first)[0]


def rank_both(baseline: Baseline, hidden: HiddenSet, first: FirstPurchases) -> tuple[Ranks, Ranks]:
    """Ranks beside the visible products, and before the trip."""
    if baseline.looks_at_basket:
        return _rank(baseline, hidden.with_unseen(), first)[0].halves()
    beside, of_all = _rank(baseline, hidden, first)
    return beside, Ranks(of_all, np.full(len(of_all), np.nan))


def _rank(baseline: Baseline, hidden: HiddenSet, first: FirstPurchases | None) -> tuple[Ranks, np.ndarray]:
    """The ranks, and those that the same scores give where nothing is visible, float64 [M]."""
    overall, novel = np.empty(len(hidden.target)), np.where(hidden.target < hidden.visible.shape[1], np.nan, np.inf)
    of_all = np.empty(len(hidden.target))
    week, customer = hidden.week[hidden.basket], hidden.customer[hidden.basket]
    is_novel = first.is_novel(week, customer, hidden.target) if first else np.zeros(len(week), dtype=bool)
    for baskets, shown in hidden.blocks():
        lengths = np.diff(hidden.starts)[baskets]
        row = np.repeat(np.arange(len(baskets)), lengths)
        begin = np.cumsum(lengths) - lengths
        places = np.arange(len(row)) + (hidden.starts[baskets] - begin)[row]
        scores, target, visible = baseline.scores(shown), hidden.target[places], shown.visible[row]
        of_all[places] = ranks_of_all(scores, target, row)
        overall[places] = of_all[places] - ahead_of(scores, target, row, visible)
        new = is_novel[places]
        if first and new.any():
            bought = first.bought(week[places][new], customer[places][new])
            novel[places[new]] = of_all[places][new] - ahead_of(scores, target[new], row[new], visible[new] + bought)
    return Ranks(overall, novel), of_all


class Popularity:
    """The share of the chain's baskets with a product, over the fit period."""

    name = "popularity"
    looks_at_basket = False

    def __init__(self, purchases: Purchases, size: int, fit_end: int) -> None:
        self._fit_end = fit_end
        self._rates = ChainCounts(purchases, size).rates(0, fit_end)

    def scores(self, shown: Shown) -> np.ndarray:
        """The same for everybody."""
        refuse_fit_period(self.name, shown.week, self._fit_end)
        return np.tile(self._rates, (len(shown.customer), 1))


class RecentPopularity:
    """The share of the chain's baskets with a product, over the last few weeks before the basket's."""

    name = "recent popularity"
    looks_at_basket = False

    def __init__(self, purchases: Purchases, size: int, settings: Settings = DEFAULTS) -> None:
        self._chain, self._weeks = ChainCounts(purchases, size), settings.recent_weeks

    def scores(self, shown: Shown) -> np.ndarray:
        """The same for everybody who shops in that week."""
        rates = self._chain.rates(shown.week - self._weeks, shown.week - 1)
        return np.tile(rates, (len(shown.customer), 1))


class StorePopularity:
    """The decayed share of the store's baskets with a product, shrunk towards that of its group (format and region).

    Args:
        purchases: all weeks.
        size: V.
        group: int [stores], group of each store.
        settings: half-life and shrink.
    """

    name = "store popularity"
    looks_at_basket = False

    def __init__(self, purchases: Purchases, size: int, group: np.ndarray, settings: Settings = DEFAULTS) -> None:
        self._group, self._n_groups = group, int(group.max()) + 1
        self._shrink, half_life = settings.store_shrink, settings.store_half_life
        self._stores = DecayedCounts(purchases, purchases.store, size, half_life)
        self._groups = DecayedCounts(purchases, group[purchases.store], size, half_life)
        self._rates: tuple[int, np.ndarray] | None = None  # of the groups, for the last week asked for

    def scores(self, shown: Shown) -> np.ndarray:
        """(store's baskets with the product + shrink × group's share) / (store's baskets + shrink)."""
        stores, row = np.unique(shown.store, return_inverse=True)
        counts, trips = self._stores.before(shown.week, stores)
        backoff = self._group_rates(shown.week)[self._group[stores]]
        return ((counts + self._shrink * backoff) / (trips + self._shrink)[:, None])[row]

    def _group_rates(self, week: int) -> np.ndarray:
        if self._rates is None or self._rates[0] != week:
            counts, trips = self._groups.before(week, np.arange(self._n_groups))
            rates = np.divide(counts, trips[:, None], out=np.zeros_like(counts), where=trips[:, None] > 0)
            self._rates = week, rates
        return self._rates[1]


class PersonalFrequency:
    """The decayed share of the customer's baskets with a product, beside recent popularity.

    score = decayed baskets with the product / (decayed baskets + shrink) + back-off × recent popularity; for an anonymous
    or new customer only the second term is there.
    """

    name = "personal frequency"
    looks_at_basket = False

    def __init__(self, purchases: Purchases, size: int, settings: Settings = DEFAULTS) -> None:
        self._shrink, self._backoff = settings.customer_shrink, settings.customer_backoff
        self._customers = DecayedCounts(purchases, purchases.customer, size, settings.customer_half_life)
        self._recent = RecentPopularity(purchases, size, settings)

    def scores(self, shown: Shown) -> np.ndarray:
        """Each customer's own."""
        scores, trips = self._customers.before(shown.week, shown.customer)
        scores /= (trips + self._shrink)[:, None]
        scores += self._backoff * self._recent.scores(shown)
        return scores
