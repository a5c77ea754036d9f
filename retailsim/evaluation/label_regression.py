"""What the visible basket alone says about a trip label: multinomial logistic regression (SPEC C32).

The rival of the auxiliary heads, with what they see of the basket. Its columns are the visible products, 0/1, each one's share
of what was spent, how many there are, of how many groups, and how many items the basket has with every hidden product as
one, one column a number, and the logarithms of items a product and of £ an item.

Legend: B baskets · V vocabulary · F columns · K classes.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array, hstack
from scipy.special import logsumexp

from retailsim.labels import UNKNOWN

MOST_VISIBLE = 20  # more visible products share a column, and more groups
MOST_ITEMS = 63  # more items share a column
PENALTY = 1.0  # λ of ½ λ |w|² beside the summed log-likelihood
ITERATIONS = 60


def columns_of(items: csr_array, spent: csr_array, n_hidden: np.ndarray, group: np.ndarray) -> csr_array:
    """What the regression sees, sparse [B, F] with F = 2 V + 108.

    Args:
        items: of each visible product, [B, V]; above 0 where it is visible.
        spent: £ on each, with the entries of `items`.
        n_hidden: how many products of each basket are hidden, int [B].
        group: group of each product, int [V]; negative: none known.
    """
    n = np.diff(items.indptr)
    visible, share, all_items, total = items.copy(), spent.copy(), items.sum(axis=1), spent.sum(axis=1)
    visible.data = np.ones_like(visible.data)
    share.data = share.data / np.repeat(total, np.diff(spent.indptr))
    # Ratios, since the sums themselves go with the number of products: the fit would need several times the iterations.
    ratios = np.ones((len(n), 2))
    shown = n > 0
    ratios[shown, 0] = all_items[shown] / n[shown]
    ratios[shown, 1] = total[shown] / all_items[shown]
    numbers = (
        _one_column_each(n, MOST_VISIBLE),
        _one_column_each(_distinct(visible, group), MOST_VISIBLE),
        _one_column_each(np.rint(all_items + n_hidden), MOST_ITEMS),
    )
    return csr_array(hstack([visible, share, *numbers, csr_array(np.log(ratios))], format="csr"))


def _distinct(visible: csr_array, group: np.ndarray) -> np.ndarray:
    """Of how many groups the visible products are, int64 [B]."""
    known = np.flatnonzero(group >= 0)
    members = csr_array((np.ones(len(known)), (known, group[known])), shape=(len(group), group.max(initial=0) + 1))
    counts = visible @ members
    return np.diff(counts.indptr)


def _one_column_each(numbers: np.ndarray, most: int) -> csr_array:
    """0/1, [B, most + 1]: a column for each number, the last for all from `most` on."""
    column = np.minimum(numbers, most).astype(np.int64)
    return csr_array((np.ones(len(column)), (np.arange(len(column)), column)), shape=(len(column), most + 1))


def guess_label(fit: csr_array, labels: np.ndarray, asked: csr_array) -> np.ndarray:
    """The likeliest class of each asked basket, int64 [n].

    Args:
        fit: `columns_of` the baskets that it is fitted on, [B, F].
        labels: their codes, int [B]; baskets with −1 (unknown) are left out.
        asked: `columns_of` other baskets, [n, F].

    Raises:
        ValueError: no basket has a known label.
    """
    is_known = labels != UNKNOWN
    if not is_known.any():
        raise ValueError("no basket has a known label: there is nothing to fit")
    classes, code = np.unique(labels[is_known], return_inverse=True)
    x = fit[np.flatnonzero(is_known)]
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
    return classes[(asked @ weights.reshape(-1, len(classes))).argmax(axis=1)]
