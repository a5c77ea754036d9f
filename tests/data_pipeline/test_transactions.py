"""C3, C4, C5: raw rows become transactions; rows in = rows used + rows set aside."""

import csv
from datetime import date, timedelta
from decimal import Decimal

import ibis
import pytest

from retailsim.artifacts import CALENDAR, QUARANTINE, TRANSACTIONS
from retailsim.data_pipeline.run_pipeline import prepare_transactions
from retailsim.data_pipeline.transactions import build_transactions, calendar_of
from retailsim.errors import UserError
from retailsim.storage import connect
from retailsim.weeks import MOST_WEEKS, Calendar

GOOD = {
    "basket_id": "B1", "shop_week": 200607, "date": date(2006, 4, 13), "hour": 14, "product_id": "P1",
    "hierarchy_10": "CL1", "hierarchy_20": "DEP1", "hierarchy_30": "G1", "hierarchy_40": "D1", "customer_id": "C1",
    "price_segment": None, "lifestage": "BU", "store_id": "S1", "store_format": "LS", "store_region": "E02",
    "quantity": 2, "spend": Decimal("1.90"), "mission_type": "Other", "mission_focus": None,
    "price_sensitivity": "MM", "basket_size": "L",
}  # fmt: skip
MONDAY = date(2006, 4, 10)


def rows_of(*changes):
    schema = {name: dtype for name, dtype in TRANSACTIONS.schema.items() if name in GOOD}
    return ibis.memtable([{**GOOD, **change} for change in changes], schema=schema)


def build(*changes, calendar=None):
    table = build_transactions(rows_of(*changes), calendar or Calendar(MONDAY, 117))
    return table.order_by("week", "basket_id", "product_id").to_pyarrow().to_pylist()


def test_weeks_begin_on_monday_and_weeks_without_data_count():  # C3
    calendar = calendar_of(rows_of({}, {"date": date(2006, 5, 1)}, {"date": date(2006, 4, 24)}), (2, 3))
    assert calendar == Calendar(MONDAY, last_week=4, train_end=2, val_end=3)  # the week of 17 April has no row
    assert [row["week"] for row in build({"date": date(2006, 4, 24)}, {"basket_id": "B2"})] == [1, 3]


def test_rows_without_a_date_are_no_first_week():
    assert calendar_of(rows_of({"date": None}, {}), (1, 2)).first_monday == MONDAY
    with pytest.raises(UserError, match="no row has a date: fill column SHOP_DATE"):
        calendar_of(rows_of({"date": None}), (1, 2))


def test_more_weeks_than_sums_have_digits_for_are_refused():
    last = MONDAY + timedelta(weeks=MOST_WEEKS - 1)
    assert calendar_of(rows_of({"date": MONDAY}, {"date": last}), None).last_week == MOST_WEEKS
    with pytest.raises(UserError, match=f"spans {MOST_WEEKS + 1} weeks, from 2006-04-10 to .* leave the oldest out"):
        calendar_of(rows_of({"date": MONDAY}, {"date": last + timedelta(weeks=1)}), None)


@pytest.mark.parametrize("day, weekday, week", [(10, 1, 1), (13, 4, 1), (15, 6, 1), (16, 7, 1), (17, 1, 2)])
def test_the_weekday_is_that_of_the_date(day, weekday, week):  # C3: raw SHOP_WEEKDAY, where 1 is Sunday, is not asked
    (row,) = build({"date": date(2006, 4, day)})
    assert (row["weekday"], row["week"]) == (weekday, week)


def test_a_product_that_a_basket_lists_twice_is_added_up():  # C4
    found = build({}, {"quantity": 3, "spend": Decimal("2.85")}, {"product_id": "P2"}, {"basket_id": "B2"})
    amounts = {(r["basket_id"], r["product_id"]): (r["quantity"], r["spend"]) for r in found}
    assert amounts == {
        ("B1", "P1"): (5, Decimal("4.75")),
        ("B1", "P2"): (2, Decimal("1.90")),
        ("B2", "P1"): (2, Decimal("1.90")),
    }


def test_a_row_keeps_what_it_says():
    (row,) = build({})
    assert row == {**GOOD, "week": 1, "weekday": 4}
    assert list(row) == list(TRANSACTIONS.columns)


def test_it_compiles_for_spark():  # C38
    pytest.importorskip("pyspark")
    assert ibis.pyspark and ibis.to_sql(build_transactions(rows_of({}), Calendar(MONDAY, 117)), dialect="pyspark")


RAW = {
    "BASKET_ID": "B1", "SHOP_WEEK": "200607", "SHOP_DATE": "20060413", "SHOP_WEEKDAY": "5", "SHOP_HOUR": "14",
    "PROD_CODE": "P1", "PROD_CODE_10": "CL1", "PROD_CODE_20": "DEP1", "PROD_CODE_30": "G1", "PROD_CODE_40": "D1",
    "CUST_CODE": "C1", "seg_1": "", "seg_2": "BU", "STORE_CODE": "S1", "STORE_FORMAT": "LS", "STORE_REGION": "E02",
    "QUANTITY": "2", "SPEND": "1.90", "BASKET_TYPE": "XX", "BASKET_DOMINANT_MISSION": "", "BASKET_SIZE": "L",
    "BASKET_PRICE_SENSITIVITY": "MM",
}  # fmt: skip
BAD = [
    {"BASKET_ID": "B2", "QUANTITY": "-1"},
    {"BASKET_ID": "B3", "PROD_CODE": "P1"},
    {"BASKET_ID": "B3", "PROD_CODE": "P2", "CUST_CODE": ""},
]
USED = [
    {},
    {},
    {"PROD_CODE": "P2", "SPEND": "0"},
    {"BASKET_ID": "B2", "PROD_CODE": "P2", "SHOP_DATE": "20060424", "SHOP_WEEK": "200609"},
]


@pytest.fixture
def prepare(tmp_path):
    """Write raw rows as a CSV and run the first step of the pipeline on it."""

    def run(changes, nrows=None, root=tmp_path / "data"):
        source = tmp_path / "raw.csv"
        with open(source, "w", newline="") as file:
            writer = csv.DictWriter(file, RAW)
            writer.writeheader()
            writer.writerows({**RAW, **change} for change in changes)
        prepare_transactions(source, nrows, root, (1, 2))
        table = TRANSACTIONS.read(root, connect())
        return table.order_by("basket_id", "product_id").to_pyarrow().to_pylist()

    return run


def test_every_row_is_used_or_set_aside_with_its_reason(prepare, tmp_path, capsys):  # C4
    rows = prepare([*USED, *BAD])
    found = [(r["basket_id"], r["product_id"], r["quantity"]) for r in rows]
    assert found == [("B1", "P1", 4), ("B1", "P2", 2), ("B2", "P2", 2)]
    assert (rows[0]["price_segment"], rows[0]["mission_type"], rows[0]["mission_focus"]) == (None, "Other", None)
    account = capsys.readouterr().out
    assert "7 rows in = 4 used + 3 set aside in quarantine/rows.parquet" in account
    assert "3 basket × product rows (1 added to others) over 3 weeks" in account
    assert "2 set aside: CUST_CODE differs within the basket" in account and "1 set aside: QUANTITY is not p" in account
    aside = QUARANTINE.read(tmp_path / "data", connect()).order_by("file", "row").to_pyarrow().to_pylist()
    assert [list(r.values())[:7] for r in aside] == [
        ["raw.csv", 5, "QUANTITY", "-1", "is not positive", "B2", "P1"],
        ["raw.csv", 6, "CUST_CODE", "C1", "differs within the basket", "B3", "P1"],
        ["raw.csv", 7, "CUST_CODE", None, "differs within the basket", "B3", "P2"],
    ]


def test_nothing_set_aside_leaves_no_quarantine(prepare, tmp_path, capsys):  # C4
    prepare([*USED, *BAD])
    prepare(USED)
    assert not (tmp_path / QUARANTINE.path).exists() and not (tmp_path / "data" / QUARANTINE.path).exists()
    assert "4 rows in = 4 used + 0 set aside;" in capsys.readouterr().out
    assert CALENDAR.read(tmp_path / "data") == Calendar(MONDAY, 3, 1, 2).to_json()


def test_the_order_of_raw_rows_does_not_change_a_byte(prepare, tmp_path):  # C21, C40
    for name, rows in {"a": [*USED, *BAD], "b": [*BAD, *USED[::-1]]}.items():
        prepare(rows, root=tmp_path / name)
    for artifact in (TRANSACTIONS, CALENDAR):
        assert (tmp_path / "a" / artifact.path).read_bytes() == (tmp_path / "b" / artifact.path).read_bytes()


def test_a_source_without_a_usable_row_is_refused_and_leaves_nothing(prepare, tmp_path):  # C4
    with pytest.raises(UserError, match=r"no usable row \(most because CUST_CODE differs within the basket\)"):
        prepare(BAD)
    assert not list((tmp_path / "data").rglob("*.parquet"))


def test_a_sample_has_the_calendar_of_all_rows(prepare, tmp_path):  # C5
    customers = [
        {"BASKET_ID": f"B{i}", "CUST_CODE": f"C{i}", "SHOP_DATE": f"200604{10 + i}", "SHOP_WEEK": f"20060{7 + i // 7}"}
        for i in range(19)
    ]
    assert len(prepare(customers, nrows=3)) == 3
    assert CALENDAR.read(tmp_path / "data") == Calendar(MONDAY, 3, 1, 2).to_json()
