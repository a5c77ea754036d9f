"""C15: the encoder's layer mixes all real places and none of the padding."""

import math

import pytest
import torch
from torch.nn import functional

from retailsim.config import PRESETS
from retailsim.model.convolution import ShortConvolution
from retailsim.model.mamba import MambaLayer, Mixer

CONFIG = PRESETS["tiny"].model


@pytest.fixture
def layer() -> MambaLayer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MambaLayer(CONFIG).double().eval()


def sequence(length: int, real: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(1, length, CONFIG.width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x, (torch.arange(length) >= real)[None]


@pytest.mark.parametrize("length, real", [(51, 51), (51, 30), (150, 140)])
def test_every_real_place_reaches_every_other_and_padding_none(layer, length, real):
    x, is_padding = sequence(length, real)
    for place in (0, real // 2, real - 1):
        (gradient,) = torch.autograd.grad(layer(x.requires_grad_(), is_padding)[0, place].square().sum(), x)
        reached = gradient[0].norm(dim=-1)
        assert (reached[:real] > 0).all()
        assert (reached[real:] == 0).all()


def test_content_and_amount_of_padding_change_nothing(layer):
    x, is_padding = sequence(20, 12)
    expected = layer(x[:, :12], is_padding[:, :12])
    torch.testing.assert_close(layer(x, is_padding)[:, :12], expected, atol=1e-12, rtol=1e-12)
    assert torch.equal(layer(x * (1 + 100 * is_padding[..., None]), is_padding)[:, :12], layer(x, is_padding)[:, :12])


def test_the_convolution_is_centred():
    convolution = ShortConvolution(3, 4).double()
    x = torch.randn(2, 11, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    padded = functional.pad(x, (0, 0, 3, 3))
    weight = convolution.weight.flatten(1)  # [3, 7]
    expected = sum(padded[:, i : i + 11] * weight[:, i] for i in range(7)) + convolution.bias
    torch.testing.assert_close(convolution(x), expected)


def test_the_start_is_the_papers():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        mixer = Mixer(PRESETS["full"].model)
    dt = functional.softplus(mixer.dt_bias.detach())
    assert dt.min() >= 0.99e-3 and dt.max() <= 1.01
    assert dt.log().std().item() == pytest.approx(math.log(1000) / math.sqrt(12), rel=0.3)  # log-uniform
    assert mixer.A_log.exp().min() >= 1 and mixer.A_log.exp().max() <= 16
    assert (mixer.D == 1).all()
