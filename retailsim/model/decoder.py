"""The decoder's layer (SPEC C16; document: "Step 3: The Transformer Decoder").

Legend: B baskets · L places, the context in front · D width · R places whose result is wanted.
Self-attention sees earlier places only; cross-attention sees the encoder's whole output. After each of the three parts
stand residual and LayerNorm, as in the document's figure (Vaswani et al. 2017, §3.1).
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from retailsim.config import ModelConfig
from retailsim.model.attention import attend
from retailsim.model.dropout import Dropout


class SelfAttention(nn.Module):
    """Causal multi-head attention: a place sees itself and the real places before it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.attention_heads
        self.queries_keys_values = nn.Linear(config.width, 3 * config.width)
        self.out_proj = nn.Linear(config.width, config.width)

    def forward(
        self, x: Float[Tensor, "B L D"], is_padding: Bool[Tensor, "B L"], rows: Int[Tensor, " R"] | None = None
    ) -> Float[Tensor, "B L D"] | Float[Tensor, "R D"]:
        """What each place finds, or each of the flat places `rows`.

        Position 0 must not be padding: it is what every other place can always see.
        """
        length = x.shape[1]
        is_earlier = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        is_visible = is_earlier & ~is_padding[:, None, None, :]  # [B, 1, L, L]
        queries, keys, values = self.queries_keys_values(x).chunk(3, dim=-1)
        mixed = attend(queries, keys, values, is_visible, self.heads)
        return self.out_proj(mixed if rows is None else mixed.flatten(0, 1)[rows])


class CrossAttention(nn.Module):
    """Multi-head attention of every place to all real places of the encoder's output."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.attention_heads
        self.queries = nn.Linear(config.width, config.width)
        self.keys_values = nn.Linear(config.width, 2 * config.width)
        self.out_proj = nn.Linear(config.width, config.width)

    def forward(
        self,
        x: Float[Tensor, "B L D"] | Float[Tensor, "R D"],
        memory: Float[Tensor, "B L D"],
        is_padding: Bool[Tensor, "B L"],
        rows: Int[Tensor, " R"] | None = None,
    ) -> Float[Tensor, "B L D"] | Float[Tensor, "R D"]:
        """What each place of x finds in `memory`; with `rows`, x holds these flat places only, equal ones side by side."""
        keys, values = self.keys_values(memory).chunk(2, dim=-1)
        queries = self.queries(x)
        if rows is not None:  # projections cost, the attention itself is cheap: the other places ask with zeros
            is_first = rows.diff(prepend=rows.new_tensor([-1])) != 0  # to it alone the place's gradient goes back
            queries = torch.where(is_first[:, None], queries, queries.detach())
            queries = torch.zeros_like(keys).flatten(0, 1).index_copy(0, rows, queries).view_as(keys)
        mixed = attend(queries, keys, values, ~is_padding[:, None, None, :], self.heads)
        return self.out_proj(mixed if rows is None else mixed.flatten(0, 1)[rows])


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention, feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.self_attention = SelfAttention(config)
        self.self_norm = nn.LayerNorm(config.width)
        self.cross_attention = CrossAttention(config)
        self.cross_norm = nn.LayerNorm(config.width)
        self.feed_forward = nn.Sequential(
            nn.Linear(config.width, config.feed_forward), nn.GELU(), nn.Linear(config.feed_forward, config.width)
        )
        self.feed_forward_norm = nn.LayerNorm(config.width)
        self.dropouts = nn.ModuleList(Dropout(config.dropout, config.width) for _ in range(3))
        with torch.no_grad():  # branches start small beside the residual
            for branch in (self.self_attention.out_proj, self.cross_attention.out_proj, self.feed_forward[2]):
                branch.weight.div_(math.sqrt(3 * config.decoder_layers))  # type: ignore[operator]

    def forward(
        self,
        x: Float[Tensor, "B L D"],
        memory: Float[Tensor, "B L D"],
        is_padding: Bool[Tensor, "B L"],
        rows: Int[Tensor, " R"] | None = None,
        draws: Int[Tensor, "B L"] | None = None,
    ) -> Float[Tensor, "B L D"] | Float[Tensor, "R D"]:
        """The layer's result at all places, or at the flat places `rows` (b·L + l, equal ones side by side) only, which costs less."""
        after_self, after_cross, after_feed_forward = self.dropouts
        found = self.self_attention(x, is_padding, rows)
        if rows is not None:
            x = x.flatten(0, 1)[rows]
            draws = None if draws is None else draws.flatten()[rows]
        x = self.self_norm(x + after_self(found, draws))
        x = self.cross_norm(x + after_cross(self.cross_attention(x, memory, is_padding, rows), draws))
        return self.feed_forward_norm(x + after_feed_forward(self.feed_forward(x), draws))
