import numpy as np
import pytest

from retailsim.evaluation.companions import Ease, ItemItem
from retailsim.evaluation.purchases import Purchases


def test_item_item_by_hand(shops):  # C33
    # until week 16: 3 in two baskets, 4 in three, 6 in two; 3 with 4 once, 4 with 6 once
    asked = shops.shown(17, [0, 0], [0, 0], [[4], [3, 6]])
    scores = ItemItem(shops.hand_typed(), shops.size, fit_end=16).scores(asked)
    level, both = 1 / (3**0.7 * 2**0.3), 2 / (2**0.7 * 3**0.3)
    assert scores[:, 3:] == pytest.approx(np.array([[level, 0, 0, level], [0, both, 0, 0]]))


def test_ease_is_the_ridge_regression_of_each_product_on_all_others(shops):
    purchases, size, ridge = shops.drawn(3), 30, 100.0
    baskets = np.zeros((400, size + 1))
    baskets[:, size] = 1  # intercept
    known = (purchases.product < size) & (purchases.week <= 30)[purchases.basket]
    baskets[purchases.basket[known], purchases.product[known]] = 1
    baskets = baskets[purchases.week <= 30]
    asked = shops.shown(31, [0], [0], [[4, 9, 20]], size)
    row = np.append(asked.visible.toarray()[0], 1)
    scores = Ease(purchases, size, fit_end=30).scores(asked)[0]
    for product in (3, 4, 17, 29):
        others = np.delete(np.arange(size + 1), product)
        x, y = baskets[:, others], baskets[:, product]
        weights = np.linalg.solve(x.T @ x + ridge * np.eye(size), x.T @ y)
        assert scores[product] == pytest.approx(row[others] @ weights)


def test_planted_companions_are_found(shops):
    """Products 3 and 4 are always bought together, among baskets drawn at random."""
    generator = np.random.default_rng(0)
    rows = [(b, p) for b in range(300) for p in generator.choice(np.arange(5, 40), 3, replace=False)]
    rows += [(b, p) for b in range(0, 300, 4) for p in (3, 4)]
    basket, product = np.array(sorted(rows)).T
    nobody = np.full(300, -1)
    purchases = Purchases(np.ones(300, dtype=int), nobody, nobody + 1, basket, product)
    for method in (ItemItem, Ease):
        scores = method(purchases, 40, fit_end=1).scores(shops.shown(2, [-1], [0], [[3]], 40))[0]
        assert scores.argmax() == 4
