"""Sums of what came before a week: exact values, half-life, and the law that later weeks change nothing."""

import ibis
import numpy as np
import pytest

from retailsim.as_of import FINENESS, as_of_sums
from retailsim.feature_engineering.customer_histories import HALF_LIFE

WEEKLY = [  # customer, week, trips
    ("A", 1, 2),
    ("A", 2, 1),
    ("A", 5, 4),  # weeks 3 and 4 without a trip
    ("A", 6, 0),  # asks for the state of week 6
    ("B", 2, 7),
    ("B", 5, 3),
]


def sums(rows, half_life=None, compute=as_of_sums):
    """{(customer, week): trips before that week}."""
    table = ibis.memtable(rows, schema={"customer_id": "string", "week": "int32", "trips": "float64"})
    found = compute(table, ["customer_id"], ["trips"], half_life).execute()
    return {(row.customer_id, row.week): row.trips for row in found.itertuples()}


def test_a_week_knows_the_weeks_before_it_and_not_itself():  # C19
    expected = {("A", 1): 0, ("A", 2): 2, ("A", 5): 3, ("A", 6): 7, ("B", 2): 0, ("B", 5): 7}
    assert sums(WEEKLY) == expected


def test_an_event_counts_half_after_one_half_life():
    """With a half-life of 2 weeks an event of week v counts 2^-((W - v)/2) in week W."""
    found = sums(WEEKLY, half_life=2)
    expected = {
        ("A", 1): 0,
        ("A", 2): 2 * 2**-0.5,
        ("A", 5): 2 * 2**-2 + 1 * 2**-1.5,
        ("A", 6): 2 * 2**-2.5 + 1 * 2**-2 + 4 * 2**-0.5,
        ("B", 2): 0,
        ("B", 5): 7 * 2**-1.5,
    }
    assert found == pytest.approx(expected, rel=1e-4)


def test_entities_of_several_columns_and_several_sums():
    rows = [("A", "S1", 1, 1, 10), ("A", "S2", 1, 2, 20), ("A", "S1", 2, 4, 40), ("A", "S1", 3, 8, 80)]
    names = {"customer_id": "string", "store_id": "string", "week": "int32", "trips": "int64", "items": "int64"}
    table = as_of_sums(ibis.memtable(rows, schema=names), ["customer_id", "store_id"], ["trips", "items"])
    found = table.order_by("store_id", "week").execute()
    assert found.trips.tolist() == [0, 1, 5, 0] and found["items"].tolist() == [0, 10, 50, 0]


def later_weeks_changed(rows, week):
    """The same history up to `week` − 1; everything from `week` on is another."""
    return [(customer, w, 1000 + trips if w >= week else trips) for customer, w, trips in rows]


def holds_as_of_law(compute):
    """C19: change any data of weeks ≥ W, and what is known in weeks ≤ W stays the same, bit for bit."""
    before = sums(WEEKLY, compute=compute)
    for week in range(1, 7):
        after = sums(later_weeks_changed(WEEKLY, week), compute=compute)
        if any(after[key] != value for key, value in before.items() if key[1] <= week):
            return False
    return True


def test_large_sums_over_many_half_lives_are_exact():  # C19
    """A chain's pence of ten years: whole numbers are added up, however the engine groups them."""
    rng = np.random.default_rng(0)
    rows = [(f"C{i}", week, int(rng.integers(10**9, 10**12))) for i in range(40) for week in range(1, 521)]
    found = sums(rows, half_life=HALF_LIFE)
    units, expected = 0, []
    for _, week, pence in rows[:520]:
        expected.append(units * 2.0 ** (-week / HALF_LIFE) / FINENESS)
        units += int(np.floor(pence * (2.0 ** (week / HALF_LIFE) * FINENESS) + 0.5))
    assert [found["C0", week] for week in range(1, 521)] == pytest.approx(expected, rel=1e-15)
    for last in (100, 300, 500):
        after = sums([row for row in rows if row[1] < last or row[0] > "C2"], half_life=HALF_LIFE)
        kept = [key for key in after if key[1] < last]
        assert kept and [after[key] for key in kept] == [found[key] for key in kept]


def test_what_is_negative_is_rounded_like_what_is_positive():
    """Directions of taste have signs: a third of a unit is none, two thirds are one, on both sides of 0."""
    rows = [("A", 1, share / FINENESS * 2**-0.5) for share in (-5 / 3, -4 / 3, 4 / 3, 5 / 3)]
    found = [sums([row, ("A", 2, 0.0)], half_life=2)["A", 2] * FINENESS * 2 for row in rows]
    assert found == pytest.approx([-2, -1, 1, 2])


def sums_with_the_current_week(weekly, entity, columns, half_life=None):
    """The leak put back: the frame ends at the current row instead of the one before."""
    frame = ibis.window(group_by=entity, order_by="week", preceding=None, following=0)
    return weekly.select(*entity, "week", **{name: weekly[name].sum().over(frame) for name in columns})


def test_later_weeks_change_nothing():  # C19
    assert holds_as_of_law(as_of_sums)


def test_a_window_with_the_current_week_breaks_the_law():  # C19, the leak put back
    assert not holds_as_of_law(sums_with_the_current_week)


@pytest.mark.parametrize("half_life", [None, 8])
def test_later_customers_change_no_bit(half_life):  # C19, C40
    """Rows of other customers move every customer's place in the engine's partitions; whole numbers do not feel it."""
    rows = [(f"C{c:04}", w, 1 + (7 * c + 3 * w) % 40) for c in range(600) for w in range(1 + c % 5, 118, 1 + c % 7)]
    others = [(f"C{c:04}x", w, 5) for c in range(0, 600, 3) for w in range(97, 118, 1 + c % 4)]
    before = sums(rows, half_life)
    after = sums([row for row in rows if row[1] <= 97 or row[1] % 2] + others, half_life)
    early = [key for key in before if key[1] <= 97]
    assert len(early) > 20_000 and [after[key] for key in early] == [before[key] for key in early]


def test_it_compiles_for_spark():  # C38
    weekly = ibis.table({"customer_id": "string", "week": "int32", "trips": "int64"}, name="weekly")
    assert ibis.pyspark  # registers the backend's options
    sql = ibis.to_sql(as_of_sums(weekly, ["customer_id"], ["trips"], half_life=8), dialect="pyspark")
    assert "ROWS BETWEEN UNBOUNDED PRECEDING AND 1" in sql


def test_a_half_life_over_a_decade_does_not_overflow():
    """2^(week / half-life) grows out of every integer; older events of a long history still count."""
    rows = [("A", week, 1) for week in range(1, 522)]
    found = sums(rows, half_life=HALF_LIFE)
    expected = sum(2 ** -(k / HALF_LIFE) for k in range(1, 521))
    assert found[("A", 521)] == pytest.approx(expected, rel=1e-5)
