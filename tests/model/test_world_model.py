"""C14–C18: the whole model: its size, its independence of the batch, its precision, its ability to learn."""

from dataclasses import fields

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from retailsim.config import PRESETS
from retailsim.labels import TRIP_LABELS
from retailsim.model.basket_model import BasketModel
from retailsim.model.world_model import SixTensors, WorldModel, parameter_count, parameter_groups
from tests.small_world import VOCAB_SIZE, make_tables

VOCABULARY = 40


def world_model(preset: str = "tiny", vocab_size: int = VOCABULARY) -> WorldModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return WorldModel(PRESETS[preset].model, vocab_size)


def baskets(lengths: list[int], seed: int = 0) -> tuple[SixTensors, Tensor]:
    """Random tensors and the padding behind baskets of these lengths."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"t1": (192,), "t2": (max(lengths), 256), "t3": (64,), "t4": (max(lengths), 64), "t5": (96,), "t6": (48,)}
    tensors = {k: torch.randn(len(lengths), *shape, generator=generator) for k, shape in shapes.items()}
    return SixTensors(**tensors), torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]


def loss_of(model: WorldModel, checkpointing: bool = False) -> Tensor:
    tensors, is_padding = baskets([3, 5])
    places, draws = torch.tensor([1, 5, 9]), torch.tensor([7, 900])
    output = model(tensors, is_padding, places, gradient_checkpointing=checkpointing, draws=draws)
    trip = sum(cross_entropy(t, torch.tensor([0, 3])) for t in output.trip_logits.values())
    return cross_entropy(output.product_logits, torch.tensor([4, 8, 15])) + trip


@pytest.mark.parametrize("preset, count", [("full", 20_146_399), ("small", 1_196_911), ("tiny", 489_351)])
def test_parameters_are_counted(preset, count):  # C18
    with torch.device("meta"):
        model = WorldModel(PRESETS[preset].model, 5003)
    assert parameter_count(model) == count


def test_what_comes_out():
    tensors, is_padding = baskets([1, 4, 2])
    output = world_model()(tensors, is_padding, torch.tensor([0, 5, 7]))
    assert output.product_logits.shape == (3, VOCABULARY)
    assert output.places_hidden.shape == output.context.shape == (3, 64)
    assert list(output.trip_logits) == list(TRIP_LABELS)


def test_a_basket_without_visible_places_is_a_trip():
    """The start of a simulated trip: nothing in the basket, nothing hidden."""
    tensors, is_padding = baskets([0, 0])
    output = world_model()(tensors, is_padding, torch.zeros(0, dtype=torch.long))
    assert output.product_logits.shape == (0, VOCABULARY)
    assert all(t.isfinite().all() for t in output.trip_logits.values())


def test_places_are_flat_indices():
    """The hidden states are the decoder's at (b, s), one behind the context; the context is its position 0."""
    model = world_model().eval()
    tensors, is_padding = baskets([4, 3, 4])
    output = model(tensors, is_padding, torch.tensor([2, 4, 11]))
    (decoder_layer,) = model.decoder
    sequence, memory = model.fuse(tensors, is_padding), model.encode(tensors, is_padding)
    states = decoder_layer(sequence, memory, torch.nn.functional.pad(is_padding, (1, 0)))
    torch.testing.assert_close(output.places_hidden, states[[0, 1, 2], [3, 1, 4]])
    torch.testing.assert_close(output.context, states[:, 0])
    torch.testing.assert_close(output.product_logits, model.product_head(output.places_hidden))


def test_a_basket_does_not_know_its_batch():
    """Alone without padding, or beside longer baskets with any padding: the same logits."""
    model = world_model().eval()
    tensors, is_padding = baskets([3, 50, 7])
    alone = SixTensors(
        tensors.t1[:1], tensors.t2[:1, :3], tensors.t3[:1], tensors.t4[:1, :3], tensors.t5[:1], tensors.t6[:1]
    )
    for content in (0.0, 1e3, float("nan")):
        t2, t4 = (t.masked_fill(is_padding[..., None], content) for t in (tensors.t2, tensors.t4))
        batch = SixTensors(tensors.t1, t2, tensors.t3, t4, tensors.t5, tensors.t6)
        many = model(batch, is_padding, torch.tensor([1, 60]))
        one = model(alone, is_padding[:1, :3], torch.tensor([1]))
        torch.testing.assert_close(many.product_logits[0], one.product_logits[0], atol=1e-5, rtol=1e-5)
        for name in TRIP_LABELS:
            torch.testing.assert_close(many.trip_logits[name][0], one.trip_logits[name][0], atol=1e-5, rtol=1e-5)


def test_position_0_of_the_encoder_knows_the_whole_basket():  # C15
    model = world_model().eval()
    tensors, is_padding = baskets([50])
    t2 = tensors.t2.requires_grad_()
    (gradient,) = torch.autograd.grad(model.encode(tensors, is_padding)[0, 0].square().sum(), t2)
    assert (gradient.norm(dim=-1) > 0).all()


def test_every_tensor_moves_every_answer():
    model = world_model().eval()
    tensors, is_padding = baskets([4])
    inputs = [getattr(tensors, f.name).requires_grad_() for f in fields(tensors)]
    output = model(tensors, is_padding, torch.tensor([2]))
    for answer in (output.product_logits, *output.trip_logits.values()):
        gradients = torch.autograd.grad(answer.square().sum(), inputs, retain_graph=True)
        assert all(gradient.norm() > 0 for gradient in gradients)


def test_checkpointing_changes_no_gradient():
    """Dropout included: the layers computed again draw the same masks."""
    model = world_model().train()
    gradients = []
    for checkpointing in (False, True):
        gradients.append(torch.autograd.grad(loss_of(model, checkpointing), list(model.parameters())))
    for plain, again in zip(*gradients, strict=True):
        assert torch.equal(plain, again)


def test_a_batch_of_many_places_keeps_less_and_has_the_same_gradient(monkeypatch):
    found = []
    for kept_places in (10_000, 0):
        monkeypatch.setattr("retailsim.model.world_model.KEPT_PLACES", kept_places)
        model, sizes = world_model().train(), []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t):
            loss = loss_of(model)
        found.append((sum(sizes), torch.autograd.grad(loss, list(model.parameters()))))
    (all_kept, plain), (few_kept, again) = found
    assert few_kept < all_kept / 2
    for one, other in zip(plain, again, strict=True):
        assert torch.equal(one, other)


def test_every_parameter_learns():
    model = world_model().eval()
    loss_of(model).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or p.grad.norm() == 0] == []


@pytest.mark.parametrize("preset", PRESETS)
def test_weight_decay_spares_what_must_not_shrink(preset):
    with torch.device("meta"):
        model = BasketModel(PRESETS[preset].model, make_tables(), VOCAB_SIZE)
    groups = parameter_groups(model, 0.01)
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(decay) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        is_special = name.endswith(("A_log", "dt_bias", "lookup.correction.weight")) or parameter.ndim < 2
        assert decay[id(parameter)] == (0.0 if is_special else 0.01), name


def test_bf16_autocast_is_close_and_finite():
    model = world_model().train()
    tensors, is_padding = baskets([3, 50])
    places = torch.tensor([1, 60, 99])
    with torch.autocast("cpu", torch.bfloat16):
        output = model(tensors, is_padding, places)
        loss = cross_entropy(output.product_logits.float(), torch.tensor([4, 8, 15]))
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    model.eval()
    exact = model(tensors, is_padding, places).product_logits
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(tensors, is_padding, places).product_logits.float()
    assert (rounded - exact).norm() < 0.05 * exact.norm()


def test_a_tiny_model_learns_eight_baskets_by_heart():
    model = world_model().train()
    tensors, is_padding = baskets([2, 3, 4, 5, 6, 2, 3, 4])
    places = torch.arange(8) * 6 + 1
    targets = torch.tensor([4, 39, 7, 21, 4, 12, 30, 18])
    labels = torch.tensor([0, 1, 2, 3, 3, 2, 1, 0])
    optimiser = torch.optim.AdamW(parameter_groups(model, 0.01), lr=2e-3)
    for _ in range(100):
        output = model(tensors, is_padding, places)
        product_loss = cross_entropy(output.product_logits, targets)
        loss = product_loss + sum(cross_entropy(t, labels) for t in output.trip_logits.values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert product_loss < 0.02
    assert all((t.argmax(-1) == labels).all() for t in output.trip_logits.values())
