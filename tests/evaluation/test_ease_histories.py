from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from retailsim.evaluation.ease_histories import EaseWithHistories, Histories, Moments
from retailsim.evaluation.hidden import Shown
from retailsim.evaluation.line_up import Market
from retailsim.evaluation.purchases import DecayedCounts, Purchases
from retailsim.evaluation.settings import DEFAULTS

SIZE, FIT_END = 30, 34
SETTINGS = replace(
    DEFAULTS, history_half_life=6.0, history_shrink=2.0,
    ridge_items=20.0, ridge_customer=0.5, ridge_store=4.0,
)  # fmt: skip


def fitted(purchases, settings=SETTINGS, size=SIZE, fit_end=FIT_END):
    return EaseWithHistories(Moments(purchases, size, settings).until(fit_end), settings)


def rows_of(purchases, entity, index):
    """Decayed frequency of the entity of each basket `index`, as of its week."""
    history = DecayedCounts(purchases, entity, SIZE, 6.0)
    found = []
    for b in index:
        counts, trips = history.before(int(purchases.week[b]), entity[[b]])
        found.append(counts[0] / (trips[0] + 2.0))
    return np.array(found)


def test_it_is_the_ridge_regression_of_each_product_on_all_other_columns(shops):  # C33
    purchases = shops.drawn(6)
    index = np.flatnonzero(purchases.week <= FIT_END)
    baskets = np.zeros((400, SIZE))
    known = purchases.product < SIZE
    baskets[purchases.basket[known], purchases.product[known]] = 1
    customers, stores = (rows_of(purchases, entity, index) for entity in (purchases.customer, purchases.store))
    assert not customers[purchases.customer[index] < 0].any() and customers.any()
    z = np.hstack([customers, stores, np.ones((len(index), 1)), baskets[index]])
    ridge = np.repeat([0.5, 4.0, 20.0], [SIZE, SIZE, SIZE + 1])
    asked = shops.shown(36, [3, -1], [1, 4], [[4, 9, 20], [5]], SIZE)
    history = Histories(purchases, SIZE, SETTINGS)
    row = np.hstack(
        [
            history.customers(36, asked.customer),
            history.stores(36, asked.store),
            np.ones((2, 1)),
            asked.visible.toarray(),
        ]
    )
    scores = fitted(purchases).scores(asked)
    for product in (3, 4, 17, 29):
        others = np.delete(np.arange(z.shape[1]), 2 * SIZE + 1 + product)
        x, y = z[:, others], z[:, 2 * SIZE + 1 + product]
        weights = np.linalg.solve(x.T @ x + np.diag(ridge[others]), x.T @ y)
        assert scores[:, product] == pytest.approx(row[:, others] @ weights, abs=2e-5)


def test_a_habit_and_a_stores_own_product_are_found():
    """Customer 1 buys 5 in most baskets, nobody else does; store 1 alone sells 6; what is visible says nothing."""
    generator = np.random.default_rng(0)
    n = 600
    week, customer, store = 1 + np.arange(n) // 20, np.arange(n) % 10, generator.integers(0, 3, n)
    bought = np.zeros((n, 12), dtype=bool)
    bought[:, 7:] = generator.random((n, 5)) < 0.4
    bought[:, 5] = (customer == 1) & (generator.random(n) < 0.8)
    bought[:, 6] = (store == 1) & (generator.random(n) < 0.6)
    purchases = Purchases(week, customer, store, *np.nonzero(bought))
    ease = fitted(purchases, size=12, fit_end=28)
    asked = Shown(30, np.array([1, 2, 2]), np.array([0, 1, 0]), csr_array(np.zeros((3, 12))), np.full((3, 4), -1))
    scores = ease.scores(asked)
    assert scores[0, 5] > 0.6 and scores[1, 6] > 0.4
    assert scores[[1, 2], 5].max() < 0.1 and scores[[0, 2], 6].max() < 0.1


def test_penalties_too_small_for_the_moments_are_refused(shops):
    with pytest.raises(ValueError, match="larger ridge penalties"):
        fitted(shops.drawn(6), replace(SETTINGS, ridge_items=-50.0))


def test_moments_grow_week_by_week_to_what_they_are_from_the_start(shops):
    purchases = shops.drawn(6)
    grown = Moments(purchases, SIZE, SETTINGS).until(20)
    before = grown.gram()
    assert np.array_equal(grown.until(20).gram(), before)
    assert np.array_equal(grown.until(FIT_END).gram(), Moments(purchases, SIZE, SETTINGS).until(FIT_END).gram())
    assert not np.array_equal(grown.gram(), before)
    with pytest.raises(ValueError, match="up to week 34 cannot be those up to week 20"):
        grown.until(20)


def test_a_market_keeps_its_moments_and_never_answers_with_later_weeks(shops):  # C19
    purchases = shops.drawn(6)
    market = Market(purchases, SIZE, np.zeros(5, dtype=int), np.zeros(SIZE, dtype=int), np.zeros((400, 4), dtype=int))
    slower = replace(SETTINGS, history_half_life=12.0)
    first = market.moments(20, SETTINGS)
    assert market.moments(FIT_END, SETTINGS) is first
    for fit_end, settings in ((20, SETTINGS), (20, slower), (FIT_END, slower)):
        moments = market.moments(fit_end, settings)
        assert moments.fit_end == fit_end
        assert np.array_equal(moments.gram(), Moments(purchases, SIZE, settings).until(fit_end).gram())
