"""Small shops for the tests of the baselines, as the fixture `shops`."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_array

from retailsim.evaluation.hidden import HiddenSet, Shown, hide
from retailsim.evaluation.purchases import Purchases

SIZE = 7  # three special tokens, products 3 … 6; product 7 is late
GROUP = np.array([0, 0, 1, 0, 2])  # group of stores 0 … 4; stores 3 and 4 never sold


def hand_typed() -> Purchases:
    """Seven baskets; half-lives of 8 weeks before week 17 make weeks 1 and 9 count a quarter and a half."""
    rows = [  # basket, week, customer, store, product
        (10, 1, 0, 0, 3),
        (10, 1, 0, 0, 4),
        (11, 9, 0, 0, 3),
        (11, 9, 0, 0, 7),
        (12, 9, 0, 1, 5),
        (13, 14, -1, 1, 4),
        (13, 14, -1, 1, 6),
        (14, 16, -1, 2, 4),
        (15, 17, 0, 0, 6),
        (16, 12, 1, 2, 6),
    ]
    return Purchases.from_rows(*np.array(rows).T)


def shown(week: int, customer: list[int], store: list[int], visible: list[list[int]], size: int = SIZE) -> Shown:
    dense = np.zeros((len(visible), size))
    for row, products in zip(dense, visible, strict=True):
        row[products] = 1
    return Shown(week, np.array(customer), np.array(store), csr_array(dense), np.full((len(visible), 4), -1))


def drawn(seed: int, baskets: int = 400, size: int = 30, weeks: int = 40) -> Purchases:
    """Baskets of eight customers (a fifth anonymous) in five stores; products 3 … size + 1, the last two late."""
    generator = np.random.default_rng(seed)
    basket = np.repeat(np.arange(baskets), 6)
    product = generator.integers(3, size + 2, len(basket))
    basket, product = np.unique(np.stack([basket, product]), axis=1)
    product = product[np.lexsort((generator.random(len(product)), basket))]  # any order within a basket
    customer = generator.integers(0, 10, baskets)
    return Purchases(
        week=generator.integers(1, weeks + 1, baskets),
        customer=np.where(customer > 7, -1, customer),
        store=generator.integers(0, 5, baskets),
        basket=basket,
        product=product,
    )


def rewritten_from(purchases: Purchases, week: int) -> Purchases:
    """The same shop until `week` − 1, another one from `week` on: other customers, stores, products and weeks."""
    later = purchases.week >= week
    product = np.where(later[purchases.basket], 3 + (purchases.product + 5) % 20, purchases.product)
    return replace(
        purchases,
        week=np.where(later, purchases.week + purchases.customer % 3, purchases.week),
        customer=np.where(later, (purchases.customer + 3) % 8, purchases.customer),
        store=np.where(later, (purchases.store + 1) % 5, purchases.store),
        product=product,
    )


def hidden_of(purchases: Purchases, first_week: int, size: int) -> HiddenSet:
    """The baskets from `first_week` on, their products in the order of their rows."""
    counts = np.bincount(purchases.basket)
    keep = np.flatnonzero((purchases.week >= first_week) & (counts >= 2))
    items = np.isin(purchases.basket, keep)
    starts = np.concatenate([[0], np.cumsum(counts[keep])])
    trip = np.stack([keep % 3, keep % 5, keep % 4 - 1, keep % 2], axis=1)
    columns = (purchases.week[keep], purchases.customer[keep], purchases.store[keep], trip)
    return hide(starts, purchases.product[items], counts[keep], *columns, size)


@pytest.fixture
def shops():
    return SimpleNamespace(
        size=SIZE,
        group=GROUP,
        hand_typed=hand_typed,
        shown=shown,
        drawn=drawn,
        rewritten_from=rewritten_from,
        hidden_of=hidden_of,
    )
