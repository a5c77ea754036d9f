from dataclasses import replace

import numpy as np
import pytest

from retailsim.evaluation.baselines import (
    PersonalFrequency,
    Popularity,
    RecentPopularity,
    StorePopularity,
    rank_both,
    rank_hidden,
)
from retailsim.evaluation.companions import Ease, ItemItem
from retailsim.evaluation.hidden import Shown
from retailsim.evaluation.line_up import LINE_UP, Market
from retailsim.evaluation.purchases import FirstPurchases
from retailsim.evaluation.ranking import ranks
from retailsim.evaluation.settings import DEFAULTS

WEEK = 17


@pytest.fixture
def asked(shops):
    return shops.shown(WEEK, customer=[0, -1, 2, 1], store=[0, 3, 4, 0], visible=[[5], [3], [4], [3]])


def _products(baseline, asked):
    scores = baseline.scores(asked)
    assert scores.shape == (4, 7) and not scores[:, :3].any()
    return scores[:, 3:]


def test_popularity_is_the_share_of_the_fit_periods_baskets(shops, asked):  # C33
    assert _products(Popularity(shops.hand_typed(), shops.size, fit_end=9), asked) == pytest.approx(
        np.tile([2 / 3, 1 / 3, 1 / 3, 0], (4, 1))
    )


def test_recent_popularity_is_that_of_the_four_weeks_before(shops, asked):
    assert _products(RecentPopularity(shops.hand_typed(), shops.size), asked) == pytest.approx(
        np.tile([0, 1, 0, 1 / 2], (4, 1))
    )
    first = shops.shown(1, [0], [0], [[3]])
    assert not RecentPopularity(shops.hand_typed(), shops.size).scores(first).any()


def test_personal_frequency_by_hand(shops, asked):
    d = 2 ** (-5 / 8)  # customer 1's only basket, five weeks old
    expected = [
        [0.75 / 6.25, 0.25 / 6.25 + 0.3, 0.5 / 6.25, 0.15],  # 1.25 decayed baskets + 5
        [0, 0.3, 0, 0.15],  # anonymous
        [0, 0.3, 0, 0.15],  # never seen
        [0, 0.3, 0, d / (d + 5) + 0.15],
    ]
    assert _products(PersonalFrequency(shops.hand_typed(), shops.size), asked) == pytest.approx(np.array(expected))


def test_store_popularity_by_hand(shops, asked):
    e = 2 ** (-3 / 8)
    group = np.array([0.75, 0.25 + e, 0.5, e]) / (1.25 + e)
    store = (np.array([0.75, 0.25, 0, 0]) + 5 * group) / 5.75
    expected = [store, group, np.zeros(4), store]  # store 3: its group alone; store 4: a group without a basket
    assert _products(StorePopularity(shops.hand_typed(), shops.size, shops.group), asked) == pytest.approx(
        np.array(expected)
    )


class CountsOwnWeek(PersonalFrequency):
    """The mistake that the law is there for: the basket's own week is counted."""

    def scores(self, shown: Shown) -> np.ndarray:
        return super().scores(replace(shown, week=shown.week + 1))


def _moves(shops, make, week=30):
    hidden = shops.hidden_of(shops.drawn(0), week, size=30)
    asked = next(shown for _, shown in hidden.blocks())
    assert asked.week == week
    before, after = (
        make(purchases).scores(asked) for purchases in (shops.drawn(0), shops.rewritten_from(shops.drawn(0), week))
    )
    assert before.shape == after.shape == (len(asked.customer), 30) and before.any()
    return not np.array_equal(before, after)


@pytest.mark.parametrize(
    "make",
    [
        lambda purchases: Popularity(purchases, 30, fit_end=29),
        lambda purchases: RecentPopularity(purchases, 30),
        lambda purchases: StorePopularity(purchases, 30, np.array([0, 0, 1, 1, 1])),
        lambda purchases: PersonalFrequency(purchases, 30),
        lambda purchases: ItemItem(purchases, 30, fit_end=29),
        lambda purchases: Ease(purchases, 30, fit_end=29),
        lambda purchases: LINE_UP["EASE with histories"](
            Market(purchases, 30, np.zeros(5, dtype=int), np.zeros(30, dtype=int), np.zeros((400, 4), dtype=int)),
            29,
            DEFAULTS,
        ),
    ],
)
def test_what_happens_from_week_w_on_moves_no_score_of_week_w(shops, make):  # C19
    assert not _moves(shops, make)


def test_the_law_sees_a_baseline_that_counts_the_baskets_own_week(shops):  # C19
    assert _moves(shops, lambda purchases: CountsOwnWeek(purchases, 30))


@pytest.mark.parametrize("method", [Popularity, ItemItem, Ease])
def test_weeks_of_the_fit_are_not_ranked(shops, asked, method):
    with pytest.raises(ValueError, match="fitted up to week 17"):
        method(shops.hand_typed(), shops.size, fit_end=WEEK).scores(asked)


def test_rank_hidden_is_the_rank_of_each_product_in_its_place(shops):
    purchases = shops.drawn(2)
    hidden = shops.hidden_of(purchases, 3, size=30)
    baseline = PersonalFrequency(purchases, 30)
    assert np.isnan(rank_hidden(baseline, hidden).novel[hidden.target < 30]).all()
    first = FirstPurchases(purchases, 30)
    both = rank_hidden(baseline, hidden, first)
    found = both.overall
    visible = hidden.visible.toarray() > 0
    seen = 0
    for i in range(len(found)):
        b = hidden.basket[i]
        row = hidden.visible[b : b + 1]
        asked = Shown(
            int(hidden.week[b]), hidden.customer[b : b + 1], hidden.store[b : b + 1], row, hidden.trip[b : b + 1]
        )
        excluded = visible[b : b + 1] | (np.arange(30) < 3)
        scores, target = baseline.scores(asked), hidden.target[i : i + 1]
        assert found[i] == ranks(scores, target, excluded)[0]
        mine = (purchases.customer[purchases.basket] == hidden.customer[b]) & (hidden.customer[b] >= 0)
        own = purchases.product[mine & (purchases.week[purchases.basket] < hidden.week[b])]
        if hidden.customer[b] >= 0 and target[0] not in own:  # a first-time purchase
            excluded[0, own[own < 30]] = True
            assert both.novel[i] == ranks(scores, target, excluded)[0]
            seen += 1
        else:
            assert both.novel[i] == np.inf if target[0] >= 30 else np.isnan(both.novel[i])
    assert seen > 10
    assert np.array_equal(np.isinf(found), hidden.target >= 30) and np.isinf(found).any()


@pytest.mark.parametrize("name", LINE_UP)
def test_before_the_trip_each_method_ranks_as_it_does_with_nothing_visible(shops, name):  # C32
    purchases, trip = shops.drawn(2), np.zeros((400, 4), dtype=int)
    market = Market(purchases, 30, np.zeros(5, dtype=int), np.zeros(30, dtype=int), trip)
    hidden = shops.hidden_of(purchases, 3, size=30)
    baseline, first = LINE_UP[name](market, 2, DEFAULTS), market.first_purchases
    beside, before = rank_both(baseline, hidden, first)
    assert np.array_equal(before.overall, rank_hidden(baseline, hidden.unseen()).overall)
    expected = rank_hidden(baseline, hidden, first)
    assert np.array_equal(beside.overall, expected.overall)
    assert np.array_equal(beside.novel, expected.novel, equal_nan=True)
    assert (before.overall > beside.overall).any()
