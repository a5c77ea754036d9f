import numpy as np
import pytest

from retailsim.evaluation.purchases import DecayedCounts, Purchases


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
