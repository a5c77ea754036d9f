import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from retailsim.evaluation.ranking import ahead_of, excluded_ids, excluded_rows, ranks, ranks_of_all, ranks_of_logits
from retailsim.vocab import MASK, PAD, SPECIAL_TOKENS

#                 specials       products 3 … 7
SCORES = np.array([[9.0, 9.0, 9.0, 5.0, 4.0, 4.0, 4.0, 1.0]])


def _rank(target, visible=()):
    excluded = excluded_rows(np.isin(np.arange(8), visible)[None])
    return ranks(SCORES, np.array([target]), excluded).tolist()


@pytest.mark.parametrize(
    "target, visible, rank",
    [
        (3, (), 1.0),  # special tokens are no rivals
        (4, (), 3.0),  # behind one, level with two others
        (4, (5,), 2.5),  # level with one other
        (4, (5, 6), 2.0),
        (4, (3, 5, 6), 1.0),
        (7, (), 5.0),
        (7, (3, 4, 5, 6), 1.0),
        (8, (), np.inf),  # outside the vocabulary
        (99, (), np.inf),
    ],
)
def test_ranks_by_hand(target, visible, rank):  # C32
    assert _rank(target, visible) == [rank]


def test_uniform_scores_give_the_middle_rank():
    excluded = excluded_rows(np.zeros((1, 104), dtype=bool))  # 101 products compete
    assert len(SPECIAL_TOKENS) == 3
    assert ranks(np.zeros((1, 104)), np.array([50]), excluded).tolist() == [51.0]


def test_scores_that_are_not_numbers_are_refused():
    scores = SCORES.copy()
    scores[0, 5] = np.nan
    excluded = excluded_rows(np.zeros((1, 8), dtype=bool))
    with pytest.raises(ValueError, match="NaN"):
        ranks(scores, np.array([3]), excluded)
    with pytest.raises(ValueError, match="NaN"):
        ranks_of_logits(torch.from_numpy(scores), torch.tensor([3]), torch.from_numpy(excluded))


def test_a_hidden_product_that_is_shown_is_refused():
    with pytest.raises(ValueError, match="visible"):
        _rank(3, visible=(3,))
    excluded = torch.from_numpy(excluded_rows(np.arange(8)[None] == 3))
    with pytest.raises(ValueError, match="visible"):
        ranks_of_logits(torch.from_numpy(SCORES), torch.tensor([3]), excluded)


def test_ids_shown_to_the_model_do_not_compete():
    ids = torch.tensor([[MASK, 4, PAD, PAD], [6, MASK, MASK, 9]])  # 9 is a late product
    excluded = excluded_ids(ids, 8)
    assert excluded.tolist() == [
        [True, True, True, False, True, False, False, False],
        [True, True, True, False, False, False, True, False],
    ]
    visible = np.zeros((2, 8), dtype=bool)
    visible[0, 4] = visible[1, 6] = True
    assert np.array_equal(excluded.numpy(), excluded_rows(visible))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_all_ranks_agree(dtype):
    generator = np.random.default_rng(0)
    logits = torch.from_numpy(generator.normal(size=(300, 200)).round(1)).to(dtype)  # rounded: full of ties
    target = generator.integers(3, 210, size=300)  # ten of them late
    visible = generator.random((300, 200)) < 0.1
    known = target < 200
    visible[np.flatnonzero(known), target[known]] = False
    visible[:, :3] = False
    excluded, row = excluded_rows(visible), np.arange(300)
    here = ranks(logits.double().numpy(), target, excluded)
    there = ranks_of_logits(logits, torch.from_numpy(target), torch.from_numpy(excluded))
    assert there.dtype == np.float64 and np.array_equal(here, there)
    assert np.isinf(here).sum() == (~known).sum() > 0 and (here[known] % 1 == 0.5).any()
    scores = logits.double().numpy()
    among_all = ranks_of_all(scores, target, row)
    assert np.array_equal(among_all, ranks(scores, target, excluded_rows(visible & False)))
    assert np.array_equal(among_all - ahead_of(scores, target, row, csr_array(visible)), here)


def test_a_rank_among_all_refuses_what_is_none():
    scores, row = np.zeros((1, 8)), np.array([0])
    with pytest.raises(ValueError, match="special token"):
        ranks_of_all(scores, np.array([1]), row)
    with pytest.raises(ValueError, match="NaN"):
        ranks_of_all(np.where(np.arange(8) == 6, np.nan, scores), np.array([4]), row)
    with pytest.raises(ValueError, match="visible"):
        ahead_of(scores, np.array([4]), row, csr_array(np.arange(8)[None] == 4))


def test_ranks_of_a_permutation_are_that_permutation():
    order = np.random.default_rng(1).permutation(100)
    scores = np.zeros((100, 103))
    scores[:, 3 + order] = -np.arange(100.0)
    excluded = excluded_rows(np.zeros((100, 103), dtype=bool))
    assert np.array_equal(ranks(scores, 3 + order, excluded), 1.0 + np.arange(100))
