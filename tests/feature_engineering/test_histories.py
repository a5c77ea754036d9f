import ibis
import numpy as np
import pyarrow as pa
import pytest

from retailsim.feature_engineering.histories import as_of_sums, last_known, leaning_rates


def weekly(rows, names):
    return ibis.memtable(pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows]))


def rows_of(table, *order):
    return table.order_by(*order).to_pyarrow().to_pylist()


def test_as_of_sums_count_an_event_half_after_each_half_life():
    table = weekly([("a", 1, 8), ("a", 3, 4), ("a", 5, 100), ("b", 5, 1)], ["customer_id", "week", "n"])
    found = rows_of(as_of_sums(table, ["customer_id"], ["n"], half_life=2), "customer_id", "week")
    assert [row["n"] for row in found] == pytest.approx([0, 4, 8 / 4 + 4 / 2, 0], rel=1e-3)


def test_as_of_sums_are_bit_equal_whatever_follows():  # C19
    draw = np.random.default_rng(0)
    past = [(f"c{c:02}", int(w), int(draw.integers(1, 99))) for c in range(40) for w in range(1, 41)]
    other = [(c, w, n if w < 21 else n * 7 + 1) for c, w, n in past if w < 21 or draw.random() < 0.5]
    names = ["customer_id", "week", "n"]
    first, second = (
        {
            (r["customer_id"], r["week"]): r["n"]
            for r in rows_of(as_of_sums(weekly(t, names), ["customer_id"], ["n"], 8), "week")
        }
        for t in (past, other)
    )
    assert len([key for key in first if key[1] <= 20]) == 800
    assert all(second[key] == value for key, value in first.items() if key[1] <= 20)


def test_rates_lean_on_the_group_and_the_group_on_everybody():  # C13
    table = weekly(
        [
            ("a", "G", 1, 4, 4),
            ("b", "G", 1, 4, 0),
            ("c", "H", 1, 2, 1),
            ("a", "G", 2, 1, 1),
            ("d", "G", 2, 1, 1),
            ("e", "K", 2, 1, 0),
        ],
        ["customer_id", "group", "week", "trips", "bread"],
    )
    rates = leaning_rates(table, "customer_id", ["group"], {"trips": ["bread"]}, half_life=1e9, weights={"trips": 2.0})
    found = {(row["customer_id"], row["week"]): row["bread"] for row in rows_of(rates, "customer_id", "week")}
    of_all = 5 / 10
    of_g = (4 + 2 * of_all) / (8 + 2)
    assert found["a", 1] is None  # nobody has had a trip
    assert found["a", 2] == pytest.approx((4 + 2 * of_g) / (4 + 2))
    assert found["d", 2] == pytest.approx(of_g)  # a first trip gets the group's
    assert found["e", 2] == pytest.approx(of_all)  # and the first of a group everybody's


def test_labels_are_those_of_earlier_weeks_or_of_the_first_trip():
    table = weekly(
        [("a", 9, "AZ"), ("a", 10, "BG"), ("a", 11, None), ("b", 3, None), ("b", 4, "CT")],
        ["customer_id", "week", "label"],
    )
    found = rows_of(last_known(table, "customer_id", ["label"]), "customer_id", "week")
    assert [row["label"] for row in found] == ["AZ", "AZ", "BG", "unknown", "CT"]
