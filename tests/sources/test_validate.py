"""C4: values that are none stop the run; rows that contradict their basket or range are set aside with a reason."""

import ibis
import pytest

from retailsim.errors import UserError
from retailsim.sources.schema import PUBLISHED, Schema, typed
from retailsim.sources.validate import refuse_unparsable, with_reasons


def verdicts(table):
    """(basket, product) → (column, reason); None for rows without fault."""
    rows = with_reasons(typed(table)).to_pyarrow().to_pylist()
    found = {(r["basket_id"], r["product_id"]): (r["column"], r["reason"]) if r["reason"] else None for r in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.parametrize(
    "column, raw, value, wrong",
    [
        ("date", "SHOP_DATE", "13/04/2006", "no date"),
        ("date", "SHOP_DATE", "20060431", "no date"),
        ("hour", "SHOP_HOUR", "noon", "no whole number"),
        ("quantity", "QUANTITY", "1.5", "no whole number"),
        ("shop_week", "SHOP_WEEK", "2006W7", "no whole number"),
        ("spend", "SPEND", "1,90", "no number"),
        ("basket_id", "BASKET_ID", "9.94101E+14", "a number that a spreadsheet has rounded"),
        ("basket_id", "BASKET_ID", "9,941E+14", "a number that a spreadsheet has rounded"),
    ],
)
def test_a_value_that_is_none_is_named_with_file_and_column(text, column, raw, value, wrong):
    with pytest.raises(UserError) as caught:
        refuse_unparsable(text({}, {"file": "transactions_200608.csv", column: value}))
    message = str(caught.value)
    for part in ("transactions_200608.csv", f"column {raw} ", repr(value), wrong, "(1 such rows)", "run again"):
        assert part in message
    assert "\n" not in message


def test_good_rows_and_empty_values_pass(text):
    refuse_unparsable(text({}, {"hour": None, "date": None}, {"basket_id": "B1E5"}, {"basket_id": "12E-A"}))


def test_rows_out_of_range_are_set_aside_alone(text):
    rows = {
        "good": {},
        "free": {"spend": "0"},
        "returned": {"quantity": "-1"},
        "none": {"quantity": "0"},
        "refund": {"spend": "-0.01"},
        "unpriced": {"spend": None},
        "unshelved": {"hierarchy_20": None},
    }
    found = verdicts(text(*[{"product_id": name, **change} for name, change in rows.items()]))
    assert {product: verdict for (_, product), verdict in found.items()} == {
        "good": None,
        "free": None,
        "returned": ("QUANTITY", "is not positive"),
        "none": ("QUANTITY", "is not positive"),
        "refund": ("SPEND", "is negative"),
        "unpriced": ("SPEND", "is empty"),
        "unshelved": ("PROD_CODE_20", "is empty"),
    }


@pytest.mark.parametrize(
    "column, raw, values",
    [
        ("customer_id", "CUST_CODE", ("C1", "C2")),
        ("customer_id", "CUST_CODE", ("C1", None)),  # a basket is anonymous or it is not
        ("store_id", "STORE_CODE", ("S1", "S2")),
        ("date", "SHOP_DATE", ("20060413", "20060414")),
        ("hour", "SHOP_HOUR", ("14", "15")),
    ],
)
def test_a_basket_with_two_of_a_kind_is_set_aside_whole(text, column, raw, values):
    first, second = values
    found = verdicts(
        text(
            {"basket_id": "B1", "product_id": "P1", column: first},
            {"basket_id": "B1", "product_id": "P2", column: second},
            {"basket_id": "B1", "product_id": "P3", column: first},
            {"basket_id": "B2", "product_id": "P1", column: first},
        )
    )
    differs = (raw, "differs within the basket")
    assert found == {("B1", "P1"): differs, ("B1", "P2"): differs, ("B1", "P3"): differs, ("B2", "P1"): None}


def test_an_anonymous_basket_is_no_conflict(text):  # C3
    found = verdicts(text({"customer_id": None}, {"customer_id": None, "product_id": "P2"}))
    assert set(found.values()) == {None}


def test_rows_without_a_basket_are_set_aside_and_no_basket_of_their_own(text):
    found = verdicts(
        text({"basket_id": None, "product_id": "P1"}, {"basket_id": None, "product_id": "P2", "hour": "9"})
    )
    assert found == {(None, "P1"): ("BASKET_ID", "is empty"), (None, "P2"): ("BASKET_ID", "is empty")}


def test_an_hour_of_the_day(text):
    found = verdicts(text({"basket_id": "B1", "hour": "24"}, {"basket_id": "B2", "hour": "0"}))
    assert list(found.values()) == [("SHOP_HOUR", "is not within 0–23"), None]


def test_the_verdict_compiles_for_spark(text):  # C38
    pytest.importorskip("pyspark")
    assert ibis.pyspark and ibis.to_sql(with_reasons(typed(text({}))), dialect="pyspark")


def test_a_column_that_the_source_does_not_have_may_be_empty(text):  # C2
    rows = typed(text({"hour": None}, {"basket_id": "B2", "hour": None, "spend": "-1"}))
    assert set(with_reasons(rows).to_pyarrow()["column"].to_pylist()) == {"SHOP_HOUR"}
    without = Schema({**PUBLISHED.names, "spend": "SALES_PRICE"}, ("basket_id", "product_id"))
    assert with_reasons(rows, without).order_by("basket_id").to_pyarrow()["column"].to_pylist() == [None, "SALES_PRICE"]
