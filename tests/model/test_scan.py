"""C15: the fast scan equals the recurrence, in values and gradients, and forgets nothing it should keep."""

import math

import pytest
import torch
from torch import Tensor

from retailsim.model.scan import scan, scan_reference

LENGTHS = (1, 2, 7, 51, 64, 65, 200)


def planted(length: int, dtype: torch.dtype, padding: int = 0, batch: int = 2) -> list[Tensor]:
    """x, dt, log_a, b, c with 4 heads in 2 groups; the last `padding` places of the first basket let the state pass."""
    generator = torch.Generator().manual_seed(length)
    x, b, c = (
        torch.randn(batch, length, *s, generator=generator, dtype=torch.float64) for s in ((4, 8), (2, 5), (2, 5))
    )
    dt = torch.rand(batch, length, 4, 2, generator=generator, dtype=torch.float64)
    log_a = -dt * torch.tensor([0.01, 0.5, 2.0, 16.0]).double()[:, None]
    if padding:
        dt[0, -padding:] = 0
        log_a[0, -padding:] = 0
    b, c = b / math.sqrt(5), c / math.sqrt(5)
    return [t.to(dtype).requires_grad_() for t in (x, dt, log_a, b, c)]


def values_and_gradients(function, inputs: list[Tensor]) -> list[Tensor]:
    y = function(*inputs)
    weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).cos().view_as(y)
    return [y, *torch.autograd.grad((y * weight).sum(), inputs)]


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize("length", LENGTHS)
def test_the_fast_scan_is_the_recurrence(length, dtype, tolerance):
    inputs = planted(length, dtype)
    for fast, slow in zip(
        values_and_gradients(scan, inputs), values_and_gradients(scan_reference, inputs), strict=True
    ):
        torch.testing.assert_close(fast, slow, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("length, padding", [(7, 3), (51, 44), (65, 1), (200, 130)])
def test_padding_in_float64(length, padding):
    inputs = planted(length, torch.float64, padding)
    fast, slow = values_and_gradients(scan, inputs), values_and_gradients(scan_reference, inputs)
    # the gradient of dt where dt is exactly 0 is none of the scan's: the layer masks it there
    fast[2], slow[2] = (t * (inputs[1] > 0) for t in (fast[2], slow[2]))
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("chunk", [1, 2, 16, 64])
def test_the_chunk_changes_nothing(chunk):
    inputs = planted(51, torch.float64)
    torch.testing.assert_close(scan(*inputs, chunk=chunk), scan_reference(*inputs), atol=1e-10, rtol=1e-10)


def test_by_hand():
    """Two heads of one number: x = 1, 2, 3 with every key and query 1, halving at each place, steps 1 and 10."""
    x = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    dt = torch.tensor([1.0, 10.0]).expand(1, 3, 1, 2)
    log_a = torch.full((1, 3, 1, 2), math.log(0.5))
    one = torch.ones(1, 3, 1, 1)
    # forward 1, 2 + 1/2, 3 + 2/2 + 1/4; backward without the place itself, decayed at each place passed and its own
    forward = torch.tensor([1.0, 2.5, 4.25])
    backward = torch.tensor([2 / 2 + 3 / 4, 3 / 2, 0.0]) * 10
    for function in (scan, scan_reference):
        torch.testing.assert_close(function(x, dt, log_a, one, one).flatten(), forward + backward)


@pytest.mark.parametrize("length", [64, 300])
def test_extreme_decays_stay_finite(length):
    """Up to e^−16,000 at one place, where a product of decays would be 0 and its inverse infinite."""
    x, dt, log_a, b, c = planted(length, torch.float32)
    inputs = [t.detach().requires_grad_() for t in (x, dt, log_a * 1000, b, c)]
    for fast, slow in zip(
        values_and_gradients(scan, inputs), values_and_gradients(scan_reference, inputs), strict=True
    ):
        assert fast.isfinite().all()
        assert (fast - slow).norm() < 5e-3 * slow.norm()


def test_a_thousand_places_in_float64():
    inputs = planted(1000, torch.float64, batch=1)
    for fast, slow in zip(
        values_and_gradients(scan, inputs), values_and_gradients(scan_reference, inputs), strict=True
    ):
        torch.testing.assert_close(fast, slow, atol=1e-10, rtol=1e-10)


def test_bfloat16_is_close():
    """Keys, queries and inputs in bf16, decays in float32, as under autocast: within bf16's 8 bits."""
    x, dt, log_a, b, c = (t.detach() for t in planted(65, torch.float32))
    exact = scan_reference(x, dt, log_a, b, c)
    rounded = scan(x.bfloat16(), dt, log_a, b.bfloat16(), c.bfloat16())
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).norm() < 0.02 * exact.norm()
