"""Price features: where a product's price stands, how it moves, and what it tends to do (document: "T4"; SPEC C8.2).

Reads PRICES, PSEUDO_BRANDS and the products' sub-categories, gives `artifacts.PRICE_FEATURES`: 64 numbers per product
and week W, made of weeks ≤ W − 1, from the week after the product's first sale on. Within ±5; `log` is natural.

| columns | slice | meaning | range |
|---|---|---|---|
| 0–11 | position | log(last price / reference), one for each of `REFERENCES` | ±5 |
| 12–13 | | zero: the price paid, filled in at look-up | 0 |
| 14 | | share of own past prices below the last (ties half) | 0–1 |
| 15 | | log(1 + weeks with a sale) / 5 | 0–1 |
| 16–20 | volatility | 10 × deviation of log price in the last 4, 13, 26, 52 weeks and ever | 0–5 |
| 21–23 | | 10 × mean absolute change between sales, largest rise, largest fall (log) | 0–5 |
| 24–26 | | share of sales with a change ≥ 1 %: ever, in 13 weeks; 1 / weeks since the last | 0–1 |
| 27–28 | | share of sales ≥ 3 % below the base price: ever, in 13 weeks | 0–1 |
| 29–30 | | log spread between the stores: last, mean | 0–5 |
| 31 | | share of the weeks since the first sale with a sale | 0–1 |
| 32–34 | promotion | share of stores on promotion last; share of sales on promotion ever, in 13 weeks | 0–1 |
| 35–37 | | 10 × mean depth (log); 1 / weeks since the last promotion; weeks that it has run / 4 | 0–5 |
| 38–47 | | for each of `PERIODS`: 10 × amplitude of the log price's cycle, 10 × what the cycle says of week W | ±5 |
| 48–50 | context | 10 × mean over the sub-category of log(last / own mean), and its change in 4 and 13 weeks | ±5 |
| 51–52 | | share of the sub-category's sold products on promotion: last week, in 4 weeks | 0–1 |
| 53 | | share of the sub-category's products with a lower last price | 0–1 |
| 54 | | log(1 + products of the sub-category sold last week) / 5 | 0–2 |
| 55 | | 10 × mean over all products of log(last / own mean) | ±5 |
| 56–63 | | zero: the basket's prices, filled in at look-up | 0 |
"""

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from retailsim.feature_engineering.price_history import (
    PriceHistory,
    deviation,
    extreme,
    group_mean,
    group_median,
    group_sum,
    groups_of,
    last_known,
    load_history,
    mean,
    median_and_rank,
    place_in_group,
    total,
    weeks_since,
)
from retailsim.layout import T4, T4_BASKET, T4_RELATIVE
from retailsim.weeks import Calendar

REFERENCES = (
    "base price", "mean", "median", "lowest", "highest", "mean of 4 weeks", "mean of 13", "mean of 26", "mean of 52",
    "sub-category's median", "pseudo-brand's median", "price before the last change",
)  # fmt: skip
PERIODS = (52, 26, 13, 8, 4)  # weeks
HALF_LIFE, BOUND = 52.0, 5.0  # weeks after which a price counts half in the Fourier sums; largest number
TENTHS = 10.0  # log deviations are a few hundredths; in tenths they stand beside shares
CHANGE = 0.01  # log; smaller moves are pennies and store mix
BELOW_BASE = 0.03  # log
PROMOTION = 0.5  # share of stores from which on the product counts as on promotion


def price_features(
    prices: ir.Table, brands: ir.Table, products: ir.Table, calendar: Calendar, engine: ibis.BaseBackend
) -> ir.Table:
    """PRICE_FEATURES.

    Args:
        prices: PRICES.
        brands: PSEUDO_BRANDS.
        products: any table with product_id and hierarchy_10, such as TRANSACTIONS.
        calendar: the weeks of the data.
        engine: where the tables live.
    """
    history = load_history(prices, calendar, engine)
    sub_category = groups_of(products, "hierarchy_10", history.product_id, engine)
    brand = groups_of(brands, "brand", history.product_id, engine)
    last, features = describe_prices(history, sub_category, brand)
    row, column = np.nonzero(~np.isnan(last))
    flat = features[row, column].ravel()
    offsets = np.arange(len(row) + 1, dtype=np.int32) * T4.width
    table = pa.table(
        {
            "product_id": pa.array(history.product_id).take(pa.array(row)),
            "week": (column + 1).astype(np.int32),
            "last_price": last[row, column],
            "features": pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat)),
        }
    )
    return ibis.memtable(table)


def describe_prices(
    history: PriceHistory, sub_category: np.ndarray, brand: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The last known price [P, L + 1] in £, NaN before the first sale, and the features float32 [P, L + 1, 64].

    Args:
        history: weekly prices [P, L].
        sub_category: group number [P] of each product, −1 unknown.
        brand: likewise, of its pseudo-brand.
    """
    last = last_known(history.price)
    parts = {
        "position": _position(history, last, sub_category, brand),
        "volatility": _volatility(history),
        "promotion": _promotion(history),
        "context": _context(history, last, sub_category),
    }
    features = np.zeros((*last.shape, T4.width), np.float32)
    for name, columns in parts.items():
        for place, column in enumerate(columns, start=T4[name].start):
            bounded = np.clip(np.nan_to_num(column, nan=0.0, posinf=BOUND, neginf=-BOUND), -BOUND, BOUND)
            features[:, :, place] = np.where(np.isnan(last), 0.0, bounded)
    return last, features


def log_prices(history: PriceHistory) -> np.ndarray:
    """Log price over the first price [P, L], so that a price that never moved is 0 exactly."""
    seen = ~np.isnan(history.price)
    first = np.take_along_axis(history.price, seen.argmax(axis=1)[:, None], axis=1)
    return np.log(history.price / first)


def _position(history: PriceHistory, last: np.ndarray, sub_category: np.ndarray, brand: np.ndarray) -> list[np.ndarray]:
    price = history.price
    median, rank = median_and_rank(price)
    changes = _changes(history)
    before = np.where(np.abs(changes) >= CHANGE, _previous(price), np.nan)
    references = [last_known(history.base), mean(price), median, extreme(price, False), extreme(price, True)]
    references += [mean(price, weeks) for weeks in (4, 13, 26, 52)]
    references += [group_median(last, sub_category), group_median(last, brand), last_known(before)]
    assert len(references) == len(REFERENCES) == T4_RELATIVE
    relative = [np.log(last / reference) for reference in references]
    nothing = np.zeros_like(last)
    return [*relative, nothing, nothing, rank, np.log1p(total(~np.isnan(price))) / 5]


def _volatility(history: PriceHistory) -> list[np.ndarray]:
    log, seen = log_prices(history), ~np.isnan(history.price)
    changes = _changes(history)
    moved = _flag(np.abs(changes) >= CHANGE, ~np.isnan(changes))
    below = _flag(np.log(history.price / history.base) <= -BELOW_BASE, seen)
    age = np.where(np.isnan(last_known(history.price)), np.nan, _age(seen))
    return [
        *[TENTHS * deviation(log, weeks) for weeks in (4, 13, 26, 52, None)],
        TENTHS * mean(np.abs(changes)),
        TENTHS * np.maximum(extreme(changes, True), 0),
        TENTHS * np.maximum(-extreme(changes, False), 0),
        mean(moved),
        mean(moved, 13),
        1 / weeks_since(moved == 1),
        mean(below),
        mean(below, 13),
        last_known(history.spread),
        mean(history.spread),
        total(seen) / age,
    ]


def _promotion(history: PriceHistory) -> list[np.ndarray]:
    seen = ~np.isnan(history.price)
    promoted = _flag(history.promoted >= PROMOTION, seen)
    depth = np.where(promoted == 1, np.maximum(np.log(history.base / history.price), 0), np.nan)
    running = np.where(last_known(promoted) == 1, weeks_since(seen & (promoted == 0)) - 1, 0)
    running = np.minimum(running, total(promoted))  # on promotion since the first sale
    columns = [
        last_known(history.promoted),
        mean(promoted),
        mean(promoted, 13),
        TENTHS * mean(depth),
        1 / weeks_since(promoted == 1),
        running / 4,
    ]
    for period in PERIODS:
        amplitude, now = cycle(log_prices(history), period)
        columns += [TENTHS * amplitude, TENTHS * now]
    return columns


def _context(history: PriceHistory, last: np.ndarray, sub_category: np.ndarray) -> list[np.ndarray]:
    own = np.clip(np.log(last / mean(history.price)), -1, 1)
    level = group_mean(own, sub_category)
    seen = (~np.isnan(history.price)).astype(np.float64)
    sold, promoted = group_sum(seen, sub_category), group_sum(history.promoted >= PROMOTION, sub_category)
    columns = [TENTHS * level, *[TENTHS * (level - _earlier(level, weeks)) for weeks in (4, 13)]]
    for weeks in (1, 4):
        columns.append(total(promoted, weeks) / np.maximum(total(sold, weeks), 1))
    columns.append(place_in_group(last, sub_category))
    columns.append(np.log1p(total(sold, 1)) / 5)
    columns.append(TENTHS * group_mean(own, np.zeros(len(own), np.int64)))
    nothing = np.zeros_like(last)
    return columns + [nothing] * (T4_BASKET.stop - T4_BASKET.start)


def cycle(log: np.ndarray, period: int) -> tuple[np.ndarray, np.ndarray]:
    """Amplitude of the log price's cycle of `period` weeks, and its value in week W, both as of [P, L + 1].

    The discrete Fourier coefficient at frequency 1 / period over the weeks with a sale, of the deviation from their
    mean, each week v counting 2^-((W − v) / 52): c = 2 (Σ λ d e^{−iωv} − d̄ Σ λ e^{−iωv}) / Σ λ. The amplitude is |c|
    and the value in week W is Re(c e^{iωW}), both shrunk by n / (n + period) with n = Σ λ weeks, for a cycle that
    has been seen once is a guess.
    """
    products, weeks = log.shape
    fade = 2.0 ** (-1.0 / HALF_LIFE)
    seen, value = ~np.isnan(log), np.nan_to_num(log, nan=0.0)
    turn = np.exp(-2j * np.pi * np.arange(1, weeks + 2) / period)  # e^{−iωW}
    n, sums = np.zeros(products), np.zeros(products)
    waves, products_of = np.zeros(products, complex), np.zeros(products, complex)
    amplitude, now = np.zeros((2, products, weeks + 1))
    for column in range(1, weeks + 1):
        v = column - 1
        n = fade * (n + seen[:, v])
        sums = fade * (sums + value[:, v])
        waves = fade * (waves + seen[:, v] * turn[v])
        products_of = fade * (products_of + value[:, v] * turn[v])
        some = np.maximum(n, 1e-9)
        coefficient = 2 * (products_of - sums / some * waves) / (n + period)
        amplitude[:, column] = np.abs(coefficient)
        now[:, column] = (coefficient * np.conj(turn[column])).real
    return amplitude, now


def _flag(is_true: np.ndarray, known: np.ndarray) -> np.ndarray:
    """1 where true, 0 where not, NaN where not known."""
    return np.where(known, is_true.astype(np.float64), np.nan)


def _previous(values: np.ndarray) -> np.ndarray:
    """The value of the last earlier week with one [P, L]."""
    return last_known(values)[:, :-1]


def _changes(history: PriceHistory) -> np.ndarray:
    """Log change from the last earlier sale [P, L]; NaN in weeks without a sale and at the first."""
    return np.log(history.price / _previous(history.price))


def _age(seen: np.ndarray) -> np.ndarray:
    """Weeks from the first sale to W − 1, both inside, as of [P, L + 1]."""
    return np.maximum(np.arange(seen.shape[1] + 1) - seen.argmax(axis=1)[:, None], 1)


def _earlier(as_of: np.ndarray, weeks: int) -> np.ndarray:
    """The as-of array `weeks` weeks before; NaN before the first week."""
    shifted = np.full(as_of.shape, np.nan)
    shifted[:, weeks:] = as_of[:, : max(as_of.shape[1] - weeks, 0)]
    return shifted
