"""A part of the data that is whole where it matters: customers with all their baskets over all weeks (SPEC C5)."""

import ibis
import ibis.expr.types as ir

from retailsim.errors import UserError


def sample_customers(rows: ir.Table, nrows: int) -> ir.Table:
    """About `nrows` rows of `rows` as whole baskets of whole customers, the same ones every time.

    Customers (an anonymous basket is a customer of its own) are put in the order of the md5 of their id and taken
    until `nrows` rows are reached, so that a larger sample holds every smaller one. A basket that several customers
    share goes with the first of them: it is whole, and the check of keys sees what is wrong with it. Rows without a
    basket are in no sample.
    """
    if nrows < 1:
        raise UserError(
            f"--nrows {nrows} takes no rows: give a number of at least 1, or leave --nrows out for all rows"
        )
    rows = rows.filter(rows.basket_id.notnull())
    baskets = rows.group_by("basket_id").agg(owner=rows.customer_id.min(), n=rows.count())
    units = baskets.mutate(unit=ibis.coalesce("c:" + baskets.owner, "b:" + baskets.basket_id))
    sizes = units.group_by("unit").agg(n=units.n.sum())
    sizes = sizes.mutate(order=sizes.unit.hexdigest("md5"))
    before = ibis.window(order_by=[sizes.order, sizes.unit], preceding=(None, 1))
    taken = sizes.mutate(before=sizes.n.sum().over(before).fill_null(0)).filter(lambda t: t.before < nrows)
    return rows.semi_join(units.semi_join(taken, "unit"), "basket_id")
