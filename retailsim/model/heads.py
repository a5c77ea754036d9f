"""What the decoder's states say (SPEC C17; document: "Step 4: Output Heads").

Legend: B baskets · D width · V vocabulary · M hidden places.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from retailsim.config import ModelConfig
from retailsim.labels import TRIP_LABELS


class ProductHead(nn.Module):
    """Which product stands at each hidden place: logits over the whole vocabulary."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.transform = nn.Sequential(nn.Linear(config.width, config.width), nn.GELU(), nn.LayerNorm(config.width))
        self.to_products = nn.Linear(config.width, vocab_size)
        nn.init.normal_(self.to_products.weight, std=0.02)  # the first guess is the prior

    def forward(self, hidden: Float[Tensor, "M D"]) -> Float[Tensor, "M V"]:
        """Logits; softmax is the loss's affair."""
        return self.to_products(self.transform(hidden))

    def set_prior(self, log_prior: Float[Tensor, " V"]) -> None:
        """Start from what products are bought at all: the bias becomes `log_prior`.

        Raises ValueError where it is not finite or of another length than the vocabulary.
        """
        bias = self.to_products.bias
        if log_prior.shape != bias.shape:
            raise ValueError(f"log_prior has shape {tuple(log_prior.shape)}, the vocabulary {tuple(bias.shape)}")
        if not log_prior.isfinite().all():
            raise ValueError("log_prior must be finite: give products that were never bought a small count")
        with torch.no_grad():
            bias.copy_(log_prior)


class TripHeads(nn.Module):
    """Mission type and focus, price sensitivity and basket size, from position 0."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: nn.Linear(config.width, len(k)) for name, k in TRIP_LABELS.items()})

    def forward(self, context: Float[Tensor, "B D"]) -> dict[str, Float[Tensor, "B _"]]:
        """Logits by label, in the order and width of `labels.TRIP_LABELS`."""
        return {name: head(context) for name, head in self.heads.items()}
