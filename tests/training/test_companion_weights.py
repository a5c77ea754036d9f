"""Item-item weights: EASE's closed form on the baskets of the other fold."""

import numpy as np
import pytest

from retailsim.training import companion_weights as module
from retailsim.training.companion_weights import RIDGE, companion_weights


@pytest.fixture
def baskets():
    rng = np.random.default_rng(0)
    shown = rng.random((400, 12)) < 0.2
    shown[:, 0] = False  # padding
    shown[:, 5] |= shown[:, 4]  # 5 goes with 4
    return shown


def ease(shown):
    """EASE with an intercept, by a general inverse."""
    x = np.column_stack([shown, np.ones(len(shown))]).astype(float)
    inverse = np.linalg.inv(x.T @ x + RIDGE * np.eye(x.shape[1]))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights[:-1, :-1]


def fitted(shown):
    products = np.nonzero(shown)[1]
    starts = np.concatenate([[0], np.cumsum(shown.sum(1))])
    ids, weights = companion_weights(np.arange(len(shown)), starts, products, shown.shape[1])
    dense = np.zeros((2, shown.shape[1], shown.shape[1]))
    np.put_along_axis(dense, ids.astype(np.int64), weights, axis=2)
    return dense


def test_each_fold_is_fitted_on_the_other_ones_baskets(baskets):
    dense = fitted(baskets)
    for fold in (0, 1):
        assert np.allclose(dense[fold], ease(baskets[1 - fold :: 2]), atol=1e-6)
    changed = baskets.copy()
    changed[::2] = ~changed[::2]
    changed[:, 0] = False
    assert np.array_equal(fitted(changed)[0], dense[0]) and not np.allclose(fitted(changed)[1], dense[1])


def test_the_strongest_companions_are_kept(baskets, monkeypatch):
    monkeypatch.setattr(module, "COMPANIONS", 2)
    dense, full = fitted(baskets), ease(baskets[1::2])
    assert ((dense != 0).sum(2) <= 2).all() and dense[0, 4].argmax() == 5
    strongest = np.sort(np.abs(full), axis=1)[:, -2:]
    assert np.allclose(np.sort(np.abs(dense[0]), axis=1)[:, -2:], strongest, atol=1e-6)
