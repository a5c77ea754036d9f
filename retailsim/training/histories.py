"""What a customer and a store had before, as a batch of baskets shows it to the model (SPEC C19).

Each product that the customer ever bought before is an entry, with habits that say how often, how recently and how
regularly; the trip itself is entry 0, and a basket has the MAX_ENTRIES strongest. All of it is a function of purchases
of weeks ≤ W − 1.

| habit | meaning |
|---|---|
| 0–3 | log(1 + baskets with the product), decayed with a half-life of 2, 8, 26, 104 weeks |
| 4–6 | log of (decayed baskets with it + 0.1) over (decayed baskets + 5), half-life 2, 8, 26 |
| 7 | log of the weeks since it was last bought |
| 8 | 1 where that was the week of the customer's last trip |
| 9 | log(1 + weeks in which it was bought) |
| 10 | log of the mean weeks between purchases, 0 where bought in one week only |
| 11 | due: log of the weeks since the last purchase over that mean, −2 … 2, 0 where bought in one week only |
| 12 | 1 where bought in two weeks or more |
| 13 | log of the weeks since it was first bought |
| 14, 15 | log(1 + the customer's decayed baskets), half-life 8 and 104 |
| 16 | likeness (Jaccard) of the visible products to the most similar earlier basket with it |
| 17 | the same by cosine, an older basket's decayed with a half-life of 104 weeks |
| 18, 19 | log of (likeness by cosine to the baskets with it, added up, + 0.1) over (to all baskets + 1), half-life 26 and none |
| 20–24 | how much more often it was bought on trips with each of this trip's labels, and with all of them: log of its share of those baskets, with 5 more at its share of all baskets, over that share; 0 where the label is not shown |

Legend: B baskets · K entries · F habits · V vocabulary · T trips · N purchases.
"""

from typing import NamedTuple

import numpy as np

from retailsim.model.batch import HABITS
from retailsim.training.purchases import Purchases
from retailsim.training.trip_kinds import likeness_of_kind
from retailsim.vocab import PAD

HALF_LIVES = (2.0, 8.0, 26.0, 104.0)  # weeks
STORE_HALF_LIFE = 8.0
MAX_ENTRIES = 160
SHARE_FLOOR, SHARE_PRIOR = 0.1, 5.0  # baskets
DUE_LIMIT = 2.0
ALIKE_HALF_LIVES = (104.0, 26.0)  # weeks: of the most similar basket, of all baskets
ALIKE_FLOOR, ALIKE_PRIOR = 0.1, 1.0  # baskets
KIND_PRIOR = 5.0  # baskets, decayed with the longest half-life


class _Entries(NamedTuple):
    """One value (or row) per entry [E], ordered by basket and product."""

    basket: np.ndarray
    product: np.ndarray
    decayed: np.ndarray  # [E, 4] baskets, by half-life
    weeks: np.ndarray  # in which it was bought
    first: np.ndarray  # weeks since the first purchase
    last: np.ndarray  # weeks since the last one
    most_alike: np.ndarray  # [E, 2] likeness of the most similar basket with it: Jaccard, decayed cosine
    alike: np.ndarray  # [E, 2] likeness of all baskets with it: decayed cosine, cosine
    of_kind: np.ndarray  # [E, 5] baskets with it on trips with each label asked for, and with all, half-life 104

    def take(self, index: np.ndarray) -> "_Entries":
        return _Entries(*(column[index] for column in self))


def customer_entries(
    customers: Purchases, rows: np.ndarray, week: np.ndarray, is_visible: np.ndarray, trip: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The products bought before: rows, int64 [B, K] (PAD for the trip and behind the last), and habits, float32 [B, K, F].

    Args:
        customers: all purchases.
        rows: int [B], rows of T1.
        week: int [B], W of each basket.
        is_visible: bool [B, V], which products each basket shows; hidden ones, late ones and PAD are not among them.
        trip: int [B, 4], the codes of each trip's labels, −1 where one is not known or not shown.
    """
    entries = _group(customers, rows, week, is_visible, trip)
    entries = entries.take(_strongest(entries, len(rows)))
    count = np.bincount(entries.basket, minlength=len(rows))
    place = np.arange(len(entries.basket)) - np.repeat(np.cumsum(count) - count, count)
    bought = np.full((len(rows), max(1, int(count.max(initial=0)))), PAD, dtype=np.int64)
    habits = np.zeros((*bought.shape, HABITS), dtype=np.float32)
    bought[entries.basket, place] = entries.product
    habits[entries.basket, place] = _habits(entries)
    return bought, habits


def store_counts(stores: Purchases, rows: np.ndarray, week: np.ndarray, vocab_size: int) -> np.ndarray:
    """Decayed baskets of each store with each product, float32 [B, V]; column PAD: in all.

    Args:
        stores: all purchases.
        rows: int [B], rows of T5.
        week: int [B], W of each basket.
        vocab_size: V.
    """
    owner, event_week, product, baskets = stores.before(rows)
    age = week[owner] - event_week
    weight = _decay(age, STORE_HALF_LIFE) * baskets
    counts = np.bincount(owner * vocab_size + product, weight, minlength=len(rows) * vocab_size)
    return counts.reshape(len(rows), vocab_size).astype(np.float32)


def _group(
    customers: Purchases, rows: np.ndarray, week: np.ndarray, is_visible: np.ndarray, asked: np.ndarray
) -> _Entries:
    """Single purchases → one entry per basket and product, the trip (PAD) in front."""
    owner, event_week, product, which, kind = customers.before(rows)
    vocab_size, age = is_visible.shape[1], week[owner] - event_week
    is_trip = product == PAD
    trip, likeness = _likeness(owner, age, product, which, is_visible)
    of_kind = likeness_of_kind(kind[is_trip], asked[owner[is_trip]]) * _decay(age[is_trip], HALF_LIVES[-1])[:, None]
    key = owner * vocab_size + product
    order = np.argsort(key, kind="stable")  # within a product the weeks rise, as they are stored
    key, age, trip = key[order], age[order], trip[order]
    alike = likeness[trip]
    is_new = np.diff(key, prepend=-1) != 0
    starts = np.flatnonzero(is_new)
    ends = np.append(starts[1:], len(key))[: len(starts)]
    is_new_week = is_new | (np.diff(age, prepend=-1) != 0)

    def each(ufunc: np.ufunc, values: np.ndarray) -> np.ndarray:
        return ufunc.reduceat(values, starts) if len(starts) else values[:0]

    return _Entries(
        basket=key[starts] // vocab_size,
        product=key[starts] % vocab_size,
        decayed=np.stack([each(np.add, _decay(age, half_life)) for half_life in HALF_LIVES], axis=1),
        weeks=each(np.add, is_new_week.astype(np.int64)),
        first=age[starts],
        last=age[ends - 1],
        most_alike=each(np.maximum, alike[:, :2]),
        alike=each(np.add, alike[:, 2:]),
        of_kind=each(np.add, of_kind[trip]),
    )


def _likeness(
    owner: np.ndarray, age: np.ndarray, product: np.ndarray, which: np.ndarray, is_visible: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The trip of each purchase [N], and how much each trip is like what its owner's new basket shows, [T, 4]: 0 not at all, 1 the same.

    Jaccard, decayed cosine of the most similar; decayed cosine, cosine of all. Two sets of n and m products with k in common
    have Jaccard k / (n + m − k) and cosine k / √(n m).
    """
    is_trip = product == PAD  # the trips of a week stand in front of its products
    number = np.cumsum(is_trip) - 1
    trip = np.maximum.accumulate(np.where(is_trip & (which == 0), number, 0)) + which
    trips = int(is_trip.sum())
    common = np.bincount(trip, is_visible[owner, product], minlength=trips)
    size = np.bincount(trip, ~is_trip, minlength=trips)
    shown = is_visible.sum(axis=1)[owner[is_trip]]
    cosine = common / np.sqrt(np.maximum(shown * size, 1))
    lately, of_late = (cosine * _decay(age[is_trip], half_life) for half_life in ALIKE_HALF_LIVES)
    jaccard = common / np.maximum(shown + size - common, 1)
    return trip, np.stack([jaccard, lately, of_late, cosine], axis=1)


def _habits(entries: _Entries) -> np.ndarray:
    """The table above, [E, F]."""
    is_trip = entries.product == PAD
    trip = entries.take(np.flatnonzero(is_trip)[np.cumsum(is_trip) - 1])  # of each entry's basket
    share = entries.decayed[:, -1:] / trip.decayed[:, -1:]
    has_gap = entries.weeks > 1
    gap = np.where(has_gap, (entries.first - entries.last) / np.maximum(entries.weeks - 1, 1), 1.0)
    due = np.where(has_gap, np.clip(np.log(entries.last / gap), -DUE_LIMIT, DUE_LIMIT), 0.0)
    columns = [
        *np.log1p(entries.decayed).T,
        *np.log((entries.decayed[:, :3] + SHARE_FLOOR) / (trip.decayed[:, :3] + SHARE_PRIOR)).T,
        np.log(entries.last),
        entries.last == trip.last,
        np.log1p(entries.weeks),
        np.log(gap),
        due,
        has_gap,
        np.log(entries.first),
        np.log1p(trip.decayed[:, 1]),
        np.log1p(trip.decayed[:, 3]),
        *entries.most_alike.T,
        *np.log((entries.alike + ALIKE_FLOOR) / (trip.alike + ALIKE_PRIOR)).T,
        *np.log((entries.of_kind + KIND_PRIOR * share) / (trip.of_kind + KIND_PRIOR) / share).T,
    ]
    return np.stack(columns, axis=1)


def _strongest(entries: _Entries, baskets: int) -> np.ndarray:
    """Indices of the trip and of the MAX_ENTRIES − 1 entries bought most often or most recently, in their own order."""
    count = np.bincount(entries.basket, minlength=baskets)
    if count.max(initial=0) <= MAX_ENTRIES:
        return np.arange(len(entries.basket))
    strength = np.where(entries.product == PAD, np.inf, entries.decayed[:, 0] + entries.decayed[:, 2])
    order = np.lexsort((-strength, entries.basket))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
    return np.flatnonzero(rank < MAX_ENTRIES)


def _decay(age: np.ndarray, half_life: float) -> np.ndarray:
    """2^(−age / half-life), looked up: ages are few."""
    return (2.0 ** (-np.arange(age.max(initial=0) + 1) / half_life))[age]
