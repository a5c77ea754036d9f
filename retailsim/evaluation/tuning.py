"""The baselines' open numbers, chosen on validation weeks: tuned as hard as a model would be (SPEC C33).

One pass of coordinate search per method: each of its settings in turn is tried at every value of its grid while the others
stay, and the best by MRR is kept. What is tuned on the validation weeks is fitted on the weeks before them. Regressions, whose
time grows with the cube of the vocabulary, are tuned on the products bought most; what ranks is fitted on all.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from retailsim.evaluation.baselines import PersonalFrequency, RecentPopularity, StorePopularity, rank_hidden
from retailsim.evaluation.companions import Ease, ItemItem
from retailsim.evaluation.ease_histories import EaseWithHistories
from retailsim.evaluation.hidden import HiddenSet
from retailsim.evaluation.line_up import LINE_UP, Market
from retailsim.evaluation.metrics import Metrics
from retailsim.evaluation.settings import DEFAULTS, Settings
from retailsim.vocab import SPECIAL_TOKENS

# method → setting → values to try beside the present one, in the order of the search
GRIDS: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    RecentPopularity.name: {"recent_weeks": (1, 2, 4, 8)},
    StorePopularity.name: {"store_half_life": (4.0, 8.0, 16.0), "store_shrink": (2.0, 5.0, 15.0)},
    ItemItem.name: {"visible_power": (0.5, 0.7, 0.9), "scored_power": (0.1, 0.3, 0.5)},
    Ease.name: {"ease_ridge": (30.0, 100.0, 300.0)},
    PersonalFrequency.name: {
        "customer_half_life": (4.0, 8.0, 16.0, 26.0),
        "customer_shrink": (2.0, 5.0, 15.0),
        "customer_backoff": (0.1, 0.3, 1.0),
    },
    EaseWithHistories.name: {
        "ridge_customer": (1.0, 3.0, 10.0),
        "ridge_store": (10.0, 30.0, 100.0),
        "ridge_items": (30.0, 100.0, 300.0),
        "history_half_life": (8.0, 16.0),
    },
}

REGRESSIONS = (Ease.name, EaseWithHistories.name)
PRODUCTS = 1_500  # on which regressions are tuned


@dataclass(frozen=True)
class Trial:
    """One value of one setting, and what the method reached with it."""

    method: str
    setting: str
    value: float
    mrr: float  # on the validation weeks; a product that the method was not tuned on counts 0


def tune(market: Market, hidden: HiddenSet, fit_end: int, on_trial: Callable[[Trial], None]) -> Settings:
    """The settings with the highest MRR on `hidden`, whose baskets are later than `fit_end`; each trial is told."""
    best = DEFAULTS
    most_bought = bought_most(market, hidden, fit_end, PRODUCTS)
    for method, grid in GRIDS.items():
        on = most_bought if method in REGRESSIONS else (market, hidden)
        for trial, settings in _search(method, grid, best, fit_end, *on):
            best = settings
            on_trial(trial)
    return best


def bought_most(market: Market, hidden: HiddenSet, fit_end: int, count: int) -> tuple[Market, HiddenSet]:
    """The same with a vocabulary of the `count` products in most baskets of weeks ≤ `fit_end`; all others are late products."""
    of, specials = market.purchases, len(SPECIAL_TOKENS)
    is_fitted = (of.week <= fit_end)[of.basket] & (of.product < market.size)
    baskets = np.bincount(of.product[is_fitted], minlength=market.size)[specials:]
    kept = np.concatenate([np.arange(specials), specials + np.sort(np.argsort(-baskets, kind="stable")[:count])])
    row = np.full(market.size + 1, len(kept))  # the last: late products
    row[kept] = np.arange(len(kept))
    product, target = (row[np.minimum(products, market.size)] for products in (of.product, hidden.target))
    purchases, group = replace(of, product=product), market.product_group[kept]
    return (
        replace(market, purchases=purchases, size=len(kept), product_group=group),
        replace(hidden, visible=hidden.visible[:, kept], target=target),
    )


def _search(
    method: str,
    grid: Mapping[str, tuple[float, ...]],
    settings: Settings,
    fit_end: int,
    market: Market,
    hidden: HiddenSet,
) -> Iterator[tuple[Trial, Settings]]:
    """Every trial of a method, with the best settings so far."""
    reached: dict[Settings, float] = {}
    for name, values in grid.items():
        for value in (getattr(settings, name), *values):
            tried = replace(settings, **{name: value})
            if tried not in reached:
                baseline = LINE_UP[method](market, fit_end, tried)
                reached[tried] = Metrics.from_ranks(rank_hidden(baseline, hidden).overall).mrr
                yield Trial(method, name, value, reached[tried]), max(reached, key=reached.__getitem__)
        settings = max(reached, key=reached.__getitem__)
