"""C19: how a customer bought a product, and what a store sold, as numbers checked by hand."""

import numpy as np
import pytest

from retailsim.model.batch import HABITS
from retailsim.training import histories
from retailsim.training.histories import customer_entries, store_counts
from retailsim.training.purchases import Purchases
from retailsim.vocab import PAD, SPECIAL_TOKENS
from tests.small_world import CUSTOMERS, VOCAB_SIZE, make_histories

MILK, TEA, BREAD = 3, 4, 5
BASKETS = {2: [{MILK}], 4: [{MILK}, {MILK, TEA}], 6: [{MILK}]}  # by week
TOP_UP, FULL_SHOP = (1, 0, -1, 0), (0, 0, -1, 3)  # codes of the labels; nobody says how sensitive to prices
TRIPS = {2: [TOP_UP], 4: [TOP_UP, FULL_SHOP], 6: [TOP_UP]}
OPEN = np.full((2, 4), -1)  # trips of which nothing is known


def events(week, baskets):
    """(week, product, which basket, kind) as they are stored: the trips in front of the products."""
    trips = [(week, PAD, which, kind_of(codes)) for which, codes in enumerate(TRIPS[week])]
    return trips + sorted((week, product, which, 0) for which, basket in enumerate(baskets) for product in basket)


def kind_of(codes):
    return sum((code + 1) * 8**place for place, code in enumerate(codes))


@pytest.fixture
def shopper():
    """Row 1 has the baskets above behind it, row 0 nothing."""
    stored = [event for week, baskets in BASKETS.items() for event in events(week, baskets)]
    return Purchases(np.array([[0, 0], [0, len(stored)]]), np.array(stored, dtype=np.int32))


@pytest.fixture
def store():
    """The same baskets as a store's: counted by week."""
    stored = [(2, PAD, 1), (2, MILK, 1), (4, PAD, 2), (4, MILK, 2), (4, TEA, 1), (6, PAD, 1), (6, MILK, 1)]
    return Purchases(np.array([[0, 0], [0, len(stored)]]), np.array(stored, dtype=np.int32))


def visible(*baskets):
    """What is shown of baskets, bool [B, 6]."""
    return np.array([[product in basket for product in range(6)] for basket in baskets])


def test_habits_are_those_of_the_table(shopper):
    bought, habits = customer_entries(shopper, np.array([1, 0]), np.array([9, 9]), visible({MILK, BREAD}, {MILK}), OPEN)
    assert bought.tolist() == [[PAD, MILK, TEA], [PAD, PAD, PAD]]
    assert habits.shape == (2, 3, HABITS) and (habits[1] == 0).all()

    def decayed(events, half_life):
        return sum(n * 2 ** (-age / half_life) for age, n in events)

    milk, tea, trips = [(7, 1), (5, 2), (3, 1)], [(5, 1)], [(7, 1), (5, 2), (3, 1)]
    expected = [
        [
            *(np.log1p(decayed(events, h)) for h in (2, 8, 26, 104)),
            *(np.log((decayed(events, h) + 0.1) / (decayed(trips, h) + 5)) for h in (2, 8, 26)),
            np.log(last),
            in_last_trips_week,
            np.log1p(weeks),
            np.log(gap),
            due,
            weeks > 1,
            np.log(first),
            *(np.log1p(decayed(trips, h)) for h in (8, 104)),
        ]
        for events, last, in_last_trips_week, weeks, gap, due, first in (
            (milk, 3, 1, 3, 2, np.log(3 / 2), 7),  # every second week, last three weeks ago: overdue
            (tea, 5, 0, 1, 1, 0, 5),
        )
    ]
    assert np.allclose(habits[0, 1:, :16], expected, atol=1e-6)


def test_a_product_knows_how_alike_the_baskets_were_that_held_it(shopper):
    """Milk and bread are shown: milk alone has Jaccard 1/2 and cosine 1/√2, milk with tea 1/3 and 1/2."""
    _, habits = customer_entries(shopper, np.array([1]), np.array([9]), visible({MILK, BREAD}), OPEN[:1])
    alone, with_tea = 1 / np.sqrt(2), 1 / 2
    milk = [
        *(1 / 2, alone * 2 ** (-3 / 104)),
        *(alone * (2 ** (-7 / 26) + 2 ** (-5 / 26) + 2 ** (-3 / 26)) + with_tea * 2 ** (-5 / 26), 3 * alone + with_tea),
    ]
    tea = [1 / 3, with_tea * 2 ** (-5 / 104), with_tea * 2 ** (-5 / 26), with_tea]
    for found, (jaccard, cosine, lately, ever) in zip(habits[0, :, 16:20], (milk, milk, tea), strict=True):
        shares = np.log((lately + 0.1) / (milk[2] + 1)), np.log((ever + 0.1) / (milk[3] + 1))
        assert np.allclose(found, [jaccard, cosine, *shares], atol=1e-6)


def test_a_basket_that_shows_nothing_is_like_none(shopper):
    _, habits = customer_entries(shopper, np.array([1]), np.array([9]), visible(set()), OPEN[:1])
    assert np.allclose(habits[0, :, 16:20], [0, 0, np.log(0.1), np.log(0.1)], atol=1e-6)


def test_a_product_knows_on_which_kind_of_trip_it_was_bought(shopper):
    """Of the trips of weeks 2, 4, 4 and 6 one was a full shop, the one with tea, and none says a price sensitivity."""
    day = 2 ** (-np.array([7, 5, 5, 3]) / 104)
    share = day[2] / day.sum()
    lift = np.log((day[2] + 5 * share) / (day[2] + 5) / share)
    unlike = np.log(5 * share / (day[[0, 1, 3]].sum() + 5) / share)
    # asked for: type, focus, price sensitivity, size → the lifts of tea; milk lay in every basket and has none
    for asked, tea in {
        FULL_SHOP: [lift, 0, 0, lift, lift],
        TOP_UP: [unlike, 0, 0, unlike, unlike],
        (0, 0, 1, 3): [lift, 0, 0, lift, 0],  # no trip shares all four
        (2, 0, -1, 3): [0, 0, 0, lift, 0],  # nor all three
        (0, -1, -1, -1): [lift, 0, 0, 0, lift],
        (-1, -1, -1, -1): [0, 0, 0, 0, 0],
    }.items():
        bought, habits = customer_entries(shopper, np.array([1]), np.array([9]), visible(set()), np.array([asked]))
        assert bought.tolist() == [[PAD, MILK, TEA]]
        assert np.allclose(habits[0, :, 20:], [[0] * 5, [0] * 5, tea], atol=1e-6), asked


def test_the_strongest_entries_are_kept_and_the_trip(shopper, monkeypatch):
    monkeypatch.setattr(histories, "MAX_ENTRIES", 2)
    bought, _ = customer_entries(shopper, np.array([1]), np.array([9]), visible(set()), OPEN[:1])
    assert bought.tolist() == [[PAD, MILK]]


def test_store_counts_are_decayed(store):
    counts = store_counts(store, np.array([0, 1]), np.array([9, 9]), vocab_size=5)
    weights = 2.0 ** (-np.array([7, 5, 3]) / 8)
    assert (counts[0] == 0).all()
    assert np.allclose(counts[1], [weights @ [1, 2, 1], 0, 0, weights @ [1, 2, 1], weights[1]])


def test_a_basket_alone_is_its_row_among_many():
    customers, stores = make_histories().customers, make_histories().stores
    rows, week = np.arange(CUSTOMERS) % 8, np.arange(CUSTOMERS) % 12 + 1
    shown = np.random.default_rng(0).random((CUSTOMERS, VOCAB_SIZE)) < 0.1
    shown[:, : len(SPECIAL_TOKENS)] = False
    trip = np.random.default_rng(1).integers(-1, 4, (CUSTOMERS, 4))
    bought, habits = customer_entries(customers, rows, week, shown, trip)
    counts = store_counts(stores, rows, week, VOCAB_SIZE)
    for i in range(CUSTOMERS):
        one, alone = customer_entries(customers, rows[i : i + 1], week[i : i + 1], shown[i : i + 1], trip[i : i + 1])
        width = one.shape[1]
        assert np.array_equal(bought[i, :width], one[0]) and (bought[i, width:] == PAD).all()
        assert np.array_equal(habits[i, :width], alone[0]) and (habits[i, width:] == 0).all()
        assert np.array_equal(store_counts(stores, rows[i : i + 1], week[i : i + 1], VOCAB_SIZE)[0], counts[i])
