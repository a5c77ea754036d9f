"""Which products go with which: ridge weights of basket and customer history, in two folds of the training baskets.

Each product is regressed on the basket's other products, on how often the customer had each product in earlier weeks, and
on a constant: EASE (Steck 2019, eq. 8) with more columns, all products solved at once. Fold k's weights are fitted on the
training baskets whose `sample` is of another fold, so that a training basket can be shown weights that never saw it: a
model that trains on weights fitted on its own baskets trusts them too much. Of each product the strongest are kept.

Legend: V vocabulary · C companions or successors of a product · X the baskets, 0/1 [n, V] · H the customers' decayed
frequencies, [n, V], as of the week before · Z = [H, 1, X].
"""

import os
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from retailsim.errors import UserError
from retailsim.evaluation.ease_histories import last_columns_of_inverse
from retailsim.training.purchases import Purchases
from retailsim.vocab import PAD

FOLDS = 2
COMPANIONS = 64  # C
RIDGE = 100.0  # λ of the basket's columns
HISTORY_RIDGE = 3.0  # of the history's columns
HALF_LIFE = 8.0  # weeks, of the frequencies
SHRINK = 5.0  # decayed baskets
BYTES = 48  # of memory for each pair of products, at the most (measured)


class Strongest(NamedTuple):
    """By how much a product raises the share of baskets with others, the strongest of each product and fold."""

    ids: np.ndarray  # int32 [folds, V, C], vocabulary rows
    weights: np.ndarray  # float32 [folds, V, C]


def companion_weights(
    sample: np.ndarray, starts: np.ndarray, products: np.ndarray, frequencies: csr_array, vocab_size: int
) -> tuple[Strongest, Strongest]:
    """What goes with each product in the basket, and what with each product in the customer's history.

    Args:
        sample: int [n], number of each training basket.
        starts: int [n + 1]; basket i holds products[starts[i]:starts[i + 1]].
        products: vocabulary rows.
        frequencies: H, float32.
        vocab_size: V.
    """
    refuse_without_memory(vocab_size)
    ones = np.ones(len(products), dtype=np.float32)
    baskets = csr_array((ones, products, starts), shape=(len(sample), vocab_size))
    others = [np.flatnonzero(sample % FOLDS != fold) for fold in range(FOLDS)]
    # Sums over threads are rounded differently when their number changes (C40).
    with threadpool_limits(1, user_api="blas"):
        solved = [_solve(_gram(baskets[rows], frequencies[rows]), vocab_size) for rows in others]
    companions, successors = zip(*solved, strict=True)
    return _strongest(companions), _strongest(successors)


def refuse_without_memory(vocab_size: int) -> None:
    """A UserError where `companion_weights` would need more memory than the machine has."""
    if not hasattr(os, "sysconf"):
        return  # Windows does not say how much it has
    needed, there = BYTES * vocab_size**2, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise UserError(
            f"which of {vocab_size:,} products go together takes {needed / 1e9:,.1f} GB of memory, and this machine has "
            f"{there / 1e9:,.1f} GB: take a larger machine, or fewer products (leave the rarest out of the source, or give "
            f'them one code, and begin with "retailsim run-pipeline")'
        )


def customer_frequencies(customers: Purchases, rows: np.ndarray, week: np.ndarray, vocab_size: int) -> csr_array:
    """H of baskets of weeks `week` [n] whose customers' rows of T1 are `rows` [n]: decayed baskets over all + SHRINK."""
    owner, event_week, product, *_ = customers.before(rows)
    decayed = (2.0 ** (-(week[owner] - event_week) / HALF_LIFE)).astype(np.float32)
    counts = csr_array((decayed, (owner, product)), shape=(len(rows), vocab_size))
    is_trip = product == PAD
    trips = np.bincount(owner[is_trip], decayed[is_trip], minlength=len(rows))
    counts.data /= np.repeat(trips + SHRINK, np.diff(counts.indptr)).astype(np.float32)
    counts.data[counts.indices == PAD] = 0
    return counts


def _gram(x: csr_array, h: csr_array) -> np.ndarray:
    """The lower triangle of Zᵀ Z, float32 [2V + 1, 2V + 1], in Fortran's order; above the blocks on the diagonal is zero."""
    v = x.shape[1]
    gram = np.zeros((2 * v + 1, 2 * v + 1), dtype=np.float32, order="F")  # overwritten, not copied
    hs, one, xs = slice(0, v), v, slice(v + 1, None)
    gram[hs, hs] = (h.T @ h).toarray()
    gram[one, hs], gram[one, one] = h.sum(axis=0), x.shape[0]
    gram[xs, hs], gram[xs, one] = (x.T @ h).toarray(), x.sum(axis=0)
    gram[xs, xs] = (x.T @ x).toarray()
    return gram


def _solve(gram: np.ndarray, v: int) -> tuple[np.ndarray, np.ndarray]:
    """Row i: what product i in the basket, and in the history, adds to the share of baskets with each product, [V, V] each."""
    penalty = np.repeat(np.array([HISTORY_RIDGE, RIDGE], dtype=np.float32), [v, v + 1])
    weights = last_columns_of_inverse(gram, penalty, v)
    weights /= -np.diag(weights[-v:]).copy()
    weights[-v:][np.diag_indices(v)] = 0
    return weights[-v:], weights[:v]


def _strongest(weights: tuple[np.ndarray, ...]) -> Strongest:
    """The C strongest of each row of each fold's [V, V], in the order of their products."""
    kept = min(COMPANIONS, weights[0].shape[1])
    ids = [np.sort(np.argpartition(-np.abs(of), kept - 1, axis=1)[:, :kept], axis=1) for of in weights]
    values = [np.take_along_axis(of, rows, axis=1) for of, rows in zip(weights, ids, strict=True)]
    return Strongest(np.stack(ids).astype(np.int32), np.stack(values).astype(np.float32))
