from datetime import date, timedelta
from decimal import Decimal

import ibis
import numpy as np
import pyarrow as pa
import pytest

from retailsim.artifacts import STORE_FEATURES, TRANSACTIONS
from retailsim.feature_engineering.product_projection import UNIT, fit_projection
from retailsim.feature_engineering.store_features import (
    HALF_LIFE,
    LONG_HALF_LIFE,
    TRIPS_OF_KIND,
    describe_stores,
    histories_of,
    segment_classes,
    store_histories,
    weekly_sales,
)
from retailsim.storage import connect
from retailsim.weeks import Calendar

CALENDAR = Calendar(date(2006, 4, 10), last_week=16, train_end=10, val_end=12)
CLASSES = {"price_segment": ["AZ", "BG"], "lifestage": []}
FORMATS = {"S1": "LS", "S2": "LS", "S3": "SS", "S4": "SS"}


def receipts(baskets):
    """Transactions of baskets (id, store, customer, price segment, week, weekday, hour, products); P1 costs £1 …"""
    rows = []
    for basket, store, customer, segment, week, weekday, hour, products in baskets:
        day = CALENDAR.monday_of(week) + timedelta(days=weekday - 1)
        for product in products:
            rows.append(
                dict.fromkeys(TRANSACTIONS.columns)
                | {"basket_id": basket, "week": week, "date": day, "weekday": weekday, "hour": hour}
                | {"product_id": product, "quantity": 1, "spend": Decimal(product[1:]), "mission_type": "Top Up"}
                | {"customer_id": customer, "price_segment": segment}
                | {"store_id": store, "store_format": FORMATS[store], "store_region": "N"}
            )
    return ibis.memtable(pa.Table.from_pylist(rows, schema=TRANSACTIONS.schema.to_pyarrow()))


def described(baskets, change=lambda rows: rows):
    places = {f"direction_{i}": pa.array(place, pa.int32()) for i, place in enumerate([[UNIT, 0], [0, UNIT]])}
    loadings = pa.table({"product_id": ["P1", "P2"], **places})
    table = store_histories(change(receipts(baskets)), loadings, CLASSES)
    assert set(table.columns) == set(STORE_FEATURES.columns)
    return {(row["store_id"], row["week"]): row for row in table.order_by("row").to_pyarrow().to_pylist()}


ONE_STORE = [
    ("b1", "S1", "c1", "AZ", 1, 6, 18, ["P1", "P2"]),
    ("b2", "S1", None, None, 1, 6, 10, ["P1"]),
    ("b3", "S1", "c1", "AZ", 2, 1, 12, ["P1", "P3"]),
    ("b4", "S1", "c2", "XX", 2, 1, 12, ["P2"]),
    ("b5", "S1", "c3", "BG", 3, 1, 12, ["P9"]),
]


def test_numbers_of_a_store_alone_in_the_chain():
    found = described(ONE_STORE)
    assert [(*key, row["row"]) for key, row in found.items()] == [("S1", week, week) for week in (1, 2, 3, 4)]
    older, newer = 2 ** (-2 / HALF_LIFE), 2 ** (-1 / HALF_LIFE)  # what a trip of weeks 1 and 2 counts in week 3
    trips, identified = 2 * older + 2 * newer, older + 2 * newer
    expected = {
        "recent_trips": trips,
        "weeks_open": 2,
        "range_size": 3,
        "customers": 2,
        "trips_per_customer": 3 / 2,
        "growth": 0,  # two trips in each week
        "products_per_trip": (3 * older + 3 * newer) / trips,
        "spend_per_trip": (4 * older + 6 * newer) / trips,
        "spend_per_product": (4 * older + 6 * newer) / (3 * older + 3 * newer),
        "anonymous": older / trips,
        "weekday_6": 2 * older / trips,
        "weekday_1": 2 * newer / trips,
        "hours_0": older / trips,
        "hours_1": 2 * newer / trips,
        "hours_3": older / trips,
        "mission_type_top_up": 1,
        "mission_type_full_shop": 0,
    }
    row = found["S1", 3]
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=2e-3, abs=1e-3)
    assert row["directions"] == pytest.approx([(2 * older + newer) / trips, (older + newer) / trips], rel=2e-3)
    shares = [(older + newer) / identified, 0, *[0] * 5, newer / identified]  # AZ, BG, no more classes, others
    assert row["price_segments"] == pytest.approx(shares, rel=2e-3)
    assert row["lifestages"] == [0, 0, 0, 0, 0, 0, 0, 1]  # all of none


def test_the_row_after_the_data_is_that_of_a_sale_then():
    """A store that sells in the week after the data gets the row that stood there before."""
    found, sold = described(ONE_STORE), described([*ONE_STORE, ("b6", "S1", "c4", "AZ", 4, 2, 15, ["P7"])])
    assert found["S1", 4] == sold["S1", 4]
    assert (found["S1", 4]["weeks_open"], found["S1", 4]["range_size"]) == (3, 4)


def test_growth_is_told_from_the_change_in_weekly_trips():
    twice_as_many = [(f"b{w}{i}", "S1", None, None, w, 1, 9, ["P1"]) for w in range(1, 9) for i in range(1 + (w > 4))]
    row = described([*twice_as_many, ("x", "S1", None, None, 9, 1, 9, ["P1"])])["S1", 9]
    weekly = [
        np.average([1] * 4 + [2] * 4, weights=2 ** (-(9 - np.arange(1, 9)) / half_life))
        for half_life in (HALF_LIFE, LONG_HALF_LIFE)
    ]
    assert row["growth"] == pytest.approx(np.log(weekly[0] / weekly[1]), rel=5e-3)


def test_a_store_that_opens_is_described_by_its_kind():  # C13
    old = [
        (f"{s}{w}{i}", s, None, None, w, 1, 9, [p])
        for s, p in (("S1", "P1"), ("S3", "P2"))
        for w in range(1, 9)
        for i in range(9)
    ]
    opened = [("n", "S2", None, None, 9, 1, 9, ["P3"]), ("m", "S4", None, None, 9, 1, 9, ["P3"])]
    found = described(old + opened)
    trips = sum(9 * 2 ** (-(9 - w) / HALF_LIFE) for w in range(1, 9))
    of_kind = (trips + TRIPS_OF_KIND / 2) / (trips + TRIPS_OF_KIND)  # P1 at stores of its kind, half everywhere
    assert found["S2", 9]["directions"] == pytest.approx([of_kind, 1 - of_kind], rel=2e-3)
    assert found["S4", 9]["directions"] == pytest.approx([1 - of_kind, of_kind], rel=2e-3)
    assert (found["S2", 9]["range_size"], found["S2", 9]["weeks_open"]) == (0, None)


def fitted_and_described(baskets):
    """As `describe_stores`, with four directions."""
    transactions, engine = receipts(baskets), connect()
    loadings = fit_projection(transactions, "store_id", 4, CALENDAR, engine)
    found = store_histories(transactions, loadings, segment_classes(transactions, CALENDAR, engine))
    return found.order_by("store_id", "week").to_pyarrow()


def test_nothing_of_this_week_or_later_reaches_a_row():  # C19
    draw, week = np.random.default_rng(0), 12
    baskets = [
        (
            f"b{i}",
            f"S{draw.integers(1, 5)}",
            *((f"c{c}", ["AZ", "BG", None][c % 3]) if c < 25 else (None, None)),
            int(draw.integers(1, 17)),
            int(draw.integers(1, 8)),
            int(draw.integers(8, 22)),
            [f"P{p}" for p in sorted(set(draw.integers(1, 30, size=6).tolist()))],
        )
        for i in range(800)
        for c in [int(draw.integers(0, 30))]
    ]
    other = [(*b[:2], None, None, b[4], 7, 20, ["P1", "P99"]) if b[4] >= week else b for b in baskets]
    gone = [b for b in baskets if b[4] <= week]
    first, *changed = (
        table.filter(pa.compute.less_equal(table["week"], week)).drop_columns("row")
        for table in map(fitted_and_described, (baskets, other, gone))
    )
    assert len(first) == 4 * week
    assert [first.equals(table) for table in changed] == [True, True]


def test_the_expressions_compile_for_spark():  # C38
    pytest.importorskip("pyspark")
    assert ibis.pyspark  # loads the backend and its options
    transactions = ibis.table(TRANSACTIONS.schema, "transactions")
    loadings = pa.table({"product_id": ["P1"], "direction_0": pa.array([UNIT], pa.int32())})
    weekly = weekly_sales(transactions, loadings, CLASSES)
    assert "price_segment_7" in str(ibis.to_sql(weekly, dialect="pyspark"))
    found = histories_of(ibis.table(weekly.schema(), "weekly"), ["direction_0"])
    assert "weeks_open" in str(ibis.to_sql(found, dialect="pyspark"))


def test_what_a_source_does_not_have_is_unknown_and_moves_nothing_else():  # C2
    unknown_without = {
        ("hour", "int32"): {f"hours_{band}" for band in range(4)},
        ("spend", "decimal(18, 2)"): {"spend_per_trip", "spend_per_product"},
        ("mission_type", "string"): {name for name in STORE_FEATURES.columns if name.startswith("mission_type")},
    }
    before = described(ONE_STORE)
    for (absent, of), unknown in unknown_without.items():
        after = described(ONE_STORE, lambda rows, absent=absent, of=of: rows.mutate(**{absent: ibis.null(of)}))
        assert before.keys() == after.keys()
        for key, row in after.items():
            assert {name for name in row if row[name] != before[key][name]} <= unknown, (absent, key)
            assert all(row[name] is None for name in unknown), (absent, key)
        assert all(before["S1", 3][name] is not None for name in unknown)


def test_receipts_without_stores_have_no_store_to_describe():  # C2
    rows = receipts(ONE_STORE).mutate(store_id=ibis.null("string"))
    assert describe_stores(rows, CALENDAR, connect()).count().execute() == 0
