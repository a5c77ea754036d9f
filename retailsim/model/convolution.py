"""The encoder's short convolution over neighbouring places, and a backward pass that a processor does fast.

Legend: B baskets · L places · C channels · K taps, reach − 1 to each side and the place itself.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

BLOCK = 128  # places whose inputs and gradients stay in a core's cache together


class ShortConvolution(nn.Module):
    """Depthwise convolution over the nearest places, `reach` − 1 to each side."""

    def __init__(self, channels: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.weight = nn.Parameter(torch.empty(channels, 1, 1, 2 * reach - 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        bound = 1 / math.sqrt(2 * reach - 1)
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, x: Float[Tensor, "B L C"]) -> Float[Tensor, "B L C"]:
        """The same length; places beyond the ends count as zero."""
        if torch.compiler.is_compiling():
            return shifted(x, self.weight, self.bias)
        if x.is_cuda:
            return _ShiftedConvolution.apply(x, self.weight, self.bias)
        apply = _CachedConvolution.apply if x.is_cpu else convolve
        return apply(x, self.weight, self.bias)


def convolve(x: Float[Tensor, "B L C"], weight: Float[Tensor, "C 1 1 K"], bias: Tensor | None) -> Tensor:
    """Each channel with its own taps, by the library's convolution, [B, L, C]."""
    # two-dimensional with channels last: four times faster on a CPU than conv1d, which wants [B, C, L]
    x = x.transpose(1, 2).unsqueeze(2).contiguous(memory_format=torch.channels_last)
    x = functional.conv2d(x, weight, bias, padding=(0, weight.shape[-1] // 2), groups=len(weight))
    return x.squeeze(2).transpose(1, 2)


def shifted(x: Float[Tensor, "B L C"], weight: Float[Tensor, "C 1 1 K"], bias: Tensor | None) -> Tensor:
    """`convolve` as a sum of shifted products in float32, which a compiler fuses and no library has to plan by shape."""
    length, taps = x.shape[1], weight.shape[-1]
    padded = functional.pad(x.to(weight.dtype), (0, 0, taps // 2, taps // 2))
    result = torch.zeros_like(padded[:, :length]) if bias is None else bias.expand(x.shape)
    for tap in range(taps):
        result = torch.addcmul(result, padded[:, tap : tap + length], weight[:, 0, 0, tap])
    return result.to(x.dtype)


class _ShiftedConvolution(torch.autograd.Function):
    """`shifted` with gradients of its own. On CUDA the library plans every new shape anew, 0.1 s each, and its own gradient
    of the taps takes a third of the whole step."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return shifted(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        length, taps = x.shape[1], weight.shape[-1]
        padded, exact = functional.pad(x, (0, 0, taps // 2, taps // 2)), gradient.to(weight.dtype)
        of_taps = torch.stack([(padded[:, k : k + length] * exact).sum((0, 1)) for k in range(taps)], dim=1)
        return shifted(gradient, weight.flip(-1), None), of_taps.view_as(weight), exact.sum((0, 1))


class _CachedConvolution(torch.autograd.Function):
    """`convolve` with gradients of its own: those of the library take 20 times as long as its forward pass on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return convolve(x, weight.to(x.dtype), bias.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        taps = _gradient_of_taps(x, gradient, weight.shape[-1], weight.dtype).view_as(weight)
        return (
            convolve(gradient, weight.flip(-1).to(gradient.dtype), None),
            taps,
            gradient.sum((0, 1), dtype=weight.dtype),
        )


def _gradient_of_taps(
    x: Float[Tensor, "B L C"], gradient: Float[Tensor, "B L C"], taps: int, dtype: torch.dtype
) -> Float[Tensor, "C K"]:
    """Sum over baskets and places of what each tap saw times the gradient of what it made, block by block of baskets, in `dtype`."""
    length, side = x.shape[1], min(taps // 2, x.shape[1] - 1)
    result = x.new_zeros(taps, x.shape[2], dtype=dtype)
    baskets = max(1, BLOCK // length)
    for inputs, gradients in zip(x.split(baskets), gradient.split(baskets), strict=True):
        for shift in range(-side, side + 1):  # a tap farther away than the basket is long sees nothing
            first, end = max(0, -shift), min(length, length - shift)
            seen = inputs[:, first + shift : end + shift] * gradients[:, first:end]
            result[taps // 2 + shift] += seen.sum((0, 1), dtype=dtype)
    return result.T
