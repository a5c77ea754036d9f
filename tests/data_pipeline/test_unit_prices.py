"""Stage 1: actual and regular prices, promotions, imputation, quality."""

import duckdb
import ibis
import pytest

from retailsim.artifacts import PRICES, TRANSACTIONS
from retailsim.data_pipeline.unit_prices import derive_prices, price_parts
from retailsim.storage import connect

KEYS = ["product_id", "store_id", "week"]


def derived(transactions):
    return derive_prices(transactions).to_pyarrow().sort_by([(key, "ascending") for key in KEYS]).to_pylist()


def weekly(prices, first=1, **constants):
    """One sale a week from week `first` at each of `prices`."""
    return [
        {"basket_id": f"b{week}{constants.get('store_id', '')}", "week": week, "spend": price, **constants}
        for week, price in enumerate(prices, start=first)
    ]


def column(rows, name, **where):
    return [row[name] for row in rows if all(row[key] == value for key, value in where.items())]


def test_a_row_holds_the_median_unit_price_of_its_product_store_and_week(receipts):  # C7
    rows = [
        {"basket_id": "b1", "spend": 2.00},
        {"basket_id": "b2", "spend": 6.30, "quantity": 3},
        {"basket_id": "b3", "spend": 5.00, "quantity": 2},
        {"basket_id": "b4", "spend": 0.00},
        {"basket_id": "b5", "spend": 1.80, "store_id": "s2"},
    ]
    common = {
        "product_id": "A",
        "week": 1,
        "base_price": 1.95,
        "is_promotion": False,
        "imputed_from": "product-store-week",
    }
    assert derived(receipts(rows)) == [  # base in the first week: the chain's price, between the two stores'
        {**common, "store_id": "s1", "actual_price": 2.1, "discount": 0.0, "quality": "good", "n_sales": 3},
        {**common, "store_id": "s2", "actual_price": 1.8, "discount": 0.076923, "quality": "few-sales", "n_sales": 1},
    ]


def test_a_planted_promotion_is_found_and_leaves_the_base_where_it_was(receipts):
    rows = derived(receipts(weekly([2.00] * 8 + [1.50] * 3 + [2.00] * 4)))
    assert column(rows, "base_price") == [2.0] * 15
    assert column(rows, "is_promotion") == [False] * 8 + [True] * 3 + [False] * 4
    assert column(rows, "discount") == [0.0] * 8 + [0.25] * 3 + [0.0] * 4


def test_a_promotion_is_found_in_a_store_that_rarely_sells_the_product(receipts):
    chain = [row for store in ("s1", "s2", "s3") for row in weekly([2.00] * 12, store_id=store)]
    rows = derived(receipts([*chain, *weekly([1.60] * 3 + [2.00], first=9, store_id="s4")]))
    assert column(rows, "base_price", store_id="s4") == [2.0] * 4
    assert column(rows, "is_promotion", store_id="s4") == [True] * 3 + [False]
    assert not any(column(rows, "is_promotion", store_id="s1"))


def test_the_base_follows_a_lasting_change_after_seven_weeks(receipts):
    rows = derived(receipts(weekly([2.00] * 10 + [3.00] * 10)))
    assert column(rows, "base_price") == [2.0] * 17 + [3.0] * 3


def test_light_bags_of_loose_goods_are_no_promotion(receipts):
    weights = [1.0, 0.7, 1.3, 0.9, 0.6, 1.2, 1.1, 0.75, 1.4, 0.8]
    rows = derived(receipts(weekly([2 * weight for weight in weights])))
    assert max(column(rows, "discount")) > 0.3
    assert not any(column(rows, "is_promotion"))


def test_pennies_for_hundreds_keep_their_price(receipts):
    rows = [{"spend": 2.00, "quantity": 300}, {"week": 2, "spend": 0.04, "quantity": 4}]
    assert column(derived(receipts(rows)), "actual_price") == [0.006667, 0.01]


def test_a_missing_price_comes_from_the_store_then_its_region_then_the_chain(receipts):
    free = {"spend": 0.0}
    rows = [
        {"week": 1, "store_id": "s1", "spend": 2.00},
        {"week": 2, "store_id": "s1", **free},
        {"week": 2, "store_id": "s2", **free},
        {"week": 2, "store_id": "s3", "spend": 2.20},
        {"week": 3, "store_id": "s4", "store_region": "S", **free},
        {"week": 1, "product_id": "never sold", **free},
    ]
    told = [
        tuple(row[name] for name in (*KEYS, "actual_price", "base_price", "imputed_from", "quality", "n_sales"))
        for row in derived(receipts([{**row, "basket_id": str(number)} for number, row in enumerate(rows)]))
        if row["quality"] in ("imputed", "unknown")
    ]
    assert told == [
        ("A", "s1", 2, 2.0, 2.0, "product-store", "imputed", 0),
        ("A", "s2", 2, 2.2, 2.0, "product-region-week", "imputed", 0),
        ("A", "s4", 3, 2.2, 2.1, "product-chain", "imputed", 0),
        ("never sold", "s1", 1, None, None, None, "unknown", 0),
    ]


def test_the_last_price_is_found_behind_weeks_without_one(receipts):
    free = {"spend": 0.0}
    store = [*weekly([2.00]), *({"week": week, "basket_id": f"f{week}", **free} for week in (2, 3, 20))]
    other = [{"week": 3, "basket_id": "o", "store_id": "s2", "spend": 5.00}]
    found = derived(receipts([*store, *other]))
    names = ("week", "actual_price", "imputed_from")
    assert [tuple(row[name] for name in names) for row in found if row["store_id"] == "s1"] == [
        (1, 2.0, "product-store-week"),
        (2, 2.0, "product-store"),
        (3, 2.0, "product-store"),
        (20, 2.0, "product-store"),
    ]
    chain = [*weekly([2.00]), {"week": 2, "basket_id": "f", **free}]
    later = {"week": 20, "basket_id": "l", "store_id": "s2", "spend": 5.00}
    assert derived(receipts([*chain, later]))[-1]["base_price"] == 2.0  # the chain's last, 19 weeks before


def test_a_price_that_rounds_to_nothing_is_none(receipts):
    rows = [row for product in "AB" for row in weekly([1.00] * 4, product_id=product)]
    tiny = {"product_id": "C", "spend": 0.01, "quantity": 1_000_000}
    found = derived(receipts([*rows, *({**tiny, "week": week, "basket_id": f"t{week}"} for week in (1, 2, 3))]))
    assert column(found, "base_price", product_id="A") == [1.0] * 4
    assert [(row["actual_price"], row["base_price"], row["quality"]) for row in found if row["product_id"] == "C"] == [
        (None, None, "unknown")
    ] * 3


def test_a_price_far_off_the_base_is_suspect_and_replaced(receipts):
    rows = derived(receipts([*weekly([1.00] * 8), {"week": 9, "spend": 1.00, "quantity": 100}]))
    assert rows[-1] == {
        "product_id": "A", "store_id": "s1", "week": 9, "actual_price": 1.0, "base_price": 1.0, "discount": 0.0,
        "is_promotion": False, "imputed_from": "product-store", "quality": "suspect", "n_sales": 0,
    }  # fmt: skip


def test_a_cheap_format_is_no_promotion(receipts):
    rows = []
    for product, price in (("A", 1.00), ("B", 2.00), ("C", 4.00)):
        for store in ("s1", "s2", "s3"):
            rows += weekly([price] * 10, product_id=product, store_id=store)
        first = 10 if product == "A" else 1  # the discounter lists A in week 10 only, B and C always
        rows += weekly([price * 0.8] * (11 - first), first, product_id=product, store_id="s4", store_format="XLS")
    rows = derived(receipts(rows))
    assert column(rows, "base_price", product_id="A", store_id="s4") == [0.8]
    assert set(column(rows, "base_price", store_id="s1")) == {1.0, 2.0, 4.0}
    assert column(rows, "base_price", product_id="B", store_id="s4") == [1.6] * 10
    assert not any(column(rows, "is_promotion"))


def test_there_is_one_row_per_product_store_and_week(receipts, busy_rows):
    table = derive_prices(receipts(busy_rows))
    assert table.schema() == PRICES.schema
    rows = derived(receipts(busy_rows))
    assert [tuple(row[key] for key in KEYS) for row in rows] == sorted(
        {tuple(row[key] for key in KEYS) for row in busy_rows}
    )
    assert {row["quality"] for row in rows} == {"good", "few-sales", "imputed"}


def test_a_week_changes_neither_earlier_rows_nor_its_own_base(receipts, busy_rows):  # C19
    week = 15
    changed = [
        row if row["week"] < week else {**row, "spend": row["spend"] * 3, "store_format": "MS"} for row in busy_rows
    ]
    before, after = derived(receipts(busy_rows)), derived(receipts(changed))
    assert [row for row in before if row["week"] < week] == [row for row in after if row["week"] < week]
    sold = {row["product_id"] for row in busy_rows if row["week"] < week and row["spend"]}
    here = [
        (old, new) for old, new in zip(before, after, strict=True) if old["week"] == week and old["product_id"] in sold
    ]
    assert here and any(old["actual_price"] != new["actual_price"] for old, new in here)
    # A format without a past stands at the chain's level, so only rows that keep their format are asked.
    dear = {"LS": 3, "SS": 2}
    kept = [
        row if row["week"] < week else {**row, "spend": row["spend"] * dear[row["store_format"]]} for row in busy_rows
    ]
    after = derived(receipts(kept))
    here = [
        (old, new) for old, new in zip(before, after, strict=True) if old["week"] == week and old["product_id"] in sold
    ]
    assert [old["base_price"] for old, _ in here] == [new["base_price"] for _, new in here]


def test_row_order_leaves_the_file_as_it_is(receipts, busy_rows, tmp_path):  # C40
    for name, rows in (("one", busy_rows), ("other", busy_rows[::-1]), ("again", busy_rows)):
        PRICES.write(tmp_path / name, derive_prices(receipts(rows)), connect(), KEYS)
    one, other, again = ((tmp_path / name / PRICES.path).read_bytes() for name in ("one", "other", "again"))
    assert one == other == again


@pytest.mark.parametrize("rows_at_once", [1_000, 10**9])
def test_parts_are_the_whole_with_every_product_in_one_of_them(receipts, busy_rows, tmp_path, rows_at_once):  # C38
    sales = receipts(busy_rows)
    parts = [part.to_pyarrow().to_pylist() for part in price_parts(sales, rows_at_once)]
    products = [{row["product_id"] for row in part} for part in parts]
    assert (len(parts) > 1) == (rows_at_once == 1_000) and sum(map(len, products)) == len(set.union(*products))
    assert sorted((row for part in parts for row in part), key=lambda row: [row[key] for key in KEYS]) == derived(sales)
    PRICES.write_parts(tmp_path, price_parts(sales, rows_at_once), ibis.get_backend(sales), KEYS)
    assert PRICES.load(tmp_path).to_pylist() == derived(sales)
    assert [path.name for path in (tmp_path / PRICES.path).parent.iterdir()] == [(tmp_path / PRICES.path).name]


@pytest.mark.slow
def test_memory_for_a_part_is_enough(tmp_path, monkeypatch):  # C38
    monkeypatch.chdir(tmp_path)  # where DuckDB puts what memory does not hold
    sales = dict.fromkeys(TRANSACTIONS.columns, "NULL") | {
        "basket_id": "range::VARCHAR", "product_id": "(range // 500)::VARCHAR", "store_id": "(range % 10)::VARCHAR",
        "week": "(range // 10 % 50 + 1)::INTEGER", "quantity": "1::BIGINT", "spend": "(1 + hash(range) % 9)::DECIMAL(18, 2)",
        "store_format": "(range % 2)::VARCHAR", "store_region": "'E'",
    }  # fmt: skip

    def engine():
        small = connect()
        small.raw_sql("SET memory_limit = '150MB'; SET threads = 1")
        columns = ", ".join(f"{value} AS {name}" for name, value in sales.items())
        small.raw_sql(f"CREATE TABLE sales AS SELECT {columns} FROM range(500_000)")
        return small

    small = engine()
    PRICES.write_parts(tmp_path, price_parts(small.table("sales"), rows_at_once=50_000), small, KEYS)
    assert PRICES.load(tmp_path).num_rows == 500_000
    small = engine()
    with pytest.raises(duckdb.OutOfMemoryException):  # what the parts are for
        PRICES.write(tmp_path, derive_prices(small.table("sales")), small, KEYS)


def test_the_stage_compiles_for_spark():  # C38
    pytest.importorskip("pyspark")
    sql = ibis.pyspark.compile(derive_prices(ibis.table(TRANSACTIONS.schema, name="transactions")))
    assert "RANGE BETWEEN 13 PRECEDING AND 1 PRECEDING" in sql


def test_without_spend_no_price_is_known_and_none_is_made_up(receipts):  # C2
    rows = receipts([{"week": week, "product_id": product} for week in (1, 2) for product in "AB"])
    unpriced = rows.mutate(spend=ibis.null("decimal(18, 2)"))
    for row in derive_prices(unpriced).to_pyarrow().to_pylist():
        assert {name for name, value in row.items() if value is None} == {
            "actual_price", "base_price", "discount", "is_promotion", "imputed_from",
        }  # fmt: skip
        assert (row["quality"], row["n_sales"]) == ("unknown", 0)


def test_without_stores_the_chain_is_one(receipts):  # C2
    names = ["store_id", "store_format", "store_region"]
    rows = receipts([{"week": 1 + i, "basket_id": f"b{i}", "spend": 2.0} for i in range(3)])
    nowhere = rows.mutate(**{name: ibis.null("string") for name in names})
    one_place = rows.mutate(**{name: ibis.literal("S") for name in names})
    found = [
        derive_prices(t).order_by("week").to_pyarrow().drop(["store_id"]).to_pylist() for t in (nowhere, one_place)
    ]
    assert found[0] == found[1] and len(found[0]) == 3
