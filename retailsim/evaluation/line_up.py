"""The baselines of every evaluation, in the order of its table, each built from purchases and settings (SPEC C33)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from retailsim.evaluation.baselines import Baseline, PersonalFrequency, Popularity, RecentPopularity, StorePopularity
from retailsim.evaluation.companions import Ease, ItemItem
from retailsim.evaluation.ease_histories import EaseWithHistories, Moments
from retailsim.evaluation.purchases import FirstPurchases, Purchases
from retailsim.evaluation.ranking import Ranks
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

    def moments(self, fit_end: int, settings: Settings) -> Moments:
        """Moments of the baskets of weeks ≤ `fit_end`: the last ones asked for are kept, and later weeks are added to them."""
        of = settings.history_half_life, settings.history_shrink
        if of not in self._moments or self._moments[of].fit_end > fit_end:
            self._moments.clear()
            self._moments[of] = Moments(self.purchases, self.size, settings)
        return self._moments[of].until(fit_end)

    @cached_property
    def _moments(self) -> dict[tuple[float, float], Moments]:
        return {}


BEFORE_TRIP = ", before the trip"  # behind a method's name: ranks of the same hidden products with nothing visible
SPEAKS_OF_BASKETS = (ItemItem.name, Ease.name)  # have nothing to say before the trip


def by_question(ranks: Mapping[str, Ranks]) -> tuple[dict[str, Ranks], dict[str, Ranks]]:
    """Ranks by method, beside the visible products and before the trip."""
    before = {name.removesuffix(BEFORE_TRIP): of for name, of in ranks.items() if name.endswith(BEFORE_TRIP)}
    return {name: of for name, of in ranks.items() if not name.endswith(BEFORE_TRIP)}, before


# name → how it is built for weeks after `fit_end`
LINE_UP: Mapping[str, Callable[[Market, int, Settings], Baseline]] = {
    Popularity.name: lambda m, fit_end, s: Popularity(m.purchases, m.size, fit_end),
    RecentPopularity.name: lambda m, fit_end, s: RecentPopularity(m.purchases, m.size, s),
    StorePopularity.name: lambda m, fit_end, s: StorePopularity(m.purchases, m.size, m.store_group, s),
    ItemItem.name: lambda m, fit_end, s: ItemItem(m.purchases, m.size, fit_end, s),
    Ease.name: lambda m, fit_end, s: Ease(m.purchases, m.size, fit_end, s),
    PersonalFrequency.name: lambda m, fit_end, s: PersonalFrequency(m.purchases, m.size, s),
    EaseWithHistories.name: lambda m, fit_end, s: EaseWithHistories(m.moments(fit_end, s), s),
}
