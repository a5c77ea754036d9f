"""What each customer and each store had in its baskets, week by week, as arrays that a batch cuts its histories from.

Row r of T1 (T5) is a customer (store) in one week, in the order of customer (store) and week. Purchases stand in the
order of these rows, so the history of row r is a run of purchases that ends where row r's own begin: the weeks ≤ W − 1
by construction (SPEC C19). The product row PAD stands for the trip itself.

| of | columns |
|---|---|
| customers | week, product row, which of the week's baskets (from 0), kind of trip (0 where the row is a product) |
| stores | week, product row, baskets of the week |

Legend: R rows of T1 or T5, row 0 unknown · N purchases · V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np

from retailsim.artifacts import (
    CHAIN_POPULARITY,
    CUSTOMER_HISTORIES,
    CUSTOMER_PURCHASES,
    STORE_HISTORIES,
    STORE_PURCHASES,
)
from retailsim.labels import TRIP_LABELS
from retailsim.manifest import refuse_changed
from retailsim.storage import Array
from retailsim.training.trip_kinds import kind_of_trip
from retailsim.vocab import PAD, SPECIAL_TOKENS
from retailsim.weeks import Calendar

STORE_WEEKS = 26  # weeks of a store's history that are kept: with a half-life of 8, 90 % of what would ever count
SPECIAL_SHARE = 1e-8  # of the chain's baskets, of a special token


@dataclass(frozen=True)
class Purchases:
    """Purchases of all customers or stores, and where each row's history lies among them."""

    histories: np.ndarray  # int64 [R, 2]: first purchase of row r's history, and the one behind its last
    purchases: np.ndarray  # int32 [N, columns of the table above]

    def before(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """The histories of `rows` [n], end to end: owner (0 … n − 1), then the columns of the table above, each int64 [k]."""
        begin, end = self.histories[rows].T
        lengths = end - begin
        owner = np.repeat(np.arange(len(rows)), lengths)
        first = np.repeat(begin - (np.cumsum(lengths) - lengths), lengths)
        return owner, *self.purchases[np.arange(len(owner)) + first].T.astype(np.int64)


@dataclass(frozen=True)
class PurchaseHistories:
    """The past that batches are given."""

    customers: Purchases
    stores: Purchases
    vocab_size: int


class ChainShare(NamedTuple):
    """How a share of the chain's baskets is kept up to date."""

    half_life: float  # weeks
    memory: float  # baskets with a product, and no more, stand for its earlier weeks
    prior: float  # baskets with each product before the first: what was never sold has a small share, not none


CHAIN_SHARES = {
    "long-run": ChainShare(half_life=52.0, memory=np.inf, prior=0.5),
    "recent": ChainShare(half_life=4.0, memory=np.inf, prior=0.05),
    "current": ChainShare(half_life=4.0, memory=5.0, prior=0.05),
}
NO_ROWS = np.zeros((0, 2), np.int64)
# Of baskets that no model is shown: a row looked up in it is an error.
NO_HISTORIES = PurchaseHistories(
    Purchases(NO_ROWS, np.zeros((0, 4), np.int32)), Purchases(NO_ROWS, np.zeros((0, 3), np.int32)), 0
)


def load_purchase_histories(root: Path, vocab_size: int) -> PurchaseHistories:
    """The histories under data root `root`, in memory."""
    refuse_changed(root, CUSTOMER_HISTORIES, CUSTOMER_PURCHASES, STORE_HISTORIES, STORE_PURCHASES)
    customers = Purchases(np.array(CUSTOMER_HISTORIES.read(root)), np.array(CUSTOMER_PURCHASES.read(root)))
    stores = Purchases(np.array(STORE_HISTORIES.read(root)), np.array(STORE_PURCHASES.read(root)))
    return PurchaseHistories(customers, stores, vocab_size)


def purchase_arrays(
    transactions: ir.Table, customers: ir.Table, stores: ir.Table, vocabulary: ir.Table, calendar: Calendar
) -> dict[Array, np.ndarray]:
    """Everything that batches and models look up of earlier purchases, by artifact.

    Args:
        transactions: artifacts.TRANSACTIONS.
        customers: `customer_id`, `week`, `row` of artifacts.CUSTOMER_EMBEDDINGS.
        stores: `store_id`, `week`, `row` of artifacts.STORE_FEATURES.
        vocabulary: artifacts.VOCABULARY; late products are left out.
        calendar: the data's weeks.
    """
    products = vocabulary.filter(vocabulary.kind == "product").select("product_id", product="row")
    size = int(products.count().execute()) + len(SPECIAL_TOKENS)
    of_customers = build_purchases(transactions, customers, "customer_id", products, None, _by_basket)
    of_stores = build_purchases(transactions, stores, "store_id", products, STORE_WEEKS, _by_week)
    return {
        CUSTOMER_HISTORIES: of_customers.histories,
        CUSTOMER_PURCHASES: of_customers.purchases,
        STORE_HISTORIES: of_stores.histories,
        STORE_PURCHASES: of_stores.purchases,
        CHAIN_POPULARITY: chain_popularity(_counted(transactions, products, ["week"]), calendar, size),
    }


def build_purchases(
    transactions: ir.Table,
    rows: ir.Table,
    key: str,
    products: ir.Table,
    last_weeks: int | None,
    events_of: Callable[[ir.Table, ir.Table], np.ndarray],
) -> Purchases:
    """The purchases of all customers or stores.

    Args:
        transactions: artifacts.TRANSACTIONS.
        rows: `key`, `week` and `row` (1 … R − 1 in the order of key and week) of CUSTOMER_EMBEDDINGS or STORE_FEATURES.
        key: `customer_id` or `store_id`.
        products: `product_id` and vocabulary row `product`; others are left out.
        last_weeks: how many weeks of history are kept; None: all.
        events_of: the purchases of lines that have a `row`, `_by_basket` or `_by_week`.
    """
    of_row = transactions.select(key, "week", "product_id", "basket_id", *TRIP_LABELS).join(
        rows.select(key, "week", "row"), [key, "week"]
    )
    events = events_of(of_row, products)
    index = rows.select(key, "week", "row").order_by("row").to_pyarrow()
    entity = np.unique(index[key].to_numpy(zero_copy_only=False), return_inverse=True)[1]
    return Purchases(
        _histories(entity, index["week"].to_numpy(), events[:, 0], last_weeks), events[:, 1:].astype(np.int32)
    )


def _by_basket(lines: ir.Table, products: ir.Table) -> np.ndarray:
    """`row` and the columns of customers, in the order of row, product and basket."""
    numbered = lines.mutate(which=ibis.dense_rank().over(group_by="row", order_by="basket_id"))
    columns = ("row", "week", "product", "which", "kind")
    bought = numbered.join(products, "product_id").mutate(kind=ibis.literal(0, "int64")).select(*columns)
    trips = numbered.group_by(["row", "week", "which"]).agg(kind=kind_of_trip(numbered))
    trips = trips.mutate(product=ibis.literal(PAD, "int64")).select(*columns)
    return _as_array(ibis.union(bought, trips).order_by(["row", "product", "which"]), columns)


def _by_week(lines: ir.Table, products: ir.Table) -> np.ndarray:
    """`row` and the columns of stores, in the order of row and product."""
    return _counted(lines, products, ["row", "week"])


def _counted(lines: ir.Table, products: ir.Table, keys: list[str]) -> np.ndarray:
    """`keys`, product row (PAD: any) and baskets, in the order of the first key and the product: int64 [N, keys + 2]."""
    bought = lines.join(products, "product_id").group_by([*keys, "product"])
    trips = lines.group_by(keys)
    columns = (*keys, "product", "baskets")
    both = ibis.union(
        bought.agg(baskets=lambda t: t.basket_id.nunique()).select(*columns),
        trips.agg(baskets=lines.basket_id.nunique()).mutate(product=ibis.literal(PAD, "int64")).select(*columns),
    ).order_by([keys[0], "product"])
    return _as_array(both, columns)


def _as_array(table: ir.Table, columns: Sequence[str]) -> np.ndarray:
    found = table.to_pyarrow()
    return np.stack([found[name].to_numpy() for name in columns], axis=1).astype(np.int64)


def _histories(entity: np.ndarray, week: np.ndarray, event_row: np.ndarray, last_weeks: int | None) -> np.ndarray:
    """int64 [R, 2] of rows 1 … R − 1, which belong to `entity` and `week`; row 0 has no history."""
    stride = int(week.max(initial=0)) + 1
    at = entity.astype(np.int64) * stride + week
    earliest = entity * stride + (np.maximum(week - last_weeks, 0) if last_weeks else 0)
    first = np.searchsorted(at, earliest)  # index of the first row within reach; rows count from 1
    starts = np.searchsorted(event_row, np.arange(1, len(entity) + 1))
    return np.concatenate([np.zeros((1, 2), np.int64), np.stack([starts[first], starts], axis=1)])


def chain_popularity(sales: np.ndarray, calendar: Calendar, vocab_size: int) -> np.ndarray:
    """Shares of the chain's baskets with each product, float32 [weeks + 1, 3, V]; row w − 1 is as of week w.

    One per entry of CHAIN_SHARES. The last row is as of the week after the data.

    Args:
        sales: week, product row (PAD: any) and baskets, of all stores and of baskets without one: int64 [N, 3].
        calendar: the data's weeks.
        vocab_size: V.
    """
    weekly = np.zeros((calendar.last_week + 2, vocab_size))
    week, product, baskets = sales.T
    np.add.at(weekly, (week, product), baskets)
    shares = np.stack([_shares(weekly, kept) for kept in CHAIN_SHARES.values()], axis=1)
    shares[:, :, : len(SPECIAL_TOKENS)] = SPECIAL_SHARE
    return shares[1:].astype(np.float32)


def _shares(weekly: np.ndarray, of: ChainShare) -> np.ndarray:
    """Row w: the share as of week w, from `weekly` baskets [weeks, V] (PAD: in all).

    A discounted Gamma-Poisson filter (West and Harrison, Bayesian Forecasting and Dynamic Models, 1997): baskets with a product,
    and among how many, both fade alike.
    """
    decay, vocab_size = 2.0 ** (-1 / of.half_life), weekly.shape[1]
    having, baskets = np.zeros(vocab_size), np.zeros(vocab_size)  # as each product remembers them
    shares = np.empty_like(weekly)
    for w, sold in enumerate(weekly):
        shares[w] = (having + of.prior) / (baskets + of.prior * vocab_size)
        kept = np.minimum(decay, of.memory / np.maximum(having, 1e-9))
        having, baskets = kept * having + sold, kept * baskets + sold[PAD]
    return shares
