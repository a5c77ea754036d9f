"""From the six tensors to one sequence (SPEC C14; document: "Step 1: Context Fusion").

Legend: B baskets · S places · L = S + 1 · D width.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from retailsim.config import ModelConfig
from retailsim.layout import CONTEXT_WIDTH, MAX_PLACES, PRODUCT_WIDTH
from retailsim.model.dropout import Dropout

POSITION_GAIN = 0.1  # of the positional encoding at the start


class ContextFusion(nn.Module):
    """T1 + T3 + T5 + T6: who, when, where and why, as the vector of position 0."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.project = _projection(CONTEXT_WIDTH, config)
        self.dropout = Dropout(config.dropout, config.width)

    def forward(
        self,
        t1: Float[Tensor, "B 192"],
        t3: Float[Tensor, "B 64"],
        t5: Float[Tensor, "B 96"],
        t6: Float[Tensor, "B 48"],
        draws: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B D"]:
        """One vector a basket."""
        return self.dropout(self.project(torch.cat([t1, t3, t5, t6], dim=-1)), draws)


class ProductFusion(nn.Module):
    """T2 + T4: each product with its price, and the place where it stands.

    Places are sinusoids (Vaswani et al. 2017, §3.5) times a learned gain. Products stand in a shuffled order, so a place
    says nothing about the basket: the encoding only lets the decoder find a hidden place again in the encoder's output,
    and starts weak.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.project = _projection(PRODUCT_WIDTH, config)
        self.dropout = Dropout(config.dropout, config.width)
        self.position_gain = nn.Parameter(torch.tensor(POSITION_GAIN))
        self.register_buffer("positions", sinusoids(MAX_PLACES, config.width), persistent=False)

    def forward(
        self, t2: Float[Tensor, "B S 256"], t4: Float[Tensor, "B S 64"], draws: Int[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B S D"]:
        """One vector a product. Raises ValueError beyond `layout.MAX_PLACES` places."""
        places = t2.shape[1]
        if places > MAX_PLACES:
            raise ValueError(f"a basket of {places} places is longer than MAX_PLACES {MAX_PLACES}: cut it")
        products = self.dropout(self.project(torch.cat([t2, t4], dim=-1)), draws)
        return products + self.position_gain * self.positions[:places]  # type: ignore[index]


def sinusoids(places: int, width: int) -> Float[Tensor, "places width"]:
    """Positional encoding: sines in the first half of the columns, cosines of the same angles in the second."""
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    angle = torch.arange(places)[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def _projection(width: int, config: ModelConfig) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, config.width), nn.LayerNorm(config.width), nn.GELU())
