"""What is known of a product from its sales: the attributes with which it enters GraphSAGE (SPEC C8.3).

One row per product of the training weeks: counts of its rows by weekday, hour, month, store, shopper and trip, as one
aggregate of integers (equal bytes on every run), made into shares and standardised. A product without training weeks
gets the mean of its sub-category's, which the training weeks fix: nothing that happens later reaches an attribute.

    columns              meaning                                                           source
    price                log £ per item, log of price / sub-category median, tier one-hot  pseudo_brands
    sales                log rows, log weeks on sale, weeks since first and last sale,     transactions
                         log items per row, log rows per known shopper, log basket's rows
    shares               of its rows: weekday 7, hour band 7, month 12, store format,      transactions
                         store region, price segment, life stage, trip labels, anonymous
"""

from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from retailsim.feature_engineering.pseudo_brands import TIERS
from retailsim.labels import TRIP_LABELS

HOUR_BANDS = ((0, 10), (10, 12), (12, 14), (14, 16), (16, 18), (18, 20), (20, 24))  # from, to (exclusive)
OPEN_COLUMNS = ("store_format", "store_region", "price_segment", "lifestage")  # whose values the data decides
MOST_VALUES = 16  # of an open column: the most frequent in the training weeks
PRIOR_ROWS = 10.0  # rows at the chain's shares that are added to a product's own, so that rare products lean on them
LIMIT = 5.0  # standardised values are cut here


@dataclass(frozen=True)
class Attributes:
    """Attributes of P products: `values` float32 [P, F], standardised over the training weeks' products."""

    names: list[str]
    values: np.ndarray


def open_values(transactions: ir.Table, train_end: int, engine: ibis.BaseBackend) -> dict[str, list[str]]:
    """The values of each open column in the training weeks, the most frequent ones, sorted."""
    train = transactions.filter(transactions.week <= train_end)
    found = {}
    for column in OPEN_COLUMNS:
        counted = train.filter(train[column].notnull()).group_by(column).agg(rows=ibis._.count())
        top = counted.order_by(ibis.desc("rows"), column).limit(MOST_VALUES)
        found[column] = sorted(engine.to_pyarrow(top)[column].to_pylist())
    return found


def sales_counts(transactions: ir.Table, train_end: int, values: dict[str, list[str]]) -> ir.Table:
    """One row per product of the training weeks: its rows, and how many of them were of each kind.

    Args:
        values: of each open column, those that get a count (from `open_values`).

    Returns:
        product_id, the integers of "sales" (rows, weeks, first_week, last_week, items, shoppers, known_rows,
        basket_rows) and one integer column "<group>=<value>" per kind.
    """
    train = transactions.filter(transactions.week <= train_end)
    train = train.mutate(basket_rows=train.count().over(group_by=train.basket_id), month=train.date.month())
    kinds = {f"weekday={day}": train.weekday == day for day in range(1, 8)}
    kinds |= {f"hour={a}-{b}": (train.hour >= a) & (train.hour < b) for a, b in HOUR_BANDS}
    kinds |= {f"month={month}": train.month == month for month in range(1, 13)}
    classes = {**values, **TRIP_LABELS}
    kinds |= {f"{column}={value}": train[column] == value for column, some in classes.items() for value in some}
    kinds["shopper=anonymous"] = train.customer_id.isnull()
    # Not count(where=…), which is null on Spark where all rows are null.
    marks = {name: kind.fill_null(False).cast("int64") for name, kind in kinds.items()}
    return train.group_by("product_id").agg(
        rows=train.count(),
        weeks=train.week.nunique(),
        first_week=train.week.min(),
        last_week=train.week.max(),
        items=train.quantity.sum(),
        shoppers=train.customer_id.nunique(),
        known_rows=train.customer_id.count(),
        basket_rows=train.basket_rows.sum(),
        **{name: mark.sum() for name, mark in marks.items()},
    )


def describe_products(
    counts: pa.Table, brands: pa.Table, train_end: int, sub_category: np.ndarray, ids: Sequence[str]
) -> Attributes:
    """The attributes of products `ids`.

    Args:
        counts: `sales_counts`, sorted by product_id.
        brands: PSEUDO_BRANDS, sorted by product_id; of its rows those of `counts`' products are read.
        sub_category: int64 [P], a number per sub-category, beside `ids`.
        ids: all P products, sorted; those without a row in `counts` get their sub-category's mean, or the mean of all
            (which is 0) where it is new.

    Returns:
        Attributes of the P products.
    """
    sold = np.isin(ids, counts["product_id"].to_numpy())
    columns = _sales(counts, train_end) | _shares(counts) | _prices(brands, counts["product_id"].to_numpy())
    raw = np.stack(list(columns.values()), axis=1)
    known = ~np.isnan(raw)
    n = np.maximum(known.sum(axis=0), 1)  # a column that is known of no product is 0 for all
    mean = np.where(known, raw, 0.0).sum(axis=0) / n
    deviation = np.sqrt((np.where(known, raw - mean, 0.0) ** 2).sum(axis=0) / n)
    standard = np.clip((raw - mean) / np.where(deviation > 1e-9, deviation, np.inf), -LIMIT, LIMIT)
    values = np.full((len(ids), len(columns)), np.nan)
    values[sold] = standard
    own = values[sold]
    averages = group_means(own, sub_category[sold], sub_category)
    return Attributes(list(columns), np.where(np.isnan(values), averages, values).astype(np.float32))


def group_means(values: np.ndarray, groups: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Means of `values` [n, F] within `groups` [n], for each of the groups `asked` [m]; 0 for a group without values.

    NaN counts as no value. Returns float64 [m, F].
    """
    size = max(int(groups.max(initial=0)), int(asked.max(initial=0))) + 1
    totals, seen = np.zeros((size, values.shape[1])), np.zeros((size, values.shape[1]))
    np.add.at(totals, groups, np.nan_to_num(values, nan=0.0))
    np.add.at(seen, groups, ~np.isnan(values))
    return (totals / np.maximum(seen, 1))[asked]


def _sales(counts: pa.Table, train_end: int) -> dict[str, np.ndarray]:
    of = {name: counts[name].to_numpy().astype(np.float64) for name in counts.column_names if name != "product_id"}
    return {
        "log rows": np.log(of["rows"]),
        "log weeks": np.log(of["weeks"]),
        "weeks since first": train_end - of["first_week"],
        "weeks since last": np.log1p(train_end - of["last_week"]),
        "log items per row": np.log(np.maximum(of["items"], 1) / of["rows"]),
        "log rows per shopper": np.log(np.maximum(of["known_rows"], 1) / np.maximum(of["shoppers"], 1)),
        "log basket rows": np.log(of["basket_rows"] / of["rows"]),
    }


def _shares(counts: pa.Table) -> dict[str, np.ndarray]:
    rows = counts["rows"].to_numpy().astype(np.float64)
    kinds = {name: counts[name].to_numpy().astype(np.float64) for name in counts.column_names if "=" in name}
    return {
        name: (count + PRIOR_ROWS * count.sum() / rows.sum()) / (rows + PRIOR_ROWS) for name, count in kinds.items()
    }


def _prices(brands: pa.Table, products: np.ndarray) -> dict[str, np.ndarray]:
    row = np.searchsorted(brands["product_id"].to_numpy(), products)
    price, tier = (brands[name].to_numpy()[row].astype(np.float64) for name in ("tier_price", "price_tier"))
    tiers = {f"tier={k}": (tier == k).astype(np.float64) for k in range(TIERS)}
    return {
        "log price": np.log(np.where(price > 0, price, np.nan)),
        "log relative price": brands["relative_price"].to_numpy()[row].astype(np.float64),
        **tiers,
    }
