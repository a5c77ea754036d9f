"""C4: rows that cannot be used are set aside with file, row, column, value and reason; damage to the whole stops the run."""

from collections import Counter
from datetime import datetime

import ibis
import pytest

from retailsim.errors import UserError
from retailsim.sources import faults
from retailsim.sources.schema import PUBLISHED, Schema
from retailsim.sources.validate import judge
from retailsim.storage import connect


@pytest.fixture
def verdicts():
    """Of rows of text: row → (column, value, reason) of what is set aside; every row is either in it or used."""

    def judged(table, schema=PUBLISHED):
        stored = Counter(table.to_pyarrow()["file"].to_pylist())
        verdict = judge(table, stored, connect(), schema)
        found = verdict.faults.to_pyarrow().to_pylist()
        used = {(r["file"], r["row"]) for r in verdict.used.select("file", "row").to_pyarrow().to_pylist()}
        aside = {(r["file"], r["row"]) for r in found}
        assert len(found) == len(aside) and len(used) + len(aside) == sum(stored.values()) and not used & aside
        assert sum(entry["n"] for entry in verdict.account()) == len(found)
        return {r["row"]: (r["column"], r["value"], r["reason"]) for r in found}

    return judged


def others(n, **changes):
    """`n` rows without fault, each a basket of its own."""
    return [{"basket_id": f"OTHER{i}", **changes} for i in range(n)]


@pytest.mark.parametrize(
    "column, raw, value, reason",
    [
        ("date", "SHOP_DATE", "13/04/2006", "is no date yyyymmdd"),
        ("date", "SHOP_DATE", "20060431", "is no date yyyymmdd"),
        ("hour", "SHOP_HOUR", "noon", "is no whole number such as 14"),
        ("hour", "SHOP_HOUR", "24", "is not within 0–23"),
        ("hour", "SHOP_HOUR", "-1", "is not within 0–23"),
        ("shop_week", "SHOP_WEEK", "2006W7", "is no whole number such as 200607"),
        ("quantity", "QUANTITY", "abc", "is no whole number such as 2"),
        ("quantity", "QUANTITY", "1.5", "is no whole number such as 2"),
        ("quantity", "QUANTITY", "99999999999999999999", "is no whole number such as 2"),
        ("quantity", "QUANTITY", "0", "is not positive"),
        ("quantity", "QUANTITY", "-1", "is not positive"),
        ("quantity", "QUANTITY", "200001", "is over 100,000 times the median"),
        ("spend", "SPEND", "1,90", "is no amount such as 1234.50"),
        ("spend", "SPEND", "1,234.50", "is no amount such as 1234.50"),
        ("spend", "SPEND", "1.234,50", "is no amount such as 1234.50"),
        ("spend", "SPEND", "£1.90", "is no amount such as 1234.50"),
        ("spend", "SPEND", "NaN", "is no amount such as 1234.50"),
        ("spend", "SPEND", "inf", "is no amount such as 1234.50"),
        ("spend", "SPEND", "-0.01", "is negative"),
        ("spend", "SPEND", "190000.01", "is over 100,000 times the median"),
        ("spend", "SPEND", None, "is empty"),
        ("hierarchy_20", "PROD_CODE_20", None, "is empty"),
        ("basket_id", "BASKET_ID", None, "is empty"),
        ("basket_id", "BASKET_ID", "9.94101E+14", "is a number that a spreadsheet has rounded"),
        ("basket_id", "BASKET_ID", "9,941E+14", "is a number that a spreadsheet has rounded"),
        ("basket_id", "BASKET_ID", "1e+15", "is a number that a spreadsheet has rounded"),
        ("basket_id", "BASKET_ID", "9.94101E14", "is a number that a spreadsheet has rounded"),
        ("basket_id", "BASKET_ID", "Basket_ID", "is the header again"),
        ("date", "SHOP_DATE", "20990413", "is more than a year away from the other dates"),
        ("date", "SHOP_DATE", "19760413", "is more than a year away from the other dates"),
        ("date", "SHOP_DATE", "19060413", "is not within 1970–2099"),
        ("date", "SHOP_DATE", "99991231", "is not within 1970–2099"),
        ("date", "SHOP_DATE", "00010101", "is not within 1970–2099"),
        ("date", "SHOP_DATE", "20060417", "does not fit the date"),  # a Monday: the week after 200607
    ],
)  # fmt: skip
def test_one_bad_cell_sets_its_row_aside_and_nothing_else(text, verdicts, column, raw, value, reason):
    at = "SHOP_WEEK" if reason == "does not fit the date" else raw
    shown = "200607" if reason == "does not fit the date" else value
    week = [{"basket_id": f"D{day}", "date": f"200604{day}"} for day in range(10, 17)]
    found = verdicts(text(*week, {"basket_id": "B1"}, {"basket_id": "B1", "product_id": "P2", column: value}))
    assert found == {9: (at, shown, reason)}


def test_what_is_odd_and_still_sound(text, verdicts):  # C3
    odd = [
        {"spend": "0"}, {"quantity": "1685"}, {"spend": "2594.90"}, {"hour": "0"}, {"hour": "23"}, {"basket_id": "B1E5"},
        {"basket_id": "17e62166"}, {"basket_id": "42E01"}, {"basket_id": "1e5"},  # hexadecimal, as hashes are
        {"basket_id": "12E-A"}, {"customer_id": None, "price_segment": None, "lifestage": None}, {"mission_type": "XX"},
        {"product_id": "'; DROP TABLE receipts; --"}, {"store_id": "../../etc"}, {"basket_id": "🧺 " + "x" * 10_000},
    ]  # fmt: skip
    assert verdicts(text(*[{"basket_id": f"B{i}", **change} for i, change in enumerate(odd)])) == {}


def test_a_row_of_another_width_is_shown_whole(text, verdicts):
    empty = {"basket_id": "200607", "date": None, "spend": None}
    found = verdicts(text({"line": "200607,20060413", **empty}, {}))
    assert found == {1: ("the row", "200607,20060413", "has more or fewer values than the header")}


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
def test_a_basket_with_two_of_a_kind_is_set_aside_whole(text, verdicts, column, raw, values):
    first, second = values
    found = verdicts(
        text(
            {"basket_id": "B1", "product_id": "P1", column: first},
            {"basket_id": "B1", "product_id": "P2", column: second, "file": "transactions_2.csv"},
            {"basket_id": "B1", "product_id": "P3", column: first},
            {"basket_id": "B2", "product_id": "P1", column: first},
        )
    )
    assert found == {
        row: (raw, value, "differs within the basket") for row, value in [(1, first), (2, second), (3, first)]
    }


def test_a_bad_cell_does_not_condemn_its_basket(text, verdicts):
    found = verdicts(text({}, {"product_id": "P2", "hour": "15", "quantity": "0"}))
    assert found == {2: ("QUANTITY", "0", "is not positive")}


def test_an_anonymous_basket_is_no_conflict(text, verdicts):  # C3
    assert verdicts(text({"customer_id": None}, {"customer_id": None, "product_id": "P2"})) == {}


def test_the_hierarchy_is_a_tree_as_most_rows_have_it(text, verdicts):
    most = others(3)
    moved = {"basket_id": "B1", "hierarchy_10": "CL9", "hierarchy_20": "DEP9", "hierarchy_30": "G9"}  # of one product
    above = {"basket_id": "B2", "product_id": "P2", "hierarchy_20": "DEP9"}  # of a sub-category
    found = verdicts(text(*most, moved, above))
    assert found == {4: ("PROD_CODE_10", "CL9", faults.TREE), 5: ("PROD_CODE_20", "DEP9", faults.TREE)}


def test_of_two_parents_given_equally_often_the_first_stays(text, verdicts):
    found = verdicts(text({"hierarchy_40": "D2"}, {"basket_id": "B2", "hierarchy_40": "D1"}))
    assert found == {1: ("PROD_CODE_40", "D2", faults.TREE)}


def test_weeks_may_begin_on_any_day(text, verdicts):
    days = [f"200604{day}" for day in range(13, 20)]  # Thursday to Wednesday
    rows = [{"basket_id": f"B{day}", "date": day} for day in days]
    after = [{"basket_id": f"N{i}", "date": f"200604{20 + i}", "shop_week": "200608"} for i in range(7)]
    assert verdicts(text(*rows, *after)) == {}
    assert verdicts(text(*rows, *after, {"basket_id": "B", "date": "20060420"})) == {
        15: ("SHOP_WEEK", "200607", "does not fit the date")
    }


def test_two_periods_far_apart_keep_the_larger(text, verdicts):
    early = [{"basket_id": f"E{i}", "date": "20010413", "shop_week": "200107"} for i in range(3)]
    assert set(verdicts(text(*early, *others(4)))) == {1, 2, 3}
    assert verdicts(text(*others(2), {"basket_id": "L", "date": "20070413", "shop_week": "200707"})) == {}  # 365 days


def dated(day, rows, basket):
    """`rows` rows of a basket on `day`, with the label of its week."""
    week = datetime.strptime(day, "%Y%m%d").strftime("%G%V")
    return [{"basket_id": basket, "product_id": f"P{i}", "date": day, "shop_week": week} for i in range(rows)]


@pytest.mark.parametrize(
    "stray, aside",
    [
        (dated("20060701", 1, "A"), 1),  # 77 days behind 2006-04-15
        (dated("20060610", 1, "A"), 0),  # 56 days: eight weeks are no more than eight weeks
        (dated("20060611", 1, "A"), 1),
        (dated("20060201", 1, "A"), 1),  # before
        (dated("20060701", 14, "A"), 14),  # one basket, 14 of 314 rows
        (dated("20060701", 16, "A"), 0),  # more than a twentieth: it may be the first receipt of a period
        ([*dated("20060701", 1, "A"), *dated("20060702", 1, "B")], 0),  # two baskets together are some period
        ([*dated("20060701", 1, "A"), *dated("20061001", 1, "B"), *dated("20060101", 1, "C")], 3),  # each alone
        (
            [*dated("20060701", 1, "A"), *[r for i in range(20) for r in dated("20061001", 1, f"B{i}")]],
            0,
        ),  # amid others
    ],
)
def test_a_few_rows_at_an_end_of_the_calendar_are_set_aside(text, verdicts, stray, aside):
    found = verdicts(text(*stray, *[row for i in range(300) for row in dated(f"200604{10 + i % 6}", 1, f"M{i}")]))
    assert found == {row + 1: ("SHOP_DATE", stray[row]["date"], faults.ALONE) for row in range(aside)}


def test_of_many_rows_a_thousandth_is_no_period(text, verdicts):
    many = [row for i in range(2_500) for row in dated(f"200604{10 + i % 6}", 1, f"M{i}")]
    assert set(verdicts(text(*dated("20060701", 1, "A"), *dated("20060701", 1, "B"), *many))) == {1, 2}
    assert verdicts(text(*[r for basket in "ABC" for r in dated("20060701", 1, basket)], *many)) == {}  # 3 of 2,503


def test_a_file_given_twice_is_used_once(text, verdicts):
    basket = [{"basket_id": "B1", "product_id": f"P{i}"} for i in range(3)]
    again = [{**row, "file": "transactions_copy.csv"} for row in basket]
    found = verdicts(text(*basket, *others(2), *again))
    assert found == {row: ("BASKET_ID", "B1", faults.REPEATS) for row in (6, 7, 8)}


def lines_of(*lines, basket="B1"):
    """Rows of a basket, as "P1" or "a.csv P1": its products as a till lists them, and the file; "else": of another basket."""
    parts = [line.rpartition(" ") for line in lines]
    rows = [{"basket_id": basket, "product_id": p, "file": file or "transactions.csv"} for file, _, p in parts]
    return [{**row, "basket_id": f"ELSE{i}"} if row["product_id"] == "else" else row for i, row in enumerate(rows)]


@pytest.mark.parametrize(
    "lines",
    [
        ["P1", "P1"],
        ["P1", "P1", "P1"],
        ["P2", "P2", "P3", "P3"],
        ["P2", "P2", "P3", "P2", "P3", "P3"],
        ["a.csv P2", "a.csv P2", "b.csv P3", "b.csv P3"],
        ["a.csv P2", "a.csv P2", "a.csv P3", "b.csv P3"],  # cut within a product
        ["P1", "P2", "P1", "P2"],  # scanned as they came
        ["P1", "P2", "P2", "P1", "P1", "P2"],
    ],
)
def test_a_till_that_lists_every_unit_is_added_up(text, verdicts, lines):  # C4
    assert verdicts(text(*lines_of(*lines), *others(2))) == {}


@pytest.mark.parametrize(
    "lines, aside",
    [
        (["P1", "P2", "else", "P1", "P2"], [4, 5]),
        (["P1", "else", "P2", "else", "P1", "else", "P2"], [5, 7]),  # the lines of a basket apart, as where rows go by product
        (["P1", "P2", "else", "P2", "P1", "else", "P1", "P2"], [4, 5, 7, 8]),
        (["P1", "P2", "P1", "P2", "else", "P1", "P2", "P1", "P2"], [6, 7, 8, 9]),  # two of each, given twice
        (["P1", "P1", "else", "P1", "P1"], [4, 5]),
        (["P1", "P2", "P1", "P2", "else", "P1", "P2"], []),  # no receipt twice
        (["a.csv P1", "a.csv P2", "a.csv P1", "a.csv P2", *["b.csv P1", "b.csv P2", "b.csv P1", "b.csv P2"]], [5, 6, 7, 8]),
        (["a.csv P1", "a.csv P2", "a.csv P1", "a.csv P2", "b.csv P1", "b.csv P2"], [5, 6]),  # twice in one file, put in order, and in another
        (["a.csv P1", "b.csv P1"], [2]),
        (["a.csv P1", "a.csv P2", "b.csv P2", "b.csv P1"], [3, 4]),
        (["a.csv P1", "b.csv P2", "c.csv P1", "d.csv P2"], [3, 4]),  # split over two files, both given twice
        (["a.csv P1", "b.csv P1", "b.csv P2", "c.csv P2"], [2, 4]),
        (["a.csv P1", "a.csv P1", "b.csv P1", "b.csv P1"], [3, 4]),  # of a till that lists every unit
        (["a.csv P1", "a.csv P1", "a.csv P2", "a.csv P2", *["b.csv P1", "b.csv P1", "b.csv P2", "b.csv P2"]], [5, 6, 7, 8]),
    ],
)  # fmt: skip
def test_a_copy_behind_other_rows_or_in_another_file_is_a_repetition(text, verdicts, lines, aside):
    found = verdicts(text(*lines_of(*lines), *others(2)))
    assert found == {row: ("BASKET_ID", "B1", faults.REPEATS) for row in aside}


def test_a_week_given_twice_in_one_file_is_used_once(text, verdicts):
    week = [*lines_of("P1"), *lines_of("P1", "P2", basket="B2")]
    assert set(verdicts(text(*week, *week))) == {4, 5, 6}


def test_a_basket_split_over_two_files_is_whole(text, verdicts):
    half = {"basket_id": "B1", "product_id": "P2", "file": "transactions_2.csv"}
    assert verdicts(text({"basket_id": "B1", "product_id": "P1"}, half)) == {}


def test_a_product_scanned_twice_beside_others_is_added_up(text, verdicts):  # C4
    assert verdicts(text({"product_id": "P1"}, {"product_id": "P1"}, {"product_id": "P2"})) == {}


def refusal(verdicts, table):
    with pytest.raises(UserError) as caught:
        verdicts(table)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "column, value, said",
    [
        ("date", "04/13/2006", "SHOP_DATE is no date yyyymmdd"),
        ("date", "99991231", "SHOP_DATE is not within 1970–2099"),
        ("spend", "1,90", "SPEND is no amount such as 1234.50"),
        ("quantity", "0.375", "QUANTITY is no whole number such as 2"),
        ("basket_id", "9.94E+14", "BASKET_ID is a number that a spreadsheet has rounded"),
        ("store_id", None, "STORE_CODE is empty"),
    ],
)
def test_a_column_broken_throughout_a_file_stops_the_run(text, verdicts, column, value, said):
    sound, broken = others(200), [{"file": "bad.csv", column: value, "row": 1 + i} for i in range(12)]
    message = refusal(verdicts, text(*sound, *broken))
    assert message.startswith(f"bad.csv: {said} in 12 of 12 rows, as {value!r} in row 1: ")
    few = [{"basket_id": f"F{i}", "file": "bad.csv", "row": 20 + i} for i in range(108)]
    assert len(verdicts(text(*sound, *broken, *few))) == 12  # a tenth is not more than a tenth


def test_rounded_ids_that_look_like_ids_stop_the_run(text, verdicts):
    """9.94E+14 saved again as digits: thousands of rows in one basket over many stores and days."""
    rows = [
        {"basket_id": "994000000000000", "store_id": f"S{i % 8}", "date": f"200604{10 + i % 7}", "customer_id": f"C{i % 50}"}
        for i in range(300)
    ]  # fmt: skip
    message = refusal(verdicts, text(*rows))
    assert (
        "CUST_CODE differs within the basket in 300 of 300 rows" in message
        and "rounded" in message
        and "text" in message
    )


def test_rows_that_the_engine_lost_stop_the_run(text, engine):
    with pytest.raises(UserError, match="transactions.csv holds 3 rows, of which 2 can be told apart"):
        judge(text({}, {"basket_id": "B2"}), {"transactions.csv": 3}, engine)


def test_a_file_cut_off_in_its_last_row_stops_the_run(text, verdicts):
    assert "transactions.csv ends in a row" in refusal(verdicts, text({}, {"line": "200607,2006"}))


def test_a_column_that_the_source_does_not_have_may_be_empty(text, verdicts):  # C2
    rows = text({"hour": None}, {"basket_id": "B2", "hour": None, "spend": "-1"})
    assert {column for column, _, _ in verdicts(rows).values()} == {"SHOP_HOUR"}
    schema = Schema({**PUBLISHED.names, "spend": "SALES_PRICE"}, ("basket_id", "product_id"))
    assert verdicts(rows, schema) == {2: ("SALES_PRICE", "-1", "is negative")}


def test_the_rules_compile_for_spark():  # C38
    pytest.importorskip("pyspark")
    assert ibis.pyspark and all(faults.plan(PUBLISHED, "pyspark").values())
