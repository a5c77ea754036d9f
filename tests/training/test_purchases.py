"""C19: what was bought before a week, cut from one array; nothing of the week itself or later is in reach."""

from datetime import date

import ibis
import numpy as np
import pytest

from retailsim.artifacts import (
    CHAIN_POPULARITY,
    CUSTOMER_HISTORIES,
    CUSTOMER_PURCHASES,
    STORE_HISTORIES,
    STORE_PURCHASES,
)
from retailsim.training.purchases import (
    CHAIN_SHARES,
    Purchases,
    _histories,
    chain_popularity,
    purchase_arrays,
)
from retailsim.vocab import PAD
from retailsim.weeks import Calendar
from tests.small_shop import CALENDAR_OF_FOUR, ROW, basket, tables

TOP_UP, FULL_SHOP = 2 + 6 * 8 + 8**3, 1 + 6 * 8 + 8**3  # of an unknown price sensitivity and focus Other, small
MILK, TEA, RICE = (ROW[name] for name in ("P00", "P01", "P02"))


def receipts():
    """C1 shops in weeks 1, 2 (twice) and 4, C2 in week 3, somebody unknown in week 2; LATE is no product of training."""
    one = (1, "1.00")
    return [
        basket("B1", 1, {"P00": one, "P01": one}),
        basket("B2", 2, {"P00": one}, weekday=1, mission_type="Full Shop"),
        basket("B3", 2, {"P00": one, "P02": one, "LATE": one}, weekday=5),
        basket("B4", 2, {"P01": one}, customer=None),
        basket("B5", 3, {"P01": one}, customer="C2"),
        basket("B6", 4, {"P02": one}),
    ]


def purchases(baskets):
    arrays = purchase_arrays(*tables(baskets), CALENDAR_OF_FOUR)
    customers = Purchases(arrays[CUSTOMER_HISTORIES], arrays[CUSTOMER_PURCHASES])
    stores = Purchases(arrays[STORE_HISTORIES], arrays[STORE_PURCHASES])
    return customers, stores, arrays[CHAIN_POPULARITY]


def found(of, row):
    """The purchases before `row` as (week, product, baskets) or (week, product, which, kind)."""
    return list(zip(*(column.tolist() for column in of.before(np.array([row]))[1:]), strict=True))


def test_a_history_is_what_was_bought_in_earlier_weeks():  # C19
    customers, stores, _ = purchases(receipts())
    week_1 = [(1, PAD, 0, TOP_UP), (1, MILK, 0, 0), (1, TEA, 0, 0)]
    week_2 = [(2, PAD, 0, FULL_SHOP), (2, PAD, 1, TOP_UP)]  # two baskets
    week_2 += [(2, MILK, 0, 0), (2, MILK, 1, 0), (2, RICE, 1, 0)]
    assert found(customers, 0) == found(customers, 1) == []  # unknown customer; first week of C1
    assert found(customers, 2) == week_1  # C1 in week 2
    assert found(customers, 3) == week_1 + week_2  # C1 in week 4
    assert found(customers, 4) == []  # C2 in week 3
    at_store = [(1, PAD, 1), (1, MILK, 1), (1, TEA, 1)]
    at_store += [(2, PAD, 3), (2, MILK, 2), (2, TEA, 1), (2, RICE, 1)]
    assert found(stores, 3) == at_store and found(stores, 1) == []
    owner, week, *_ = customers.before(np.array([3, 0, 2]))
    assert owner.tolist() == [0] * 8 + [2] * 3 and week.tolist() == [1, 1, 1, 2, 2, 2, 2, 2, 1, 1, 1]


def test_later_weeks_change_no_history():  # C19
    other = receipts()[:4] + [
        basket("B5", 3, {"P00": (9, "9.00"), "P09": (1, "1.00")}),
        basket("B6", 4, {"P08": (1, "1.00")}),
    ]
    for before, after, row in zip(purchases(receipts()), purchases(other), (2, 2, 3), strict=True):
        if isinstance(before, Purchases):
            assert found(before, row) == found(after, row) != []
        else:
            assert np.array_equal(before[:row], after[:row]) and not np.array_equal(before, after)


def test_a_window_keeps_the_last_weeks_only():
    week = np.array([1, 5, 9, 2, 10])
    histories = _histories(np.array([0, 0, 0, 1, 1]), week, np.array([1, 1, 2, 3, 4, 5]), last_weeks=4)
    assert histories.tolist() == [[0, 0], [0, 0], [0, 2], [2, 3], [4, 4], [5, 5]]  # week 5 reaches back to week 1


def test_the_chains_popularity_is_decayed_and_as_of_the_week():  # C19
    _, _, shares = purchases(receipts())
    size = shares.shape[2]
    assert shares.shape == (5, 3, len(ROW) + 3)
    assert np.allclose(shares[0, :, MILK], 1 / size)  # nothing is known before week 1
    for share, of in zip(shares[2], CHAIN_SHARES.values(), strict=True):
        decay = 2 ** (-1 / of.half_life)
        assert share[MILK] == pytest.approx((decay + 2 + of.prior) / (decay + 3 + of.prior * size))
    assert (shares > 0).all()


def test_what_the_chain_sells_now_follows_closely_what_sells_much():
    """Of 100 baskets a week milk is in 20, rice in one; then both sell twice as often: milk is believed sooner."""
    weeks = np.arange(1, 22)
    sold = {PAD: np.full(21, 100), MILK: np.where(weeks < 21, 20, 40), RICE: np.where(weeks < 21, 1, 2)}
    sales = np.concatenate([np.stack([weeks, np.full(21, row), n], axis=1) for row, n in sold.items()])
    shares = np.moveaxis(chain_popularity(sales, Calendar(date(2024, 1, 1), 21, 10, 15), 10), 1, 0)
    long_run, recent, current = shares
    for share in shares:
        assert share[20, MILK] == pytest.approx(0.2, rel=0.02) and share[20, RICE] == pytest.approx(0.01, rel=0.05)
    memory = CHAIN_SHARES["current"].memory / 0.2  # baskets of earlier weeks that milk remembers
    assert current[21, MILK] == pytest.approx((0.2 * memory + 40) / (memory + 100), rel=0.02)
    assert current[21, MILK] > 0.35 > 0.25 > recent[21, MILK] > 0.22 > long_run[21, MILK] and current[21, RICE] < 0.013


def test_a_source_without_stores_has_a_popularity_too():
    transactions, customers, stores, vocabulary = tables(receipts())
    nowhere = transactions.mutate(store_id=ibis.null("string")), customers, stores.filter(stores.week < 0), vocabulary
    arrays = purchase_arrays(*nowhere, CALENDAR_OF_FOUR)
    assert not len(arrays[STORE_PURCHASES])
    assert np.array_equal(arrays[CHAIN_POPULARITY], purchases(receipts())[2])
