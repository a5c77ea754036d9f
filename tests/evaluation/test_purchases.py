import numpy as np
import pytest

from retailsim.evaluation.purchases import DecayedCounts, FirstPurchases, Purchases


def test_flat_rows_become_baskets():
    rows = [(90, 2, -1, 1, 5), (70, 1, 4, 0, 3), (90, 2, -1, 1, 3)]
    purchases = Purchases.from_rows(*np.array(rows).T)
    assert purchases.week.tolist() == [1, 2]
    assert purchases.customer.tolist() == [4, -1]
    assert purchases.store.tolist() == [0, 1]
    assert purchases.basket.tolist() == [1, 0, 1] and purchases.product.tolist() == [5, 3, 3]


def test_decayed_counts_are_the_plain_sums(shops):
    purchases, size, half_life = shops.drawn(4), 30, 3.0
    history = DecayedCounts(purchases, purchases.customer, size, half_life)
    asked = np.array([3, -1, 0, 3, 99])
    for week in (1, 2, 17, 40, 41, 60):
        counts, trips = history.before(week, asked)
        for i, customer in enumerate(asked):
            mine = (purchases.customer == customer) & (purchases.week < week) & (customer >= 0)
            weight = np.where(mine, 2.0 ** (-(week - purchases.week) / half_life), 0.0)
            known = purchases.product < size
            products = np.bincount(purchases.product[known], weight[purchases.basket[known]], minlength=size)
            assert counts[i] == pytest.approx(products) and trips[i] == pytest.approx(weight.sum())


def test_first_purchases_are_what_a_loop_finds(shops):
    purchases, size = shops.drawn(5), 30  # products 30 and 31 are late
    first = FirstPurchases(purchases, size)
    owner, bought_in = purchases.customer[purchases.basket], purchases.week[purchases.basket]
    generator = np.random.default_rng(0)
    week, product = generator.integers(1, 42, 300), generator.integers(3, 33, 300)
    customer = generator.integers(-1, 11, 300)  # some anonymous, 8 and above never seen
    before = [
        set(purchases.product[(owner == c) & (bought_in < w)]) if c >= 0 else set()
        for w, c in zip(week, customer, strict=True)
    ]
    is_repeat = np.array([p in known for p, known in zip(product, before, strict=True)])
    assert 50 < is_repeat.sum() < 250
    assert np.array_equal(first.is_repeat(week, customer, product), is_repeat)
    assert np.array_equal(first.is_novel(week, customer, product), ~is_repeat & (customer >= 0))
    identified = customer >= 0
    table = first.bought(week[identified], customer[identified]).toarray()
    assert [set(np.flatnonzero(row)) for row in table] == [
        {p for p in known if p < size} for known, c in zip(before, customer, strict=True) if c >= 0
    ]
