"""What goes with basket and history: the ridge regression's closed form on the baskets of the other fold."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from retailsim.errors import UserError
from retailsim.model.history import frequency
from retailsim.training import companion_weights as module
from retailsim.training.companion_weights import (
    HISTORY_RIDGE,
    RIDGE,
    companion_weights,
    customer_frequencies,
    refuse_without_memory,
)
from retailsim.training.histories import customer_entries
from retailsim.vocab import PAD
from tests.small_world import VOCAB_SIZE, make_histories


@pytest.fixture
def baskets():
    rng = np.random.default_rng(0)
    shown = rng.random((400, 12)) < 0.2
    shown[:, 0] = False  # padding
    shown[:, 5] |= shown[:, 4]  # 5 goes with 4
    return shown


@pytest.fixture
def histories(baskets):
    rng = np.random.default_rng(1)
    often = np.where(rng.random(baskets.shape) < 0.3, rng.random(baskets.shape), 0).astype(np.float32)
    often[:, 0] = 0
    often[:, 7] = 0.5 * baskets[:, 8]  # who bought 7 before buys 8
    return often


def ridge(shown, often):
    """Every product on all other columns, by a general inverse: what basket and history add."""
    x = np.column_stack([often, np.ones(len(shown)), shown]).astype(float)
    v = shown.shape[1]
    penalty = np.repeat([HISTORY_RIDGE, RIDGE], [v, v + 1])
    inverse = np.linalg.inv(x.T @ x + np.diag(penalty))
    weights = (-inverse / np.diag(inverse))[:, -v:]
    np.fill_diagonal(weights[-v:], 0)
    return weights[-v:], weights[:v]


def fitted(shown, often):
    products = np.nonzero(shown)[1]
    starts = np.concatenate([[0], np.cumsum(shown.sum(1))])
    found = companion_weights(np.arange(len(shown)), starts, products, csr_array(often), shown.shape[1])
    dense = np.zeros((2, 2, shown.shape[1], shown.shape[1]))
    for part, strongest in zip(dense, found, strict=True):
        np.put_along_axis(part, strongest.ids.astype(np.int64), strongest.weights, axis=2)
    return dense


def test_each_fold_is_fitted_on_the_other_ones_baskets(baskets, histories):
    dense = fitted(baskets, histories)
    for fold in (0, 1):
        other = slice(1 - fold, None, 2)
        assert np.allclose(dense[:, fold], ridge(baskets[other], histories[other]), atol=1e-4)
    changed = baskets.copy()
    changed[::2] = ~changed[::2]
    changed[:, 0] = False
    again = fitted(changed, histories)
    assert np.array_equal(again[:, 0], dense[:, 0]) and not np.allclose(again[:, 1], dense[:, 1])


def test_the_same_bytes_with_one_thread_and_with_two():  # C40
    rng = np.random.default_rng(0)
    shown = rng.random((2000, 400)) < 0.05
    often = np.where(rng.random(shown.shape) < 0.1, rng.random(shown.shape), 0).astype(np.float32)
    results = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            results.append(fitted(shown, often))
    assert np.array_equal(*results)


def test_what_goes_with_basket_and_history_is_found(baskets, histories):
    companions, successors = fitted(baskets, histories)
    assert companions[0, 4].argmax() == 5 and successors[0, 7].argmax() == 8


def test_the_strongest_are_kept(baskets, histories, monkeypatch):
    monkeypatch.setattr(module, "COMPANIONS", 2)
    dense, full = fitted(baskets, histories), ridge(baskets[1::2], histories[1::2])
    for part, whole in zip(dense, full, strict=True):
        assert ((part != 0).sum(2) <= 2).all()
        strongest = np.sort(np.abs(whole), axis=1)[:, -2:]
        assert np.allclose(np.sort(np.abs(part[0]), axis=1)[:, -2:], strongest, atol=1e-4)


def test_the_model_reads_the_same_frequencies_off_a_batch_as_the_weights_were_fitted_on():
    histories, rows = make_histories(), np.arange(1, 30)
    week = np.arange(1, 30) % 12 + 1
    bought, habits = customer_entries(
        histories.customers, rows, week, np.zeros((29, VOCAB_SIZE), bool), np.full((29, 4), -1)
    )
    seen = np.zeros((29, VOCAB_SIZE))
    often = frequency(torch.from_numpy(habits)).numpy() * (bought != PAD)
    np.put_along_axis(seen, bought, often, axis=1)
    seen[:, PAD] = 0
    expected = customer_frequencies(histories.customers, rows, week, VOCAB_SIZE).toarray()
    assert expected.max() > 0.1 and np.allclose(seen, expected, atol=1e-5)


def test_products_that_need_more_memory_than_there_is_are_refused(baskets, histories, monkeypatch):  # C39
    pages = {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 8}
    monkeypatch.setattr(module.os, "sysconf", pages.__getitem__)
    assert fitted(baskets, histories).any()  # 12 products: 6,912 bytes
    pages["SC_PHYS_PAGES"] = 4 * 10**9
    with pytest.raises(UserError, match="30,000 products go together takes 43.2 GB of memory, .* has 32.0 GB"):
        refuse_without_memory(30_000)
    pages["SC_PHYS_PAGES"] = 800
    with pytest.raises(UserError, match="12 products"):
        fitted(baskets, histories)
