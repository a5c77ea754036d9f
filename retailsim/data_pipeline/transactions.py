"""Raw rows become transactions: one row per basket and product, dated in weeks, bad rows set aside (SPEC C3, C4).

Reads rows of `sources`, gives `artifacts.TRANSACTIONS`. Quantities and spend of a product that a basket lists twice
are added up.
"""

import ibis
import ibis.expr.types as ir

from retailsim.artifacts import TRANSACTIONS
from retailsim.errors import UserError
from retailsim.sources.schema import PUBLISHED
from retailsim.weeks import MOST_WEEKS, Calendar

KEYS = ("basket_id", "product_id")
SUMMED = ("quantity", "spend")


def calendar_of(rows: ir.Table, split: tuple[int, int] | None, date_column: str = PUBLISHED.names["date"]) -> Calendar:
    """The calendar from the first to the last day of `rows`; a UserError where no row has a day, or they span too many.

    Args:
        rows: of `sources`.
        split: last week of training and of validation; None: the usual one.
        date_column: what the source calls the day.
    """
    days = rows.aggregate(first=rows.date.min(), last=rows.date.max()).to_pyarrow().to_pylist()[0]
    if days["first"] is None:
        raise UserError(
            f"no row has a date: fill column {date_column} of the source, as yyyymmdd or as its mapping says"
        )
    calendar = Calendar.starting(days["first"], days["last"], split)
    if calendar.last_week > MOST_WEEKS:
        raise UserError(
            f"the source spans {calendar.last_week} weeks, from {days['first']} to {days['last']}, and at most {MOST_WEEKS} can be "
            f"used: leave the oldest out"
        )
    return calendar


def build_transactions(rows: ir.Table, calendar: Calendar) -> ir.Table:
    """`rows` without a reason against them, as TRANSACTIONS."""
    weekday = rows.date.day_of_week.index().cast("int64") + 1  # Monday is 0 in Ibis
    week = rows.date.delta(ibis.date(calendar.first_monday.isoformat()), unit="day") // 7 + 1
    dated = rows.mutate(weekday=weekday.cast("int32"), week=week.cast("int32"))
    shared = [name for name in TRANSACTIONS.columns if name not in (*KEYS, *SUMMED)]
    grouped = dated.group_by(*KEYS).agg(
        **{name: dated[name].min() for name in shared}, **{name: dated[name].sum() for name in SUMMED}
    )
    return grouped.select(*TRANSACTIONS.columns)
