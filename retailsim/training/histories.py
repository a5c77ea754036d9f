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

Legend: B baskets · K entries · F habits · V vocabulary.
"""

from typing import NamedTuple

import numpy as np

from retailsim.model.batch import HABITS
from retailsim.training.purchases import Purchases
from retailsim.vocab import PAD

HALF_LIVES = (2.0, 8.0, 26.0, 104.0)  # weeks
STORE_HALF_LIFE = 8.0
MAX_ENTRIES = 160
SHARE_FLOOR, SHARE_PRIOR = 0.1, 5.0  # baskets
DUE_LIMIT = 2.0


class _Entries(NamedTuple):
    """One value (or row) per entry [E], ordered by basket and product."""

    basket: np.ndarray
    product: np.ndarray
    decayed: np.ndarray  # [E, 4] baskets, by half-life
    weeks: np.ndarray  # in which it was bought
    first: np.ndarray  # weeks since the first purchase
    last: np.ndarray  # weeks since the last one

    def take(self, index: np.ndarray) -> "_Entries":
        return _Entries(*(column[index] for column in self))


def customer_entries(
    customers: Purchases, rows: np.ndarray, week: np.ndarray, vocab_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The products bought before: rows, int64 [B, K] (PAD for the trip and behind the last), and habits, float32 [B, K, F].

    Args:
        customers: all purchases.
        rows: int [B], rows of T1.
        week: int [B], W of each basket.
        vocab_size: V.
    """
    entries = _group(customers, rows, week, vocab_size)
    entries = entries.take(_strongest(entries, len(rows)))
    count = np.bincount(entries.basket, minlength=len(rows))
    place = np.arange(len(entries.basket)) - np.repeat(np.cumsum(count) - count, count)
    bought = np.full((len(rows), max(1, int(count.max(initial=0)))), PAD, dtype=np.int64)
    habits = np.zeros((*bought.shape, HABITS), dtype=np.float32)
    bought[entries.basket, place] = entries.product
    habits[entries.basket, place] = _habits(entries, len(rows))
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


def _group(customers: Purchases, rows: np.ndarray, week: np.ndarray, vocab_size: int) -> _Entries:
    """Single purchases → one entry per basket and product, the trip (PAD) in front."""
    owner, event_week, product, baskets = customers.before(rows)
    age = week[owner] - event_week
    key = owner * vocab_size + product
    order = np.argsort(key, kind="stable")  # within a product the weeks rise, as they are stored
    age, baskets = age[order], baskets[order]
    key, starts, weeks = np.unique(key[order], return_index=True, return_counts=True)
    decayed = [np.add.reduceat(_decay(age, h) * baskets, starts) if len(key) else np.zeros(0) for h in HALF_LIVES]
    return _Entries(
        key // vocab_size, key % vocab_size, np.stack(decayed, axis=1), weeks, age[starts], age[starts + weeks - 1]
    )


def _habits(entries: _Entries, baskets: int) -> np.ndarray:
    """The table above, [E, F]."""
    is_trip = entries.product == PAD
    trips, last_trip = np.zeros((baskets, len(HALF_LIVES))), np.zeros(baskets)
    trips[entries.basket[is_trip]] = entries.decayed[is_trip]
    last_trip[entries.basket[is_trip]] = entries.last[is_trip]
    trips, last_trip = trips[entries.basket], last_trip[entries.basket]
    has_gap = entries.weeks > 1
    gap = np.where(has_gap, (entries.first - entries.last) / np.maximum(entries.weeks - 1, 1), 1.0)
    due = np.where(has_gap, np.clip(np.log(entries.last / gap), -DUE_LIMIT, DUE_LIMIT), 0.0)
    columns = [
        *np.log1p(entries.decayed).T,
        *np.log((entries.decayed[:, :3] + SHARE_FLOOR) / (trips[:, :3] + SHARE_PRIOR)).T,
        np.log(entries.last),
        entries.last == last_trip,
        np.log1p(entries.weeks),
        np.log(gap),
        due,
        has_gap,
        np.log(entries.first),
        np.log1p(trips[:, 1]),
        np.log1p(trips[:, 3]),
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
