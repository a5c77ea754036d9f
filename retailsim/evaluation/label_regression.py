"""What the visible products alone say about a trip label: multinomial logistic regression (SPEC C32).

The rival of the auxiliary heads. Its columns are the visible products, 0/1, and how many there are, one column a number.

Legend: B baskets · V vocabulary · K classes.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array, hstack
from scipy.special import logsumexp

from retailsim.labels import UNKNOWN

MOST_VISIBLE = 20  # more visible products share a column
PENALTY = 1.0  # λ of ½ λ |w|² beside the summed log-likelihood
ITERATIONS = 60


def columns_of(visible: csr_array) -> csr_array:
    """Visible products and the one-hot number of them, sparse [B, V + 21]."""
    n = np.minimum(np.diff(visible.indptr), MOST_VISIBLE)
    number = csr_array((np.ones(len(n)), (np.arange(len(n)), n)), shape=(len(n), MOST_VISIBLE + 1))
    return csr_array(hstack([visible, number], format="csr"))


def guess_label(fit: csr_array, labels: np.ndarray, asked: csr_array) -> np.ndarray:
    """The likeliest class of each asked basket, int64 [n].

    Args:
        fit: visible products of the baskets that it is fitted on, 0/1 [B, V].
        labels: their codes, int [B]; baskets with −1 (unknown) are left out.
        asked: visible products of other baskets, 0/1 [n, V].

    Raises:
        ValueError: no basket has a known label.
    """
    is_known = labels != UNKNOWN
    if not is_known.any():
        raise ValueError("no basket has a known label: there is nothing to fit")
    classes, code = np.unique(labels[is_known], return_inverse=True)
    x = columns_of(fit[np.flatnonzero(is_known)])
    truth = np.zeros((len(code), len(classes)))
    truth[np.arange(len(code)), code] = 1

    def cost(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(x.shape[1], len(classes))
        scores = x @ weights
        log_p = scores - logsumexp(scores, axis=1, keepdims=True)
        gradient = x.T @ (np.exp(log_p) - truth) + PENALTY * weights
        return -(log_p * truth).sum() + PENALTY / 2 * (flat**2).sum(), gradient.ravel()

    start = np.zeros(x.shape[1] * len(classes))
    weights = minimize(cost, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
    return classes[(columns_of(asked) @ weights.reshape(-1, len(classes))).argmax(axis=1)]
