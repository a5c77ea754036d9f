"""Regressions are tuned on the products bought most: the same baskets, the same customers, other products outside the vocabulary."""

from dataclasses import replace

import numpy as np

from retailsim.evaluation.baselines import rank_hidden
from retailsim.evaluation.line_up import LINE_UP, Market
from retailsim.evaluation.settings import DEFAULTS
from retailsim.evaluation.tuning import bought_most

SIZE, FIT_END = 30, 29


def shop(shops):
    purchases, trip = shops.drawn(0), np.zeros((400, 4), dtype=int)
    market = Market(purchases, SIZE, np.zeros(5, dtype=int), np.arange(SIZE), trip)
    return market, shops.hidden_of(purchases, 30, size=SIZE)


def test_the_products_in_most_baskets_of_the_fit_are_kept(shops):
    market, hidden = shop(shops)
    of = market.purchases
    counts = np.bincount(of.product[(of.week <= FIT_END)[of.basket]], minlength=SIZE + 2)[3:SIZE]
    few, asked = bought_most(market, hidden, FIT_END, 10)
    kept = few.product_group[3:]  # each product is a group of its own here
    assert few.size == 13 and few.product_group[:3].tolist() == [0, 1, 2]
    assert counts[kept - 3].min() >= np.delete(counts, kept - 3).max() and (np.diff(kept) > 0).all()
    new = np.full(SIZE + 2, 13)
    new[few.product_group] = np.arange(13)
    assert np.array_equal(few.purchases.product, new[of.product]) and few.purchases.week is of.week
    assert np.array_equal(asked.target, new[hidden.target]) and (asked.target == 13).any()
    assert np.array_equal(asked.visible.toarray(), hidden.visible.toarray()[:, few.product_group])


def test_what_happens_after_the_fit_does_not_choose_the_products(shops):  # C19
    market, hidden = shop(shops)
    later = replace(market, purchases=shops.rewritten_from(market.purchases, FIT_END + 1))
    before, after = (bought_most(of, hidden, FIT_END, 10)[0].product_group for of in (market, later))
    assert np.array_equal(before, after)


def test_with_all_products_the_ranks_are_the_same(shops):
    market, hidden = shop(shops)
    for name in ("EASE", "EASE with histories"):
        ranked = [
            rank_hidden(LINE_UP[name](of, FIT_END, DEFAULTS), asked).overall
            for of, asked in ((market, hidden), bought_most(market, hidden, FIT_END, SIZE))
        ]
        assert np.array_equal(*ranked) and np.isfinite(ranked[0]).any()
