"""T1, who shops [192]: one row per customer and week, row 0 the unknown customer (document: "T1"; SPEC C13).

| slice | width | meaning | range |
|---|---|---|---|
| segment | 64 | 0–8 price segment one-hot, unknown last · 9–17 life stage one-hot, unknown last · 18–26 how often (`FREQUENCY`) · 27 has come before · 28–46 mission shares · 47 missions known · 48–63 shares of the largest product groups | 0/1 and −5…5 |
| history | 96 | 0–79 places along the first 80 directions of purchases · 80–84 price tiers' shares · 85–88 seasons' shares · 89–95 basket size and spend (`BASKETS`) | −5…5 |
| affinity | 32 | 0–25 places along the other 26 directions · 26–30 loyalty to stores (`STORES`) · 31 stores known | −5…5 and 0/1 |

Numbers other than one-hots and flags are standardised with mean and deviation over the training weeks' rows and cut at
±5; what is not known is 0, the training customers' average. While there are few trips, shares lean on the customer's
segment: those of purchases already in the table, those of missions here, on the price segment's mean.

The document lists meanings, not numbers. Most of the width goes to the directions of purchases, because those tell
which products a customer buys: every direction more is worth more than any other number (docs/experiments.md).
"""

from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from retailsim.artifacts import CUSTOMER_EMBEDDINGS, DIRECTIONS, GROUPS, MISSIONS, PRICE_TIERS, SEASONS
from retailsim.layout import T1
from retailsim.tensor_preparation.scaling import (
    class_codes,
    classes_of,
    moments,
    number,
    numbers,
    one_hot,
    standardise,
    vectors,
)
from retailsim.weeks import Calendar

SEGMENTS = ("price_segment", "lifestage")
CLASSES = 8  # per segment; further ones count as unknown
FREQUENCY = (
    "trips",
    "weeks_since_last",
    "recent_trips",
    "latest_trips",
    "tenure",
    "trips_per_active_week",
    "active_share",
    "weekend_share",
    "evening_share",
)
BASKETS = (
    "recent_purchases",
    "products_per_trip",
    "spend_per_trip",
    "spend_per_product",
    "products_spread",
    "products_trend",
    "spend_trend",
)
STORES = ("primary_share", "concentration", "n_stores", "switching_rate", "loyalty")
LOGGED = (*FREQUENCY[:6], *BASKETS[:5], "n_stores")  # counts and amounts, which have no upper bound
MISSION_SHARES = tuple(name for name in MISSIONS.columns if name not in ("customer_id", "week", "trips"))
TRIPS_OF_SEGMENT = 3.0  # trips for which the price segment's mission shares count
HISTORY_DIRECTIONS = T1.widths["history"] - PRICE_TIERS - len(SEASONS) - len(BASKETS)
FLAGS = (*range(2 * (CLASSES + 1)), 27, 47, T1.width - 1)  # one-hots, "has come before", "known"


def fit(
    customers: ir.Table, affinity: ir.Table, missions: ir.Table, calendar: Calendar, engine: ibis.BaseBackend
) -> dict[str, Any]:
    """What `build` needs to know of the training weeks: classes, mission shares by price segment, means, deviations.

    Args:
        customers: `artifacts.CUSTOMER_EMBEDDINGS`.
        affinity: `artifacts.AFFINITY`.
        missions: `artifacts.MISSIONS`.
        calendar: whose training weeks count.
        engine: where the tables are joined.
    """
    table = _joined(customers.filter(customers.week <= calendar.train_end), affinity, missions, engine)
    classes = {name: classes_of(table[name], CLASSES) for name in SEGMENTS}
    scalers: dict[str, Any] = {"classes": classes, "missions": _segment_missions(table, classes["price_segment"])}
    return scalers | moments(_raw(table, scalers), FLAGS)


def build(
    customers: ir.Table, affinity: ir.Table, missions: ir.Table, scalers: dict[str, Any], engine: ibis.BaseBackend
) -> np.ndarray:
    """T1 of all customers and weeks, by `row`: float32 [1 + n, 192]; row 0 is the unknown customer.

    Args:
        customers: `artifacts.CUSTOMER_EMBEDDINGS`, whose `row` is 1 … n.
        affinity: `artifacts.AFFINITY`.
        missions: `artifacts.MISSIONS`.
        scalers: from `fit`.
        engine: where the tables are joined.
    """
    table = _joined(customers, affinity, missions, engine)
    t1 = np.zeros((1 + len(table), T1.width), dtype=np.float32)
    t1[0, [CLASSES, 2 * CLASSES + 1]] = 1  # both segments unknown
    t1[1:] = standardise(_raw(table, scalers), scalers)
    return t1


def _joined(customers: ir.Table, affinity: ir.Table, missions: ir.Table, engine: ibis.BaseBackend) -> pa.Table:
    """Customers' rows with what the other two tables say of them, in the order of `row`."""
    key = ["customer_id", "week"]
    joined = (
        customers.select(*CUSTOMER_EMBEDDINGS.columns)
        .left_join(affinity.select(*key, *STORES), key)
        .drop("customer_id_right", "week_right")
        .left_join(missions.select(*key, *MISSION_SHARES), key)
        .drop("customer_id_right", "week_right")
    )
    return engine.to_pyarrow(joined.order_by("row"))


def _raw(table: pa.Table, scalers: dict[str, Any]) -> np.ndarray:
    """T1 before it is standardised: float64 [rows, 192], NaN where a number is not known."""
    segments = {name: class_codes(table[name], scalers["classes"][name], CLASSES) for name in SEGMENTS}
    places = vectors(table, "directions", DIRECTIONS)
    missions = numbers(table, MISSION_SHARES)
    segment = [
        *(one_hot(codes, CLASSES + 1) for codes in segments.values()),
        numbers(table, FREQUENCY, LOGGED),
        number(table, "trips")[:, None] > 0,
        _leaning_missions(missions, number(table, "trips"), segments["price_segment"], scalers["missions"]),
        ~np.isnan(missions).all(axis=1, keepdims=True),
        vectors(table, "groups", GROUPS),
    ]
    history = [
        places[:, :HISTORY_DIRECTIONS],
        numbers(table, [f"tier_{tier}" for tier in range(PRICE_TIERS)]),
        numbers(table, SEASONS),
        numbers(table, BASKETS, LOGGED),
    ]
    affinity = [
        places[:, HISTORY_DIRECTIONS:],
        numbers(table, STORES, LOGGED),
        ~np.isnan(number(table, "primary_share"))[:, None],
    ]
    return np.concatenate([*segment, *history, *affinity], axis=1)


def _segment_missions(table: pa.Table, classes: list[str]) -> list[list[float]]:
    """Mean mission shares by price segment, unknown last, leaning on all by `TRIPS_OF_SEGMENT` rows: [9][19]."""
    shares = numbers(table, MISSION_SHARES)
    known = ~np.isnan(shares)
    total, n = np.where(known, shares, 0.0).sum(axis=0), known.sum(axis=0)
    overall = total / np.maximum(n, 1)
    codes = class_codes(table["price_segment"], classes, CLASSES)
    means = []
    for code in range(CLASSES + 1):
        own, of_own = np.where(known, shares, 0.0)[codes == code].sum(axis=0), known[codes == code].sum(axis=0)
        means.append(((own + TRIPS_OF_SEGMENT * overall) / (of_own + TRIPS_OF_SEGMENT)).tolist())
    return means


def _leaning_missions(
    shares: np.ndarray, trips: np.ndarray, segments: np.ndarray, means: list[list[float]]
) -> np.ndarray:
    """Mission shares [rows, 19] that lean on the price segment's while there are few trips."""
    of_segment = np.array(means)[segments]
    n = np.where(np.isnan(shares), 0.0, trips[:, None])
    return (n * np.nan_to_num(shares) + TRIPS_OF_SEGMENT * of_segment) / (n + TRIPS_OF_SEGMENT)
