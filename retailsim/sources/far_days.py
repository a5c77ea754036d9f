"""Days that lie apart from all others: one of them would stretch the calendar, and with it the split (SPEC C4)."""

import ibis
import ibis.expr.types as ir

FAR_DAYS = 366  # without a row, between two periods of which only the larger is used
APART_DAYS = 56  # eight weeks without a row, behind which a few rows are no period
FEW = 1000  # fewer than one row in so many at an end of the calendar are a few …
FEW_OF_ONE = 20  # … and so is a basket alone in its time, if it holds fewer than one row in so many


def far_days(rows: ir.Table) -> ir.Table:
    """The days of `rows` that are not to be used, as `date`, `is_far` and `is_alone`.

    `is_far`: more than FAR_DAYS from the period with the most rows. `is_alone`: in this period, but at one of its ends,
    with APART_DAYS before all that follows, and with so few rows in between as FEW and FEW_OF_ONE say. What follows
    then begins the calendar; a few rows amid others do no harm and stay.
    """
    days = rows.group_by("date").agg(n=rows.count(), least=rows.basket_id.min(), most=rows.basket_id.max())
    gap = days.date.delta(days.date.lag().over(ibis.window(order_by=days.date)), unit="day").fill_null(0)
    days = days.mutate(is_period=(gap > FAR_DAYS).cast("int64"), is_block=(gap > APART_DAYS).cast("int64"))
    so_far = ibis.cumulative_window(order_by=days.date)
    days = days.mutate(period=days.is_period.sum().over(so_far), block=days.is_block.sum().over(so_far))
    blocks = days.group_by("period", "block").agg(n=days.n.sum(), is_one=days.least.min() == days.most.max())
    blocks = blocks.mutate(size=blocks.n.sum().over(group_by=blocks.period))
    main = blocks.order_by(blocks["size"].desc(), blocks.period).limit(1).select("period")
    kept = blocks.semi_join(main, "period")
    kept = kept.mutate(is_alone=_is_alone(kept, kept.block) | _is_alone(kept, kept.block.desc()))
    joined = days.left_join(kept.select("block", "is_alone"), "block")
    marked = joined.select("date", is_far=joined.is_alone.isnull(), is_alone=joined.is_alone.fill_null(False))
    return marked.filter(marked.is_far | marked.is_alone)


def _is_alone(blocks: ir.Table, inwards: ir.Value) -> ir.BooleanValue:
    """Whether all from one end up to each block is a few rows, the blocks taken in the order `inwards`."""
    up_to = ibis.cumulative_window(order_by=inwards)
    together = blocks.n.sum().over(up_to)
    all_one = blocks.is_one.cast("int64").min().over(up_to) == 1
    return (together * FEW < blocks["size"]) | (all_one & (together * FEW_OF_ONE < blocks["size"]))
