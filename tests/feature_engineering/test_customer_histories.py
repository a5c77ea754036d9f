from datetime import date, timedelta
from decimal import Decimal

import ibis
import numpy as np
import pyarrow as pa
import pytest

from retailsim.artifacts import CUSTOMER_EMBEDDINGS, PSEUDO_BRANDS, TRANSACTIONS
from retailsim.feature_engineering.customer_histories import (
    GROUP_COLUMNS,
    HALF_LIFE,
    customer_histories,
    histories_of,
    largest_groups,
    weekly_trips,
)
from retailsim.feature_engineering.product_projection import UNIT, fit_projection
from retailsim.storage import connect
from retailsim.weeks import Calendar

CALENDAR = Calendar(date(2006, 4, 10), last_week=16, train_end=10, val_end=12)
PRODUCTS = {"P1": ("bakery", 0), "P2": ("dairy", 4), "P3": ("dairy", 2)}
DECAY = 2 ** (-1 / HALF_LIFE)


def receipts(baskets):
    """Transactions of baskets (id, customer, price segment, week, weekday, hour, products); P1 costs £1, P2 £2 …"""
    rows = []
    for basket, customer, segment, week, weekday, hour, products in baskets:
        day = CALENDAR.monday_of(week) + timedelta(days=weekday - 1)
        for product in products:
            group = PRODUCTS.get(product, ("other", 2))[0]
            rows.append(
                dict.fromkeys(TRANSACTIONS.columns)
                | {"basket_id": basket, "week": week, "date": day, "weekday": weekday, "hour": hour}
                | {"product_id": product, "hierarchy_30": group, "customer_id": customer, "price_segment": segment}
                | {"lifestage": segment and "YA", "store_id": "S", "quantity": 1, "spend": Decimal(product[1:])}
            )
    return ibis.memtable(pa.Table.from_pylist(rows, schema=TRANSACTIONS.schema.to_pyarrow()))


def brands():
    rows = [{"product_id": product, "price_tier": tier} for product, (_, tier) in PRODUCTS.items()]
    return ibis.memtable(pa.Table.from_pylist(rows, schema=PSEUDO_BRANDS.schema.to_pyarrow()))


def loadings():
    """P1 along the first direction, P2 along the second."""
    places = {f"direction_{i}": pa.array(place, pa.int32()) for i, place in enumerate([[UNIT, 0], [0, UNIT], [0, 0]])}
    return pa.table({"product_id": ["P1", "P2"], **places})


def described(transactions):
    table = customer_histories(transactions, brands(), loadings(), ["dairy", "bakery"])
    assert set(table.columns) == set(CUSTOMER_EMBEDDINGS.columns)
    return {(row["customer_id"], row["week"]): row for row in table.order_by("row").to_pyarrow().to_pylist()}


TWO_TRIPS = [
    ("b1", "c1", "AZ", 1, 6, 18, ["P1", "P2"]),  # Saturday evening
    ("b2", "c1", "AZ", 2, 1, 9, ["P1", "P2", "P3", "P4"]),
    ("b3", "c1", "AZ", 4, 1, 9, ["P9"]),
    ("b4", None, None, 3, 1, 9, ["P9"]),
]


def test_one_row_per_customer_and_week_numbered_from_1():
    found = described(receipts([*TWO_TRIPS, ("b0", "c0", None, 9, 1, 9, ["P1"]), ("b5", "c1", "AZ", 4, 2, 9, ["P1"])]))
    assert [(*key, row["row"]) for key, row in found.items()] == [
        ("c0", 9, 1),
        ("c0", 10, 2),  # the week after the data
        ("c1", 1, 3),
        ("c1", 2, 4),
        ("c1", 4, 5),
        ("c1", 10, 6),
    ]
    assert found["c0", 9]["price_segment"] is None and found["c1", 1]["price_segment"] == "AZ"


def test_numbers_of_a_customer_alone_in_the_shop():
    row = described(receipts(TWO_TRIPS))["c1", 4]
    older, newer = DECAY**3, DECAY**2  # what the trips of weeks 1 and 2 count in week 4
    trips, purchases = older + newer, 2 * older + 4 * newer
    tiered = purchases - newer  # P4 has no price tier
    # everybody is this customer, so leaning on the segment changes nothing
    expected = {
        "trips": 2,
        "weeks_since_last": 2,
        "tenure": 3,
        "latest_trips": 2,
        "recent_trips": trips,
        "active_share": 2 / 3,
        "trips_per_active_week": 1,
        "recent_purchases": purchases,
        "products_per_trip": purchases / trips,
        "spend_per_trip": (3 * older + 10 * newer) / trips,
        "spend_per_product": (3 * older + 10 * newer) / purchases,
        "products_spread": np.sqrt((4 * older + 16 * newer) / trips - (purchases / trips) ** 2),
        "products_trend": np.log(purchases / trips / 3),
        "spend_trend": np.log((3 * older + 10 * newer) / trips / 6.5),
        "weekend_share": older / trips,
        "evening_share": older / trips,
        "tier_0": trips / tiered,
        "tier_2": newer / tiered,
        "tier_4": trips / tiered,
        "tier_1": 0,
        "spring": 1,
        "winter": 0,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=2e-3, abs=1e-3)
    assert row["directions"] == pytest.approx([1, 1, 0], rel=1e-3)  # P1 and P2 in every basket
    assert row["groups"][:3] == pytest.approx([(trips + newer) / purchases, trips / purchases, 0], rel=1e-3)
    assert len(row["groups"]) == len(GROUP_COLUMNS)


def test_a_first_trip_knows_nothing_of_its_own_and_gets_its_segments_averages():  # C13
    habits = [
        (f"{c}{w}", c, s, w, 1, 9, p) for c, s, p in (("a", "AZ", ["P1"]), ("b", "BG", ["P2"])) for w in range(1, 9)
    ]
    newcomers = [
        ("n1", "n", "AZ", 9, 1, 9, ["P3"]),
        ("m1", "m", "BG", 9, 1, 9, ["P3"]),
        ("x", "x", None, 9, 1, 9, ["P3"]),
    ]
    found = described(receipts(habits + newcomers))
    first = found["n", 9]
    assert (first["trips"], first["weeks_since_last"], first["tenure"], first["recent_trips"]) == (0, None, None, 0)
    assert first["directions"][0] > 0.75 > 0.25 > first["directions"][1]
    assert found["m", 9]["directions"][1] == pytest.approx(first["directions"][0], rel=1e-3)
    assert found["x", 9]["directions"][:2] == pytest.approx([0.5, 0.5], rel=1e-3)  # of no known segment: everybody's
    # what a customer does counts for more with every trip
    apart = [abs(found["a", w]["directions"][0] - 1) for w in (2, 4, 8)]
    assert apart == sorted(apart, reverse=True)


def random_baskets(seed):
    draw = np.random.default_rng(seed)
    return [
        (
            f"b{i}",
            *((f"c{c}", ["AZ", "BG", None][c % 3]) if c < 25 else (None, None)),
            int(draw.integers(1, 17)),
            int(draw.integers(1, 8)),
            int(draw.integers(8, 22)),
            [f"P{p}" for p in sorted(set(draw.integers(1, 30, size=6).tolist()))],
        )
        for i in range(800)
        for c in [int(draw.integers(0, 30))]
    ]


def fitted_and_described(baskets):
    """As `describe_customers`, with four directions."""
    transactions, engine = receipts(baskets), connect()
    places = fit_projection(transactions, "customer_id", 4, CALENDAR, engine)
    groups = largest_groups(transactions, CALENDAR, engine)
    found = customer_histories(transactions, brands(), places, groups)
    return found.order_by("customer_id", "week").to_pyarrow()


def test_nothing_of_this_week_or_later_reaches_a_row():  # C19
    week = 12  # after the training weeks, so that everything is fitted anew, too
    baskets = random_baskets(0)
    other = [(*b[:5], 20, ["P1", "P29"]) if b[3] >= week else b for b in baskets]
    gone = [b for b in baskets if b[3] <= week]
    first, *changed = (
        table.filter(pa.compute.less_equal(table["week"], week)).drop_columns("row")
        for table in map(fitted_and_described, (baskets, other, gone))
    )
    assert len(first) > 200
    assert [first.equals(table) for table in changed] == [True, True]


def test_the_row_after_the_data_is_that_of_a_trip_then():
    """Whoever shops in the week after the data gets the row that stood there before."""
    found, shopped = (
        described(receipts(TWO_TRIPS)),
        described(receipts([*TWO_TRIPS, ("b5", "c1", "BG", 5, 1, 9, ["P2"])])),
    )
    assert found["c1", 5] == shopped["c1", 5]
    assert (found["c1", 5]["trips"], found["c1", 5]["weeks_since_last"]) == (3, 1)
    assert found["c1", 5]["price_segment"] == "AZ"  # as last known


def test_fitting_sees_the_training_weeks_only():
    baskets, engine = random_baskets(1), connect()
    other = [*(b for b in baskets if b[3] <= 10), ("x", "c1", "AZ", 14, 1, 9, [f"P{p}" for p in range(30, 60)])]
    fitted = [
        (fit_projection(table, "customer_id", 4, CALENDAR, engine), largest_groups(table, CALENDAR, engine))
        for table in map(receipts, (baskets, other))
    ]
    assert fitted[0][0].equals(fitted[1][0]) and fitted[0][1] == fitted[1][1] == ["other", "dairy", "bakery"]


def test_the_expressions_compile_for_spark():  # C38
    pytest.importorskip("pyspark")
    assert ibis.pyspark  # loads the backend and its options
    sales, brands = ibis.table(TRANSACTIONS.schema, "transactions"), ibis.table(PSEUDO_BRANDS.schema, "brands")
    weekly = weekly_trips(sales, brands, loadings(), ["dairy"])
    assert "GROUP BY" in str(ibis.to_sql(weekly, dialect="pyspark"))
    found = histories_of(ibis.table(weekly.schema(), "weekly"), loadings().column_names[1:])
    assert "RANGE BETWEEN 4 PRECEDING AND 1 PRECEDING" in str(ibis.to_sql(found, dialect="pyspark"))


def test_what_a_source_does_not_have_is_unknown_and_moves_nothing_else():  # C2
    unknown_without = [
        ({"hour": "int32"}, {"evening_share"}),
        ({"spend": "decimal(18, 2)"}, {"spend_per_trip", "spend_per_product", "spend_trend"}),
        ({"hierarchy_30": "string"}, {"groups"}),
        ({"store_id": "string", "store_format": "string"}, set()),
    ]
    whole = receipts([*TWO_TRIPS, ("b5", "c1", "AZ", 5, 2, 18, ["P1"])])
    before = described(whole)
    for absent, unknown in unknown_without:
        after = described(whole.mutate(**{name: ibis.null(dtype) for name, dtype in absent.items()}))
        assert before.keys() == after.keys()
        for key, row in after.items():
            assert {name for name in row if row[name] != before[key][name]} <= unknown, (absent, key)
            for name in unknown:
                assert row[name] is None or row[name] == [None] * len(row[name]), (absent, key)
        assert all(before["c1", 5][name] is not None for name in unknown)


def test_a_product_without_a_price_tier_counts_in_no_tier(monkeypatch):  # C2
    monkeypatch.setitem(PRODUCTS, "P1", ("bakery", None))
    row = described(receipts(TWO_TRIPS))["c1", 4]
    assert [row[f"tier_{tier}"] for tier in range(5)] == pytest.approx([0, 0, 1 / 3, 0, 2 / 3], abs=0.1)
    monkeypatch.setitem(PRODUCTS, "P2", ("dairy", None))
    monkeypatch.setitem(PRODUCTS, "P3", ("dairy", None))
    assert [described(receipts(TWO_TRIPS))["c1", 4][f"tier_{tier}"] for tier in range(5)] == [None] * 5
