from dataclasses import replace

import numpy as np
import pytest

from retailsim.errors import UserError
from retailsim.evaluation.baselines import rank_hidden
from retailsim.evaluation.blend import Blend, learn, lessons
from retailsim.evaluation.candidates import FEATURES, TRIP_FEATURES, Kitchen
from retailsim.evaluation.hidden import hide
from retailsim.evaluation.line_up import Market
from retailsim.evaluation.own_baskets import OwnBaskets
from retailsim.evaluation.purchases import ChainCounts, DecayedCounts, Purchases
from retailsim.evaluation.settings import DEFAULTS

SIZE = 30


def market_of(purchases):
    trip = np.stack([purchases.week % 3, purchases.week % 2, 0 * purchases.week, 0 * purchases.week - 1], axis=1)
    group = np.where(np.arange(SIZE) < 3, -1, np.arange(SIZE) % 4)
    return Market(purchases, SIZE, np.array([0, 0, 1, 1, 1]), group, trip)


def test_the_most_similar_own_basket_by_hand(shops):  # C33
    asked = shops.shown(17, [0, -1, 1, 0], [0, 0, 0, 0], [[3], [3], [6], [4, 5]])
    found = OwnBaskets(shops.hand_typed(), shops.size).similarity(asked)
    # customer 0 before week 17: {3, 4}, {3} (and a late product), {5}
    half = 1 / np.sqrt(2)
    assert found[:, 3:] == pytest.approx(
        np.array([[1, half, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [1 / 2, 1 / 2, half, 0]])
    )


def test_features_say_what_they_are_called(shops):
    purchases = shops.drawn(7)
    asked = shops.shown(36, [3, -1, 5], [1, 4, 0], [[4, 9, 20], [5], [7, 8]], SIZE)
    found = Kitchen(market_of(purchases), 34, DEFAULTS).serve(asked, is_trip_known=False)
    column = dict(zip(FEATURES, found.features.T, strict=True))
    visible = asked.visible.toarray() > 0
    assert not visible[found.row, found.product].any() and found.product.min() >= 3
    counts, trips = DecayedCounts(purchases, purchases.customer, SIZE, 8.0).before(36, asked.customer)
    assert column["frequency 8"] == pytest.approx(counts[found.row, found.product] / (trips[found.row] + 1), rel=1e-5)
    last_week = ChainCounts(purchases, SIZE).rates(35, 35)
    assert column["last week"] == pytest.approx(last_week[found.product], rel=1e-5) and last_week.any()
    mine = (purchases.customer == 3) & (purchases.week < 36)
    for i in np.flatnonzero(found.row == 0):
        weeks = purchases.week[purchases.basket[(purchases.product == found.product[i]) & mine[purchases.basket]]]
        if len(weeks):
            assert abs(column["weeks since bought"][i] - (36 - weeks.max())) < 0.3
        else:
            assert np.isnan(column["weeks since bought"][i])
    assert np.isnan(column["weeks since bought"][found.row == 1]).all()
    for b in range(3):
        places = column["EASE with histories place"][found.row == b]
        assert sorted(places) == list(range(len(places)))
    assert np.isnan(column["type"]).all() and np.isnan(column["type lift"]).all()


def test_what_the_visible_products_say_of_group_and_labels(shops):
    asked = shops.shown(36, [3, -1, 5], [1, 4, 0], [[4, 9, 20], [5], []], SIZE)
    asked = replace(asked, trip=np.array([[1, -1, 0, -1], [2, 0, -1, -1], [0, -1, -1, -1]]))
    kitchen = Kitchen(market_of(shops.drawn(7)), 34, DEFAULTS)
    found = kitchen.serve(asked, is_trip_known=True)
    column = dict(zip(FEATURES, found.features.T, strict=True))
    assert [set(column["visible groups"][found.row == b]) for b in range(3)] == [{2}, {1}, {0}]
    for i in range(0, len(found.row), 5):
        b, lifts = found.row[i], kitchen._lifts[0][asked.trip[found.row[i], 0]]
        assert column["type lift"][i] == pytest.approx(lifts[found.product[i]], rel=1e-5)
        seen = asked.visible[[b]].indices
        assert column["type lift, visible"][i] == pytest.approx(lifts[seen].mean() if len(seen) else 0, rel=1e-5)
    assert np.array_equal(np.isnan(column["focus lift, visible"]), found.row != 1)
    hidden = kitchen.serve(asked, is_trip_known=False)
    is_trip = np.isin(FEATURES, TRIP_FEATURES)
    assert np.isnan(hidden.features[:, is_trip]).all()
    assert np.array_equal(hidden.features[:, ~is_trip], found.features[:, ~is_trip], equal_nan=True)


def test_what_happens_from_week_w_on_moves_no_feature_of_week_w(shops):  # C19
    hidden = shops.hidden_of(shops.drawn(0), 30, size=SIZE)
    asked = next(shown for _, shown in hidden.blocks())
    one, other = (
        Kitchen(market_of(purchases), 29, DEFAULTS).serve(asked, is_trip_known=True)
        for purchases in (shops.drawn(0), shops.rewritten_from(shops.drawn(0), 30))
    )
    assert np.array_equal(one.product, other.product)
    assert np.array_equal(one.features, other.features, equal_nan=True)


def planted(n=1200):
    """The first product of a basket is 3 on trips of type 0 and 4 on trips of type 1; the others are by chance."""
    generator = np.random.default_rng(0)
    week, kind = 1 + np.arange(n) // 30, generator.integers(0, 2, n)
    others = 5 + np.argsort(generator.random((n, SIZE - 5)), axis=1)[:, :4]
    product = np.hstack([3 + kind[:, None], others])
    nobody = np.full(n, -1)
    purchases = Purchases(week, nobody, nobody + 1, np.repeat(np.arange(n), 5), product.ravel())
    trip = np.stack([kind, nobody, nobody, nobody], axis=1)
    market = Market(purchases, SIZE, np.zeros(1, dtype=int), np.zeros(SIZE, dtype=int), trip)
    starts = 5 * np.arange(n + 1)
    hidden = hide(starts, product.ravel(), np.full(n, 5), week, nobody, nobody + 1, trip, SIZE)
    return market, hidden, week


def test_the_blend_learns_what_a_known_trip_gives_away_and_no_more_without():  # C23 C33
    market, hidden, week = planted()
    learned_on, asked = (
        hidden.select(np.flatnonzero((week > 20) & (week <= 30))),
        hidden.select(np.flatnonzero(week > 30)),
    )
    hits = {}
    for is_known in (True, False):
        ranker = learn(lessons(Kitchen(market, 20, DEFAULTS), learned_on), is_known)
        blend = Blend(Kitchen(market, 30, DEFAULTS), ranker, 30, is_known)
        hits[blend.name] = (rank_hidden(blend, asked).overall <= 1).mean()
    assert hits["blend, trip known"] > 0.95 and 0.35 < hits["blend, trip unknown"] < 0.65


def test_no_basket_to_learn_on_is_refused():  # C39
    with pytest.raises(UserError, match="no basket to learn on in the weeks before the split: leave out --blend"):
        lessons(None)


def test_products_that_are_no_candidates_stay_behind_in_the_order_of_the_fallback(shops):
    purchases = shops.drawn(7)
    kitchen = Kitchen(market_of(purchases), 34, DEFAULTS)

    class Constant:
        def predict(self, features):
            return np.linspace(-3, 3, len(features))

    asked = shops.shown(36, [3], [1], [[4, 9, 20]], SIZE)
    found = kitchen.serve(asked, is_trip_known=False)
    scores = Blend(kitchen, Constant(), 34, is_trip_known=False).scores(asked)[0]
    others = np.setdiff1d(np.arange(SIZE), found.product)
    assert scores[others].max() < scores[found.product].min()
    assert np.array_equal(np.argsort(scores[others]), np.argsort(found.fallback[0, others]))
    with pytest.raises(ValueError, match="fitted up to week 34"):
        Blend(kitchen, Constant(), 34, is_trip_known=False).scores(replace(asked, week=34))
