"""Who shops and where, as rows of T1 and T5: exact where the data has them, else the nearest honest row, with a note (C36, C39).

An unknown customer or store is an error, or a stand-in that is named; it never becomes another one silently.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from retailsim.artifacts import CUSTOMER_EMBEDDINGS, STORE_FEATURES
from retailsim.errors import UserError
from retailsim.predict.histories import Histories
from retailsim.predict.request import Request

UNKNOWN_ROW = 0  # of T1 and T5
NEVER = -1  # weeks since the last trip, and trips, of somebody who has not been seen
SEGMENTS = ("price_segment", "lifestage")
KIND = ("store_format", "store_region")


@dataclass(frozen=True)
class Found:
    """A row of T1 or T5 for a request, with what was used instead of what was not known."""

    row: int  # of T1 its values alone: what the customer bought is that of `bought_row`
    notes: tuple[str, ...] = ()
    weeks_since_last: int = NEVER  # customers only
    trips: int = NEVER  # customers only: baskets that the row knows of
    bought_row: int = UNKNOWN_ROW  # customers only: its history is all that was bought before the week asked for


class People:
    """The customers of the data."""

    def __init__(self, root: Path) -> None:
        self.histories = Histories.load(root, CUSTOMER_EMBEDDINGS, "customer_id", "trips", SEGMENTS)

    def find(self, request: Request, week: int, allow_unknown: bool) -> Found:
        """Who the request's customer is, as of `week`; a UserError for an unknown one, unless `allow_unknown`."""
        name, segments = request.customer, {"price_segment": request.price_segment, "lifestage": request.lifestage}
        is_new = any(segments.values())
        if name is None:
            return (
                self._newcomer(segments, week) if is_new else Found(UNKNOWN_ROW, ("no customer: an anonymous shopper",))
            )
        if name not in self.histories:
            if not (is_new or allow_unknown):
                raise UserError(
                    f"unknown customer {name!r}: {_nearest(name, self.histories.names)}; a new customer is asked for with "
                    f'--segment "PRICE SEGMENT,LIFE STAGE", an anonymous one by leaving --customer out'
                )
            note = f"customer {name} is unknown: {'a new customer' if is_new else 'an anonymous shopper'} is meant"
            new = self._newcomer(segments, week) if is_new else Found(UNKNOWN_ROW)
            return Found(new.row, (note, *new.notes))
        if is_new:
            raise UserError(f"customer {name!r} is in the data: leave --segment out, which is for new customers")
        known = self.histories.as_of(name, week)
        if known is None:
            new = self._newcomer(self.histories.labels_of(name), week)
            return Found(
                new.row, (f"customer {name} comes only after week {week}: a new customer is meant", *new.notes)
            )
        last = self.histories.last_event(name, week)
        notes = tuple(_age("customer", name, "T1 row", known.week, week))
        since, trips = NEVER if last is None else week - last, self.histories.events[known.row - 1]
        bought_row = known.row + (known.week < week)  # a customer's last row is that of the week after the data
        return Found(known.row, notes, since, trips, bought_row)

    def _newcomer(self, segments: Mapping[str, str | None], week: int) -> Found:
        """A customer of whom only the segments are known."""
        for label, value in segments.items():
            if value is not None and value not in self.histories.values(label):
                raise UserError(
                    f"{label.replace('_', ' ')} {value!r} does not exist in the data: it is one of "
                    f"{', '.join(self.histories.values(label))}"
                )
        for known in _fewer(segments):
            row = self.histories.newcomer(known, week)
            if row is not None:
                what = _named(known) or "any segment"
                note = f"a new customer: the averages of {what} as of week {row.week} are used, without a history"
                return Found(row.row, (note,))
        return Found(UNKNOWN_ROW, ("no customer was new before this week: an anonymous shopper is meant",))


class Places:
    """The stores of the data.

    Args:
        root: data root.
        vectors: T5, float32 [1 + n, 96].
    """

    def __init__(self, root: Path, vectors: np.ndarray) -> None:
        self.histories = Histories.load(root, STORE_FEATURES, "store_id", "range_size", KIND)
        self._vectors = vectors

    def find(self, request: Request, week: int, allow_unknown: bool) -> Found:
        """Which store is meant, as of `week`; a UserError for an unknown one, unless its kind is given or `allow_unknown`."""
        name = request.store
        kind = {
            label: value
            for label, value in zip(KIND, (request.store_format, request.store_region), strict=True)
            if value
        }
        if name is not None and name in self.histories:
            if kind:
                raise UserError(
                    f"store {name!r} is in the data: leave --store-format and --store-region out, which are for unknown stores"
                )
            known = self.histories.as_of(name, week)
            if known is not None:
                return Found(known.row, tuple(_age("store", name, "row", known.week, week)))
            kind = {label: value for label, value in self.histories.labels_of(name).items() if value}
            note = f"store {name} opens only after week {week}"
        elif name is not None:
            if not (kind or allow_unknown):
                raise UserError(
                    f"unknown store {name!r}: {_nearest(name, self.histories.names)}; a new store is described by "
                    f"--store-format and --store-region"
                )
            note = f"store {name} is unknown"
        else:
            note = "no store is given"
        return self._like(kind, note, week)

    def _like(self, kind: Mapping[str, str], note: str, week: int) -> Found:
        for label, value in kind.items():
            if value not in self.histories.values(label):
                raise UserError(
                    f"{label.replace('_', ' ')} {value!r} does not exist in the data: it is one of "
                    f"{', '.join(self.histories.values(label))}"
                )
        if not kind:
            return Found(UNKNOWN_ROW, (f"{note}: the unknown store is meant, an average one",))
        for known in _fewer(kind):
            found = self.histories.typical(
                {label: value for label, value in known.items() if value}, week, self._vectors
            )
            if known and found is not None:
                name, row = found
                return Found(
                    row.row,
                    (
                        f"{note}: {name} stands in, the most typical store of {_named(known)}",
                        *_age("store", name, "row", row.week, week),
                    ),
                )
        return Found(
            UNKNOWN_ROW, (f"{note}, and no store of its kind is known before week {week}: an average one is meant",)
        )


def _fewer(labels: Mapping[str, str | None]) -> Iterator[dict[str, str | None]]:
    """The labels as they are, then without those that are not known, then fewer and fewer of the others, down to none."""
    yield dict(labels)
    given = [name for name, value in labels.items() if value is not None]
    for kept in range(len(given), -1, -1):
        for names in combinations(given, kept):
            yield {name: labels[name] for name in names}


def _named(labels: Mapping[str, str | None]) -> str:
    return " and ".join(f"{name.replace('_', ' ')} {value or 'unknown'}" for name, value in labels.items())


def _age(kind: str, name: str, row: str, of: int, week: int) -> Iterator[str]:
    """A note where the row is older than the week asked for."""
    if of < week:
        yield (
            f"{kind} {name} has no {row} as of week {week}: the one as of week {of} is used, which knows weeks 1–{of - 1}"
        )


def _nearest(name: str, names: np.ndarray) -> str:
    nearest = difflib.get_close_matches(name, names.tolist(), n=1, cutoff=0.6)
    return f"did you mean {nearest[0]!r}?" if nearest else f"it is not among the {len(names):,} of the data"
