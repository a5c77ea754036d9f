"""C2: days, hours and amounts in other formats; text that does not fit stays as it is, so that the check can name it."""

import ibis
import pytest

from retailsim.sources.raw_values import day_text, hour_text, numbered_day_text, product_text


def values(texts, make):
    table = ibis.memtable({"i": range(len(texts)), "x": texts}, schema={"i": "int64", "x": "string"})
    return table.select("i", y=make(table.x)).order_by("i").to_pyarrow()["y"].to_pylist()


@pytest.mark.parametrize(
    "forms, texts, days",
    [
        (("%m/%d/%Y",), ["11/1/2000", "1/31/2001", "11/01/2000 0:00", None], ["2000-11-01", "2001-01-31", "2000-11-01", None]),
        (("%m/%d/%Y",), ["2000-11-01", "11/1/20001", "x11/1/2000", "11-1-2000"], ["2000-11-01", "11/1/20001", "x11/1/2000", "11-1-2000"]),
        (("%m/%d/%Y", "%d.%m.%Y"), ["1/2/2000", "1.2.2000"], ["2000-01-02", "2000-02-01"]),
        (("%d-%b-%y",), ["05-Nov-01", "5-nov-99", "5-Foo-99"], ["2001-11-05", "1999-11-05", "5-Foo-99"]),
        (("%Y%m%d",), ["20001101", "20001101 10:15"], ["2000-11-01", "2000-11-01"]),
    ],
)  # fmt: skip
def test_days(forms, texts, days):
    assert values(texts, lambda x: day_text(x, forms)) == days


@pytest.mark.parametrize(
    "forms, texts, hours",
    [
        (("%H%M",), ["1631", "930", "5", "0", "x", None], ["16", "09", "00", "00", "x", None]),
        (("%H:%M",), ["8:05", "08:05:59"], ["8", "08"]),
        (("%Y-%m-%d %H:%M",), ["2017-01-01 11:53:26.5", "2017-01-01"], ["11", "2017-01-01"]),
        (("%Y-%m-%d %H:%M",), ["2017-01-01 08:15 PM", "2017-01-01 8:15:00am", "2017-01-01 8:15 p.m.", "2017-01-01 8:15 Amsterdam"],
         ["2017-01-01 08:15 PM", "2017-01-01 8:15:00am", "2017-01-01 8:15 p.m.", "8"]),
        (("%m/%d/%Y %I:%M %p",), ["1/2/2010 12:05 AM", "1/2/2010 12:05 pm", "1/2/2010 7:05 PM"], ["0", "12", "19"]),
    ],
)  # fmt: skip
def test_hours(forms, texts, hours):
    assert values(texts, lambda x: hour_text(x, forms)) == hours


def test_a_product_that_no_amount_holds_is_named():  # C4
    assert values(["99999999999", "2"], lambda x: product_text(x, ibis.literal("99999999"))) == [
        "99999999999 × 99999999",
        "199999998.00",
    ]


def test_day_numbers_and_products():
    numbers = ["1", "2.0", "711", "0", "-1", "1.5", "9999999", None]
    days = ["2016-03-23", "2016-03-24", "2018-03-03", "2016-03-22", "2016-03-21", "1.5", "9999999", None]
    assert values(numbers, lambda x: numbered_day_text(x, "2016-03-23")) == days
    assert values(["3", "0.5", "x", None], lambda x: product_text(x, ibis.literal("0.335"))) == [
        "1.01",
        "0.17",
        "x",
        None,
    ]
