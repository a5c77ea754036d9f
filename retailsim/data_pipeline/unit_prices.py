"""What a product cost in a store in a week, and whether that was its regular price (SPEC C7, stage 1).

Reads `artifacts.TRANSACTIONS`, gives `artifacts.PRICES`: one row per product, store and week with a sale.

Three facts of real receipts shape this stage:

- Most sales are single: half of all product-store pairs are sold in one week only. A store's own history is believed
  when it is long enough, otherwise the chain's is, moved to the price level of the store's format.
- Goods sold by weight are listed with quantity 1, so their "price per item" is that of a heavy or a light bag and
  changes from basket to basket. A bag that is a third lighter is no promotion (see `price_stickiness`).
- Spend is rounded to the penny and divided by the quantity; equal prices are equal only after rounding.

What describes the past (`base_price`, stickiness) is made of earlier weeks. Only where a product has no earlier price
anywhere is the base the chain's price of the week itself.
"""

from collections.abc import Iterator

import ibis
import ibis.expr.types as ir

from retailsim.artifacts import PRICES
from retailsim.as_of import as_of_sums
from retailsim.storage import held

WINDOW = 13  # weeks, a quarter: long against a promotion of 2–3 weeks, short enough to follow a lasting change in 7
OWN_WEEKS = 7  # a promotion of three weeks cannot move the median of seven weekly prices
PROMOTION = 0.1  # the smallest reduction that retailers put on a shelf label; rounding to the penny stays below it
REPEAT = 0.01  # a price that moved less than this was repeated; wider, and narrow weights would pass for a shelf price
STICKY = 0.5  # real products repeat their store's last price nearly always, or seldom (sold by weight)
SUSPECT_FACTOR = 5.0  # no promotion takes four fifths off; a wrong quantity or a misplaced decimal point does
SUSPECT_WEEKS = 3  # weekly prices that a base needs before it may call another price wrong
DECIMALS = 6  # of a unit price: loose goods cost thousandths of a pound, float noise begins at the 15th place

ROWS_AT_ONCE = 500_000  # product-store-weeks, for which half a gigabyte is enough (docs/experiments.md)

KEYS = ("product_id", "store_id", "week")


def derive_prices(transactions: ir.Table) -> ir.Table:
    """PRICES from TRANSACTIONS."""
    own = weekly_prices(transactions)
    return _prices(own, format_levels(own))


def price_parts(transactions: ir.Table, rows_at_once: int = ROWS_AT_ONCE) -> Iterator[ir.Table]:
    """PRICES from TRANSACTIONS, of about `rows_at_once` rows in each part, which has all rows of its products.

    Medians over windows are what DuckDB keeps in memory and does not write to disk. Spark gives all in one part.
    """
    if ibis.get_backend(transactions).name != "duckdb":
        yield derive_prices(transactions)
        return
    own = held(weekly_prices(transactions))
    levels = held(format_levels(own))
    if own.count().execute() <= rows_at_once:
        yield _prices(own, levels)
        return
    counts = own.group_by("product_id").agg(n=own.count())
    before = counts.n.sum().over(ibis.cumulative_window(order_by="product_id")) - counts.n
    numbered = held(counts.select("product_id", part=before // rows_at_once))
    for part in sorted(numbered.part.to_pyarrow().unique().to_pylist()):
        yield _prices(own.semi_join(numbered.filter(numbered.part == part), "product_id"), levels)


def _prices(own: ir.Table, levels: ir.Table) -> ir.Table:
    """PRICES of the products of `own`, some or all of `weekly_prices`, from them and all `format_levels`."""
    believed = with_believed_prices(with_base_prices(own, levels))
    return with_promotions(believed, price_stickiness(own)).select(*PRICES.columns)


def weekly_prices(transactions: ir.Table) -> ir.Table:
    """One row per product, store and week: median `price` in £ (null: no usable row), `n_sales`, format and region."""
    price = (transactions.spend.cast("float64") / transactions.quantity.cast("float64")).round(DECIMALS)
    usable = (transactions.quantity > 0) & (price > 0)  # a penny for a million is rounded to no price at all
    sales = transactions.select(
        *KEYS,
        price=ibis.ifelse(usable, price, None),
        store_format=transactions.store_format.fill_null(""),
        store_region=transactions.store_region.fill_null(""),
    )
    return sales.group_by(*KEYS).agg(
        price=sales.price.median(),
        n_sales=sales.price.count(),
        store_format=sales.store_format.min(),
        store_region=sales.store_region.min(),
    )


def with_base_prices(own: ir.Table, levels: ir.Table) -> ir.Table:
    """`own` with `base_price` and `base_weeks`, the number of weekly prices behind it (0: the week's own chain price).

    The base is the median of the last 13 weeks: of the store's own prices if there are seven of them, else of the
    chain's; else the chain's last price before; else the chain's price of this week.
    """
    quarter = ibis.window(group_by=["product_id", "store_id"], order_by="week", range=(-WINDOW, -1))
    own = own.mutate(own_base=own.price.median().over(quarter), own_weeks=own.price.count().over(quarter))
    rows = own.left_join(levels, ["store_format", "week"], rname="format_{name}")
    rows = rows.left_join(chain_prices(own, levels), ["product_id", "week"], rname="chain_{name}")
    enough = rows.own_weeks >= OWN_WEEKS
    chain = ibis.coalesce(
        ibis.coalesce(rows.chain_base, rows.chain_last) * rows.usual_level, rows.chain_now * rows.level
    )
    return rows.mutate(
        base_price=ibis.ifelse(enough, rows.own_base, chain.round(DECIMALS)),
        base_weeks=ibis.ifelse(enough, rows.own_weeks, rows.chain_weeks),
    )


def format_levels(own: ir.Table) -> ir.Table:
    """One row per store format and week: `level`, its prices over the chain's, and `usual_level`, that of 13 weeks.

    The level is the median over products of the format's price over the product's price in all formats, so neither
    the assortment of a format nor its promotions move it. `usual_level` is the median level of the 13 weeks before,
    1 where the format has none.
    """
    chain = own.group_by("product_id", "week").agg(chain_price=own.price.median())
    by_format = own.group_by("product_id", "store_format", "week").agg(price=own.price.median())
    pairs = by_format.inner_join(chain, ["product_id", "week"])
    weekly = pairs.group_by("store_format", "week").agg(level=(pairs.price / pairs.chain_price).median().fill_null(1.0))
    quarter = ibis.window(group_by="store_format", order_by="week", range=(-WINDOW, -1))
    return weekly.mutate(usual_level=weekly.level.median().over(quarter).fill_null(1.0))


def chain_prices(own: ir.Table, levels: ir.Table) -> ir.Table:
    """One row per product and week: the chain's price at format level 1, `chain_now`, and what was known before.

    `chain_base` is the median of the weekly prices of the last 13 weeks, `chain_weeks` their number, `chain_last` the
    last price of any earlier week. Each store has one vote a week.
    """
    levelled = own.inner_join(levels, ["store_format", "week"])
    weekly = levelled.group_by("product_id", "week").agg(chain_now=(levelled.price / levelled.level).median())
    quarter = ibis.window(group_by="product_id", order_by="week", range=(-WINDOW, -1))
    return weekly.mutate(
        chain_base=weekly.chain_now.median().over(quarter),
        chain_weeks=weekly.chain_now.count().over(quarter),
        chain_last=last_known(weekly.chain_now, weekly.week, ["product_id"]),
    )


@ibis.udf.agg.builtin
def max_by(price: float, week: int) -> float:  # type: ignore[empty-body]
    """The engine's own: the price of the last week; a row whose week is null does not count."""


def last_known(price: ir.FloatingColumn, week: ir.IntegerColumn, entity: list[str]) -> ir.FloatingColumn:
    """The last price that is not null in an earlier week of `entity`, however far back; null where there is none."""
    # Not `last`, which keeps nulls: Ibis says IGNORE NULLS to no engine.
    earlier = ibis.window(group_by=entity, order_by=week, preceding=(None, 1))
    return max_by(price, price.notnull().ifelse(week, ibis.null(week.type()))).over(earlier)


def with_believed_prices(rows: ir.Table) -> ir.Table:
    """`rows` with `actual_price`, `imputed_from`, `quality`: prices that are missing or suspect are filled in.

    In this order: the store's last earlier price of the product, the median of its region in this week, the chain's
    last price up to this week. All three are null for a product that was never sold for money until then.
    """
    ratio = rows.price / rows.base_price
    off = (ratio > SUSPECT_FACTOR) | (ratio < 1 / SUSPECT_FACTOR)
    rows = rows.mutate(is_suspect=(off & (rows.base_weeks >= SUSPECT_WEEKS)).fill_null(False))
    rows = rows.mutate(sale=ibis.ifelse(rows.is_suspect, None, rows.price))
    rows = rows.mutate(store_last=last_known(rows.sale, rows.week, ["product_id", "store_id"]))
    here = ["product_id", "store_region", "week"]
    missing = rows.filter(rows.sale.isnull()).select(*here).distinct()
    nearby = rows.semi_join(missing, here)
    regional = nearby.group_by(*here).agg(regional=nearby.sale.median())
    rows = rows.left_join(regional, here, rname="region_{name}")
    known_chain = ibis.coalesce(rows.chain_last, ibis.ifelse(rows.is_suspect, None, rows.chain_now))
    chain = (known_chain * rows.level).round(DECIMALS)
    source = ibis.cases(
        (rows.sale.notnull(), "product-store-week"),
        (rows.store_last.notnull(), "product-store"),
        (rows.regional.notnull(), "product-region-week"),
        (chain.notnull(), "product-chain"),
    )
    actual = ibis.coalesce(rows.sale, rows.store_last, rows.regional, chain)
    quality = ibis.cases(
        (actual.isnull(), "unknown"),
        (rows.is_suspect, "suspect"),
        (rows.n_sales == 0, "imputed"),
        (rows.n_sales == 1, "few-sales"),
        else_="good",
    )
    return rows.mutate(
        actual_price=actual,
        imputed_from=source,
        quality=quality,
        n_sales=ibis.ifelse(rows.is_suspect, 0, rows.n_sales),
    )


def price_stickiness(own: ir.Table) -> ir.Table:
    """One row per product and week: `stickiness`, how often a store repeated its last price in earlier weeks, 0–1.

    Goods with a shelf price stand near 1 (prices are sticky: Bils & Klenow 2004), goods sold by weight near 0. With
    nothing known it is ½: one repetition and one change are counted beforehand, so a product shows that it has a shelf
    price before a low price of it is called a promotion.
    """
    priced = own.filter(own.price.notnull())
    last = priced.price.lag().over(group_by=["product_id", "store_id"], order_by="week")
    repeat = ((priced.price / last - 1).abs() < REPEAT).fill_null(False)
    pairs = priced.mutate(pair=last.notnull().cast("int64"), repeat=repeat.cast("int64"))
    weekly = pairs.group_by("product_id", "week").agg(pairs=pairs.pair.sum(), repeats=pairs.repeat.sum())
    before = as_of_sums(weekly, ["product_id"], ["pairs", "repeats"])
    return before.select("product_id", "week", stickiness=(before.repeats + 1) / (before.pairs + 2))


def with_promotions(rows: ir.Table, stickiness: ir.Table) -> ir.Table:
    """`rows` with `discount` and `is_promotion`.

    A promotion is a sale of this week at a tenth or more under the base, of a product whose price otherwise stays.
    """
    rows = rows.left_join(stickiness, ["product_id", "week"], rname="sticky_{name}")
    discount = (1 - rows.actual_price / rows.base_price).round(DECIMALS).clip(lower=0.0)
    is_sale = rows.imputed_from == "product-store-week"
    is_promotion = (discount >= PROMOTION) & is_sale & (rows.stickiness > STICKY)
    unknown = rows.actual_price.isnull()
    return rows.mutate(
        discount=ibis.ifelse(unknown, None, discount.fill_null(0.0)),
        is_promotion=ibis.ifelse(unknown, None, is_promotion.fill_null(False)),
    )
