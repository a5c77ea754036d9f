"""Stage 4: distributions over the labels of earlier trips."""

import ibis
import pytest

from retailsim.artifacts import MISSIONS, TRANSACTIONS
from retailsim.data_pipeline.missions import measure_missions
from retailsim.storage import connect

KEYS = ["customer_id", "week"]


def measured(transactions):
    return measure_missions(transactions).to_pyarrow().sort_by([(key, "ascending") for key in KEYS]).to_pylist()


@pytest.fixture
def ann(receipts):
    """Ann shops in weeks 1 (twice), 3 and 4; a basket of two rows is one trip; nobody shops in week 2."""
    full = {"mission_type": "Full Shop", "mission_focus": "Fresh", "price_sensitivity": "LA", "basket_size": "L"}
    return receipts(
        [
            {"customer_id": "ann", "basket_id": "b1", "week": 1, "product_id": "A", **full},
            {"customer_id": "ann", "basket_id": "b1", "week": 1, "product_id": "B", **full},
            {"customer_id": "ann", "basket_id": "b2", "week": 1, "mission_type": "Top Up", "basket_size": "S"},
            {"customer_id": "ann", "basket_id": "b3", "week": 3, "basket_size": "S"},
            {"customer_id": "ann", "basket_id": "b4", "week": 4, **full},
            {"customer_id": None, "basket_id": "b5", "week": 2, **full},
        ]
    )


def test_shares_are_those_of_the_earlier_trips_with_a_known_label(ann):  # C7
    first, third, fourth, coming = measured(ann)
    nothing = {name: None for name in MISSIONS.columns}
    assert first == {**nothing, "customer_id": "ann", "week": 1, "trips": 0}
    known = {name: 0.0 for name in MISSIONS.columns}
    shares = {
        "mission_type_full_shop": 0.5,
        "mission_type_top_up": 0.5,
        "mission_focus_fresh": 1.0,
        "price_sensitivity_la": 1.0,
    }
    assert third == {
        **known, **shares, "customer_id": "ann", "week": 3, "trips": 2, "basket_size_s": 0.5, "basket_size_l": 0.5,
    }  # fmt: skip
    # the trip of week 3 has a size but no type, so only the shares of the sizes move
    assert fourth == {
        **known, **shares, "customer_id": "ann", "week": 4, "trips": 3, "basket_size_s": 2 / 3, "basket_size_l": 1 / 3,
    }  # fmt: skip
    assert (coming["week"], coming["trips"], coming["basket_size_s"]) == (5, 4, 0.5)  # after the data


def test_the_row_after_the_data_is_that_of_a_trip_then(receipts, busy_rows):
    """Whoever shops in the week after the data gets the row that stood there before."""
    last = max(row["week"] for row in busy_rows)
    trip = {**next(row for row in busy_rows if row["customer_id"]), "week": last + 1, "basket_id": "new"}
    coming, shopped = measured(receipts(busy_rows)), measured(receipts([*busy_rows, trip]))
    customers = {row["customer_id"] for row in busy_rows if row["customer_id"]}
    assert {row["customer_id"] for row in coming if row["week"] == last + 1} == customers
    key = (trip["customer_id"], last + 1)
    (one,), (other,) = ([row for row in rows if (row["customer_id"], row["week"]) == key] for rows in (coming, shopped))
    assert one == other


def test_the_columns_are_those_of_the_artifact(ann):
    assert measure_missions(ann).schema() == MISSIONS.schema


def test_nothing_of_a_week_or_later_reaches_its_row(receipts, busy_rows):  # C19
    week = 15
    changed = [
        row if row["week"] < week else {**row, "mission_type": "Emergency", "basket_size": "XL"} for row in busy_rows
    ]
    changed = [row for row in changed if row["week"] <= week + 2]
    before, after = measured(receipts(busy_rows)), measured(receipts(changed))
    assert [row for row in before if row["week"] <= week] == [row for row in after if row["week"] <= week]
    assert [row for row in before if row["week"] == week + 2] != [row for row in after if row["week"] == week + 2]


def test_row_order_leaves_the_file_as_it_is(receipts, busy_rows, tmp_path):  # C40
    for name, rows in (("one", busy_rows), ("other", busy_rows[::-1]), ("again", busy_rows)):
        MISSIONS.write(tmp_path / name, measure_missions(receipts(rows)), connect(), KEYS)
    one, other, again = ((tmp_path / name / MISSIONS.path).read_bytes() for name in ("one", "other", "again"))
    assert one == other == again


def test_the_stage_compiles_for_spark():  # C38
    pytest.importorskip("pyspark")
    sql = ibis.pyspark.compile(measure_missions(ibis.table(TRANSACTIONS.schema, name="transactions")))
    assert "basket_size_xl" in sql
