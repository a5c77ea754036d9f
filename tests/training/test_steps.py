"""C25, C31: a step is the same baskets, masks and losses whatever the number of processes and pieces."""

from collections import Counter

import numpy as np
import pytest
import torch

from retailsim.config import TrainConfig
from retailsim.labels import TRIP_LABELS, UNKNOWN
from retailsim.training.losses import total_loss
from retailsim.training.masking import Masking, lessons, plan
from retailsim.training.objective import loss_parts
from retailsim.training.schedule import phase_at
from retailsim.training.steps import Share, batch_rows, epoch_rows, load_steps, make_step
from tests.small_world import VOCAB_SIZE, make_model, make_samples, make_tables

MASKING = Masking(VOCAB_SIZE, hide_trip_prob=0.5, epoch=2, seed=1, open_share=0.4)
MAIN = phase_at(4, TrainConfig(evidence_share=0.1))


@pytest.fixture(scope="module")
def samples():
    made = make_samples(np.random.default_rng(0).integers(1, 13, 300))
    made.products[made.products >= VOCAB_SIZE] = 3  # late products are never targets of training
    return made


def shares(ranks, pieces):
    return [Share(rank, ranks, pieces) for rank in range(ranks)]


@pytest.mark.parametrize("ranks, pieces, n", [(1, 1, 64), (2, 1, 64), (4, 1, 63), (3, 2, 64), (4, 4, 5), (8, 1, 3)])
def test_every_basket_is_computed_once(samples, ranks, pieces, n):
    rows = batch_rows(samples.lengths, n, seed=0, epoch=2)[0]
    steps = [make_step(samples, rows, MASKING, share) for share in shares(ranks, pieces)]
    assert all(step.pieces for step in steps)  # everybody takes part in adding up the gradients
    counted = [step for step in steps if np.isfinite(step.totals["focal"])]
    baskets = Counter(number for step in counted for piece in step.pieces for number in piece.sample.tolist())
    assert baskets == Counter(rows.tolist())
    assert len({tuple(step.totals.items()) for step in counted}) == 1
    assert max(len(step.pieces) for step in steps) <= pieces


def test_the_work_is_shared_evenly():
    lengths = np.random.default_rng(0).geometric(0.15, 3000).clip(1, 50)
    samples = make_samples(lengths)
    for rows in epoch_rows(samples, 256, MASKING)[:-1]:
        cost = [plan(samples, rows, MASKING).n_places[rank::4].sum() for rank in range(4)]
        assert max(cost) <= 1.1 * min(cost), "processes wait for the slowest"
        widths = {make_step(samples, rows, MASKING, share).pieces[0].ids.shape[1] for share in shares(4, 1)[:2]}
        assert max(widths) <= min(widths) + 2


def test_an_epoch_takes_every_lesson_once_and_baskets_of_like_size_together(samples):
    batches = epoch_rows(samples, 32, MASKING)
    assert sorted(np.concatenate(batches)) == lessons(samples, MASKING).tolist()
    widths = [plan(samples, rows, MASKING).n_places for rows in batches]
    assert max(width.max() - width.min() for width in widths) <= 4 < np.concatenate(widths).max()


@pytest.mark.parametrize("ranks, pieces", [(1, 3), (2, 1), (4, 2), (64, 1)])
def test_the_losses_and_gradients_of_all_pieces_add_up_to_the_steps(samples, ranks, pieces):  # C31
    """Dropout included: a basket loses the same units in any company."""
    model = make_model(make_tables()).train()
    rows = batch_rows(samples.lengths, 48, seed=0, epoch=2)[1]
    whole, whole_gradient = losses_and_gradient(model, [make_step(samples, rows, MASKING, Share())])
    parts, gradient = losses_and_gradient(model, [make_step(samples, rows, MASKING, s) for s in shares(ranks, pieces)])
    assert set(whole) == {"focal", "contrastive", "evidence", *TRIP_LABELS}
    for name, value in whole.items():
        assert value > 0 and parts[name] == pytest.approx(value, rel=1e-5), name
    torch.testing.assert_close(gradient, whole_gradient, rtol=1e-4, atol=3e-6)  # sums of up to 64 pieces in float32


def losses_and_gradient(model, steps):
    model.zero_grad()
    sums = Counter()
    for step in steps:
        for piece in step.pieces:
            parts = loss_parts(model, model, piece, MAIN.weights, TrainConfig(), step.totals)
            total_loss(parts, MAIN).backward()
            sums.update({name: part.item() for name, part in parts.items()})
    return sums, torch.cat([p.grad.flatten() for p in model.parameters()])


def test_totals_are_what_a_batch_counts_itself(samples):
    """One process, one piece: dividing by the step's totals is taking the mean."""
    model = make_model(make_tables())
    step = make_step(samples, np.arange(40), MASKING, Share())
    (batch,) = step.pieces
    alone, in_step = (
        loss_parts(model, model, batch, MAIN.weights, TrainConfig(), totals) for totals in (None, step.totals)
    )
    assert {name: part.item() for name, part in alone.items()} == {name: part.item() for name, part in in_step.items()}
    assert step.totals["focal"] == len(batch.targets)
    assert step.totals["evidence"] == (~(batch.hide_trip | batch.is_open)[batch.basket]).sum()
    counted = batch.hide_trip[:, None] & (batch.labels != UNKNOWN)
    assert [step.totals[name] for name in TRIP_LABELS] == counted.sum(0).tolist()


def test_pairs_are_two_different_products_of_a_basket(samples):
    rows = np.arange(300)
    (batch,) = make_step(samples, rows, MASKING, Share()).pieces
    with_two = [set(p.tolist()) for p in np.split(samples.products, samples.starts[1:-1]) if len(p) >= 2]
    assert len(batch.anchors) == len(with_two) == len(batch.partners)
    assert batch.partner.tolist() == list(range(len(with_two)))
    for products, anchor, partner in zip(with_two, batch.anchors.tolist(), batch.partners.tolist(), strict=True):
        assert {anchor, partner} <= products
    places = make_samples(np.full(4000, 5))
    (batch,) = make_step(places, np.arange(4000), MASKING, Share()).pieces
    stored = places.products.reshape(4000, 5)
    first, second = ((stored == ids.numpy()[:, None]).argmax(1) for ids in (batch.anchors, batch.partners))
    counts = np.bincount(first * 5 + second, minlength=25).reshape(5, 5)
    assert (counts.diagonal() == 0).all() and np.abs(counts[~np.eye(5, dtype=bool)] - 200).max() < 5 * 200**0.5


def test_loading_leaves_global_chance_alone(samples):  # C29
    before = torch.get_rng_state()
    list(load_steps(samples, batch_rows(samples.lengths, 64, 0, 1), MASKING, Share()))
    assert torch.equal(torch.get_rng_state(), before)
