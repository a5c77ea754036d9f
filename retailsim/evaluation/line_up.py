"""The baselines of every evaluation, in the order of its table, each built from purchases and settings (SPEC C33)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from retailsim.evaluation.baselines import Baseline, PersonalFrequency, Popularity, RecentPopularity, StorePopularity
from retailsim.evaluation.companions import Ease, ItemItem
from retailsim.evaluation.ease_histories import EaseWithHistories, Histories, Moments
from retailsim.evaluation.purchases import FirstPurchases, Purchases
from retailsim.evaluation.settings import Settings


@dataclass(frozen=True)
class Market:
    """What baselines are fitted on and look up: all purchases, the vocabulary's size, and what products and stores are."""

    purchases: Purchases
    size: int  # V
    store_group: np.ndarray  # int [stores], format × region
    product_group: np.ndarray  # int [V], hierarchy_30; −1 special tokens
    trip: np.ndarray  # int [baskets, 4], codes in the order of labels.TRIP_LABELS, −1 unknown

    @cached_property
    def first_purchases(self) -> FirstPurchases:
        """When each customer first bought each product."""
        return FirstPurchases(self.purchases, self.size)


def _ease_with_histories(market: Market, fit_end: int, settings: Settings) -> Baseline:
    histories = Histories(market.purchases, market.size, settings)
    moments = Moments(market.purchases, histories, market.size, fit_end)
    return EaseWithHistories(moments, histories, settings)


# name → how it is built for weeks after `fit_end`
LINE_UP: Mapping[str, Callable[[Market, int, Settings], Baseline]] = {
    Popularity.name: lambda m, fit_end, s: Popularity(m.purchases, m.size, fit_end),
    RecentPopularity.name: lambda m, fit_end, s: RecentPopularity(m.purchases, m.size, s),
    StorePopularity.name: lambda m, fit_end, s: StorePopularity(m.purchases, m.size, m.store_group, s),
    ItemItem.name: lambda m, fit_end, s: ItemItem(m.purchases, m.size, fit_end, s),
    Ease.name: lambda m, fit_end, s: Ease(m.purchases, m.size, fit_end, s),
    PersonalFrequency.name: lambda m, fit_end, s: PersonalFrequency(m.purchases, m.size, s),
    EaseWithHistories.name: _ease_with_histories,
}
