"""What was known before a week: the one door through which history reaches a feature (SPEC §1 W−1 rule, C19).

Every looked-up feature of a basket of week W is made from `as_of_sums`, whose frame ends at week W−1. A stage that
needs "so far" calls this function and writes no window of its own, so the future stays out of reach by construction.
"""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

FINENESS = 2.0**12  # decayed events are counted in units of 1 / FINENESS
EXACT = "decimal(38, 0)"  # sums of floats are exact up to 2^53 only, of integers on Spark up to 2^63


def as_of_sums(
    weekly: ir.Table, entity: Sequence[str], columns: Sequence[str], half_life: float | None = None
) -> ir.Table:
    """Sums of `columns` over all weeks before each row's week, per entity; 0 where nothing came before.

    Decayed events are rounded to whole units (1 / FINENESS of an event of week 0, less of later ones) and added up as
    decimals, because the last bit of a sum of floats depends on how the engine groups its additions, and that on the rows
    of later weeks. A total may have 38 digits: 70 half-lives of a chain that takes 10^12 pence a week.
    Weeks are floats: Spark divides whole numbers to six decimals.

    Args:
        weekly: one row per entity and week, with the key columns `entity`, `week` and the numeric `columns`. A row of
            zeros asks for the state of a week without events.
        entity: key columns, e.g. `["customer_id"]`.
        columns: what to add up; whole numbers where `half_life` is None.
        half_life: weeks after which an event counts half (an event of week v counts 2^-((W-v)/half_life) in week W);
            None counts every event fully.

    Returns:
        `entity`, `week` and `columns` (float64), one row per row of `weekly`, made of weeks ≤ week − 1 only.
    """
    before = ibis.window(group_by=list(entity), order_by="week", preceding=(None, 1))
    values = {name: weekly[name].cast("float64") for name in columns}
    if half_life:
        growth = ibis.literal(2.0) ** (weekly.week.cast("float64") / half_life) * FINENESS
        values = {name: (value * growth).cast(EXACT) for name, value in values.items()}
    grown = weekly.select(*entity, "week", **values)
    sums = {name: grown[name].sum().over(before).cast("float64").fill_null(0.0) for name in columns}
    if half_life:
        shrink = ibis.literal(2.0) ** (grown.week.cast("float64") / -half_life) / FINENESS
        sums = {name: total * shrink for name, total in sums.items()}
    return grown.select(*entity, "week", **sums)


def with_coming_week(weekly: ir.Table, entity: str, transactions: ir.Table) -> ir.Table:
    """`weekly` and one row of zeros more per entity: what is known of it as of the week after the last one.

    Args:
        weekly: one row per entity and week; other columns are numbers, or text, which the new rows lack.
        entity: key column.
        transactions: whose last week is the last one.
    """
    coming = transactions.agg(week=(transactions.week.max() + 1).cast(weekly.schema()["week"]))
    asked = weekly.select(entity).distinct().cross_join(coming)
    empty = {
        name: ibis.null(dtype) if dtype.is_string() else ibis.literal(0, dtype)
        for name, dtype in weekly.schema().items()
        if name not in (entity, "week")
    }
    return weekly.union(asked.mutate(**empty).select(*weekly.columns))
