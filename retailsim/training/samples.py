"""The baskets of a split in memory, as columns."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from retailsim.artifacts import SAMPLE_TABLES
from retailsim.labels import TRIP_LABELS
from retailsim.manifest import refuse_changed
from retailsim.reading import load_vocabulary
from retailsim.storage import connect
from retailsim.training.purchases import NO_HISTORIES, PurchaseHistories, load_purchase_histories

LONGEST_HISTORY = 1000  # purchases beyond which histories pad alike


@dataclass(frozen=True)
class Samples:
    """The baskets of a split as columns; basket i holds items starts[i] … starts[i + 1] − 1 of the flat columns."""

    columns: dict[str, np.ndarray]  # one value per basket, see artifacts.SAMPLE_TABLES
    trip: np.ndarray  # [n, 4] codes, −1 unknown
    starts: np.ndarray  # [n + 1]
    products: np.ndarray  # [items] vocabulary rows
    prices: np.ndarray  # [items] £ per item, NaN unknown
    quantities: np.ndarray  # [items] how many of each, NaN unknown
    histories: PurchaseHistories  # of all customers and stores

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Items of each basket, after it was cut: int64 [n]."""
        return np.diff(self.starts)

    def sizes(self, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
        """A number that sorts the baskets `rows` by their `places`, and those alike by their customers' histories: int64 [n]."""
        begin, end = self.histories.customers.histories[self.columns["customer_row"][rows]].T
        history = np.minimum(end - begin, LONGEST_HISTORY)
        return places * (LONGEST_HISTORY + 1) + history

    def without_histories(self) -> "Samples":
        """The same baskets for a model that is not shown single earlier purchases: batches are made several times as fast."""
        customers, stores = (
            replace(of, histories=np.zeros_like(of.histories), purchases=of.purchases[:0])
            for of in (self.histories.customers, self.histories.stores)
        )
        return replace(self, histories=PurchaseHistories(customers, stores, vocab_size=1))

    def select(self, keep: np.ndarray) -> "Samples":
        """The baskets where boolean `keep` [n] is true; their numbers (`sample`) stay."""
        lengths = self.lengths
        items = np.repeat(keep, lengths)
        starts = np.concatenate([[0], np.cumsum(lengths[keep])])
        columns = {name: values[keep] for name, values in self.columns.items()}
        flat = {name: getattr(self, name)[items] for name in ("products", "prices", "quantities")}
        return replace(self, columns=columns, trip=self.trip[keep], starts=starts, **flat)


def load_samples(root: Path, split: str) -> Samples:
    """The samples of `split` under data root `root`; a UserError names the command when they are missing."""
    return replace(load_baskets(root, split), histories=load_purchase_histories(root, load_vocabulary(root).size))


def load_baskets(root: Path, split: str) -> Samples:
    """The samples of `split` as if nobody had bought anything before."""
    table = SAMPLE_TABLES[split]
    refuse_changed(root, table)
    table.read(root, connect())  # checks columns and dtypes
    flat = table.load(root)
    lists = {name: flat[name].combine_chunks() for name in ("products", "prices", "quantities")}
    columns = {name: flat[name].to_numpy() for name in table.columns if name not in (*lists, *TRIP_LABELS)}
    return Samples(
        columns=columns,
        trip=np.stack([flat[label].to_numpy() for label in TRIP_LABELS], axis=1).astype(np.int64),
        starts=lists["products"].offsets.to_numpy().astype(np.int64),
        products=lists["products"].values.to_numpy(),
        **{
            name: lists[name].values.to_numpy(zero_copy_only=False).astype(np.float32)
            for name in lists
            if name != "products"
        },
        histories=NO_HISTORIES,
    )
