"""The synthetic retailer's catalogue and stores: what is sold, how it sells, and where (SPEC C6).

Shoppers look for *needs*: a need is one product, or two substitutes of the same sub-category at a similar price, of
which a shopper takes one. All numbers here are planted truth that `synthetic_truth` writes down.

Letters: P products · N needs · K sub-categories · S stores · F formats · M missions.
"""

from dataclasses import dataclass

import numpy as np

FOCI = ("Fresh", "Grocery", "Nonfood")
PRODUCTS_PER_SUB_CATEGORY = 12
PAIRS_SHARE = 4  # one pair of substitutes per so many products of a sub-category
COMPLEMENT_SHARE = 0.4  # of the single needs
SEASONAL_SHARE = 0.25
LATE_SHARE = 0.05
FIRST_LAUNCH, LAST_LAUNCH = 10, 112  # weeks in which late products appear
TIER_FACTOR = np.array([0.6, 0.85, 1.15, 1.6])  # price over the sub-category's level, cheapest tier first


@dataclass(frozen=True)
class Mission:
    """Why a shopper goes: how often, when, where, for how much, and for what."""

    name: str
    share: float  # of trips
    basket_type: str  # label of a basket of usual size
    size: tuple[int, float]  # products beside habits and complements: at least, mean beyond that
    habits: float  # chance that a habit that is due is bought on the trip
    foci: tuple[float, float, float]  # leaning to Fresh, Grocery, Nonfood
    breadth: float  # shape of the gamma-drawn mix over sub-categories; small: few of them
    weekend: float  # weight of a Saturday or Sunday against a weekday
    hour: float  # hour of the day around which it happens
    formats: tuple[float, float, float, float]  # leaning to XLS, LS, MS, SS
    peak: float | None = None  # time of year 0–1 at which it is most frequent


MISSIONS = (
    Mission("weekly shop", 0.16, "Full Shop", (7, 5.0), 0.97, (1.0, 1.0, 0.6), 3.0, 2.0, 11, (3, 2, 1, 0.2)),
    Mission("top up", 0.28, "Top Up", (1, 1.5), 0.85, (1.2, 1.0, 0.3), 0.6, 0.8, 17, (0.7, 1.2, 1.5, 1)),
    Mission("dinner tonight", 0.18, "Small Shop", (1, 1.2), 0.30, (2.0, 0.6, 0.05), 0.25, 0.6, 18, (0.5, 1, 1.5, 2)),
    Mission("lunch", 0.13, "Small Shop", (1, 0.5), 0.15, (2.0, 0.8, 0.05), 0.12, 0.4, 12.5, (0.3, 0.6, 1.2, 3)),
    Mission("breakfast", 0.10, "Small Shop", (1, 0.8), 0.30, (1.5, 1.2, 0.02), 0.12, 0.7, 8.5, (0.3, 0.7, 1.2, 3)),
    Mission("baking", 0.05, "Top Up", (3, 2.0), 0.50, (0.4, 2.0, 0.3), 0.15, 2.5, 10, (1.5, 1.5, 1, 0.6), 0.92),
    Mission("barbecue", 0.05, "Top Up", (3, 2.0), 0.40, (1.5, 1.0, 0.5), 0.15, 3.0, 16, (1.5, 1.5, 1, 0.6), 0.54),
    Mission("household", 0.05, "Small Shop", (2, 1.5), 0.30, (0.1, 0.5, 3.0), 0.30, 1.2, 14, (2, 1.5, 1, 0.4)),
)
FORMATS = ("XLS", "LS", "MS", "SS")
FORMAT_PATTERN = (1, 2, 3, 1, 0, 2, 1, 3, 1, 2)  # formats of stores 1, 2, …, repeated
RANGE_SHARE = (1.0, 0.95, 0.75, 0.5)  # of all needs, by format
PRICE_LEVEL = (0.97, 0.985, 1.01, 1.03)
TRAFFIC = (4.0, 3.0, 1.5, 1.0)
REGIONS = tuple(side + number for side in "ENSW" for number in ("01", "02", "03"))


@dataclass(frozen=True)
class Catalogue:
    """The products and what makes them sell. Arrays [P] by product, [N, …] by need."""

    product_id: np.ndarray  # [P] str
    need: np.ndarray  # [P]
    reference_price: np.ndarray  # [P] £, regular price before any change
    promotion_rate: np.ndarray  # [P] chance per week that a promotion begins
    members: np.ndarray  # [N, 2] products; −1 where there is no second
    first_share: np.ndarray  # [N] share 0–1 that takes the first at equal relative prices
    sub_category: np.ndarray  # [N] 0 … K−1
    tier: np.ndarray  # [N] 0 cheapest … 3 dearest
    popularity: np.ndarray  # [N]
    elasticity: np.ndarray  # [N] of the need's demand, positive
    switching: np.ndarray  # [N] elasticity of the choice between substitutes, positive
    season_peak: np.ndarray  # [N] time of year 0–1
    season_strength: np.ndarray  # [N] log of peak over mean; 0: no season
    launch: np.ndarray  # [N] first week on sale
    multiple: np.ndarray  # [N] chance of a second item
    complement: np.ndarray  # [N] need that goes with it; −1: none
    complement_chance: np.ndarray  # [N] chance that the complement is added to a basket with this need
    focus: np.ndarray  # [K] position in FOCI
    mission_mix: np.ndarray  # [M, K] shares
    mission_taste: np.ndarray  # [M, N] weight of needs within their sub-category

    @property
    def is_pair(self) -> np.ndarray:
        """Whether each need [N] is a choice between two substitutes."""
        return self.members[:, 1] >= 0

    def hierarchy(self) -> dict[str, np.ndarray]:
        """Codes [P] of each product's sub-category, category, group and department."""
        k = self.sub_category[self.need]
        codes = {"PROD_CODE_10": ("CL", 5, k), "PROD_CODE_20": ("DEP", 5, k // 3)}
        codes |= {"PROD_CODE_30": ("G", 5, k // 9), "PROD_CODE_40": ("D", 5, k // 27)}
        return {name: numbered(prefix, width, number + 1) for name, (prefix, width, number) in codes.items()}


@dataclass(frozen=True)
class Stores:
    """The stores [S] and the ranges [F, N] of their formats."""

    store_id: np.ndarray
    format: np.ndarray  # position in FORMATS
    region: np.ndarray  # position in REGIONS
    price_level: np.ndarray  # factor on the chain's price
    traffic: np.ndarray  # weight as somebody's store
    taste: np.ndarray  # [S, K] how well each sub-category sells there, 0–1
    in_range: np.ndarray  # [F, N] bool


def numbered(prefix: str, width: int, numbers: np.ndarray) -> np.ndarray:
    """Codes such as CL00007."""
    return np.char.add(prefix, np.char.zfill(numbers.astype(str), width))


def make_catalogue(products: int, rng: np.random.Generator) -> Catalogue:
    """A catalogue of `products` products, about twelve to a sub-category."""
    categories = max(2, round(products / PRODUCTS_PER_SUB_CATEGORY))
    category = np.arange(products) * categories // products
    place = np.arange(products) - np.searchsorted(category, category)
    pairs = np.bincount(category) // PAIRS_SHARE
    opens = (place >= 2 * pairs[category]) | (place % 2 == 0)  # the second of a pair shares the need of the first
    need = np.cumsum(opens) - 1
    needs = int(need[-1]) + 1
    members = np.full((needs, 2), -1)
    members[need[::-1], 0] = np.arange(products)[::-1]
    members[need[~opens], 1] = np.flatnonzero(~opens)
    is_pair = members[:, 1] >= 0
    sub_category = category[members[:, 0]]

    tier = rng.integers(0, 4, needs)
    level = np.exp(rng.normal(np.log(1.4), 0.5, categories))
    price = (level[sub_category] * TIER_FACTOR[tier])[need] * rng.uniform(0.97, 1.03, products)
    popularity = np.exp(rng.normal(0.0, 1.0, needs))
    late = ~is_pair & (rng.random(needs) < LATE_SHARE)
    launch = np.where(late, rng.integers(FIRST_LAUNCH, LAST_LAUNCH + 1, needs), 1)
    complement, chance = _complements(~is_pair & ~late, sub_category, rng)
    elasticity = rng.uniform(1.0, 2.5, needs)
    seasonal = ~late & (rng.random(needs) < SEASONAL_SHARE)
    focus = _foci(categories)
    lean = np.array([mission.foci for mission in MISSIONS])[:, focus]
    breadth = np.array([[mission.breadth] for mission in MISSIONS])
    mix = rng.standard_gamma(np.broadcast_to(breadth, lean.shape)) * lean + 1e-6
    mix = 0.97 * mix / mix.sum(axis=1, keepdims=True) + 0.03 / categories
    return Catalogue(
        product_id=numbered("PRD09", 5, 1 + rng.permutation(products)),
        need=need,
        reference_price=np.maximum(np.round(price, 2), 0.15),
        promotion_rate=np.minimum(rng.gamma(0.8, 0.016, products), 0.08),
        members=members,
        first_share=np.where(is_pair, rng.uniform(0.4, 0.6, needs), 1.0),
        sub_category=sub_category,
        tier=tier,
        popularity=popularity,
        elasticity=elasticity,
        switching=elasticity + rng.uniform(2.0, 4.0, needs),
        season_peak=rng.random(needs),
        season_strength=np.where(seasonal, rng.uniform(0.7, 1.4, needs), 0.0),
        launch=launch,
        multiple=rng.uniform(0.02, 0.3, needs),
        complement=complement,
        complement_chance=chance,
        focus=focus,
        mission_mix=mix,
        mission_taste=np.exp(rng.normal(0.0, 1.0, (len(MISSIONS), needs))),
    )


def _foci(categories: int) -> np.ndarray:
    """Focus [K]: whole categories of sub-categories, two fifths fresh, two fifths grocery, the rest non-food."""
    blocks = np.arange(categories) // 3 if categories >= 9 else np.arange(categories)
    share = (blocks + 0.5) / (blocks[-1] + 1)
    return np.searchsorted([0.4, 0.8], share)


def _complements(free: np.ndarray, sub_category: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Partner [N] and chance [N] of complements: pairs of `free` needs of two sub-categories, each need in one pair."""
    chosen = rng.permutation(np.flatnonzero(free))[: 2 * max(1, int(free.sum() * COMPLEMENT_SHARE / 2))]
    one, other = np.array_split(chosen, 2)
    one, other = one[: len(other)], other[: len(one)]
    across = sub_category[one] != sub_category[other]
    one, other = one[across], other[across]
    partner, chance = np.full(len(free), -1), np.zeros(len(free))
    strength = rng.uniform(0.3, 0.55, len(one))
    partner[one], partner[other] = other, one
    chance[one] = chance[other] = strength
    return partner, chance


def make_stores(stores: int, catalogue: Catalogue, rng: np.random.Generator) -> Stores:
    """`stores` stores of four formats in twelve regions; a smaller format's range is part of a larger one's."""
    formats = np.resize(FORMAT_PATTERN, stores)
    score = np.log(catalogue.popularity) + rng.normal(0.0, 0.7, len(catalogue.popularity))
    order = np.empty(len(score))
    order[np.argsort(-score, kind="stable")] = (np.arange(len(score)) + 0.5) / len(score)
    best = np.zeros(len(score), bool)  # every format has the best of every sub-category
    ranked = np.lexsort((order, catalogue.sub_category))
    best[ranked[np.unique(catalogue.sub_category[ranked], return_index=True)[1]]] = True
    always = best & (catalogue.launch == 1)
    return Stores(
        store_id=numbered("STORE", 5, 1 + rng.permutation(stores)),
        format=formats,
        region=rng.integers(0, len(REGIONS), stores),
        price_level=np.array(PRICE_LEVEL)[formats],
        traffic=np.array(TRAFFIC)[formats] * np.exp(rng.normal(0.0, 0.3, stores)),
        taste=rng.beta(0.7, 0.9, (stores, len(catalogue.focus))) * 0.9 + 0.1,
        in_range=(order[None, :] < np.array(RANGE_SHARE)[:, None]) | always,
    )
