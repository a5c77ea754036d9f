"""Pseudo-brands by hand: which tier each price gets (SPEC C8.1), and that the future moves nothing fitted (C19)."""

from decimal import Decimal

import ibis
import pytest

from retailsim import artifacts
from retailsim.feature_engineering.pseudo_brands import derive_brands, fit_brands
from retailsim.storage import connect

TRAIN_END = 80
SCHEMA = {
    "product_id": "string",
    "week": "int32",
    "hierarchy_10": "string",
    "hierarchy_20": "string",
    "hierarchy_30": "string",
    "hierarchy_40": "string",
    "quantity": "int64",
    "spend": "decimal(18, 2)",
}


def sales(*rows: tuple[str, int, str, int, str]) -> ibis.Table:
    """Rows of product, week, sub-category, quantity, spend."""
    names = list(SCHEMA)
    full = [(p, week, h, h[0], h[0], "all", quantity, Decimal(spend)) for p, week, h, quantity, spend in rows]
    return ibis.memtable([dict(zip(names, row, strict=True)) for row in full], schema=SCHEMA)


TRAINING = [
    # tea: five products, one per quintile; the price is the median over rows, not the mean
    ("tea 1", 1, "tea", 2, "2.00"), ("tea 1", 2, "tea", 1, "1.00"), ("tea 1", 3, "tea", 1, "9.00"),
    ("tea 2", 1, "tea", 1, "2.00"),
    ("tea 3", 1, "tea", 10, "30.00"), ("tea 3", 80, "tea", 1, "3.00"),
    ("tea 4", 1, "tea", 1, "4.00"), ("tea 4", 1, "tea", 1, "0.00"),  # given away: no price
    ("tea 5", 1, "tea", 1, "8.00"),
    # oil: two products stand at the ends; jam: one stands in the middle; egg: three at one price
    ("oil 1", 1, "oil", 1, "1.00"), ("oil 2", 1, "oil", 1, "4.00"),
    ("jam 1", 5, "jam", 1, "7.00"),
    ("egg 1", 5, "egg", 1, "2.00"), ("egg 2", 5, "egg", 1, "2.00"), ("egg 3", 6, "egg", 1, "2.00"),
]  # fmt: skip
LATE = [
    ("tea 6", 90, "tea", 1, "1.50"), ("tea 6", 91, "tea", 1, "50.00"),  # its first week counts
    ("tea 7", 100, "tea", 1, "99.00"),
    ("tea 8", 100, "tea", 1, "0.00"), ("tea 8", 101, "tea", 1, "1.00"),  # no usable price in its first week
    ("nut 1", 100, "nut", 1, "5.00"),  # nothing is known of its sub-category
]  # fmt: skip


def test_each_price_gets_its_tier():  # C8.1
    engine = connect()
    brands = derive_brands(sales(*TRAINING, *LATE), TRAIN_END)
    columns = ["product_id", "brand", "price_tier", "tier_price", "is_fitted"]
    found = engine.to_pyarrow(brands.order_by("product_id").select(columns)).to_pylist()
    assert [tuple(row.values()) for row in found] == [
        ("egg 1", "egg-T2", 2, 2.0, True),
        ("egg 2", "egg-T2", 2, 2.0, True),
        ("egg 3", "egg-T2", 2, 2.0, True),
        ("jam 1", "jam-T2", 2, 7.0, True),
        ("nut 1", "nut-T?", None, 5.0, False),
        ("oil 1", "oil-T0", 0, 1.0, True),
        ("oil 2", "oil-T4", 4, 4.0, True),
        ("tea 1", "tea-T0", 0, 1.0, True),
        ("tea 2", "tea-T1", 1, 2.0, True),
        ("tea 3", "tea-T2", 2, 3.0, True),
        ("tea 4", "tea-T3", 3, 4.0, True),
        ("tea 5", "tea-T4", 4, 8.0, True),
        ("tea 6", "tea-T0", 0, 1.5, False),
        ("tea 7", "tea-T4", 4, 99.0, False),
        ("tea 8", "tea-T?", None, None, False),
    ]


def test_relative_price_is_the_log_of_price_over_the_sub_categorys_median():  # C8.1
    brands = connect().to_pyarrow(derive_brands(sales(*TRAINING, *LATE), TRAIN_END)).to_pylist()
    found = {row["product_id"]: row["relative_price"] for row in brands}
    assert found["tea 1"] == pytest.approx(-1.0986123)  # 1 / 3
    assert found["tea 5"] == pytest.approx(0.9808293)  # 8 / 3
    assert found["oil 2"] == pytest.approx(0.4700036)  # 4 / 2.5
    assert [found[name] for name in ("tea 3", "jam 1", "egg 2", "nut 1", "tea 8")] == [0, 0, 0, None, None]


def test_what_a_source_does_not_have_is_unknown():  # C2
    def brands_of(**absent):
        rows = derive_brands(sales(*TRAINING).mutate(**absent), TRAIN_END).order_by("product_id").to_pyarrow()
        return dict(zip(rows["product_id"].to_pylist(), rows.select(["brand", "price_tier"]).to_pylist(), strict=True))

    nothing, no_price = ibis.null("string"), ibis.null("decimal(18, 2)")
    assert set(map(str, brands_of(spend=no_price, hierarchy_10=nothing).values())) == {
        str({"brand": None, "price_tier": None})
    }
    assert brands_of(spend=no_price)["tea 1"] == {"brand": "tea-T?", "price_tier": None}
    unsorted = brands_of(hierarchy_10=nothing)  # all products are compared with each other
    assert (unsorted["tea 5"]["brand"], unsorted["oil 1"]["brand"]) == ("unknown-T4", "unknown-T0")


def test_columns_are_those_of_the_artifact(tmp_path):
    engine = connect()
    artifacts.PSEUDO_BRANDS.write(tmp_path, derive_brands(sales(*TRAINING), TRAIN_END), engine, ["product_id"])
    assert artifacts.PSEUDO_BRANDS.read(tmp_path, engine).count().execute() == 11


def test_weeks_after_training_change_no_fitted_product():  # C19
    engine = connect()
    changed = [(name, week, h, 3, "77.00") for name, week, h, _, _ in LATE] + [("tea 1", 81, "tea", 1, "0.10")]
    few, many = (
        engine.to_pyarrow(brands.filter(brands.is_fitted).order_by("product_id"))
        for brands in (derive_brands(sales(*TRAINING, *rows), TRAIN_END) for rows in (LATE, changed))
    )
    assert few.equals(many)


def test_late_products_move_no_cut():  # C19
    engine = connect()
    with_late, without = (
        engine.to_pyarrow(fit_brands(sales(*rows), TRAIN_END).order_by("hierarchy_10"))
        for rows in ([*TRAINING, *LATE], TRAINING)
    )
    assert with_late.equals(without)


def test_stage_compiles_for_spark():  # C38
    pytest.importorskip("pyspark")
    sql = ibis.pyspark.compile(derive_brands(ibis.table(artifacts.TRANSACTIONS.schema, name="transactions"), TRAIN_END))
    assert "PERCENTILE" in sql.upper()
