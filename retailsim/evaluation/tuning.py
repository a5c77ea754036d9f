"""The baselines' open numbers, chosen on validation weeks: tuned as hard as a model would be (SPEC C33).

One pass of coordinate search per method: each of its settings in turn is tried at every value of its grid while the others
stay, and the best by MRR is kept. What is tuned on the validation weeks is fitted on the weeks before them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from retailsim.evaluation.baselines import Baseline, PersonalFrequency, RecentPopularity, StorePopularity, rank_hidden
from retailsim.evaluation.companions import Ease, ItemItem
from retailsim.evaluation.ease_histories import EaseWithHistories, Histories, Moments
from retailsim.evaluation.hidden import HiddenSet
from retailsim.evaluation.line_up import LINE_UP, Market
from retailsim.evaluation.metrics import Metrics
from retailsim.evaluation.settings import DEFAULTS, Settings

# method → setting → values to try beside the present one, in the order of the search
GRIDS: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    RecentPopularity.name: {"recent_weeks": (2, 4, 8)},
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


@dataclass(frozen=True)
class Trial:
    """One value of one setting, and what the method reached with it."""

    method: str
    setting: str
    value: float
    mrr: float  # on the validation weeks


def tune(market: Market, hidden: HiddenSet, fit_end: int, on_trial: Callable[[Trial], None]) -> Settings:
    """The settings with the highest MRR on `hidden`, whose baskets are later than `fit_end`; each trial is told."""
    best = DEFAULTS
    for method, grid in GRIDS.items():
        build = _builder(method, market, fit_end)
        for trial, settings in _search(method, grid, best, build, hidden):
            best = settings
            on_trial(trial)
    return best


def _search(
    method: str,
    grid: Mapping[str, tuple[float, ...]],
    settings: Settings,
    build: Callable[[Settings], Baseline],
    hidden: HiddenSet,
) -> Iterator[tuple[Trial, Settings]]:
    """Every trial of a method, with the best settings so far."""
    reached: dict[Settings, float] = {}
    for name, values in grid.items():
        for value in (getattr(settings, name), *values):
            tried = replace(settings, **{name: value})
            if tried not in reached:
                reached[tried] = Metrics.from_ranks(rank_hidden(build(tried), hidden).overall).mrr
                yield Trial(method, name, value, reached[tried]), max(reached, key=reached.__getitem__)
        settings = max(reached, key=reached.__getitem__)


def _builder(method: str, market: Market, fit_end: int) -> Callable[[Settings], Baseline]:
    """How the method is built; the moments of EASE with histories are kept while only its penalties change."""
    if method != EaseWithHistories.name:
        return lambda settings: LINE_UP[method](market, fit_end, settings)
    kept: dict[float, tuple[Moments, Histories]] = {}

    def build(settings: Settings) -> Baseline:
        half_life = settings.history_half_life
        if half_life not in kept:
            kept.clear()
            histories = Histories(market.purchases, market.size, settings)
            kept[half_life] = Moments(market.purchases, histories, market.size, fit_end), histories
        return EaseWithHistories(*kept[half_life], settings)

    return build
