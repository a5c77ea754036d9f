"""Dropout whose masks depend on the basket's draw and the place alone: not on batch size, device, processes or their order.

Legend: L places, the context in front. Masks are rows of one fixed pool; a draw, the place and the use choose the row, so a
gather takes the place of a generator's state: nothing has to be restored for a resumed run, and a batch computed in pieces or
by several processes loses the same units as the whole (SPEC C29, C31). Within a basket no row is used twice.
"""

import itertools

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from retailsim.layout import MAX_PLACES

POOL = 2048  # rows of masks
SEED = 2014  # of the pool


class Dropout(nn.Module):
    """Sets a share of the units to zero and scales the rest up (Srivastava et al. 2014, §4), where draws are given.

    Args:
        share: share 0–1 of the units.
        width: of the last axis.
    """

    pool: Tensor
    use: Tensor  # which use of dropout in the model this is: a tensor, so that all layers compile to the same code

    def __init__(self, share: float, width: int) -> None:
        super().__init__()
        self.share = share
        own = torch.Generator().manual_seed(SEED)
        kept = torch.rand(POOL, width, generator=own) >= share
        self.register_buffer("pool", kept / (1 - share), persistent=False)
        self.register_buffer("use", torch.tensor(0), persistent=False)

    def forward(
        self, x: Float[Tensor, "*rows width"], draws: Int[Tensor, "*rows"] | None
    ) -> Float[Tensor, "*rows width"]:
        """`draws` are numbers ≥ 0, one per row of x (see `draws_at`); None drops nothing."""
        if draws is None or not self.share:
            return x
        return x * self.pool[(draws + self.use * (MAX_PLACES + 1)) % POOL].to(x.dtype)


def number_uses(model: nn.Module) -> None:
    """Give every use of dropout in `model` rows of its own, and all of one width the same pool."""
    pools: dict[int, Tensor] = {}
    uses = itertools.count()
    for module in model.modules():
        if isinstance(module, Dropout):
            module.use.fill_(next(uses))
            module.pool = pools.setdefault(module.pool.shape[1], module.pool)


def draws_at(draws: Int[Tensor, " B"], places: int) -> Int[Tensor, "B places"]:
    """The draw of each place of each basket: neighbours in the pool."""
    return draws[:, None] + torch.arange(places, device=draws.device)
