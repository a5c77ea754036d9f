"""EASE with customer and store history: one ridge regression over who shops, where, and what is in the basket (SPEC C33).

Each product is regressed on the basket's other products, on how often the customer and the store had each product in
earlier weeks, and on a constant. As in EASE (Steck 2019, eq. 8) all products are solved at once: the weights of target
j are −P_ij / P_jj with P the inverse of the regularised Gram matrix, and only a product's own column is left out.

Legend: V vocabulary · X the basket, 0/1 [B, V] · C the customer's decayed frequency, S the store's, [B, V] each, as of
the week before · Z = [C, S, 1, X] [B, 3V + 1].
"""

import numpy as np
from scipy.linalg.blas import sgemm, ssyrk, strsm
from scipy.linalg.lapack import spotrf, strtri
from scipy.sparse import csr_array

from retailsim.evaluation.hidden import Shown
from retailsim.evaluation.purchases import DecayedCounts, Purchases, refuse_fit_period
from retailsim.evaluation.settings import DEFAULTS, Settings


class Histories:
    """Decayed frequencies as of a week: decayed baskets with a product over decayed baskets + shrink, float32 [n, V]."""

    def __init__(self, purchases: Purchases, size: int, settings: Settings = DEFAULTS) -> None:
        self._customers = DecayedCounts(purchases, purchases.customer, size, settings.history_half_life)
        self._stores = DecayedCounts(purchases, purchases.store, size, settings.history_half_life)
        self._shrink = settings.history_shrink

    def customers(self, week: int, customers: np.ndarray) -> np.ndarray:
        """Zeros for an anonymous or new customer."""
        return self._frequency(self._customers, week, customers)

    def stores(self, week: int, stores: np.ndarray) -> np.ndarray:
        """Zeros for a new store."""
        return self._frequency(self._stores, week, stores)

    def _frequency(self, of: DecayedCounts, week: int, entities: np.ndarray) -> np.ndarray:
        counts, trips = of.before(week, entities)
        return (counts / (trips + self._shrink)[:, None]).astype(np.float32)


class Moments:
    """Zᵀ Z over the baskets of weeks ≤ fit_end, in blocks of float32 [V, V]: 0.6 GB at V = 5,000.

    Baskets of one customer (store) in one week share their row of C (S), so the sums run over customers and stores, a week
    at a time, and later weeks can be added.

    Args:
        purchases: all weeks.
        size: V.
        settings: half-life and shrink of the histories.
    """

    def __init__(self, purchases: Purchases, size: int, settings: Settings = DEFAULTS) -> None:
        self.size, self.fit_end = size, 0
        self.histories = Histories(purchases, size, settings)
        self._purchases = purchases
        known = purchases.product < size
        self._baskets = csr_array(
            (np.ones(known.sum(), dtype=np.float32), (purchases.basket[known], purchases.product[known])),
            shape=(len(purchases.week), size),
        )
        self._sums = np.zeros(3 * size + 1, dtype=np.float32)  # of Z's columns
        self._cc, self._sc, self._ss = (np.zeros((size, size), np.float32, order="F") for _ in range(3))
        self._xc, self._xs, self._xx = (np.zeros((size, size), np.float32) for _ in range(3))

    def until(self, fit_end: int) -> "Moments":
        """These, with the weeks up to `fit_end` added; a ValueError where later weeks are in already."""
        if fit_end < self.fit_end:
            raise ValueError(f"moments up to week {self.fit_end} cannot be those up to week {fit_end}")
        of = self._purchases
        is_added = (of.week > self.fit_end) & (of.week <= fit_end)
        for week in np.unique(of.week[is_added]):
            rows = np.flatnonzero(of.week == week)
            self._add(int(week), self._baskets[rows], of.customer[rows], of.store[rows])
        x = self._baskets[np.flatnonzero(is_added)]
        self._xx += (x.T @ x).toarray()
        self.fit_end = fit_end
        return self

    def gram(self) -> np.ndarray:
        """The lower triangle of Zᵀ Z, float32 [3V + 1, 3V + 1], in Fortran's order: 0.9 GB at V = 5,000."""
        v = self.size
        whole = np.zeros((3 * v + 1, 3 * v + 1), dtype=np.float32, order="F")
        cs, ss, one, xs = slice(0, v), slice(v, 2 * v), 2 * v, slice(2 * v + 1, None)
        whole[cs, cs], whole[ss, cs], whole[ss, ss] = self._cc, self._sc, self._ss
        whole[one, :one], whole[one:, one] = self._sums[:one], self._sums[one:]
        whole[xs, cs], whole[xs, ss], whole[xs, xs] = self._xc, self._xs, self._xx
        return whole

    def _add(self, week: int, x: csr_array, customer: np.ndarray, store: np.ndarray) -> None:
        """One week's baskets, but for Xᵀ X; BLAS adds to the blocks in place, of Cᵀ C and Sᵀ S to the lower triangle."""
        stores, of_store = _membership(store)
        customers, of_customer = _membership(customer)
        s, c = self.histories.stores(week, stores), self.histories.customers(week, customers)
        per_store, per_customer = of_store.sum(axis=1), of_customer.sum(axis=1)
        c_of_store = csr_array(of_store @ of_customer.T) @ c  # [stores, V], summed over the store's baskets
        self._sums += np.concatenate([per_customer @ c, per_store @ s, [x.shape[0]], x.sum(axis=0)])
        self._xc += (of_customer @ x).T @ c
        self._xs += (of_store @ x).T @ s
        self._sc = sgemm(1.0, s.T, c_of_store.T, beta=1.0, c=self._sc, trans_b=1, overwrite_c=1)
        c *= np.sqrt(per_customer)[:, None]
        s *= np.sqrt(per_store)[:, None]
        self._cc = ssyrk(1.0, c.T, beta=1.0, c=self._cc, lower=1, overwrite_c=1)
        self._ss = ssyrk(1.0, s.T, beta=1.0, c=self._ss, lower=1, overwrite_c=1)


class EaseWithHistories:
    """The ridge regression's answer for the visible products, the customer and the store.

    Args:
        moments: see Moments.
        settings: ridge penalties of the three kinds of columns.
    """

    name = "EASE with histories"
    looks_at_basket = True

    def __init__(self, moments: Moments, settings: Settings = DEFAULTS) -> None:
        self._fit_end, self._histories = moments.fit_end, moments.histories
        v = moments.size
        ridges = np.array([settings.ridge_customer, settings.ridge_store, settings.ridge_items], dtype=np.float32)
        penalty = np.repeat(ridges, [v, v, v + 1])
        weights = last_columns_of_inverse(moments.gram(), penalty, v)  # [3V + 1, V]
        weights /= -np.diag(weights[-v:]).copy()
        weights[-v:][np.diag_indices(v)] = 0
        self._of_customer, self._of_store = weights[:v], weights[v : 2 * v]
        self._intercept, self._of_item = weights[2 * v], weights[-v:]

    def scores(self, shown: Shown) -> np.ndarray:
        """Each customer's and store's own."""
        refuse_fit_period(self.name, shown.week, self._fit_end)
        customers, row = np.unique(shown.customer, return_inverse=True)
        stores, place = np.unique(shown.store, return_inverse=True)
        from_customer = self._histories.customers(shown.week, customers) @ self._of_customer
        from_store = self._histories.stores(shown.week, stores) @ self._of_store
        from_items = shown.visible.astype(np.float32) @ self._of_item
        return from_items + from_customer[row] + from_store[place] + self._intercept


def _membership(entity: np.ndarray) -> tuple[np.ndarray, csr_array]:
    """The entities of a week's baskets [n] and which baskets are theirs, 0/1 [n, baskets]; negative: nobody's."""
    entities, row = np.unique(entity, return_inverse=True)
    ones = np.ones(len(entity), dtype=np.float32)
    return entities, csr_array((ones, (row, np.arange(len(entity)))), shape=(len(entities), len(entity)))


def last_columns_of_inverse(gram: np.ndarray, penalty: np.ndarray, count: int) -> np.ndarray:
    """The last `count` columns of (gram + diag(penalty))⁻¹, float32 [n, count], by Cholesky: G = L Lᵀ.

    Of `gram`, float32 [n, n], the lower triangle is read; what is in Fortran's order is overwritten.

    L⁻¹ of the last unit vectors is zero but in the last block, where it is that block's own inverse.
    """
    matrix = np.asfortranarray(gram)
    matrix[np.diag_indices(len(matrix))] += penalty
    factor, failed = spotrf(matrix, lower=1, overwrite_a=1, clean=0)
    if failed:
        raise ValueError(f"the matrix of moments is not positive definite at row {failed}: give larger ridge penalties")
    right = np.zeros((len(gram), count), dtype=np.float32, order="F")
    block, _ = strtri(np.asfortranarray(factor[-count:, -count:]), lower=1)
    right[-count:] = np.tril(block)
    return np.ascontiguousarray(strsm(1.0, factor, right, lower=1, trans_a=1, overwrite_b=1))
