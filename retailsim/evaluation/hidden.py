"""Which products of a basket an evaluation hides, and what a method may see beside them (SPEC C32).

A stored basket lists its products in the order of `md5("{basket id}:{product id}")` (data/training/), so the hidden
ones are the first `hidden_count(n)` of the list. Who hides by this rule hides the same products, whatever the program.

Legend: B baskets · M hidden products · V vocabulary (special tokens in front).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import md5
from typing import TypeVar

import numpy as np
from scipy.sparse import csr_array, vstack

from retailsim.labels import UNKNOWN

Counts = TypeVar("Counts", int, np.ndarray)

MIN_PRODUCTS = 2  # distinct products below which a basket is not evaluated: nothing would stay visible


def hidden_count(n_products: Counts) -> Counts:
    """How many of n distinct products are hidden: 15 %, rounded half up, at least one; numbers or integer arrays.

    >>> [hidden_count(n) for n in (2, 9, 10, 16, 17)]
    [1, 1, 2, 2, 3]
    """
    count = (15 * n_products + 50) // 100
    return np.maximum(1, count) if isinstance(count, np.ndarray) else max(1, count)


def hiding_key(basket_id: str, product_id: str) -> str:
    """The key by which a basket's products are ordered, smallest first: 32 hexadecimal digits."""
    return md5(f"{basket_id}:{product_id}".encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Shown:
    """Baskets of one week as a method may see them: who shops where, the visible products, and the trip where known.

    The trip's labels are read off the whole basket: a method that looks at them says so in its name (SPEC C23).
    """

    week: int
    customer: np.ndarray  # int [n], −1 anonymous
    store: np.ndarray  # int [n]
    visible: csr_array  # [n, V], 1 where a product is visible; late products are outside the vocabulary
    trip: np.ndarray  # int [n, 4], codes in the order of labels.TRIP_LABELS, −1 unknown


@dataclass(frozen=True)
class HiddenSet:
    """The baskets of an evaluation; basket i hides `target[starts[i]:starts[i + 1]]`, in the order of its list."""

    week: np.ndarray  # int [B]
    customer: np.ndarray  # int [B], −1 anonymous
    store: np.ndarray  # int [B]
    trip: np.ndarray  # int [B, 4]
    visible: csr_array  # [B, V]
    starts: np.ndarray  # int64 [B + 1]
    target: np.ndarray  # int64 [M], rows of the hidden products; V and above: late products

    @property
    def basket(self) -> np.ndarray:
        """Index of the basket of each hidden product, int64 [M]."""
        return np.repeat(np.arange(len(self.week)), np.diff(self.starts))

    def select(self, rows: np.ndarray) -> "HiddenSet":
        """The baskets `rows`, increasing indices int [n]."""
        lengths = np.diff(self.starts)
        keep = np.zeros(len(lengths), dtype=bool)
        keep[rows] = True
        starts = np.concatenate([[0], np.cumsum(lengths[keep])])
        who = self.week[rows], self.customer[rows], self.store[rows], self.trip[rows]
        return HiddenSet(*who, self.visible[rows], starts, self.target[keep[self.basket]])

    def unseen(self) -> "HiddenSet":
        """The same baskets before the trip: nothing is visible and no label is known."""
        return replace(self, visible=csr_array(self.visible.shape), trip=np.full_like(self.trip, UNKNOWN))

    def with_unseen(self) -> "HiddenSet":
        """These baskets and behind them the same ones before the trip: what a method makes of customer and store serves both."""
        other = self.unseen()
        week, customer, store, target = (np.tile(of, 2) for of in (self.week, self.customer, self.store, self.target))
        starts = np.concatenate([self.starts, self.starts[1:] + self.starts[-1]])
        visible = vstack([self.visible, other.visible], format="csr")
        return HiddenSet(week, customer, store, np.concatenate([self.trip, other.trip]), visible, starts, target)

    def blocks(self, size: int = 256) -> Iterator[tuple[np.ndarray, Shown]]:
        """All baskets, week by week and by store within, at most `size` at a time: indices [n] and what is shown."""
        order = np.lexsort((self.store, self.week))
        edges = np.flatnonzero(np.diff(self.week[order])) + 1
        for of_week in np.split(order, edges):
            for rows in np.split(of_week, range(size, len(of_week), size)):
                if len(rows):
                    week = int(self.week[rows[0]])
                    who = self.customer[rows], self.store[rows]
                    yield rows, Shown(week, *who, self.visible[rows], self.trip[rows])


def hidden_items(starts: np.ndarray, n_products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The basket of each listed product, int64 [items], and whether it is hidden, bool [items]; arguments as in `hide`."""
    basket = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    within = np.arange(len(basket)) - starts[:-1][basket]
    return basket, within < hidden_count(np.asarray(n_products, dtype=np.int64))[basket]


def hide(
    starts: np.ndarray,
    products: np.ndarray,
    n_products: np.ndarray,
    week: np.ndarray,
    customer: np.ndarray,
    store: np.ndarray,
    trip: np.ndarray,
    size: int,
) -> HiddenSet:
    """Split each basket's list of products into hidden and visible ones.

    Args:
        starts: int [B + 1], basket i lists products[starts[i]:starts[i + 1]], in the order of `hiding_key`.
        products: rows of the product table, int [items]; `size` and above are late products.
        n_products: int [B], distinct products of each basket before its list was cut; it decides how many are hidden.
        week, customer, store: int [B]; customer −1 is anonymous.
        trip: int [B, 4], codes of the trip's labels, −1 unknown.
        size: V, rows of the vocabulary.

    Raises:
        ValueError: a basket lists fewer than two products.
    """
    lengths = np.diff(starts)
    if (lengths < MIN_PRODUCTS).any():
        first = int(np.argmax(lengths < MIN_PRODUCTS))
        raise ValueError(f"basket {first} lists {lengths[first]} product: one with fewer than two is not evaluated")
    basket, is_hidden = hidden_items(starts, n_products)
    is_shown = ~is_hidden & (products < size)
    visible = csr_array(
        (np.ones(is_shown.sum(), dtype=np.float64), (basket[is_shown], products[is_shown])), shape=(len(lengths), size)
    )
    return HiddenSet(
        week=np.asarray(week, dtype=np.int64),
        customer=np.asarray(customer, dtype=np.int64),
        store=np.asarray(store, dtype=np.int64),
        trip=np.asarray(trip, dtype=np.int64),
        visible=visible,
        starts=np.concatenate([[0], np.cumsum(np.bincount(basket[is_hidden], minlength=len(lengths)))]),
        target=products[is_hidden].astype(np.int64),
    )
