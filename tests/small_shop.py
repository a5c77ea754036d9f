"""A shop of receipts typed by hand, and the data root that `prepare_samples` makes of it."""

from datetime import date, timedelta
from decimal import Decimal

import ibis
import pyarrow as pa

from retailsim.artifacts import CALENDAR, CUSTOMER_EMBEDDINGS, STORE_FEATURES, TRANSACTIONS, VOCABULARY
from retailsim.storage import connect
from retailsim.training.prepare_samples import main
from retailsim.training.purchases import purchase_arrays
from retailsim.vocab import SPECIAL_TOKENS
from retailsim.weeks import Calendar

MONDAY = date(2006, 4, 10)
CALENDAR_OF_FOUR = Calendar(MONDAY, last_week=4, train_end=2, val_end=3)
PRODUCTS = [f"P{i:02d}" for i in range(60)]
ROW = {product: row for row, product in enumerate(PRODUCTS, start=len(SPECIAL_TOKENS))}


def basket(name, week, products, customer="C1", weekday=1, hour=10, **changes):
    """Transactions of one basket; `products` maps a product to (quantity, spend)."""
    shared = {
        "basket_id": name, "week": week, "shop_week": 200600 + week, "weekday": weekday, "hour": hour,
        "date": MONDAY + timedelta(weeks=week - 1, days=weekday - 1), "hierarchy_10": "A", "hierarchy_20": "B",
        "hierarchy_30": "C", "hierarchy_40": "D", "customer_id": customer, "price_segment": None, "lifestage": None,
        "store_id": "S1", "store_format": "LS", "store_region": "E01", "mission_type": "Top Up", "mission_focus": "Other",
        "price_sensitivity": None, "basket_size": "S", **changes,
    }  # fmt: skip
    return [
        {**shared, "product_id": product, "quantity": quantity, "spend": Decimal(spend)}
        for product, (quantity, spend) in products.items()
    ]


MILK_TEA = {"P00": (1, "0.50"), "P01": (2, "3.00")}


def tables(baskets):
    """Transactions as given; customers and stores with a row for each week in which they appear."""
    rows = [row for rows in baskets for row in rows]
    weeks = sorted({(row["customer_id"], row["week"]) for row in rows if row["customer_id"]})
    customers = [
        {"customer_id": c, "week": w, "row": 1 + i, "trips": 10 * w, "weeks_since_last": None if w == 1 else 2}
        for i, (c, w) in enumerate(weeks)
    ]
    stores = [
        {"store_id": s, "week": w, "row": 1 + i}
        for i, (s, w) in enumerate(sorted({(row["store_id"], row["week"]) for row in rows}))
    ]
    vocabulary = [
        *({"row": i, "product_id": token, "kind": "special"} for i, token in enumerate(SPECIAL_TOKENS)),
        *({"row": row, "product_id": product, "kind": "product"} for product, row in ROW.items()),
    ]
    given = (
        (TRANSACTIONS, rows),
        (CUSTOMER_EMBEDDINGS, customers),
        (STORE_FEATURES, stores),
        (VOCABULARY, vocabulary),
    )
    return [memtable(artifact, content) for artifact, content in given]


def memtable(artifact, rows):
    schema = artifact.schema
    return ibis.memtable(
        pa.Table.from_pylist([{name: row.get(name) for name in schema} for row in rows], schema.to_pyarrow())
    )


def written(root, baskets):
    """A data root with what `prepare_samples` reads, its command run on it, and the purchase histories."""
    engine = connect()
    keys = (["basket_id", "product_id"], ["row"], ["row"], ["row"])
    artifacts = (TRANSACTIONS, CUSTOMER_EMBEDDINGS, STORE_FEATURES, VOCABULARY)
    given = tables(baskets)
    for artifact, table, order in zip(artifacts, given, keys, strict=True):
        artifact.write(root, table, engine, order)
    CALENDAR.write(root, CALENDAR_OF_FOUR.to_json())
    code = main(["--data-dir", str(root)])
    if code == 0:
        for array, values in purchase_arrays(*given, CALENDAR_OF_FOUR).items():
            array.write(root, values)
    return code
