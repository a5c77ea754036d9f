"""The synthetic retailer's weekly files, in the published columns and row order (SPEC C1, C6).

Trip labels are derived from what is in the basket, as a retailer does it.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from retailsim.atomic import atomic
from retailsim.sources.synthetic_draws import generator
from retailsim.sources.synthetic_shoppers import LIFESTAGES, PRICE_SEGMENTS
from retailsim.sources.synthetic_shopping import Retailer, Rows, Trips, monday_of
from retailsim.sources.synthetic_world import FOCI, FORMATS, MISSIONS, REGIONS

COLUMNS = (
    "SHOP_WEEK", "SHOP_DATE", "SHOP_WEEKDAY", "SHOP_HOUR", "QUANTITY", "SPEND",
    "PROD_CODE", "PROD_CODE_10", "PROD_CODE_20", "PROD_CODE_30", "PROD_CODE_40", "CUST_CODE", "seg_1", "seg_2",
    "BASKET_ID", "BASKET_SIZE", "BASKET_PRICE_SENSITIVITY", "BASKET_TYPE", "BASKET_DOMINANT_MISSION",
    "STORE_CODE", "STORE_FORMAT", "STORE_REGION",
)  # fmt: skip
FIRST_SHOP_WEEK = 7  # of 2006
WEEKS_OF_YEAR = 52
LABEL_STREAM = 1 << 20  # streams of chance for labels lie above those of the weeks
UNLABELLED = 0.05  # share of the baskets of one product whose type or focus could not be told


def shop_week_of(week: int) -> int:
    """The raw label yyyyww of `week`, which counts from 1.

    >>> shop_week_of(1), shop_week_of(46), shop_week_of(47)
    (200607, 200652, 200701)
    """
    years, weeks = divmod(FIRST_SHOP_WEEK + week - 2, WEEKS_OF_YEAR)
    return (2006 + years) * 100 + weeks + 1


def file_name(week: int) -> str:
    """The name of the file of `week`."""
    return f"transactions_{shop_week_of(week)}.csv"


def label_baskets(retailer: Retailer, trips: Trips, rows: Rows, week: int) -> dict[str, np.ndarray]:
    """Size, price sensitivity, type and dominant mission [T] of each basket, as the published labels."""
    rng = generator(retailer.seed, LABEL_STREAM + week)
    cat, n = retailer.catalogue, len(trips.shopper)
    need = cat.need[rows.product]
    products = np.bincount(rows.trip, minlength=n)
    spend = np.bincount(rows.trip, rows.pence, minlength=n)
    by_focus = np.bincount(rows.trip * 3 + cat.focus[cat.sub_category[need]], rows.pence, minlength=3 * n)
    shares = by_focus.reshape(n, 3) / np.maximum(spend, 1)[:, None]
    dear = np.bincount(rows.trip, cat.tier[need], minlength=n) / np.maximum(products, 1) - 1.5
    dear = dear + 0.4 * (retailer.shoppers.affluence[trips.shopper] - 1) + rng.normal(0.0, 0.2, n)
    planned = np.array([mission.basket_type for mission in MISSIONS])[trips.mission]
    kind = np.where(
        products <= 3, "Small Shop", np.where((planned == "Full Shop") & (products >= 8), "Full Shop", "Top Up")
    )
    kind = np.where((planned == "Small Shop") & (products <= 5), "Small Shop", kind)
    strongest = shares.argmax(axis=1)
    clear = shares.max(axis=1) >= np.array([0.6, 0.6, 0.5])[strongest]
    lost = (products == 1) & (rng.random(n) < UNLABELLED)
    return {
        "BASKET_SIZE": np.where(products <= 2, "S", np.where(products <= 6, "M", "L")),
        "BASKET_PRICE_SENSITIVITY": np.where(
            lost & (rng.random(n) < 0.5), "XX", np.where(dear < -0.45, "LA", np.where(dear > 0.45, "UM", "MM"))
        ),
        "BASKET_TYPE": np.where(lost, "XX", kind),
        "BASKET_DOMINANT_MISSION": np.where(lost, "XX", np.where(clear, np.array(FOCI)[strongest], "Mixed")),
    }


def week_table(retailer: Retailer, trips: Trips, rows: Rows, week: int) -> pa.Table:
    """The rows of `week` in the published columns, sorted by store, product and basket."""
    trip, stores, who = rows.trip, retailer.stores, retailer.shoppers
    days = np.datetime64(monday_of(week), "D") + trips.day
    month = days.astype("datetime64[M]")
    dates = month.astype("datetime64[Y]").astype(np.int64) * 10_000 + 19_700_000
    dates += (month.astype(np.int64) % 12 + 1) * 100 + (days - month).astype(np.int64) + 1
    basket_id = 994_000_000_000_000 + (1000 + week) * 100_000_000 + 1 + np.arange(len(trips.shopper))
    shopper, carded = trips.shopper[trip], len(who.customer_id)
    known = shopper < carded
    columns = {
        "SHOP_WEEK": np.full(len(trip), shop_week_of(week)),
        "SHOP_DATE": dates[trip],
        "SHOP_WEEKDAY": ((trips.day + 1) % 7 + 1)[trip],
        "SHOP_HOUR": trips.hour[trip],
        "QUANTITY": rows.quantity,
        "SPEND": rows.pence / 100,
        "PROD_CODE": retailer.catalogue.product_id[rows.product],
        **{name: codes[rows.product] for name, codes in retailer.catalogue.hierarchy().items()},
        "CUST_CODE": _coded(who.customer_id, np.where(known, shopper, -1)),
        "seg_1": _coded(np.array(PRICE_SEGMENTS), np.where(known, who.price_segment[shopper], -1)),
        "seg_2": _coded(np.array(LIFESTAGES), np.where(known, who.lifestage_segment[shopper], -1)),
        "BASKET_ID": basket_id[trip],
        **{name: labels[trip] for name, labels in label_baskets(retailer, trips, rows, week).items()},
        "STORE_CODE": stores.store_id[trips.store[trip]],
        "STORE_FORMAT": np.array(FORMATS)[stores.format[trips.store[trip]]],
        "STORE_REGION": np.array(REGIONS)[stores.region[trips.store[trip]]],
    }
    order = np.lexsort((columns["BASKET_ID"], columns["PROD_CODE"], columns["STORE_CODE"]))
    return pa.table({name: pa.array(columns[name]).take(pa.array(order)) for name in COLUMNS})


def _coded(codes: np.ndarray, place: np.ndarray) -> pa.Array:
    """`codes[place]` as strings; null where place is −1."""
    return pa.array(codes[np.maximum(place, 0)], mask=place < 0)


def write_week(folder: Path, week: int, table: pa.Table) -> None:
    """Write the file of `week`, with missing values empty and nothing quoted."""
    plain = pa.csv.WriteOptions(include_header=False, quoting_style="none")
    with atomic(folder / file_name(week)) as temporary, open(temporary, "wb") as file:
        file.write((",".join(COLUMNS) + "\n").encode())
        pa.csv.write_csv(table, file, plain)
