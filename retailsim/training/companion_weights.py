"""Item-item weights of EASE (Steck 2019, eq. 8) in two folds of the training baskets, the strongest of each product.

Fold k's weights are fitted on the training baskets whose `sample` is of another fold, so that a training basket can be
shown weights that never saw it: a model that trains on weights fitted on its own baskets trusts them too much.

Legend: V vocabulary · C companions of a product · X the baskets, 0/1 [n, V].
"""

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.sparse import csr_array

FOLDS = 2
COMPANIONS = 64  # C
RIDGE = 100.0  # λ


def companion_weights(
    sample: np.ndarray, starts: np.ndarray, products: np.ndarray, vocab_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The strongest companions of each product: rows int32 [folds, V, C] and weights float32 [folds, V, C].

    Args:
        sample: int [n], number of each training basket.
        starts: int [n + 1]; basket i holds products[starts[i]:starts[i + 1]].
        products: vocabulary rows.
        vocab_size: V.
    """
    baskets = csr_array((np.ones(len(products)), products, starts), shape=(len(sample), vocab_size))
    kept = min(COMPANIONS, vocab_size)
    ids = np.zeros((FOLDS, vocab_size, kept), dtype=np.int32)
    weights = np.zeros((FOLDS, vocab_size, kept), dtype=np.float32)
    for fold in range(FOLDS):
        item_item = _ease(baskets[np.flatnonzero(sample % FOLDS != fold)])
        strongest = np.argpartition(-np.abs(item_item), kept - 1, axis=1)[:, :kept]
        ids[fold] = np.sort(strongest, axis=1)
        weights[fold] = np.take_along_axis(item_item, ids[fold].astype(np.int64), axis=1)
    return ids, weights


def _ease(baskets: csr_array) -> np.ndarray:
    """Row i: what product i in the basket adds to the share of baskets with each product, float64 [V, V]."""
    size = baskets.shape[1]
    gram = np.empty((size + 1, size + 1))  # the last column is an intercept that is never a target
    gram[:size, :size] = (baskets.T @ baskets).toarray()
    gram[size, :size] = gram[:size, size] = baskets.sum(axis=0)
    gram[size, size] = baskets.shape[0]
    gram[np.diag_indices(size + 1)] += RIDGE
    factor, _ = dpotrf(gram, lower=1)  # positive definite by the ridge
    lower, _ = dpotri(factor, lower=1)
    lower = np.tril(lower)
    inverse = lower + np.tril(lower, -1).T
    weights = inverse / -np.diag(inverse)
    weights[np.diag_indices(size + 1)] = 0
    return weights[:size, :size]
