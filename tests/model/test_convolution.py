"""C15: the short convolution's own gradients are those of the library."""

import pytest
import torch

from retailsim.model.convolution import ShortConvolution, _ShiftedConvolution, convolve, shifted


@pytest.mark.parametrize("reach", [1, 2, 4])
@pytest.mark.parametrize("batch, length", [(3, 1), (2, 2), (70, 5), (2, 51), (1, 200)])
def test_values_and_gradients_are_the_librarys(batch, length, reach):
    convolution = ShortConvolution(6, reach).double()
    generator = torch.Generator().manual_seed(length)
    x, gradient = (torch.randn(batch, length, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    x.requires_grad_()
    inputs = (x, convolution.weight, convolution.bias)
    ours, theirs = convolution(x), convolve(*inputs)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    for one, other in zip(
        torch.autograd.grad(ours, inputs, gradient), torch.autograd.grad(theirs, inputs, gradient), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("apply", [shifted, _ShiftedConvolution.apply])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_the_sum_of_shifted_products_is_the_librarys(apply, length):
    convolution = ShortConvolution(6, 4).double()
    generator = torch.Generator().manual_seed(length)
    x, gradient = (torch.randn(3, length, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    inputs = (x.requires_grad_(), convolution.weight, convolution.bias)
    ours, theirs = apply(*inputs), convolve(*inputs)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)
    for one, other in zip(
        torch.autograd.grad(ours, inputs, gradient), torch.autograd.grad(theirs, inputs, gradient), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


def test_under_autocast():
    """bf16 inputs and float32 taps: within bf16's 8 bits of float32."""
    convolution = ShortConvolution(6, 4)
    x = torch.randn(3, 9, 6, generator=torch.Generator().manual_seed(0))
    results = []
    for is_enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=is_enabled):
            y = convolution(x.bfloat16() if is_enabled else x)
        results.append((y.float(), *torch.autograd.grad(y.float().square().sum(), list(convolution.parameters()))))
    for rounded, exact in zip(results[1], results[0], strict=True):
        assert (rounded - exact).norm() < 0.02 * exact.norm()
