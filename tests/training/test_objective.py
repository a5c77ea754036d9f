"""C26: what a batch costs, part by part, and which products count as bought together."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from retailsim.config import TrainConfig
from retailsim.labels import TRIP_LABELS
from retailsim.training.dataset import make_batch
from retailsim.training.losses import total_loss
from retailsim.training.masking import Masking
from retailsim.training.objective import loss_parts
from retailsim.training.schedule import phase_at
from tests.small_world import VOCAB_SIZE, make_model, make_samples, make_tables


@pytest.fixture
def batch():
    samples = make_samples(np.array([1, 2, 5, 8, 12, 12]))
    samples.products[samples.products >= VOCAB_SIZE] = 3  # late products are never targets of training
    return make_batch(samples, np.arange(6), Masking(VOCAB_SIZE, hide_trip_prob=0.5, seed=1))


def test_parts_follow_the_phase(batch):
    model, config = make_model(make_tables()), TrainConfig()
    warm, main = (loss_parts(model, model, batch, phase_at(epoch, config).weights, config) for epoch in (1, 4))
    assert set(warm) == {"focal"}
    assert set(main) == {"focal", "contrastive", *TRIP_LABELS}
    assert all(part.isfinite() and part > 0 for part in main.values())
    weights = phase_at(4, config).weights
    expected = sum(weights[name] * main[name].item() for name in main)
    assert total_loss(main, phase_at(4, config)).item() == pytest.approx(expected)


def test_the_focal_part_of_an_indifferent_model(batch):
    class Indifferent(torch.nn.Module):
        """Uniform logits."""

        def forward(self, batch):
            output = model(batch)
            return replace(output, product_logits=torch.zeros_like(output.product_logits))

    model = make_model(make_tables())
    parts = loss_parts(model, Indifferent(), batch, {"focal": 1.0}, TrainConfig(focal_gamma=2.0))
    assert parts["focal"].item() == pytest.approx((1 - 1 / VOCAB_SIZE) ** 2 * math.log(VOCAB_SIZE), rel=1e-5)


def test_known_trips_teach_what_hidden_products_say(batch):
    """The evidence's part is the mean over hidden products beside a known trip; the others, and the labels of the tasks, are no part of it."""
    model, config = make_model(make_tables()), TrainConfig(evidence_share=0.1)
    weights = phase_at(4, config).weights
    parts = loss_parts(model, model, batch, weights, config)
    likelihood, is_known = model.log_likelihood(batch), ~batch.hide_trip[batch.places // batch.ids.shape[1]]
    assert 0 < is_known.sum() < len(is_known) and not likelihood[~is_known].any()
    assert parts["evidence"].item() == pytest.approx(-likelihood[is_known].mean().item())
    assert weights["evidence"] == 0.1 and sum(weights.values()) == pytest.approx(1)
    changed = replace(batch, labels=(batch.labels + 1) % 3)
    assert torch.equal(loss_parts(model, model, changed, weights, config)["evidence"], parts["evidence"])


def test_shown_trips_do_not_count(batch):  # C22
    model, config = make_model(make_tables()), TrainConfig()
    weights = phase_at(4, config).weights
    wrong = torch.where(batch.hide_trip[:, None], batch.labels, (batch.labels + 1) % 4)
    assert (wrong != batch.labels).any() and batch.hide_trip.any()
    before, after = (loss_parts(model, model, b, weights, config) for b in (batch, replace(batch, labels=wrong)))
    for name in before:
        assert torch.equal(before[name], after[name])
