"""The synthetic retailer's baskets, one week at a time (SPEC C6).

A basket is filled in three steps: habits that are due, what the mission asks for (range, season, price, tastes of
shopper and store), and complements of what is already in it. What a week needs from the past is when each habit was
last bought and the running prices, so memory does not grow with the number of weeks.

Letters: C shoppers · H habits · T trips of the week · R rows of the week · N needs · P products.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from retailsim.sources.synthetic_draws import Choices, first_distinct, generator, rank_within, round_at_random
from retailsim.sources.synthetic_prices import PriceBook, appeal, takes_first
from retailsim.sources.synthetic_shoppers import Shoppers, make_shoppers, tier_weight
from retailsim.sources.synthetic_world import FORMATS, MISSIONS, Catalogue, Stores, make_catalogue, make_stores

FIRST_MONDAY = date(2006, 4, 10)
HOURS = np.arange(8, 22)
MOST_WEEKLY = 0.95  # above it, a shopper's further trips of a week come by chance
DECEMBER_TRIPS = 1.15
OVERDRAW = 8  # candidates drawn for each product that a mission asks for
STORE_CHOICE = (0.7, 0.22, 0.08)  # home, next best, any
HABIT, MISSION, COMPLEMENT = 0, 1, 2  # why a row is in the basket


@dataclass(frozen=True)
class Trips:
    """The trips [T] of a week, in the order of shopper, day and hour."""

    shopper: np.ndarray
    mission: np.ndarray
    store: np.ndarray
    day: np.ndarray  # 0 Monday … 6 Sunday
    hour: np.ndarray


@dataclass(frozen=True)
class Rows:
    """The rows [R] of a week, in the order of trips."""

    trip: np.ndarray
    product: np.ndarray
    quantity: np.ndarray
    pence: np.ndarray  # of all items
    reason: np.ndarray  # HABIT, MISSION or COMPLEMENT


def monday_of(week: int) -> date:
    """The first day of `week`, which counts from 1."""
    return FIRST_MONDAY + timedelta(weeks=week - 1)


def time_of_year(week: int) -> float:
    """Where the Thursday of `week` stands in its year, 0–1."""
    thursday = monday_of(week) + timedelta(days=3)
    return (thursday.timetuple().tm_yday - 1) / 365.25


class Retailer:
    """A retailer with its world, whose weeks are asked for in order: 1, 2, …"""

    def __init__(self, customers: int, products: int, stores: int, seed: int) -> None:
        rng = generator(seed, 0)
        self.seed = seed
        self.catalogue: Catalogue = make_catalogue(products, rng)
        self.stores: Stores = make_stores(stores, self.catalogue, rng)
        self.shoppers: Shoppers = make_shoppers(customers, self.catalogue, self.stores, rng)
        self.prices = PriceBook(self.catalogue)
        self._bought = 1 - np.ceil(rng.random(self.shoppers.habit.shape) * self.shoppers.period).astype(np.int64)
        self._tier_weight = tier_weight(self.catalogue)
        self._slots = _habit_slots(self.shoppers.habit, len(self.catalogue.tier))

    def shop(self, week: int) -> tuple[Trips, Rows]:
        """All baskets of `week`, the one after the last."""
        rng = generator(self.seed, week)
        self.prices.advance(week, rng)
        relative = self.prices.relative()
        trips = self._go(week, rng)
        rows = [self._by_habit(trips, relative, week, rng), self._by_mission(trips, relative, week, rng)]
        trip, need, quantity, first_share, reason = _joined(rows)
        added = self._complements(trips, trip, need, relative, week, rng)
        trip, need, quantity, first_share, reason = _joined([(trip, need, quantity, first_share, reason), added])
        self._remember(trips.shopper[trip], need, week)
        first = rng.random(len(need)) < takes_first(self.catalogue, relative, need, first_share)
        product = self.catalogue.members[need, np.where(first, 0, 1)]
        chain = self.prices.regular[product] * (1 - self.prices.depth[product])
        pence = np.maximum(np.rint(100 * chain * self.stores.price_level[trips.store[trip]]), 1).astype(np.int64)
        return trips, Rows(trip, product, quantity, quantity * pence, reason)

    def _go(self, week: int, rng: np.random.Generator) -> Trips:
        who, year = self.shoppers, time_of_year(week)
        rate = who.trips * (DECEMBER_TRIPS if monday_of(week).month == 12 else 1.0)
        count = (rng.random(len(rate)) < np.minimum(rate, MOST_WEEKLY)) + rng.poisson(np.maximum(rate - MOST_WEEKLY, 0))
        shopper = np.repeat(np.arange(len(rate)), count)
        season = [1.0 if m.peak is None else np.exp(1.2 * np.cos(2 * np.pi * (year - m.peak))) for m in MISSIONS]
        mission = Choices(who.mission_shares * np.array(season)).draw(shopper, rng)
        store = self._stores_of(shopper, mission, rng)
        days = np.array([[1.0] * 5 + [m.weekend] * 2 for m in MISSIONS])
        hours = np.array([np.exp(-0.5 * ((HOURS - m.hour) / 2.2) ** 2) + 0.02 for m in MISSIONS])
        day, hour = Choices(days).draw(mission, rng), HOURS[Choices(hours).draw(mission, rng)]
        order = np.lexsort((hour, day, shopper))
        return Trips(shopper[order], mission[order], store[order], day[order], hour[order])

    def _stores_of(self, shopper: np.ndarray, mission: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The store [T] of each trip: home, next best or any, the sooner the better its format suits the mission."""
        somewhere = Choices(self.stores.traffic[None, :]).draw(np.zeros(len(shopper), np.int64), rng)
        options = np.column_stack([self.shoppers.stores[shopper], somewhere])  # [T, 3]
        suits = np.array([m.formats for m in MISSIONS])[mission[:, None], self.stores.format[options]]
        weights = np.cumsum(np.array(STORE_CHOICE) * suits, axis=1)
        place = (rng.random((len(shopper), 1)) * weights[:, -1:] >= weights[:, :-1]).sum(axis=1)
        return options[np.arange(len(shopper)), place]

    def _on_sale(self, week: int) -> np.ndarray:
        """Which needs [F, N] each format sells in `week`."""
        return self.stores.in_range & (self.catalogue.launch <= week)

    def _by_habit(self, trips: Trips, relative: np.ndarray, week: int, rng: np.random.Generator) -> tuple:
        """Habits that are due, trip after trip of each shopper; a dear price postpones them, a low one stocks up."""
        who, on_sale = self.shoppers, self._on_sale(week)
        willing = np.array([mission.habits for mission in MISSIONS])
        habit = np.maximum(who.habit, 0)
        items = who.items[:, None] * appeal(self.catalogue, relative, habit, who.habit_first)  # [C, H] expected
        turn = rank_within(trips.shopper)
        found = []
        for round_ in range(int(turn.max(initial=-1)) + 1):
            trip = np.flatnonzero(turn == round_)
            c = trips.shopper[trip]
            waited = (week - self._bought[c]) / who.period[c]
            due = willing[trips.mission[trip], None] / (1 + np.exp(-(waited - 0.85) / 0.06))
            there = on_sale[self.stores.format[trips.store[trip]][:, None], habit[c]] & (who.habit[c] >= 0)
            quantity = round_at_random(items[c], rng)
            t, h = np.nonzero((rng.random(due.shape) < due) & there & (quantity > 0))
            self._bought[c[t], h] = week
            found.append(
                (trip[t], who.habit[c[t], h], quantity[t, h], who.habit_first[c[t], h], np.full(len(t), HABIT))
            )
        return _joined(found)

    def _by_mission(self, trips: Trips, relative: np.ndarray, week: int, rng: np.random.Generator) -> tuple:
        """What the mission asks for: drawn by mission, season, price, range and tier, thinned by the two tastes."""
        cat, who = self.catalogue, self.shoppers
        needs = np.arange(len(cat.tier))
        season = np.exp(cat.season_strength * np.cos(2 * np.pi * (time_of_year(week) - cat.season_peak)))
        pull = cat.popularity * season * appeal(cat, relative, needs, cat.first_share)
        mission = cat.mission_mix[:, cat.sub_category] * cat.mission_taste
        weights = self._on_sale(week)[:, None, None] * mission[None, :, None] * self._tier_weight * pull  # [F, M, 3, N]
        group = self.stores.format[trips.store] * len(MISSIONS) + trips.mission
        group = group * 3 + who.affluence[trips.shopper]
        least, beyond = np.array([m.size for m in MISSIONS]).T
        count = (least[trips.mission] + rng.poisson(beyond[trips.mission])).astype(np.int64)
        trip = np.repeat(np.arange(len(count)), OVERDRAW * count)
        need = Choices(weights.reshape(len(FORMATS) * len(MISSIONS) * 3, -1)).draw(group[trip], rng)
        k = cat.sub_category[need]
        liked = rng.random(len(trip)) < who.taste[trips.shopper[trip], k] * self.stores.taste[trips.store[trip], k]
        liked |= rank_within(trip) == 0  # nobody leaves without anything
        trip, need = trip[liked], need[liked]
        kept = first_distinct(trip, need, count)
        trip, need = trip[kept], need[kept]
        quantity = 1 + round_at_random(cat.multiple[need] * who.items[trips.shopper[trip]], rng)
        return trip, need, quantity, cat.first_share[need], np.full(len(trip), MISSION)

    def _complements(
        self,
        trips: Trips,
        trip: np.ndarray,
        need: np.ndarray,
        relative: np.ndarray,
        week: int,
        rng: np.random.Generator,
    ) -> tuple:
        """Complements of what is in the baskets, where the store has them."""
        cat = self.catalogue
        partner = cat.complement[need]
        there = (partner >= 0) & self._on_sale(week)[self.stores.format[trips.store[trip]], partner]
        chance = cat.complement_chance[need] * appeal(cat, relative, np.maximum(partner, 0), np.ones(len(need)))
        added = there & (rng.random(len(need)) < chance)
        trip, need = trip[added], partner[added]
        return trip, need, np.ones(len(trip), np.int64), np.ones(len(trip)), np.full(len(trip), COMPLEMENT)

    def _remember(self, shopper: np.ndarray, need: np.ndarray, week: int) -> None:
        """A habit that came into the basket another way is bought as well."""
        keys, places = self._slots
        wanted = shopper * len(self.catalogue.tier) + need
        slot = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        self._bought.ravel()[places[slot[keys[slot] == wanted]]] = week


def _habit_slots(habit: np.ndarray, needs: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys shopper × needs + need of all habits, sorted, and their flat places in [C, H]."""
    places = np.flatnonzero(habit >= 0)
    keys = places // habit.shape[1] * needs + habit.ravel()[places]
    order = np.argsort(keys)
    return keys[order], places[order]


def _joined(parts: list[tuple]) -> tuple:
    """Columns of several sets of rows as one, in the order of trips, each need once in a trip (the first stays)."""
    if not parts:
        parts = [tuple(np.zeros(0, kind) for kind in (np.int64, np.int64, np.int64, np.float64, np.int64))]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    columns = [column[order] for column in columns]
    kept = first_distinct(columns[0], columns[1])
    return tuple(column[kept] for column in columns)
