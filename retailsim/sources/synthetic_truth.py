"""What the synthetic retailer plants, written beside its data in `truth/` (SPEC C6).

One Parquet file per kind of truth, its rows sorted; `retailer.json` holds the sizes and seed, and marks the folder as
made here. It is called `unfinished.json` until all else is written. Prices are £ per item in the chain before a store's price level; weeks count from 1.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from retailsim.atomic import atomic
from retailsim.sources.read import UNFINISHED
from retailsim.sources.synthetic_prices import PriceBook
from retailsim.sources.synthetic_shopping import Retailer
from retailsim.sources.synthetic_world import FORMATS, MISSIONS, PRICE_LEVEL, REGIONS, Catalogue

FOLDER = "truth"
MARK = "retailer.json"


def is_marked(folder: Path) -> bool:
    """Whether `folder` is of a synthetic retailer, a finished one or not."""
    return (folder / FOLDER / MARK).exists() or (folder / UNFINISHED).exists()


def write_mark(folder: Path, record: dict[str, int]) -> None:
    """Say that `folder` is of a synthetic retailer with these sizes and seed, which is not finished."""
    with atomic(folder / UNFINISHED) as temporary:
        temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (folder / FOLDER / MARK).unlink(missing_ok=True)


def finish_mark(folder: Path) -> None:
    """Say that the retailer is whole."""
    (folder / UNFINISHED).replace(folder / FOLDER / MARK)


def write_truth(folder: Path, retailer: Retailer, weeks: int) -> None:
    """Write all truth of `retailer` about weeks 1 … `weeks`."""
    cat, stores, who = retailer.catalogue, retailer.stores, retailer.shoppers
    ids = cat.product_id
    customer, slot = np.nonzero(who.habit[: len(who.customer_id)] >= 0)
    favourite = np.where(who.habit_first[customer, slot] >= 0.5, 0, 1)
    habit = {
        "customer_id": who.customer_id[customer],
        "product_id": ids[cat.members[who.habit[customer, slot], favourite]],
        "period": who.period[customer, slot],  # weeks
    }
    one = np.flatnonzero(cat.complement > np.arange(len(cat.complement)))
    complement = _pairs(ids, cat.members[one, 0], cat.members[cat.complement[one], 0])
    complement["chance"] = cat.complement_chance[one]  # that the other is added to a basket with one
    pair = np.flatnonzero(cat.is_pair)
    substitute = _pairs(ids, cat.members[pair, 0], cat.members[pair, 1])
    seasonal = np.flatnonzero(cat.season_strength[cat.need] > 0)
    season = {
        "product_id": ids[seasonal],
        "peak": cat.season_peak[cat.need[seasonal]],  # time of year 0–1
        "uplift": np.exp(2 * cat.season_strength[cat.need[seasonal]]),  # demand at the peak over that half a year away
    }
    form, product = np.nonzero(stores.in_range[:, cat.need])
    mission, sub_category = np.nonzero(cat.mission_mix > 0)
    names = np.array([m.name for m in MISSIONS])
    tables = {
        "habits": habit,
        "complements": complement,
        "substitutes": substitute,
        "seasons": season,
        "promotions": _promotions(retailer.prices, ids, weeks),
        "regular_prices": _regular_prices(retailer.prices, ids, weeks),
        "elasticities": elasticities(cat),
        "products": {"product_id": ids, "launch": cat.launch[cat.need], "tier": cat.tier[cat.need], **cat.hierarchy()},
        "stores": {
            "store_id": stores.store_id,
            "store_format": np.array(FORMATS)[stores.format],
            "store_region": np.array(REGIONS)[stores.region],
            "price_level": np.array(PRICE_LEVEL)[stores.format],  # factor on the chain's price
        },
        "ranges": {"store_format": np.array(FORMATS)[form], "product_id": ids[product]},
        "missions": {
            "mission": names[mission],
            "hierarchy_10": _sub_category_codes(cat)[sub_category],
            "share": cat.mission_mix[mission, sub_category],  # 0–1, before range, tastes, season and price
        },
    }
    for name, columns in tables.items():
        table = pa.table({key: pa.array(values) for key, values in columns.items()})
        with atomic(folder / FOLDER / f"{name}.parquet") as temporary:
            pa.parquet.write_table(table.sort_by([(key, "ascending") for key in table.column_names]), temporary)


def elasticities(cat: Catalogue) -> dict[str, np.ndarray]:
    """Own-price (product twice) and cross-price elasticities of expected units, at reference prices.

    `product_id`'s demand against `price_of`'s price; see `synthetic_prices` for the rule they come from.
    """
    pair = cat.is_pair[cat.need]
    is_first = cat.members[cat.need, 0] == np.arange(len(cat.need))
    share = np.where(is_first, cat.first_share[cat.need], 1 - cat.first_share[cat.need])
    share = np.where(pair, share, 1.0)
    epsilon, theta = cat.elasticity[cat.need], cat.switching[cat.need]
    other = np.where(is_first, cat.members[cat.need, 1], cat.members[cat.need, 0])[pair]
    return {
        "product_id": np.concatenate([cat.product_id, cat.product_id[pair]]),
        "price_of": np.concatenate([cat.product_id, cat.product_id[other]]),
        "elasticity": np.concatenate(
            [-(theta * (1 - share) + epsilon * share), ((theta - epsilon) * (1 - share))[pair]]
        ),
    }


def _sub_category_codes(cat: Catalogue) -> np.ndarray:
    codes = cat.hierarchy()["PROD_CODE_10"]
    return codes[np.searchsorted(cat.sub_category[cat.need], np.arange(len(cat.focus)))]


def _pairs(ids: np.ndarray, one: np.ndarray, other: np.ndarray) -> dict[str, np.ndarray]:
    a, b = ids[one], ids[other]
    return {"product_a": np.where(a < b, a, b), "product_b": np.where(a < b, b, a)}


def _promotions(prices: PriceBook, ids: np.ndarray, weeks: int) -> dict[str, np.ndarray]:
    columns = [np.concatenate(c) for c in zip(*prices.promotions, strict=True)] or [np.zeros(0, np.int64)] * 4
    product, first, last, depth = columns
    return {
        "product_id": ids[product],
        "first_week": first,
        "last_week": np.minimum(last, weeks),
        "depth": depth.astype(np.float64),  # share 0–1 off the regular price
    }


def _regular_prices(prices: PriceBook, ids: np.ndarray, weeks: int) -> dict[str, np.ndarray]:
    product, week, price = (np.concatenate(column) for column in zip(*prices.changes, strict=True))
    known = week <= weeks
    return {"product_id": ids[product[known]], "week": week[known], "price": price[known]}  # from that week on
