"""Requests as samples: the baskets asked about, with one place more whose product is to be predicted.

The samples go through `training.dataset.make_batch`, the same seam as those of training and evaluation, so that the model
sees a request as it sees any open basket: what lies in it, and that it goes on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from retailsim.errors import UserError
from retailsim.labels import TRIP_LABELS, UNKNOWN
from retailsim.layout import MAX_PLACES
from retailsim.predict.lookup import Found
from retailsim.predict.request import Request
from retailsim.training.purchases import PurchaseHistories
from retailsim.training.samples import Samples
from retailsim.vocab import EOS, Vocabulary
from retailsim.weeks import Calendar

MOST_PRODUCTS = MAX_PLACES - 1  # in a request's basket
STAND_IN = EOS  # what "is" at the hidden place: whatever stands there changes no logit (SPEC C20)


@dataclass(frozen=True)
class Seat:
    """A request with everything that was looked up for it."""

    request: Request
    week: int
    person: Found
    place: Found
    basket: "Basket"
    hour: int  # UNKNOWN where the data has no hours, so that none was ever learned
    trip_is_open: bool  # no label is told, or not those that are learned together, see trips.py

    @property
    def notes(self) -> tuple[str, ...]:
        """What was not known, and what is used instead."""
        is_novel = ("what the customer bought before is left out",) if self.request.novel else ()
        no_hour = ("the data has no hours: that of the trip says nothing",) if self.hour == UNKNOWN else ()
        return (*self.person.notes, *self.place.notes, *self.basket.notes, *self._of_trip(), *is_novel, *no_hour)

    def _of_trip(self) -> Iterator[str]:
        told = self.request.trip
        if not told:
            yield "the kind of trip is not given: it is left open"
        elif self.trip_is_open:
            yield f"the kind of trip is given by {', '.join(told)}, as hardly any training basket has it: it is left open"


@dataclass(frozen=True)
class Basket:
    """The products of a request's basket, by vocabulary row, so that their order in the request does not matter."""

    rows: np.ndarray  # int64 [n], rising
    prices: np.ndarray  # float32 [n], £ per item; NaN where none is known
    notes: tuple[str, ...]


def week_of(request: Request, calendar: Calendar) -> int:
    """The week of a request; a UserError where neither history nor prices reach it."""
    week = calendar.week_of(request.when.date())
    if not 1 <= week <= calendar.last_week + 1:
        raise UserError(
            f"--when {request.when.isoformat(timespec='minutes')} is outside what the data can tell about: give a time from "
            f"{calendar.monday_of(1)} to before {calendar.monday_of(calendar.last_week + 2)}, the end of the week after the "
            f"last one, or run the stages on newer receipts"
        )
    return week


def basket_of(request: Request, week: int, vocabulary: Vocabulary, last_price: np.ndarray) -> Basket:
    """The visible products, one named twice counting once; a price that is not given is the last one known before `week`.

    Args:
        request: whose basket it is.
        week: the request's week.
        vocabulary: a product that it lacks is a UserError.
        last_price: £ per item float32 [products, weeks], column W − 1 before week W; NaN where none is known.
    """
    products = sorted(set(request.basket))
    if len(products) > MOST_PRODUCTS:
        raise UserError(
            f"the basket holds {len(products)} products: the model sees {MOST_PRODUCTS} at most, so leave some out"
        )
    rows = vocabulary.rows(products)
    given = np.array([request.prices.get(product, np.nan) for product in products], dtype=np.float32)
    prices = np.where(np.isnan(given), last_price[rows, week - 1], given).astype(np.float32)
    notes = []
    n_known, n_nowhere = int((np.isnan(given) & ~np.isnan(prices)).sum()), int(np.isnan(prices).sum())
    if n_known:
        notes.append(
            f"prices of {n_known} of {len(products)} products in the basket are not given: the last known ones are used"
        )
    if n_nowhere:
        notes.append(f"{n_nowhere} of {len(products)} products in the basket have no price before week {week}")
    order = np.argsort(rows)
    return Basket(rows[order], prices[order], tuple(notes))


def as_samples(seats: Sequence[Seat], calendar: Calendar, histories: PurchaseHistories) -> Samples:
    """One sample per request: its first product is the hidden place, the others are the basket's.

    All are sample number 0, from which the places of a basket are drawn: a request's answer does not depend on its
    neighbours. `n_products` is 1, for which the protocol hides one product. The customer's row is that whose history is all
    that was bought before the request's week; the one of T1 may be older.
    """
    n, requests = len(seats), [seat.request for seat in seats]
    lengths = np.array([1 + len(seat.basket.rows) for seat in seats], dtype=np.int64)
    columns = {
        "sample": np.zeros(n, dtype=np.int64),
        "basket_id": np.array([""] * n, dtype=object),
        "customer_id": np.array([request.customer for request in requests], dtype=object),
        "week": np.array([seat.week for seat in seats], dtype=np.int32),
        "day": np.array([(request.when.date() - calendar.first_monday).days for request in requests], dtype=np.int32),
        "hour": np.array([seat.hour for seat in seats], dtype=np.int32),
        "customer_row": np.array([seat.person.bought_row for seat in seats], dtype=np.int64),
        "store_row": np.array([seat.place.row for seat in seats], dtype=np.int64),
        "recency": np.array([seat.person.weeks_since_last for seat in seats], dtype=np.int32),
        "trips": np.array([seat.person.trips for seat in seats], dtype=np.int64),
        "n_products": np.ones(n, dtype=np.int32),
        "is_replay": np.zeros(n, dtype=bool),
    }
    codes = [
        [names.index(request.trip[label]) if label in request.trip else UNKNOWN for label, names in TRIP_LABELS.items()]
        for request in requests
    ]
    hidden = np.array([STAND_IN], dtype=np.int64)
    nowhere = np.array([np.nan], dtype=np.float32)
    return Samples(
        columns=columns,
        trip=np.array(codes, dtype=np.int64),
        starts=np.concatenate([[0], np.cumsum(lengths)]),
        products=np.concatenate([part for seat in seats for part in (hidden, seat.basket.rows)]),
        prices=np.concatenate([part for seat in seats for part in (nowhere, seat.basket.prices)]),
        quantities=np.full(lengths.sum(), np.nan, dtype=np.float32),
        histories=histories,
    )
