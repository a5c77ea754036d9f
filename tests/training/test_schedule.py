"""C26: the three phases of the document."""

import pytest

from retailsim.config import TrainConfig
from retailsim.labels import TRIP_LABELS
from retailsim.training.schedule import phase_at, rate_at

PHASES = {
    "warmup": (range(1, 4), 1e-5, 0.15),
    "main": (range(4, 16), 5e-5, 0.15),
    "finetune": (range(16, 21), 1e-5, 0.20),
}


@pytest.mark.parametrize("name", PHASES)
def test_phases_are_those_of_the_document(name):
    epochs, rate, mask_prob = PHASES[name]
    for epoch in epochs:
        phase = phase_at(epoch, TrainConfig())
        assert (phase.name, phase.learning_rate, phase.mask_prob) == (name, rate, mask_prob)


@pytest.mark.parametrize("epoch", [4, 10, 15, 16, 20])
def test_shares_of_the_loss(epoch):
    weights = phase_at(epoch, TrainConfig()).weights
    mission = weights["mission_type"], weights["mission_focus"]
    assert (weights["focal"], weights["contrastive"]) == pytest.approx((0.60, 0.20))
    assert (weights["basket_size"], weights["price_sensitivity"], sum(mission)) == pytest.approx((0.08, 0.08, 0.04))
    assert mission[0] == mission[1]
    assert set(weights) == {"focal", "contrastive", *TRIP_LABELS}
    assert sum(weights.values()) == pytest.approx(1)


def test_warm_up_counts_the_products_only():
    assert all(phase_at(epoch, TrainConfig()).weights == {"focal": 1.0} for epoch in (1, 2, 3))


def test_phases_follow_the_flags():  # C27
    config = TrainConfig(
        epochs=4, warmup_epochs=1, finetune_epochs=2, learning_rate=3e-4, edge_learning_rate=1e-4, mask_prob=0.3
    )
    phases = [phase_at(epoch, config) for epoch in (1, 2, 3, 4)]
    assert [p.name for p in phases] == ["warmup", "main", "finetune", "finetune"]
    assert [p.learning_rate for p in phases] == [1e-4, 3e-4, 1e-4, 1e-4]
    assert [p.mask_prob for p in phases] == [0.3, 0.3, 0.2, 0.2]
    no_edges = TrainConfig(epochs=2, warmup_epochs=0, finetune_epochs=0)
    assert {phase_at(epoch, no_edges).name for epoch in (1, 2)} == {"main"}


def test_a_cosine_falls_from_the_rate_to_nothing_over_all_epochs():
    config = TrainConfig(epochs=4, warmup_epochs=0, finetune_epochs=1, learning_rate=1.0, cosine=True)
    rates = [phase_at(epoch, config).learning_rate for epoch in (1, 2, 3, 4)]
    assert rates == pytest.approx([0.961940, 0.691342, 0.308658, 0.038060], abs=1e-6)  # (1 + cos(π (k − ½) / 4)) / 2
    assert [rate_at(2, passed, config) for passed in (0.0, 0.5, 1.0)] == pytest.approx(
        [0.853553, 0.691342, 0.5], abs=1e-6
    )
    assert (rate_at(1, 0.0, config), rate_at(4, 1.0, config)) == (1.0, 0.0)


def test_within_a_phase_the_rate_stays():
    config = TrainConfig(epochs=3, warmup_epochs=1, finetune_epochs=1, learning_rate=3e-4, edge_learning_rate=1e-4)
    rates = [[rate_at(epoch, passed, config) for passed in (0.0, 0.7, 1.0)] for epoch in (1, 2, 3)]
    assert rates == [[1e-4] * 3, [3e-4] * 3, [1e-4] * 3]


def test_shares_of_the_loss_follow_the_configuration():
    weights = phase_at(1, TrainConfig(warmup_epochs=0, contrastive_share=0.0, auxiliary_share=0.1)).weights
    assert weights["focal"] == 0.9 and "contrastive" not in weights and sum(weights.values()) == pytest.approx(1)
