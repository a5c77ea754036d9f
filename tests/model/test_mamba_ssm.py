"""C15: one direction of the scan is that of the official CUDA kernels."""

import pytest
import torch

from retailsim.model.scan import scan

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("length", [8, 51, 300])
def test_the_forward_direction_is_mamba2s(length):
    """A backward direction with steps and log-decays of zero adds nothing; the rest is Mamba-2's chunked scan."""
    kernels = pytest.importorskip("mamba_ssm.ops.triton.ssd_combined")
    generator = torch.Generator("cuda").manual_seed(length)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(2, length, *shape, generator=generator, device="cuda")

    x, b, c = drawn(4, 64).requires_grad_(), drawn(2, 64).requires_grad_(), drawn(2, 64).requires_grad_()
    dt = torch.nn.functional.softplus(drawn(4)).requires_grad_()
    decay = -torch.linspace(0.1, 4, 4, device="cuda")
    theirs = kernels.mamba_chunk_scan_combined(x, dt, decay, b, c, chunk_size=64)
    both = torch.stack([dt, torch.zeros_like(dt)], dim=-1)
    ours = scan(x, both, both * decay[:, None], b, c)
    gradient, inputs = torch.randn_like(ours), (x, dt, b, c)
    pairs = zip(
        (ours, *torch.autograd.grad(ours, inputs, gradient)),
        (theirs, *torch.autograd.grad(theirs, inputs, gradient)),
        strict=True,
    )
    for one, other in pairs:
        assert (one - other).norm() < 1e-2 * other.norm()  # their matrix products are TF32
