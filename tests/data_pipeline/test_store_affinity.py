"""Stage 3: store shares, concentration, switching and loyalty as of a week."""

import ibis
import pytest

from retailsim.artifacts import AFFINITY, TRANSACTIONS
from retailsim.data_pipeline.store_affinity import measure_affinity
from retailsim.storage import connect

KEYS = ["customer_id", "week"]


def measured(transactions):
    return measure_affinity(transactions).to_pyarrow().sort_by([(key, "ascending") for key in KEYS]).to_pylist()


@pytest.fixture
def ann(receipts):
    """Ann's trips in order: s2, s1 (week 1); s1 (week 2); s2 (week 4). Week 1's basket ids run against its hours."""
    return receipts(
        [
            {"customer_id": "ann", "week": 1, "basket_id": "b2", "hour": 9, "store_id": "s2", "product_id": "A"},
            {"customer_id": "ann", "week": 1, "basket_id": "b2", "hour": 9, "store_id": "s2", "product_id": "B"},
            {"customer_id": "ann", "week": 1, "basket_id": "b1", "hour": 18, "store_id": "s1"},
            {"customer_id": "ann", "week": 2, "basket_id": "b3", "store_id": "s1"},
            {"customer_id": "ann", "week": 4, "basket_id": "b4", "store_id": "s2"},
            {"customer_id": None, "week": 2, "basket_id": "b5", "store_id": "s9"},
        ]
    )


def test_affinity_is_that_of_the_earlier_trips(ann):  # C7
    assert measured(ann) == [
        {
            "customer_id": "ann", "week": 1, "trips": 0, "primary_store": None, "primary_share": None,
            "concentration": None, "n_stores": 0, "switching_rate": None, "loyalty": None, "store_shares": [],
        },
        {   # one trip each: the lower id is the primary store; the second trip switched
            "customer_id": "ann", "week": 2, "trips": 2, "primary_store": "s1", "primary_share": 0.5,
            "concentration": 0.5, "n_stores": 2, "switching_rate": 1.0, "loyalty": 0.0,
            "store_shares": [{"store_id": "s1", "share": 0.5}, {"store_id": "s2", "share": 0.5}],
        },
        {   # s2 s1 s1: one switch in two steps
            "customer_id": "ann", "week": 4, "trips": 3, "primary_store": "s1", "primary_share": 2 / 3,
            "concentration": 5 / 9, "n_stores": 2, "switching_rate": 0.5, "loyalty": 1 / 3,
            "store_shares": [{"store_id": "s1", "share": 2 / 3}, {"store_id": "s2", "share": 1 / 3}],
        },
        {   # the week after the data: s2 s1 s1 s2
            "customer_id": "ann", "week": 5, "trips": 4, "primary_store": "s1", "primary_share": 0.5,
            "concentration": 0.5, "n_stores": 2, "switching_rate": 2 / 3, "loyalty": pytest.approx(1 / 6),
            "store_shares": [{"store_id": "s1", "share": 0.5}, {"store_id": "s2", "share": 0.5}],
        },
    ]  # fmt: skip


def test_one_trip_tells_no_switching_but_full_loyalty(receipts):
    rows = [{"customer_id": "bob", "basket_id": f"b{week}", "week": week} for week in (1, 5)]
    last = measured(receipts(rows))[1]
    assert (last["trips"], last["switching_rate"], last["loyalty"], last["concentration"]) == (1, None, 1.0, 1.0)


def test_shares_add_up_and_the_columns_are_those_of_the_artifact(receipts, busy_rows):
    table = measure_affinity(receipts(busy_rows))
    assert table.schema() == AFFINITY.schema
    rows = measured(receipts(busy_rows))
    known = [row for row in busy_rows if row["customer_id"]]
    of_weeks = len({(row["customer_id"], row["week"]) for row in known})
    assert len(rows) == of_weeks + len({row["customer_id"] for row in known})  # and the week after the data
    for row in rows:
        shares = [store["share"] for store in row["store_shares"]]
        assert len(shares) == row["n_stores"]
        assert sum(shares) == pytest.approx(1 if row["trips"] else 0)
        assert sum(share**2 for share in shares) == pytest.approx(row["concentration"] or 0)
        assert max(shares, default=None) == row["primary_share"]


def test_nothing_of_a_week_or_later_reaches_its_row(receipts, busy_rows):  # C19
    week = 15
    changed = [row if row["week"] < week else {**row, "store_id": "s9", "hour": 8} for row in busy_rows]
    changed = [row for row in changed if row["week"] <= week + 2]
    before, after = measured(receipts(busy_rows)), measured(receipts(changed))
    assert [row for row in before if row["week"] <= week] == [row for row in after if row["week"] <= week]
    assert [row for row in before if row["week"] == week + 2] != [row for row in after if row["week"] == week + 2]


def test_row_order_leaves_the_file_as_it_is(receipts, busy_rows, tmp_path):  # C40
    for name, rows in (("one", busy_rows), ("other", busy_rows[::-1]), ("again", busy_rows)):
        AFFINITY.write(tmp_path / name, measure_affinity(receipts(rows)), connect(), KEYS)
    one, other, again = ((tmp_path / name / AFFINITY.path).read_bytes() for name in ("one", "other", "again"))
    assert one == other == again


def test_the_stage_compiles_for_spark():  # C38
    pytest.importorskip("pyspark")
    sql = ibis.pyspark.compile(measure_affinity(ibis.table(TRANSACTIONS.schema, name="transactions")))
    assert "switching_rate" in sql


def test_without_stores_nothing_is_known_but_the_trips(receipts):  # C2
    rows = receipts([{"week": week, "basket_id": f"b{week}"} for week in (1, 2, 4)])
    found = measure_affinity(rows.mutate(store_id=ibis.null("string"))).order_by("week").to_pyarrow().to_pylist()
    unknown = {
        "primary_store": None,
        "primary_share": None,
        "concentration": None,
        "switching_rate": None,
        "loyalty": None,
    }
    assert found == [
        {"customer_id": "c1", "week": week, "trips": trips, "n_stores": n, **unknown, "store_shares": []}
        for week, trips, n in ((1, 0, 0), (2, 1, None), (4, 2, None), (5, 3, None))
    ]
