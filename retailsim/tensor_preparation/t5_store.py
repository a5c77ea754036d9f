"""T5, where the trip takes place [96]: one row per store and week, row 0 the unknown store (document: "T5").

| slice | width | meaning | range |
|---|---|---|---|
| type | 24 | 0–7 format one-hot, unknown last · 8–20 region one-hot, unknown last · 21 distinct products · 22 weeks open · 23 has sold before | 0/1 and −5…5 |
| location | 24 | 24–31 shoppers' price segments · 32–39 their life stages · 40 anonymous trips · 41–42 customers, trips per customer · 43–46 trips' price sensitivity · 47 £ per product | −5…5 |
| assortment | 24 | 48–71 places along the directions of the stores' sales | −5…5 |
| performance | 24 | 72–73 trips, growth · 74–75 products and £ per trip · 76–82 weekdays · 83–86 hour bands · 87–91 mission types · 92–95 basket sizes | −5…5 |

Numbers other than one-hots and the flag are standardised with mean and deviation over the training weeks' rows and cut
at ±5; what is not known is 0, the training stores' average. Receipts name no residents and no shelves: the shoppers'
segments stand for who lives near the store, and what is sold for what is stocked.
"""

from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from retailsim.artifacts import STORE_DIRECTIONS, STORE_SHARES
from retailsim.layout import T5
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

KINDS = {"store_format": 7, "store_region": 12}  # classes told apart; further ones count as unknown
SEGMENT_CLASSES = 8
LOGGED = ("recent_trips", "range_size", "weeks_open", "customers", "trips_per_customer", "products_per_trip")
SENSITIVITIES = tuple(name for name in STORE_SHARES if name.startswith("price_sensitivity"))
TRIP_SHARES = tuple(name for name in STORE_SHARES if name not in ("anonymous", *SENSITIVITIES))
ONE_HOTS = sum(KINDS.values()) + len(KINDS)
FLAGS = (*range(ONE_HOTS), T5["type"].stop - 1)


def fit(stores: ir.Table, calendar: Calendar, engine: ibis.BaseBackend) -> dict[str, Any]:
    """What `build` needs to know of the training weeks: classes, means and deviations.

    Args:
        stores: `artifacts.STORE_FEATURES`.
        calendar: whose training weeks count.
        engine: where the table is read.
    """
    table = engine.to_pyarrow(stores.filter(stores.week <= calendar.train_end).order_by("row"))
    scalers: dict[str, Any] = {"classes": {name: classes_of(table[name], most) for name, most in KINDS.items()}}
    return scalers | moments(_raw(table, scalers), FLAGS)


def build(stores: ir.Table, scalers: dict[str, Any], engine: ibis.BaseBackend) -> np.ndarray:
    """T5 of all stores and weeks, by `row`: float32 [1 + n, 96]; row 0 is the unknown store.

    Args:
        stores: `artifacts.STORE_FEATURES`, whose `row` is 1 … n.
        scalers: from `fit`.
        engine: where the table is read.
    """
    table = engine.to_pyarrow(stores.order_by("row"))
    t5 = np.zeros((1 + len(table), T5.width), dtype=np.float32)
    t5[0, [KINDS["store_format"], ONE_HOTS - 1]] = 1  # format and region unknown
    t5[1:] = standardise(_raw(table, scalers), scalers)
    return t5


def _raw(table: pa.Table, scalers: dict[str, Any]) -> np.ndarray:
    """T5 before it is standardised: float64 [rows, 96], NaN where a number is not known."""
    return np.concatenate(
        [
            *(
                one_hot(class_codes(table[name], scalers["classes"][name], most), most + 1)
                for name, most in KINDS.items()
            ),
            numbers(table, ("range_size", "weeks_open"), LOGGED),
            number(table, "range_size")[:, None] > 0,
            vectors(table, "price_segments", SEGMENT_CLASSES),
            vectors(table, "lifestages", SEGMENT_CLASSES),
            numbers(
                table, ("anonymous", "customers", "trips_per_customer", *SENSITIVITIES, "spend_per_product"), LOGGED
            ),
            vectors(table, "directions", STORE_DIRECTIONS),
            numbers(table, ("recent_trips", "growth", "products_per_trip", "spend_per_trip", *TRIP_SHARES), LOGGED),
        ],
        axis=1,
    )
