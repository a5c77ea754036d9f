"""CUDA graphs change no result but by rounding, and where none can be made training goes on without (C27)."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from retailsim.training.dataset import make_batch
from retailsim.training.gradient import backward
from retailsim.training.graphs import Graphs
from retailsim.training.masking import Masking
from retailsim.training.run import Run, prepare
from retailsim.training.schedule import phase_at
from retailsim.training.steps import Share, make_step
from tests.small_world import SPECIALS, VOCAB_SIZE, make_samples, make_tables
from tests.training.small_training import small_config, small_vocabulary


@pytest.fixture
def weight():
    return nn.Parameter(torch.ones(2))


@pytest.fixture
def graphs(weight, monkeypatch):
    monkeypatch.setattr(Graphs, "_has_room", lambda self: True)
    return Graphs([weight], torch.device("cpu"))


def batch(*lengths):
    return make_batch(make_samples(np.array(lengths)), np.arange(len(lengths)), Masking(VOCAB_SIZE))


def test_shapes_are_recorded_when_they_come_again_in_their_phase(graphs, monkeypatch):
    made = []

    def record(self, batch, totals, gradient):
        made.append(batch.ids.shape)
        return SimpleNamespace(replay=lambda batch, totals: torch.tensor([2.0]))

    monkeypatch.setattr(Graphs, "_record", record)
    sent = [(batch(4, 4), "main"), (batch(4, 3), "main"), (batch(4, 4), "finetune"), (batch(4, 4), "main")]
    found = [graphs.run(of, {}, phase, lambda *of: torch.tensor([1.0])).item() for of, phase in [*sent, sent[0]]]
    assert found == [1, 1, 1, 2, 2] and made == [(2, 4)]


def test_where_nothing_can_be_recorded_each_step_is_computed(graphs, weight, monkeypatch, capsys):
    def record(self, batch, totals, gradient):
        gradient(batch, totals)
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    def gradient(batch, totals):
        weight.grad = totals["focal"] * torch.ones(2)
        return torch.tensor([totals["focal"]])

    monkeypatch.setattr(Graphs, "_record", record)
    for total in (1.0, 2.0, 3.0):
        assert graphs.run(batch(4, 4), {"focal": total}, "main", gradient).item() == total
        assert weight.grad.tolist() == [total, total]
    said = "CUDA graphs are off, steps are started one by one: operation not permitted when stream is capturing\n"
    assert capsys.readouterr().out == said


@pytest.mark.gpu
@pytest.mark.parametrize("precision, tolerance", [("32-true", 1e-4), ("bf16-mixed", 1e-2)])
def test_a_replayed_step_is_the_computed_one(tmp_path, precision, tolerance):
    """Losses and gradients of steps of the same shapes, other baskets; the totals that losses are divided by differ, too."""
    fabric = Fabric(accelerator="cuda", devices=1, precision=precision)
    config, tables, samples = small_config(), make_tables(), make_samples(np.full(64, 6)).without_histories()
    config = replace(config, model=replace(config.model, history=False))  # histories of other lengths are other shapes
    samples.products[samples.products >= VOCAB_SIZE] = SPECIALS
    found = []
    for is_on in (False, True):
        training = prepare(config, tables, small_vocabulary(), samples, Run(tmp_path, fabric, graphs=is_on), None)
        training.forward.train()
        of_steps = []
        for i in range(4):
            rows, masking = np.arange(16 * i, 16 * i + 16), Masking(VOCAB_SIZE, 0.3, 0.5, epoch=1)
            losses = backward(training, make_step(samples, rows, masking, Share()), phase_at(2, config.train))
            gradients = [p.grad.flatten() for p in training.model.parameters() if p.grad is not None]
            of_steps.append(torch.cat([losses, *gradients]))
            training.optimizer.zero_grad(set_to_none=True)
        found.append(torch.stack(of_steps))
        assert is_on == bool(training.graphs and training.graphs.recorded)
    computed, replayed = found
    assert (computed - replayed).norm() < tolerance * computed.norm()
    assert (computed[3] - computed[2]).norm() > 0.1 * computed.norm()
