"""C3: text to numbers, days and labels; what is none of them becomes null, never something near."""

from datetime import date
from decimal import Decimal

import ibis
import pyarrow as pa
import pytest

from retailsim.sources.schema import as_text, parsed, to_date, to_label, values

DAY = date(2006, 4, 13)


def column(values, make, name="x"):
    """What `make` gives of a table whose text column `name` holds `values`."""
    table = ibis.memtable({"i": range(len(values)), name: values}, schema={"i": "int64", name: "string"})
    return table.select("i", y=make(table)).order_by("i").to_pyarrow()["y"].to_pylist()


@pytest.mark.parametrize(
    "kind, numbers, texts",
    [
        (pa.float64(), [10045, -3, 0, 994100100532897, 2**53 - 1], ["10045", "-3", "0", "994100100532897", "9007199254740991"]),
        (pa.float64(), [1.5, None, float("inf"), float("nan"), 1e17, 1e300], ["1.5", None, "inf", None, "1e+17", "1e+300"]),
        (pa.float32(), [10045, 1.5, 2.0**24], ["10045", "1.5", "16777216.0"]),  # which stands for 16,777,217, too
        (pa.int64(), [10045, None], ["10045", None]),
        (pa.string(), ["10045.0", "007"], ["10045.0", "007"]),
    ],
)  # fmt: skip
def test_whole_floats_are_whole_numbers_as_text(kind, numbers, texts):  # C4
    table = ibis.memtable(pa.table({"i": range(len(numbers)), "x": pa.array(numbers, kind)}))
    assert table.select("i", y=as_text(table.x)).order_by("i").to_pyarrow()["y"].to_pylist() == texts


def test_days_in_the_two_usual_spellings():
    texts = ["20060413", "2006-04-13", "2006-04-13 00:00:00", "20061301", "2006", "13/04/2006", "200604131", None]
    assert column(texts, lambda table: to_date(table.x)) == [DAY, DAY, DAY, None, None, None, None, None]


@pytest.mark.parametrize(
    "name, texts, values",
    [
        ("hour", ["8", "08", "8.0", "8.5", "0x8", "8h", None], [8, 8, 8, None, None, None, None]),
        ("quantity", ["1685", "-1", "+2", "1.5", "1_000", "1e3", "99999999999999999999"], [1685, -1, 2] + [None] * 4),
        ("spend", ["1.03", "0", "-0.5", ".5", "2.", "1,03", "£1", "nan"], ["1.03", "0", "-0.5", "0.5", "2"] + [None] * 3),
        ("spend", ["1.0299999713897705", "1e-2", "1.5E1"], ["1.03", "0.01", "15"]),  # floats of a Parquet file
    ],
)  # fmt: skip
def test_numbers_are_taken_as_they_stand(name, texts, values):
    found = column(texts, lambda table: parsed(table, name), name)
    assert found == [None if v is None else Decimal(v) if name == "spend" else v for v in values]


def test_trip_labels_and_what_xx_means():
    raw = ["Top Up", "Full Shop", "XX", "Emergency", "top up", "", None]
    assert column(raw, lambda table: to_label(table.x, "mission_type")) == [
        "Top Up", "Full Shop", "Other", "Emergency", None, None, None,
    ]  # fmt: skip
    assert column(["Nonfood", "XX"], lambda table: to_label(table.x, "mission_focus")) == ["Nonfood", "Other"]
    assert column(["LA", "XX"], lambda table: to_label(table.x, "price_sensitivity")) == ["LA", None]
    assert column(["S", "XX"], lambda table: to_label(table.x, "basket_size")) == ["S", None]


def test_a_row_becomes_typed(text):
    table = text({"price_segment": "XX", "lifestage": None, "mission_type": "XX"})
    (row,) = table.select(**values(table)).to_pyarrow().to_pylist()
    assert row == {
        "basket_id": "994100100532897", "shop_week": 200607, "date": DAY, "hour": 14,
        "product_id": "PRD0900001", "hierarchy_10": "CL00001", "hierarchy_20": "DEP00001", "hierarchy_30": "G00001",
        "hierarchy_40": "D00001", "customer_id": "CUST0000000001", "price_segment": None, "lifestage": None,
        "store_id": "STORE00001", "store_format": "LS", "store_region": "E02", "quantity": 2, "spend": Decimal("1.90"),
        "mission_type": "Other", "mission_focus": "Fresh", "price_sensitivity": "MM", "basket_size": "L",
    }  # fmt: skip
