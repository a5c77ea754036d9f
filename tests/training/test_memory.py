"""Memory that does not suffice is a sentence with flags that help; every other error keeps its traceback."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from retailsim.errors import UserError
from retailsim.training import loop
from retailsim.training.memory import or_what_helps, what_helps
from retailsim.training.run import Run
from tests.training.small_training import train_small

RUN = Run(Path("checkpoints"), Fabric(accelerator="cpu", devices=1))


def too_much_on_the_cpu():
    torch.empty(1 << 60)


def too_much_for_numpy():
    np.empty(1 << 50)


def too_much_on_a_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")  # no GPU here to exhaust


@pytest.mark.parametrize("use", [too_much_on_the_cpu, too_much_for_numpy, too_much_on_a_gpu])
def test_an_allocation_that_fails_is_a_sentence(use):
    sentence = "^cpu has too little memory for a step of 256 baskets: add --accumulate 2 or"
    with pytest.raises(UserError, match=sentence), or_what_helps(RUN, 256):
        use()


def test_another_error_is_left_alone():
    with pytest.raises(RuntimeError, match="size of tensor"), or_what_helps(RUN, 256):
        torch.ones(2) + torch.ones(3)


@pytest.mark.parametrize(
    "changes, batch_size, said",
    [
        ({}, 1024, "1,024 baskets: add --accumulate 2 or --gradient-checkpointing, which changes no result but by rounding, or take"),
        ({"pieces": 4}, 256, "256 baskets in 4 pieces: add --accumulate 8 or --gradient-checkpointing, which"),
        ({"gradient_checkpointing": True}, 256, "256 baskets: add --accumulate 2, which changes"),
        ({"pieces": 4, "gradient_checkpointing": True}, 7, "7 baskets in 4 pieces: take a smaller --preset or --batch-size"),
    ],
)  # fmt: skip
def test_only_what_can_still_help_is_named(changes, batch_size, said):
    assert said in what_helps(replace(RUN, **changes), batch_size)


def test_epochs_before_it_are_kept(tmp_path, monkeypatch):
    """As where only the longest baskets of a later epoch do not fit."""
    work = loop.train_epoch

    def runs_out(training, *others):
        if training.progress.epoch == 1:
            too_much_on_the_cpu()
        return work(training, *others)

    monkeypatch.setattr(loop, "train_epoch", runs_out)
    with pytest.raises(UserError), or_what_helps(RUN, 32):
        train_small(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == ["best_model.pt", "epoch_1.pt"]
