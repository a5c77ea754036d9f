"""The chain's weekly prices as dense arrays, and what was known of them before each week.

Arrays of data are [P, L]: column v − 1 is week v, NaN without a sale. Arrays "as of" are [P, L + 1]: column W − 1 is
made of weeks ≤ W − 1 only, for W = 1 … L + 1 (SPEC C19). Every as-of function here reads the past alone: changing a
later week moves no bit of an earlier column.

Letters: P products in the order of their ids · L weeks of the data · v a week with data · W a week described.
"""

from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retailsim.weeks import Calendar


@dataclass(frozen=True)
class PriceHistory:
    """Weekly figures of each product over all stores, [P, L]; NaN in weeks without a sale."""

    product_id: np.ndarray  # [P] str, sorted
    price: np.ndarray  # £ per item, median over stores
    base: np.ndarray  # £ per item, median over stores of the regular price
    spread: np.ndarray  # log of the dearest over the cheapest store
    promoted: np.ndarray  # share 0–1 of the stores with a promotion


def weekly_chain_prices(prices: ir.Table) -> ir.Table:
    """One row per product and week with a real sale in `prices` (PRICES): figures over its stores."""
    sold = prices.filter((prices.imputed_from == "product-store-week") & (prices.actual_price > 0))
    return sold.group_by("product_id", "week").agg(
        price=sold.actual_price.median(),
        base=sold.base_price.median(),
        lowest=sold.actual_price.min(),
        highest=sold.actual_price.max(),
        stores=sold.count(),
        promoted=sold.is_promotion.cast("int64").sum(),
    )


def load_history(prices: ir.Table, calendar: Calendar, engine: ibis.BaseBackend) -> PriceHistory:
    """The dense history of all products that `prices` (PRICES) has a real sale of."""
    rows = engine.to_pyarrow(weekly_chain_prices(prices))
    ids = pc.unique(rows["product_id"]).sort()
    at = (pc.index_in(rows["product_id"], value_set=ids).to_numpy(), rows["week"].to_numpy() - 1)

    def dense(values: np.ndarray) -> np.ndarray:
        grid = np.full((len(ids), calendar.last_week), np.nan)
        grid[at] = values
        return grid

    column = {name: rows[name].to_numpy().astype(np.float64) for name in rows.column_names if name != "product_id"}
    usable = column["base"] > 0
    return PriceHistory(
        product_id=np.array(ids.to_pylist(), dtype=str),
        price=dense(column["price"]),
        base=dense(np.where(usable, column["base"], column["price"])),
        spread=dense(np.log(column["highest"] / column["lowest"])),
        promoted=dense(column["promoted"] / column["stores"]),
    )


def groups_of(names: ir.Table, column: str, product_id: np.ndarray, engine: ibis.BaseBackend) -> np.ndarray:
    """Group number [P] of each product by `column` of `names`; −1 where `names` does not say."""
    unique = names.group_by("product_id").agg(name=names[column].min())
    rows = engine.to_pyarrow(unique)
    found = rows["name"].take(pc.index_in(pa.array(product_id), value_set=rows["product_id"].combine_chunks()))
    values = pc.unique(found.drop_null()).sort()
    return pc.fill_null(pc.index_in(found, value_set=values), -1).to_numpy().astype(np.int64)


def last_known(values: np.ndarray) -> np.ndarray:
    """The value of the last week with one [P, L + 1], as of; NaN before the first."""
    weeks = np.where(np.isnan(values), -1, np.arange(values.shape[1]))
    last = np.maximum.accumulate(weeks, axis=1)
    found = np.where(last >= 0, np.take_along_axis(values, np.maximum(last, 0), axis=1), np.nan)
    return np.concatenate([np.full((len(values), 1), np.nan), found], axis=1)


def weeks_since(happened: np.ndarray) -> np.ndarray:
    """Weeks from the last week in which `happened` [P, L] to W, as of [P, L + 1], at least 1; infinite where never."""
    weeks = np.where(happened, np.arange(happened.shape[1]), -1)
    last = np.concatenate([np.full((len(weeks), 1), -1), np.maximum.accumulate(weeks, axis=1)], axis=1)
    return np.where(last >= 0, np.arange(last.shape[1]) - last, np.inf)


def total(values: np.ndarray, weeks: int | None = None) -> np.ndarray:
    """Sum of the last `weeks` weeks (all: None) of `values` [P, L], as of [P, L + 1]; NaN counts 0."""
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(np.nan_to_num(values, nan=0.0), axis=1)], axis=1)
    if weeks is None:
        return sums
    return sums - sums[:, np.maximum(np.arange(sums.shape[1]) - weeks, 0)]


def mean(values: np.ndarray, weeks: int | None = None) -> np.ndarray:
    """Mean of the values of the last `weeks` weeks (all: None), as of [P, L + 1]; NaN where there are none."""
    count = total(~np.isnan(values), weeks)
    return np.where(count > 0, total(values, weeks) / np.maximum(count, 1), np.nan)


def deviation(values: np.ndarray, weeks: int | None = None) -> np.ndarray:
    """Standard deviation of the values of the last `weeks` weeks (all: None), as of [P, L + 1]; NaN where none."""
    return np.sqrt(np.maximum(mean(values**2, weeks) - mean(values, weeks) ** 2, 0.0))


def extreme(values: np.ndarray, largest: bool) -> np.ndarray:
    """The largest (or smallest) value so far, as of [P, L + 1]; NaN before the first."""
    return last_known((np.fmax if largest else np.fmin).accumulate(values, axis=1))


def median_and_rank(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The median of all values so far, and the share 0–1 of them below the last (ties half), as of [P, L + 1]."""
    medians, ranks = np.full((2, values.shape[0], values.shape[1] + 1), np.nan)
    last, seen, row = last_known(values), total(~np.isnan(values)).astype(np.int64), np.arange(len(values))
    for week in range(1, values.shape[1] + 1):
        past, n = np.sort(values[:, :week], axis=1), np.maximum(seen[:, week], 1)  # NaN sorts behind
        medians[:, week] = (past[row, (n - 1) // 2] + past[row, n // 2]) / 2
        now = last[:, week, None]
        ranks[:, week] = ((past < now).sum(axis=1) + 0.5 * (past == now).sum(axis=1)) / n
    return medians, np.where(np.isnan(medians), np.nan, ranks)


def group_median(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The median over the products of each one's group, column by column; NaN where none is known or group is −1."""
    out = np.full(values.shape, np.nan)
    for number in range(group.max(initial=-1) + 1):
        members = np.flatnonzero(group == number)
        past = np.sort(values[members], axis=0)
        n = np.maximum((~np.isnan(past)).sum(axis=0), 1)
        column = np.arange(values.shape[1])
        out[members] = (past[(n - 1) // 2, column] + past[n // 2, column]) / 2
    return out


def group_sum(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The sum over the products of each one's group, column by column; NaN counts 0, and 0 where group is −1."""
    order = np.argsort(group, kind="stable")
    known = order[group[order] >= 0]
    sums = np.zeros((group.max(initial=-1) + 2, values.shape[1]))
    if len(known):
        starts = np.unique(group[known], return_index=True)[1]
        sums[:-1] = np.add.reduceat(np.nan_to_num(values[known], nan=0.0), starts, axis=0)
    return sums[group]


def group_mean(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The mean over the products of each one's group, column by column; NaN where none is known or group is −1.

    Summed in whole millionths, which is exact in any order, so products yet unknown do not move it by a bit.
    """
    count = group_sum(~np.isnan(values), group)
    return np.where(count > 0, group_sum(np.rint(values * 1e6), group) / np.maximum(count, 1) / 1e6, np.nan)


def place_in_group(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Share 0–1 of the others known of the group with a lower value (ties half), column by column; ½ for one alone."""
    out = np.full(values.shape, 0.5)
    for column in range(values.shape[1]):
        known = np.flatnonzero(~np.isnan(values[:, column]) & (group >= 0))
        order = known[np.lexsort((values[known, column], group[known]))]
        g, v = group[order], values[order, column]
        starts = np.append(True, (g[1:] != g[:-1]) | (v[1:] != v[:-1]))[: len(g)]  # of runs of equal values
        run = np.cumsum(starts) - 1
        first = np.flatnonzero(starts)
        middle = (first + np.append(first[1:], len(g)) - 1) / 2 if len(g) else first
        opens, others = np.searchsorted(g, g), np.searchsorted(g, g, side="right") - np.searchsorted(g, g) - 1
        out[order, column] = np.where(others > 0, (middle[run] - opens) / np.maximum(others, 1), 0.5)
    return out
