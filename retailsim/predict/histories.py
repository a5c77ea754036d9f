"""Which rows of T1 and T5 say what was known of a customer or a store before a week (SPEC §1, W−1 rule; C13).

Reads the keys of `artifacts.CUSTOMER_EMBEDDINGS` and `artifacts.STORE_FEATURES`. A row "as of week w" is made of weeks
before w, so for a request of week W only rows of weeks ≤ W are in reach.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retailsim.manifest import refuse_changed
from retailsim.storage import Table, connect


@dataclass(frozen=True)
class Known:
    """A row, and the week as of which it speaks."""

    row: int
    week: int


class Histories:
    """The rows of all entities of one kind, by id and week.

    Args:
        ids: id of each row, sorted; rows of one id stand together, by week.
        weeks: the week as of which each row speaks, int [n].
        events: what had happened to the id before the row's week, counted, int [n].
        groups: labels of each row by column, e.g. its store's format; None where not known.

    Row numbers count from 1, as those of T1 and T5.
    """

    def __init__(
        self, ids: Sequence[str], weeks: np.ndarray, events: np.ndarray, groups: Mapping[str, Sequence[str | None]]
    ) -> None:
        self.weeks, self.events = weeks, events
        self._labels = {name: np.array(values, dtype=object) for name, values in groups.items()}
        self.names, starts = np.unique(np.array(ids, dtype=str), return_index=True)
        ends = [*starts, len(ids)][1:]  # none where the source has no customers, or no stores
        self._ends = {name: (int(a), int(b)) for name, a, b in zip(self.names, starts, ends, strict=True)}

    @classmethod
    def load(cls, root: Path, table: Table, entity: str, events: str, labels: Sequence[str]) -> "Histories":
        """The rows of `table` under data root `root`; `events` is the column that is 0 or null before anything happened."""
        refuse_changed(root, table)
        engine = connect()
        columns = table.read(root, engine).select(entity, "week", "row", events, *labels)
        rows = engine.to_pyarrow(columns.order_by("row"))
        if len(rows) and (rows["row"].to_numpy() != np.arange(1, len(rows) + 1)).any():
            raise table.damaged(root, "does not number its rows 1, 2, …")
        counts = rows[events].fill_null(0).to_numpy().astype(np.int64)
        groups = {name: rows[name].to_pylist() for name in labels}
        return cls(rows[entity].to_pylist(), rows["week"].to_numpy(), counts, groups)

    def __contains__(self, name: str) -> bool:
        return name in self._ends

    def as_of(self, name: str, week: int) -> Known | None:
        """The latest row of `name` that was made of weeks before `week`; None where there is none yet."""
        start, end = self._ends[name]
        found = start + int(np.searchsorted(self.weeks[start:end], week, side="right")) - 1
        return self._known(found) if found >= start else None

    def last_event(self, name: str, week: int) -> int | None:
        """The last week before `week` in which `name` has a row, that is, in which something happened."""
        start, end = self._ends[name]
        earlier = self.weeks[start:end][self.weeks[start:end] < week]
        return int(earlier[-1]) if len(earlier) else None

    def labels_of(self, name: str) -> dict[str, str | None]:
        """The labels of the first row of `name`."""
        return {label: values[self._ends[name][0]] for label, values in self._labels.items()}

    def newcomer(self, labels: Mapping[str, str | None], week: int) -> Known | None:
        """The latest row up to `week` of an id that was new then and has these labels (None: not known).

        Such a row holds the averages of its group and nothing of its own.
        """
        return self._latest((self.events == 0) & self._has(labels), week)

    def typical(self, labels: Mapping[str, str], week: int, vectors: np.ndarray) -> tuple[str, Known] | None:
        """The id with these labels whose latest row up to `week` lies nearest to the mean of all such ids.

        Args:
            labels: what the id must be.
            week: rows of later weeks are out of reach.
            vectors: the tensor whose row r describes row r, float32 [1 + n, width].
        """
        fits = np.flatnonzero(self._has(dict(labels)) & (self.weeks <= week))
        if not len(fits):
            return None
        owner = np.searchsorted([start for start, _ in self._ends.values()], fits, side="right") - 1
        last = fits[np.append(owner[1:] != owner[:-1], True)]  # rows of an id stand together, by week
        of_last = vectors[1 + last].astype(np.float64)
        nearest = last[((of_last - of_last.mean(axis=0)) ** 2).sum(axis=1).argmin()]
        return str(self.names[owner[np.searchsorted(fits, nearest)]]), self._known(int(nearest))

    def values(self, label: str) -> list[str]:
        """The known values of a label, sorted."""
        return sorted({value for value in self._labels[label] if value is not None})

    def _has(self, labels: Mapping[str, str | None]) -> np.ndarray:
        fits = np.ones(len(self.weeks), dtype=bool)
        for name, value in labels.items():
            fits &= self._labels[name] == value
        return fits

    def _latest(self, fits: np.ndarray, week: int) -> Known | None:
        rows = np.flatnonzero(fits & (self.weeks <= week))
        return self._known(int(rows[self.weeks[rows].argmax()])) if len(rows) else None

    def _known(self, index: int) -> Known:
        return Known(index + 1, int(self.weeks[index]))
