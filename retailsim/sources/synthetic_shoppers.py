"""The synthetic retailer's shoppers: how often they come, where to, their tastes and habits (SPEC C6).

A fifth of the shoppers carry no card: they shop like the others, and their rows have no customer.

Letters: C shoppers, those with a card first · H habits at most · K sub-categories · M missions.
"""

from dataclasses import dataclass

import numpy as np

from retailsim.sources.synthetic_draws import Choices, first_distinct, rank_within
from retailsim.sources.synthetic_world import MISSIONS, Catalogue, Stores, numbered

ANONYMOUS_SHARE = 0.2
HABITS = 16  # H
PERIODS = (1, 2, 3, 4)  # weeks
AFFLUENCE = (0.3, 0.45, 0.25)  # shares of less affluent, middle, up-market shoppers
TIER_TASTE = 0.45  # log weight per price tier and step of affluence
PRICE_SEGMENTS = ("AZ", "CT", "BG", "DY")  # raw seg_1; the first three follow affluence
LIFESTAGES = ("BU", "DI", "AT", "CZ", "FN", "EQ")  # raw seg_2
LIFESTAGE_SHARES = (0.3, 0.2, 0.16, 0.14, 0.12, 0.08)


@dataclass(frozen=True)
class Shoppers:
    """The shoppers [C]; the first `carded` have a customer id."""

    customer_id: np.ndarray  # [carded] str
    price_segment: np.ndarray  # [C] position in PRICE_SEGMENTS; −1: not known
    lifestage_segment: np.ndarray  # [C] position in LIFESTAGES; −1: not known
    affluence: np.ndarray  # [C] 0, 1, 2
    trips: np.ndarray  # [C] per week
    stores: np.ndarray  # [C, 2] home store and the next best
    mission_shares: np.ndarray  # [C, M]
    taste: np.ndarray  # [C, K] 0–1
    items: np.ndarray  # [C] factor on quantities
    habit: np.ndarray  # [C, H] needs; −1: none
    habit_first: np.ndarray  # [C, H] share 0–1 that takes the first member of the need at equal relative prices
    period: np.ndarray  # [C, H] weeks


def tier_weight(catalogue: Catalogue) -> np.ndarray:
    """Weight [3, N] of each need for shoppers of each affluence: the dear tiers for the affluent."""
    return np.exp(TIER_TASTE * np.outer(np.arange(3) - 1, catalogue.tier - 1.5))


def make_shoppers(customers: int, catalogue: Catalogue, stores: Stores, rng: np.random.Generator) -> Shoppers:
    """`customers` shoppers with a card and a fifth of all without."""
    n = round(customers / (1 - ANONYMOUS_SHARE))
    affluence = rng.choice(3, n, p=AFFLUENCE)
    lifestage = rng.choice(len(LIFESTAGES), n, p=LIFESTAGE_SHARES)
    liking = rng.beta(0.7, 1.0, (len(LIFESTAGES), len(catalogue.focus)))
    taste = np.maximum(liking[lifestage] * rng.beta(1.0, 0.7, (n, len(catalogue.focus))), 0.02)
    tilt = rng.dirichlet(3.0 * np.ones(len(MISSIONS)), len(LIFESTAGES)) * len(MISSIONS)
    shares = np.array([mission.share for mission in MISSIONS]) * tilt[lifestage]
    mission_shares = rng.standard_gamma(6.0 * shares) + 1e-3
    mission_shares /= mission_shares.sum(axis=1, keepdims=True)
    trips = np.clip(np.exp(rng.normal(np.log(0.58), 0.5, n)), 0.15, 2.5)
    home = Choices(stores.traffic[None, :]).draw(np.zeros((n, 2), np.int64), rng)
    habit, habit_first = _habits(affluence, taste, trips, stores.format[home[:, 0]], catalogue, stores, rng)
    period = np.maximum(rng.choice(PERIODS, habit.shape), np.ceil(0.8 / trips)[:, None])
    noisy = rng.random(n) < 0.15
    segment = np.where(noisy, rng.integers(0, 3, n), affluence)
    segment = np.where(rng.random(n) < 0.005, 3, segment)
    return Shoppers(
        customer_id=numbered("CUST", 10, 1 + rng.permutation(10 * customers)[:customers]),
        price_segment=np.where(rng.random(n) < 0.01, -1, segment),
        lifestage_segment=np.where(rng.random(n) < 0.12, -1, lifestage),
        affluence=affluence,
        trips=trips,
        stores=home,
        mission_shares=mission_shares,
        taste=taste,
        items=np.where(rng.random(n) < 0.2, 2.0, 1.0),
        habit=habit,
        habit_first=habit_first,
        period=np.minimum(period, PERIODS[-1]).astype(np.int64),
    )


def _habits(
    affluence: np.ndarray,
    taste: np.ndarray,
    trips: np.ndarray,
    home_format: np.ndarray,
    catalogue: Catalogue,
    stores: Stores,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Needs [C, H] bought by habit, all in the home store's range and sold from the start; share of the first."""
    n = len(affluence)
    stable = (catalogue.launch == 1) & (catalogue.season_strength == 0)
    weights = (stores.in_range & stable)[:, None, :] * (tier_weight(catalogue) * np.sqrt(catalogue.popularity))[None]
    weights = weights.reshape(-1, len(stable)) + 1e-12 * stable
    count = np.clip(rng.poisson(3.5 + 5.5 * trips), 2, HABITS)
    owner = np.repeat(np.arange(n), 8 * HABITS)
    need = Choices(weights).draw((home_format * 3 + affluence)[owner], rng)
    liked = rng.random(len(owner)) < taste[owner, catalogue.sub_category[need]]
    owner, need = owner[liked], need[liked]
    kept = first_distinct(owner, need, count)
    owner, need = owner[kept], need[kept]
    place = rank_within(owner)
    habit, first = np.full((n, HABITS), -1), np.ones((n, HABITS))
    habit[owner, place] = need
    favours_first = rng.random(len(need)) < catalogue.first_share[need]
    first[owner, place] = np.where(catalogue.is_pair[need], np.where(favours_first, 0.85, 0.15), 1.0)
    return habit, first
