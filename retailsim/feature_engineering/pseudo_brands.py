"""Pseudo-brands: price tiers within a sub-category (document: "price tier × sub-category clusters"; SPEC C8.1).

Reads transactions, gives `artifacts.PSEUDO_BRANDS`, one row per product. Receipts name no brand; how dear a product
is among its sub-category's others stands in for it. The tiers' cuts are learned in the training weeks.

A product's price is the median of spend / quantity over the rows known for it: those of the training weeks or, for a
late product (first sold after them), those of the week of its first sale. Every feature made of a late product's
tier describes purchases of earlier weeks, so the W−1 rule holds. Late products and late sub-categories move no cut.
"""

import ibis
import ibis.expr.types as ir

TIERS = 5
CUTS = tuple(f"cut_{tier}" for tier in range(1, TIERS))
PRICE_DECIMALS = 6  # £; so that a cut interpolated by another engine still equals the price it falls on


def known_products(transactions: ir.Table, train_end: int) -> ir.Table:
    """What is known of each product: one row with its hierarchy, price and whether the training weeks saw it.

    Returns:
        product_id, hierarchy_10 … hierarchy_40, is_fitted, tier_price (£ per item; null where no known row has both
        a quantity and a spend above zero). Made of weeks ≤ max(train_end, week of the product's first sale).
    """
    first_week = transactions.week.min().over(group_by=transactions.product_id)
    dated = transactions.mutate(first_week=first_week)
    known = dated.filter(dated.week <= ibis.greatest(dated.first_week, train_end))
    is_usable = (known.spend > 0) & (known.quantity > 0)
    price = is_usable.ifelse(known.spend.cast("float64") / known.quantity, None)
    levels = [f"hierarchy_{level}" for level in (10, 20, 30, 40)]
    return known.group_by("product_id").agg(
        **{level: known[level].min() for level in levels},
        is_fitted=known.first_week.min() <= train_end,
        tier_price=price.median().round(PRICE_DECIMALS),
    )


def fit_brands(transactions: ir.Table, train_end: int) -> ir.Table:
    """The tiers of each sub-category: the quintile cuts and the median of its products' prices.

    Returns:
        One row per sub-category sold at a usable price in the training weeks: hierarchy_10, cut_1 … cut_4 and
        median_price (£ per item; every product counts once, however often it is sold).
    """
    products = known_products(transactions, train_end)
    fitted = products.filter(products.is_fitted & products.tier_price.notnull())
    return fitted.group_by("hierarchy_10").agg(
        median_price=fitted.tier_price.median(),
        **{cut: fitted.tier_price.quantile(k / TIERS).round(PRICE_DECIMALS) for k, cut in enumerate(CUTS, start=1)},
    )


def assign_brands(transactions: ir.Table, fitted: ir.Table, train_end: int) -> ir.Table:
    """Every product's tier by the cuts of `fitted`, from `fit_brands`.

    The tier is the mean of the number of cuts below the price and of those not above it, rounded down. So two
    products of a sub-category get tiers 0 and 4, three get 0, 2 and 4, and one alone, or many at one price, get 2.
    A product without a usable price, or whose sub-category has none in the training weeks, has no tier. Products whose
    sub-category is not known are compared with each other.

    Returns:
        The columns of `artifacts.PSEUDO_BRANDS`; tier_price is null where no usable price is known.
    """
    products = known_products(transactions, train_end)
    same = products.hierarchy_10.fill_null("") == fitted.hierarchy_10.fill_null("")
    joined = products.left_join(fitted, [same], rname="fitted_{name}")
    below: ir.IntegerValue = sum((joined[cut] < joined.tier_price).cast("int32") for cut in CUTS)
    not_above: ir.IntegerValue = sum((joined[cut] <= joined.tier_price).cast("int32") for cut in CUTS)
    is_priced = (joined.tier_price > 0) & (joined.median_price > 0)
    tier = ((below + not_above) / 2).floor().cast("int32")
    brand = joined.hierarchy_10.fill_null("unknown") + "-T" + tier.cast("string").fill_null("?")
    return joined.select(
        "product_id",
        brand=ibis.ifelse(joined.hierarchy_10.isnull() & tier.isnull(), None, brand),
        price_tier=tier,
        relative_price=is_priced.ifelse((joined.tier_price / joined.median_price).ln(), None),
        tier_price=joined.tier_price,
        is_fitted=joined.is_fitted,
    )


def derive_brands(transactions: ir.Table, train_end: int) -> ir.Table:
    """`artifacts.PSEUDO_BRANDS` of `transactions`, with the tiers fitted on weeks ≤ `train_end`."""
    return assign_brands(transactions, fit_brands(transactions, train_end), train_end)
