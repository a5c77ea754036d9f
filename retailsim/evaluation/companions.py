"""What goes with what: item-item co-occurrence and EASE, fitted on whole baskets of the fit period (SPEC C33).

Both score a product by the visible products of the basket and know nothing of customer, store or week.

Legend: V vocabulary · X the fit period's baskets, 0/1 [B, V] · G = Xᵀ X.
"""

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.sparse import csr_array

from retailsim.evaluation.hidden import Shown
from retailsim.evaluation.purchases import Purchases, baskets_until, refuse_fit_period
from retailsim.evaluation.settings import DEFAULTS, Settings


class ItemItem:
    """Sum over the visible products i of C_ij / (c_i^v c_j^s); C counts baskets with both, c baskets with one.

    The powers v and s (0.7 and 0.3 unless tuned) say how much the commonness of the visible and the scored product counts.
    """

    name = "item-item"
    looks_at_basket = True

    def __init__(self, purchases: Purchases, size: int, fit_end: int, settings: Settings = DEFAULTS) -> None:
        self._fit_end = fit_end
        baskets = baskets_until(purchases, size, fit_end)
        together = csr_array(baskets.T @ baskets)
        counts = np.maximum(together.diagonal(), 1)
        together.setdiag(0)
        together.eliminate_zeros()
        rows = np.repeat(np.arange(size), np.diff(together.indptr))
        scale = counts[rows] ** -settings.visible_power * counts[together.indices] ** -settings.scored_power
        self._similarity = csr_array((together.data * scale, together.indices, together.indptr), together.shape)

    def scores(self, shown: Shown) -> np.ndarray:
        """Zero where no visible product was ever bought together with the product."""
        refuse_fit_period(self.name, shown.week, self._fit_end)
        return (shown.visible @ self._similarity).toarray()


class Ease:
    """EASE (Steck 2019, eq. 8) on baskets, with an intercept: each product regressed on all others, ridge λ.

    The intercept is one more column of ones that is never a target: it carries the popularity of a product. Time and
    memory grow with V³ and V²: at 5,000 products seconds and 0.8 GB.
    """

    name = "EASE"
    looks_at_basket = True

    def __init__(self, purchases: Purchases, size: int, fit_end: int, settings: Settings = DEFAULTS) -> None:
        self._fit_end = fit_end
        baskets = baskets_until(purchases, size, fit_end)
        gram = np.empty((size + 1, size + 1))
        gram[:size, :size] = (baskets.T @ baskets).toarray()
        gram[size, :size] = gram[:size, size] = baskets.sum(axis=0)
        gram[size, size] = baskets.shape[0]
        gram[np.diag_indices(size + 1)] += settings.ease_ridge
        weights = _inverse(gram)
        weights /= -np.diag(weights).copy()  # B_ij = −P_ij / P_jj
        weights[np.diag_indices(size + 1)] = 0
        self._weights, self._intercept = np.ascontiguousarray(weights[:size, :size]), weights[size, :size].copy()

    def scores(self, shown: Shown) -> np.ndarray:
        """The regression's answer for the visible products."""
        refuse_fit_period(self.name, shown.week, self._fit_end)
        return shown.visible @ self._weights + self._intercept


def _inverse(gram: np.ndarray) -> np.ndarray:
    """The inverse of a symmetric positive definite matrix, by its Cholesky factor: half a general inverse's work."""
    factor, failed = dpotrf(gram, lower=1)
    if failed:
        raise ValueError(f"the matrix of co-occurrences is not positive definite at row {failed}")
    lower, _ = dpotri(factor, lower=1)
    lower = np.tril(lower)
    return lower + np.tril(lower, -1).T
