"""The customer's own earlier baskets, and how much the present one resembles each.

Legend: n baskets asked about · V vocabulary · P pairs of an asked basket and an earlier one.
"""

import numpy as np
from scipy.sparse import csr_array

from retailsim.evaluation.hidden import Shown
from retailsim.evaluation.purchases import Purchases


class OwnBaskets:
    """All baskets of identified customers, in the order of customer and week."""

    def __init__(self, purchases: Purchases, size: int) -> None:
        self._stride = int(purchases.week.max(initial=0)) + 2
        owned = np.flatnonzero(purchases.customer >= 0)
        keys = purchases.customer[owned].astype(np.int64) * self._stride + purchases.week[owned]
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        place = np.full(len(purchases.week), -1)
        place[owned[order]] = np.arange(len(owned))
        rows = place[purchases.basket]
        keep = (rows >= 0) & (purchases.product < size)
        self._baskets = csr_array(
            (np.ones(keep.sum()), (rows[keep], purchases.product[keep])), shape=(len(owned), size)
        )
        self._sizes = np.diff(self._baskets.indptr)

    def similarity(self, shown: Shown) -> np.ndarray:
        """For each product the cosine of the visible products and the most similar earlier basket that held it, [n, V]."""
        base = np.where(shown.customer < 0, -1, shown.customer).astype(np.int64) * self._stride
        first = np.searchsorted(self._keys, base)
        end = np.searchsorted(self._keys, base + min(shown.week, self._stride - 1))  # first key of week W or later
        lengths = end - first
        row = np.repeat(np.arange(len(lengths)), lengths)
        earlier = np.arange(len(row)) + (first - (np.cumsum(lengths) - lengths))[row]
        n_visible = np.diff(shown.visible.indptr)
        overlap = shown.visible[row].multiply(self._baskets[earlier]).sum(axis=1)
        alike = np.asarray(overlap) / np.sqrt(np.maximum(n_visible[row] * self._sizes[earlier], 1))
        found = np.zeros((len(lengths), self._baskets.shape[1]))
        pairs = np.flatnonzero(alike > 0)
        held = self._baskets[earlier[pairs]]
        counts = np.diff(held.indptr)
        np.maximum.at(found, (np.repeat(row[pairs], counts), held.indices), np.repeat(alike[pairs], counts))
        return found
