"""Scaled dot-product attention in heads (Vaswani et al. 2017, §3.2).

Legend: B baskets · Q queries · K keys · D width.
"""

from contextlib import nullcontext

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from retailsim.model.precision import without_autocast


def attend(
    queries: Float[Tensor, "B Q D"],
    keys: Float[Tensor, "B K D"],
    values: Float[Tensor, "B K D"],
    is_visible: Bool[Tensor, "B 1 _ K"],
    heads: int,
) -> Float[Tensor, "B Q D"]:
    """What each query finds; it needs one visible key.

    On a CPU the autocast to bfloat16 stops here: PyTorch's kernel takes 1.5 to 4 times as long in it (docs/performance.md).
    """
    if queries.is_cpu and queries.dtype == torch.bfloat16:
        queries, keys, values = queries.float(), keys.float(), values.float()
    queries, keys, values = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (queries, keys, values))
    with without_autocast(queries) if queries.is_cpu else nullcontext():
        found = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=is_visible)
    return found.transpose(1, 2).flatten(2)
