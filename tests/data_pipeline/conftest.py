"""Hand-typed and generated receipts for the stages of the pipeline."""

from datetime import date, timedelta

import ibis
import numpy as np
import pyarrow as pa
import pytest

from retailsim.artifacts import TRANSACTIONS
from retailsim.labels import TRIP_LABELS

DEFAULTS = {
    "basket_id": "b1", "week": 1, "weekday": 1, "hour": 9, "product_id": "A", "hierarchy_10": "t1",
    "hierarchy_20": "c1", "hierarchy_30": "g1", "hierarchy_40": "d1", "customer_id": "c1", "store_id": "s1",
    "store_format": "LS", "store_region": "N", "quantity": 1, "spend": 1.0, "shop_week": 200607,
}  # fmt: skip


@pytest.fixture
def receipts():
    """A function from rows (dicts; what is left out is of DEFAULTS, or null) to TRANSACTIONS."""

    def build(rows):
        full = [{**dict.fromkeys(TRANSACTIONS.columns), **DEFAULTS, **row} for row in rows]
        for row in full:
            row["date"] = date(2006, 4, 10) + timedelta(weeks=row["week"] - 1, days=row["weekday"] - 1)
            row["spend"] = f"{row['spend']:.2f}"
        text = TRANSACTIONS.schema.to_pyarrow().set(
            list(TRANSACTIONS.columns).index("spend"), pa.field("spend", pa.string())
        )
        table = pa.Table.from_pylist(full, schema=text).cast(TRANSACTIONS.schema.to_pyarrow())
        return ibis.memtable(table)

    return build


@pytest.fixture
def busy_rows():
    """Rows of 600 baskets in 30 weeks: 25 customers and nobody, 40 products, 6 stores; some labels and prices unknown.

    Prices scatter by a tenth, so that a median over another window is another number.
    P00 and P01, P02 and P03, P04 and P05 go together.
    """
    draw = np.random.default_rng(7)
    rows = []
    for number in range(600):
        who, week = int(draw.integers(0, 27)), int(draw.integers(1, 31))
        basket = {
            "basket_id": f"b{number:03}", "week": week, "weekday": int(draw.integers(1, 8)),
            "hour": int(draw.integers(8, 20)), "customer_id": f"c{who:02}" if who < 25 else None,
            "store_id": f"s{draw.integers(0, 6)}",
            **{label: str(draw.choice(names)) if draw.random() < 0.9 else None for label, names in TRIP_LABELS.items()},
        }  # fmt: skip
        basket["store_format"] = "LS" if basket["store_id"] < "s4" else "SS"
        basket["store_region"] = "N" if basket["store_id"] in ("s0", "s5") else "S"
        products = draw.choice(40, size=int(draw.integers(1, 9)), replace=False, p=np.arange(40, 0, -1) / 820)
        for product in {*products.tolist(), *(int(p) + 1 for p in products if p in (0, 2, 4) and draw.random() < 0.7)}:
            price = (1 + product % 7) * float(draw.uniform(0.9, 1.1)) * (1.1 if basket["store_format"] == "SS" else 1)
            quantity = int(draw.integers(1, 4))
            rows.append(
                {
                    **basket, "product_id": f"P{product:02}", "hierarchy_10": f"t{product % 8}", "quantity": quantity,
                    "hierarchy_20": f"c{product % 4}", "spend": 0.0 if draw.random() < 0.01 else quantity * price,
                }
            )  # fmt: skip
    return rows
