"""C30: a number that is not finite stops the training, changes nothing, and is named."""

from dataclasses import replace

import pytest
import torch

from retailsim.errors import UserError
from retailsim.training import guard
from retailsim.training.guard import Guard
from tests.small_world import make_tables
from tests.training.small_training import small_config, train_small


@pytest.mark.parametrize("look_every", [1, 4])
def test_a_bad_step_and_those_after_it_change_no_weight(monkeypatch, look_every):
    """As on a device that is looked at now and then only."""
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight], lr=0.1, fused=True)
    watch = Guard(optimizer, torch.device("cpu"))
    watch.look_every = look_every
    seen = []
    for loss in (1.0, 1.0, torch.nan, 1.0):
        weight.grad = torch.full((3,), loss)
        watch.watch(torch.tensor(loss), weight.grad.norm())
        optimizer.step()
        seen.append((weight.detach().clone(), watch.first_bad()))
    assert not torch.equal(seen[0][0], seen[1][0])
    assert torch.equal(seen[1][0], seen[3][0])
    assert [bad for _, bad in seen] == ([None, None, 2, 2] if look_every == 1 else [None, None, None, 2])


def broken_table(name, value):
    tables = make_tables()
    table = getattr(tables, name).clone()
    table[20] = value
    return replace(tables, **{name: table})


@pytest.mark.parametrize(
    "make, tensor",
    [
        (lambda: {"tables": broken_table("customer", torch.inf)}, "the output t1 of lookup"),
        (lambda: {"tables": broken_table("product", torch.nan)}, "the output of evidence.of_graph"),
        (lambda: {"config": small_config(learning_rate=1e30)}, "the output of "),
    ],
)
def test_the_first_tensor_is_named_and_the_batch_kept(tmp_path, make, tensor):
    with pytest.raises(UserError) as stopped:
        train_small(tmp_path, **make())
    message = str(stopped.value)
    assert f"first {tensor}" in message and "infinite or not a number in epoch" in message
    (kept,) = tmp_path.glob("nan_batch_epoch_*_step_*.pt")
    assert str(kept) in message and "\n" not in message
    assert set(torch.load(kept, weights_only=True)) >= {"ids", "paid", "targets"}


def test_weights_losses_and_gradients_are_named():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())

    def backward(x, scale=1.0):
        parts = {"focal": model(x).sum() * scale}
        parts["focal"].backward()
        return parts

    x = torch.ones(2)
    assert guard.first_nonfinite(model, lambda: backward(x)) is None
    assert guard.first_nonfinite(model, lambda: backward(x * torch.inf)) == "the output of 0"
    assert guard.first_nonfinite(model, lambda: backward(x, torch.nan)) == "the loss focal"
    model[0].weight.register_hook(lambda gradient: gradient * torch.nan)
    assert guard.first_nonfinite(model, lambda: backward(x)) == "the gradient of 0.weight"
    with torch.no_grad():
        model[0].bias[0] = torch.inf
    assert guard.first_nonfinite(model, lambda: backward(x)) == "the weight 0.bias"
