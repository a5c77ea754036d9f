"""Replays: which weeks have too many, and what natural repeats are not counted for."""

import ibis
import pytest

from retailsim.training.replays import replay_report, replays_by_week
from tests.small_shop import MILK_TEA, basket, written

FOUR = {f"P0{i}": (i, f"{i}.10") for i in range(1, 5)}


def weeks_of(*rows):
    """Weeks counted of (week, n_products, is_replay)."""
    schema = {"week": "int32", "n_products": "int32", "is_replay": "boolean"}
    return replays_by_week(ibis.memtable([dict(zip(schema, row, strict=True)) for row in rows], schema=schema))


def test_weeks_are_counted_and_judged_by_their_larger_baskets():
    (one, two) = weeks_of((2, 9, True), (1, 1, True), (1, 1, True), (1, 4, False), (2, 4, False), (2, 3, True))
    assert (one.week, one.baskets, one.replays, one.telling, one.telling_replays) == (1, 3, 2, 1, 0)
    assert (two.week, two.baskets, two.replays, two.telling, two.telling_replays) == (2, 3, 2, 2, 1)
    assert (one.share, two.share) == (0, 0.5)


def test_a_flood_is_said_with_its_weeks():
    calm = [(week, 5, number == 0) for week in (1, 2, 6) for number in range(100)]
    flood = [(week, 5, number < share) for week, share in ((3, 60), (4, 75)) for number in range(100)]
    assert replay_report(weeks_of(*calm, *flood)) == (
        "138 of 500 baskets repeat an earlier one of their customer exactly; of the baskets of 4 and more products "
        "60–75 % in weeks 3–4, at most 1.0 % in the others: a model that only remembers looks good there, so evaluate "
        "shows fresh and replayed baskets apart"
    )
    assert replay_report(weeks_of(*calm)).endswith("; of the baskets of 4 and more products at most 1.0 % a week")


def test_small_baskets_repeat_by_nature():
    assert "% in weeks" not in replay_report(weeks_of(*[(1, 3, True)] * 9)) and weeks_of((1, 3, True))[0].share == 0


@pytest.mark.parametrize("products, warns", [(FOUR, True), (MILK_TEA, False)])
def test_preparing_samples_warns_of_a_flood(tmp_path, capsys, products, warns):
    assert written(tmp_path, [basket(f"B{week}", week, products) for week in (1, 2, 3, 4)]) == 0
    said = capsys.readouterr().out
    assert "3 of 4 baskets repeat an earlier one" in said
    assert ("warning: 3 of 4" in said and "100–100 % in weeks 2–4" in said) is warns
