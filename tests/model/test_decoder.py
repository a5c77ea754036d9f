"""C16: causal self-attention, cross-attention to the whole encoder output, no place without a number."""

import math

import pytest
import torch

from retailsim.config import PRESETS
from retailsim.model.attention import attend
from retailsim.model.decoder import CrossAttention, DecoderLayer, SelfAttention

CONFIG = PRESETS["tiny"].model
NONE_PADDED = torch.zeros(1, 6, dtype=torch.bool)


def states(seed: int, length: int = 6) -> torch.Tensor:
    return torch.randn(1, length, CONFIG.width, generator=torch.Generator().manual_seed(seed))


def test_self_attention_sees_no_later_place():
    attention = SelfAttention(CONFIG)
    x = states(0).requires_grad_()
    sees = torch.stack(
        [
            torch.autograd.grad(attention(x, NONE_PADDED)[0, place].square().sum(), x)[0][0].norm(dim=-1) > 0
            for place in range(6)
        ]
    )
    assert torch.equal(sees, torch.ones(6, 6, dtype=torch.bool).tril())


def test_self_attention_sees_no_padding_between():
    attention = SelfAttention(CONFIG)
    x = states(0).requires_grad_()
    is_padding = torch.tensor([[False, False, True, True, False, False]])
    (gradient,) = torch.autograd.grad(attention(x, is_padding)[0, 5].square().sum(), x)
    assert (gradient[0].norm(dim=-1) > 0).tolist() == [True, True, False, False, True, True]


def test_cross_attention_sees_all_real_places():
    attention = CrossAttention(CONFIG)
    memory = states(1).requires_grad_()
    is_padding = torch.tensor([[False, False, False, False, True, True]])
    for place in range(6):
        result = attention(states(0), memory, is_padding)[0, place].square().sum()
        (gradient,) = torch.autograd.grad(result, memory)
        assert (gradient[0].norm(dim=-1) > 0).tolist() == [True, True, True, True, False, False]


def test_attention_by_hand():
    """One head of width 1: weights e^(qk) over the visible keys."""
    queries, keys, values = (torch.tensor(v).view(1, 2, 1) for v in ([1.0, 2.0], [0.0, 1.0], [10.0, 20.0]))
    is_visible = torch.tensor([[True, False], [True, True]]).view(1, 1, 2, 2)
    second = (10 + 20 * math.exp(2)) / (1 + math.exp(2))
    torch.testing.assert_close(attend(queries, keys, values, is_visible, 1).flatten(), torch.tensor([10.0, second]))


def test_on_a_cpu_attention_is_computed_in_float32_whatever_autocast_says():
    draw = torch.Generator().manual_seed(0)
    rounded = [torch.randn(2, 5, 8, generator=draw).bfloat16() for _ in range(3)]
    is_visible = torch.rand(2, 1, 5, 5, generator=draw) < 0.5
    is_visible[..., 0] = True
    exact = attend(*(t.float() for t in rounded), is_visible, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(attend(*rounded, is_visible, 2), exact)
        assert torch.equal(attend(*(t.float() for t in rounded), is_visible, 2), exact)


def test_a_basket_of_padding_gives_numbers():
    """Position 0 is always there, so no row of the attention is empty."""
    is_padding = torch.tensor([[False] + [True] * 5])
    assert DecoderLayer(CONFIG)(states(0), states(1), is_padding).isfinite().all()


@pytest.mark.parametrize("rows", [[7, 0, 4], [7, 7, 7, 0, 4, 4]])  # hidden products of an open basket share a place
def test_chosen_rows_are_those_of_the_whole(rows):
    """In values and in every gradient: what is left out was never needed."""
    layer = DecoderLayer(CONFIG).eval().double()
    x, memory = (torch.cat([states(s), states(s + 1)]).double().requires_grad_() for s in (0, 2))
    is_padding = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])
    rows = torch.tensor(rows)
    whole, chosen = layer(x, memory, is_padding).flatten(0, 1)[rows], layer(x, memory, is_padding, rows)
    torch.testing.assert_close(chosen, whole, atol=1e-10, rtol=1e-10)
    inputs = (x, memory, *layer.parameters())
    for one, other in zip(
        *(torch.autograd.grad(result.square().sum(), inputs) for result in (chosen, whole)), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)
