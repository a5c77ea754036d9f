"""C2, C4: what the first stage says of a source beside the account: columns that say nothing, weeks without a receipt."""

from datetime import date, timedelta

import pytest

from retailsim.data_pipeline.run_pipeline import prepare_transactions
from retailsim.sources.mapping import parse_mapping

MONDAY = date(2024, 1, 1)


@pytest.fixture
def said(tmp_path, capsys):
    """What is printed of receipts in given weeks, by a mapping with more columns."""

    def run(weeks, columns="", nrows=None):
        days = [MONDAY + timedelta(weeks=week - 1) for week in weeks]
        rows = [f"{i},P{i % 3},{day},1,full shop,{'' if i % 4 else 'M1'}" for i, day in enumerate(days)]
        (tmp_path / "till.csv").write_text("\n".join(["b,p,d,q,kind,member", *rows]) + "\n")
        mapping = parse_mapping(f"columns: {{basket_id: b, product_id: p, date: d, quantity: q, {columns}}}", "m.yaml")
        prepare_transactions(tmp_path / "till.csv", nrows, tmp_path / "data", None, mapping)
        return capsys.readouterr().out.splitlines()

    return run


@pytest.mark.parametrize(
    "column, raw", [("mission_type: kind", "kind"), ("lifestage: {column: member, values: {x: young}}", "member")]
)
def test_a_column_that_says_nothing_of_any_row_is_named(said, column, raw):
    name = column.split(":")[0]
    warnings = [line for line in said(range(1, 11), f"customer_id: member, {column}") if "unknown in every row" in line]
    assert [line.split(":")[1] for line in warnings] == [f" {name} is unknown in every row used"]
    assert f": {raw} is empty, stands in no file that is there, or holds no value that is known" in warnings[0]


def test_a_column_that_says_something_of_one_row_is_not(said):
    values = "lifestage: {column: member, values: {M1: young}}"
    assert not [line for line in said(range(1, 11), values) if "unknown in every row" in line]


def test_many_weeks_without_a_receipt_are_warned_about(said):
    before, after = list(range(1, 11)), list(range(20, 31))
    warning = "  warning: weeks 11–19 have no receipt: are the dates before and behind them right?"
    assert warning in said([*before, *after])
    assert warning not in said([*before, *after], nrows=5)  # a few customers have gaps of their own
    assert not [line for line in said([*before, *range(19, 31)]) if "no receipt" in line]  # eight weeks
