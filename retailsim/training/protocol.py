"""The evaluation's baskets as every method sees them: samples, hidden products, purchases before (SPEC C32).

Reads data/processed/transactions.parquet and the samples of a split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retailsim.artifacts import SAMPLES, TRANSACTIONS
from retailsim.errors import UserError
from retailsim.evaluation.hidden import MIN_PRODUCTS, HiddenSet, hide
from retailsim.evaluation.line_up import Market
from retailsim.evaluation.purchases import Purchases
from retailsim.labels import TRIP_LABELS, UNKNOWN
from retailsim.manifest import again, refuse_changed
from retailsim.storage import connect
from retailsim.training.replays import REPLAY_LIMIT, replays_by_week
from retailsim.training.samples import Samples, load_samples
from retailsim.vocab import Vocabulary


@dataclass(frozen=True)
class Protocol:
    """Baskets of at least two products, what is hidden in them, and the market with all purchases.

    `of_basket` fields have one value per basket [B], in the order of `samples`.
    """

    samples: Samples
    hidden: HiddenSet
    market: Market

    def of_hidden(self, of_basket: np.ndarray) -> np.ndarray:
        """One value per basket [B] → one per hidden product [M]."""
        return of_basket[self.hidden.basket]

    def select(self, keep: np.ndarray) -> "Protocol":
        """The baskets where boolean `keep` [B] is true."""
        return Protocol(self.samples.select(keep), self.hidden.select(np.flatnonzero(keep)), self.market)

    def replay_free_weeks(self) -> tuple[int, int] | None:
        """First and last of the weeks, from the split's first on, whose share of replays is at most REPLAY_LIMIT."""
        columns = {name: self.samples.columns[name] for name in ("week", "n_products", "is_replay")}
        weeks = replays_by_week(connect().create_table("samples", ibis.memtable(pa.table(columns)), temp=True))
        free = [of.week for of in takewhile(lambda of: of.share <= REPLAY_LIMIT, weeks)]
        return (free[0], free[-1]) if free else None


def refuse_known_weeks(checkpoint: Path, state: Mapping[str, Any], split: str, samples: Samples) -> None:
    """A UserError where `split` begins in weeks that the model of `state` was trained on, or its epoch chosen on.

    A checkpoint of an earlier version does not say which they are, and is not refused.
    """
    known, done = ("train_end", "trained") if split == "val" else ("val_end", "chosen")
    first = int(samples.columns["week"].min())
    if known in state and first <= state[known]:
        raise UserError(
            f"{checkpoint} was {done} on weeks up to {state[known]}, and the {split} weeks begin with {first}: figures of weeks that "
            f"it knows would flatter it. Train again on this split, or name the --data-dir it was trained on"
        )


def load_protocol(root: Path, split: str, vocabulary: Vocabulary) -> Protocol:
    """The protocol of `split` under data root `root`."""
    return load_protocols(root, (split,), vocabulary)[split]


def load_protocols(root: Path, splits: Sequence[str], vocabulary: Vocabulary) -> dict[str, Protocol]:
    """The protocols of several splits, which share one market."""
    asked = {split: _evaluated(root, split) for split in splits}
    market, basket_ids = _load_market(root, vocabulary)
    return {split: _protocol(root, samples, market, basket_ids) for split, samples in asked.items()}


def _evaluated(root: Path, split: str) -> Samples:
    samples = load_samples(root, split)
    samples = samples.select(samples.columns["n_products"] >= MIN_PRODUCTS)
    if not len(samples):
        raise UserError(
            f"split {split} has no basket with two products, so nothing can be hidden: take another --split or more data"
        )
    return samples


def _load_market(root: Path, vocabulary: Vocabulary) -> tuple[Market, pa.Array]:
    """The market, and the id of each of its baskets."""
    refuse_changed(root, TRANSACTIONS)
    TRANSACTIONS.read(root, connect())  # checks columns and dtypes
    names = [
        "basket_id", "week", "customer_id", "store_id", "store_format", "store_region", "product_id", "hierarchy_30",
        *TRIP_LABELS,
    ]  # fmt: skip
    rows = TRANSACTIONS.load(root, names, read_dictionary=[n for n in names if n != "week"])
    rows = rows.combine_chunks().unify_dictionaries()
    baskets, customers, stores = (_codes(rows[name]) for name in ("basket_id", "customer_id", "store_id"))
    product = _product_rows(rows["product_id"], vocabulary)
    purchases = Purchases.from_rows(baskets.codes, rows["week"].to_numpy(), customers.codes, stores.codes, product)
    groups = np.full(vocabulary.size, -1)
    known = product < vocabulary.size
    groups[product[known]] = _codes(rows["hierarchy_30"]).codes[known]
    trip = np.full((len(purchases.week), len(TRIP_LABELS)), UNKNOWN)
    trip[baskets.codes] = np.stack([_label_codes(rows[label], names) for label, names in TRIP_LABELS.items()], axis=1)
    # `from_rows` numbers baskets by their code, and codes are numbered from 0 without a gap
    return Market(purchases, vocabulary.size, _store_groups(rows, stores), groups, trip), baskets.names


def _protocol(root: Path, samples: Samples, market: Market, basket_ids: pa.Array) -> Protocol:
    found = pc.index_in(pa.array(samples.columns["basket_id"], pa.string()), value_set=basket_ids)
    if found.null_count:
        raise UserError(
            f"{found.null_count:,} baskets of the samples are not among the transactions, which were made anew since: "
            f'run "{again(SAMPLES, root)}" again, and the stages before and after it ("retailsim status")'
        )
    index = found.to_numpy()
    hidden = hide(
        samples.starts,
        samples.products,
        samples.columns["n_products"],
        samples.columns["week"],
        market.purchases.customer[index],
        market.purchases.store[index],
        samples.trip,
        market.size,
    )
    return Protocol(samples, hidden, market)


@dataclass(frozen=True)
class _Coded:
    codes: np.ndarray  # int64, −1 null
    names: pa.Array


def _codes(column: pa.ChunkedArray) -> _Coded:
    encoded = column.combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    return _Coded(encoded.indices.fill_null(-1).to_numpy().astype(np.int64), encoded.dictionary)


def _product_rows(column: pa.ChunkedArray, vocabulary: Vocabulary) -> np.ndarray:
    coded = _codes(column)
    return vocabulary.rows(coded.names.to_pylist())[coded.codes]


def _label_codes(column: pa.ChunkedArray, names: tuple[str, ...]) -> np.ndarray:
    coded = _codes(column)
    of_name = pc.fill_null(pc.index_in(coded.names, value_set=pa.array(names)), UNKNOWN).to_numpy()
    return np.append(of_name, UNKNOWN)[coded.codes]


def _store_groups(rows: pa.Table, stores: _Coded) -> np.ndarray:
    kind = _codes(rows["store_format"]).codes * 10_000 + _codes(rows["store_region"]).codes
    groups = np.zeros(max(len(stores.names), 1), dtype=np.int64)  # one group for receipts without stores
    groups[stores.codes] = np.unique(kind, return_inverse=True)[1]
    return groups
