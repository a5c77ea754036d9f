"""What was bought before a week, by anybody, a customer or a store: the only history that baselines see (SPEC C19).

Legend: B baskets · R purchases · V vocabulary · E entities (customers, stores, groups of stores).
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array


@dataclass(frozen=True)
class Purchases:
    """All baskets of the data and the products in them, each product once per basket."""

    week: np.ndarray  # int [B], from 1
    customer: np.ndarray  # int [B], −1 anonymous
    store: np.ndarray  # int [B]
    basket: np.ndarray  # int [R], index of the basket
    product: np.ndarray  # int [R], row of the product; V and above: late products

    @classmethod
    def from_rows(
        cls, basket: np.ndarray, week: np.ndarray, customer: np.ndarray, store: np.ndarray, product: np.ndarray
    ) -> "Purchases":
        """From flat columns [R] with one row per basket and product; `basket` is any number per basket."""
        _, first, index = np.unique(basket, return_index=True, return_inverse=True)
        return cls(week[first], customer[first], store[first], index, product)


class FirstPurchases:
    """The week in which each customer first bought each product.

    Args:
        purchases: all weeks; an answer about week W does not depend on purchases of week W and later.
        size: V.
    """

    def __init__(self, purchases: Purchases, size: int) -> None:
        self._size = size
        self._stride = int(max(purchases.product.max(initial=0), size - 1)) + 1
        customer, week = purchases.customer[purchases.basket], purchases.week[purchases.basket]
        owned = np.flatnonzero(customer >= 0)
        key = customer[owned].astype(np.int64) * self._stride + purchases.product[owned]
        order = np.lexsort((week[owned], key))
        self._keys, first = np.unique(key[order], return_index=True)
        self._weeks = week[owned][order][first]

    def is_repeat(self, week: np.ndarray, customer: np.ndarray, product: np.ndarray) -> np.ndarray:
        """Whether the customer bought the product before the week; bool [M], false for the anonymous."""
        if not len(self._keys):
            return np.zeros(len(product), dtype=bool)
        key = np.where(product < self._stride, customer.astype(np.int64) * self._stride + product, -1)
        place = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        return (customer >= 0) & (self._keys[place] == key) & (self._weeks[place] < week)

    def is_novel(self, week: np.ndarray, customer: np.ndarray, product: np.ndarray) -> np.ndarray:
        """Whether an identified customer never bought the product before the week; bool [M]."""
        return (customer >= 0) & ~self.is_repeat(week, customer, product)

    def bought(self, week: np.ndarray, customer: np.ndarray) -> csr_array:
        """The products that each of identified customers [n] bought before a week [n], as ones: sparse bool [n, V]."""
        base = customer.astype(np.int64) * self._stride
        begin, end = np.searchsorted(self._keys, base), np.searchsorted(self._keys, base + self._size)
        lengths = end - begin
        row = np.repeat(np.arange(len(base)), lengths)
        pair = np.arange(len(row)) + (begin - (np.cumsum(lengths) - lengths))[row]
        is_before = self._weeks[pair] < week[row]
        row, product = row[is_before], (self._keys[pair] - base[row])[is_before]
        return csr_array((np.ones(len(row), dtype=bool), (row, product)), shape=(len(base), self._size))


class ChainCounts:
    """Baskets per week, of all customers: in all, and with each product."""

    def __init__(self, purchases: Purchases, size: int) -> None:
        known = purchases.product < size
        week = purchases.week[purchases.basket[known]].astype(np.int64)
        weeks = int(purchases.week.max(initial=0)) + 1
        flat = np.bincount(week * size + purchases.product[known], minlength=weeks * size)
        self._products = flat.reshape(weeks, size)  # [weeks, V]
        self._baskets = np.bincount(purchases.week, minlength=weeks)

    def rates(self, first: int, last: int) -> np.ndarray:
        """Share 0–1 of the baskets of weeks first … last with each product, float64 [V]; 0 where there are none."""
        span = slice(max(first, 0), max(last + 1, 0))
        return self._products[span].sum(axis=0) / max(1, self._baskets[span].sum())


class DecayedCounts:
    """Baskets per entity before a week, older ones counting less: in all, and with each product.

    A basket of week v counts 2^-((W - v) / half_life) in week W, as in `retailsim.as_of`. What is stored is sparse, one
    row per entity and week with a basket; an answer touches only the entities that are asked for.

    Args:
        purchases: all weeks; later ones are never touched by a question about an earlier week.
        entity: int [B], whose basket it is; negative: nobody's.
        size: V.
        half_life: weeks.
    """

    def __init__(self, purchases: Purchases, entity: np.ndarray, size: int, half_life: float) -> None:
        self._half_life = half_life
        self._stride = int(purchases.week.max(initial=0)) + 2
        owned = np.flatnonzero(entity >= 0)
        key = entity[owned].astype(np.int64) * self._stride + purchases.week[owned]
        self._keys, pair, trips = np.unique(key, return_inverse=True, return_counts=True)
        self._trips = trips.astype(np.float64)
        pair_of = np.full(len(entity), -1)
        pair_of[owned] = pair
        rows = pair_of[purchases.basket]
        keep = (rows >= 0) & (purchases.product < size)
        self._counts = csr_array(
            (np.ones(keep.sum()), (rows[keep], purchases.product[keep])), shape=(len(self._keys), size)
        )

    def before(self, week: int, entities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decayed baskets with each product, float64 [n, V], and in all, float64 [n]; of weeks ≤ `week` − 1.

        Args:
            week: W.
            entities: int [n]; one that is negative, or was never seen, has zeros.
        """
        base = np.where(entities < 0, -1, entities).astype(np.int64) * self._stride
        first = np.searchsorted(self._keys, base)
        end = np.searchsorted(self._keys, base + min(week, self._stride - 1))  # first key of week W or later
        lengths = end - first
        starts = np.concatenate([[0], np.cumsum(lengths)])
        pairs = np.arange(starts[-1]) - np.repeat(starts[:-1] - first, lengths)
        age = week - self._keys[pairs] % self._stride
        weight = 2.0 ** (-age / self._half_life)
        decay = csr_array((weight, pairs, starts), shape=(len(entities), len(self._keys)))
        return (decay @ self._counts).toarray(), decay @ self._trips


def baskets_until(purchases: Purchases, size: int, fit_end: int) -> csr_array:
    """The baskets of weeks ≤ `fit_end` as rows of 0 and 1, sparse float64 [baskets, V]."""
    is_fit = purchases.week <= fit_end
    index = np.cumsum(is_fit) - 1
    keep = is_fit[purchases.basket] & (purchases.product < size)
    rows = index[purchases.basket[keep]]
    return csr_array((np.ones(len(rows)), (rows, purchases.product[keep])), shape=(int(is_fit.sum()), size))


def refuse_fit_period(name: str, week: int, fit_end: int) -> None:
    """A ValueError where a method would rank baskets of the weeks it was fitted on."""
    if week <= fit_end:
        raise ValueError(f"{name} is fitted up to week {fit_end}: it cannot rank week {week}")
