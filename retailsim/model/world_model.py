"""The world model: six tensors in, logits of the hidden products and of the trip out (SPEC C14–C18).

Legend: B baskets · S places · L = S + 1, the context in front · D width · V vocabulary · M hidden places.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from retailsim.config import ModelConfig
from retailsim.model.decoder import DecoderLayer
from retailsim.model.dropout import draws_at, number_uses
from retailsim.model.fusion import ContextFusion, ProductFusion
from retailsim.model.heads import ProductHead, TripHeads
from retailsim.model.mamba import MambaLayer

KEPT_PLACES = 7000  # B·S whose insides of the full preset take 3 GB


@dataclass(frozen=True)
class SixTensors:
    """What the model sees of B baskets; hidden products are masked already (SPEC C12)."""

    t1: Float[Tensor, "B 192"]  # customer
    t2: Float[Tensor, "B S 256"]  # products
    t3: Float[Tensor, "B 64"]  # time
    t4: Float[Tensor, "B S 64"]  # prices
    t5: Float[Tensor, "B 96"]  # store
    t6: Float[Tensor, "B 48"]  # trip


@dataclass
class WorldModelOutput:  # not frozen: Lightning Fabric rebuilds what a wrapped module returns
    """Logits, and the states they were read from."""

    product_logits: Float[Tensor, "M V"]
    trip_logits: dict[str, Float[Tensor, "B _"]]
    places_hidden: Float[Tensor, "M D"]  # decoder at the hidden places
    context: Float[Tensor, "B D"]  # decoder at position 0


class WorldModel(nn.Module):
    """Fusion, Mamba encoder, Transformer decoder, heads."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.context_fusion = ContextFusion(config)
        self.product_fusion = ProductFusion(config)
        self.encoder = nn.ModuleList(MambaLayer(config) for _ in range(config.encoder_layers))
        self.encoder_norm = nn.RMSNorm(config.width, eps=1e-5)
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.product_head = ProductHead(config, vocab_size)
        self.trip_heads = TripHeads(config)
        number_uses(self)
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(
        self,
        tensors: SixTensors,
        is_padding: Bool[Tensor, "B S"],
        places: Int[Tensor, " M"],
        gradient_checkpointing: bool = False,
        draws: Int[Tensor, " B"] | None = None,
    ) -> WorldModelOutput:
        """Logits at the hidden `places` (flat, b·S + s) and for the trip.

        `draws` choose each basket's dropout masks; None drops nothing.
        `gradient_checkpointing` computes each layer again in the backward pass instead of keeping its insides, as happens
        anyhow on a CPU for a batch of more than KEPT_PLACES places: few batches are so long, and they alone need the memory.
        """
        hidden, context = self.states(tensors, is_padding, places, gradient_checkpointing, draws)
        return WorldModelOutput(self.product_head(hidden), self.trip_heads(context), hidden, context)

    def states(
        self,
        tensors: SixTensors,
        is_padding: Bool[Tensor, "B S"],
        places: Int[Tensor, " M"],
        gradient_checkpointing: bool = False,
        draws: Int[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "M D"], Float[Tensor, "B D"]]:
        """The decoder at the hidden `places` and at position 0: what the heads read."""
        is_much = torch.is_grad_enabled() and is_padding.is_cpu and is_padding.numel() > KEPT_PLACES
        run = _checkpointed if gradient_checkpointing or is_much else _called
        is_padding_behind_context = nn.functional.pad(is_padding, (1, 0))  # [B, L]
        by_place = None if draws is None else draws_at(draws, is_padding_behind_context.shape[1])
        sequence = self.fuse(tensors, is_padding, by_place)
        memory = self._encode(sequence, is_padding_behind_context, by_place, run)
        return self._decode(sequence, memory, is_padding_behind_context, by_place, places, run)

    def fuse(
        self, tensors: SixTensors, is_padding: Bool[Tensor, "B S"], draws: Int[Tensor, "B L"] | None = None
    ) -> Float[Tensor, "B L D"]:
        """The context at position 0, then the products; padding is zero whatever stood there.

        A departure from the document: the context is also added to every product, so that a hidden place knows who shops
        when and where from the first layer on (docs/decisions/0006-context-at-every-place.md).
        """
        of_context, of_products = (None, None) if draws is None else (draws[:, 0], draws[:, 1:])
        context = self.context_fusion(tensors.t1, tensors.t3, tensors.t5, tensors.t6, of_context)[:, None]
        products = self.product_fusion(tensors.t2, tensors.t4, of_products) + context
        return torch.cat([context, products.masked_fill(is_padding[..., None], 0.0)], dim=1)

    def encode(self, tensors: SixTensors, is_padding: Bool[Tensor, "B S"]) -> Float[Tensor, "B L D"]:
        """The encoder's output; position 0 is the state of the customer on this trip."""
        return self._encode(self.fuse(tensors, is_padding), nn.functional.pad(is_padding, (1, 0)), None, _called)

    def set_product_prior(self, log_prior: Float[Tensor, " V"]) -> None:
        """See `ProductHead.set_prior`."""
        self.product_head.set_prior(log_prior)

    def _encode(self, x: Tensor, is_padding: Tensor, draws: Tensor | None, run: Callable[..., Tensor]) -> Tensor:
        for layer in self.encoder:
            x = run(layer, x, is_padding, draws)
        return self.encoder_norm(x)

    def _decode(
        self,
        x: Tensor,
        memory: Tensor,
        is_padding: Tensor,
        draws: Tensor | None,
        places: Tensor,
        run: Callable[..., Tensor],
    ) -> tuple[Tensor, Tensor]:
        """The decoder at the hidden places [M, D] and at position 0 [B, D]: its last layer works only there."""
        baskets, length = is_padding.shape
        starts = torch.arange(baskets, device=places.device) * length
        rows = torch.cat([starts, places + torch.div(places, length - 1, rounding_mode="floor") + 1])
        for layer in self.decoder[:-1]:
            x = run(layer, x, memory, is_padding, None, draws)
        states = run(self.decoder[-1], x, memory, is_padding, rows, draws)
        return states[baskets:], states[:baskets]


def parameter_count(model: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def parameter_groups(model: nn.Module, weight_decay: float, evidence_rate: float = 1.0) -> list[dict[str, Any]]:
    """The groups for an optimiser: what decays and what does not, then both of trip evidence where there is any.

    `rate` is what a group's learning rate is multiplied by.
    """
    groups: list[dict[str, Any]] = []
    for is_evidence, rate in ((False, 1.0), (True, evidence_rate)):
        own = [p for p in model.parameters() if getattr(p, "_is_evidence", False) == is_evidence]
        decayed, kept = ([p for p in own if _may_shrink(p) == wanted] for wanted in (True, False))
        groups.append({"params": decayed, "weight_decay": weight_decay, "rate": rate})
        groups.append({"params": kept, "weight_decay": 0.0, "rate": rate})
    return groups if groups[2]["params"] else groups[:2]


def _may_shrink(parameter: nn.Parameter) -> bool:
    """Not biases, norms and gains, nor what is marked in its module."""
    return parameter.ndim > 1 and not getattr(parameter, "_no_weight_decay", False)


def _called(layer: nn.Module, *inputs: Tensor | None) -> Tensor:
    return layer(*inputs)


def _checkpointed(layer: nn.Module, *inputs: Tensor | None) -> Tensor:
    # nothing in a layer draws by chance, so no generator's state has to be kept
    return checkpoint(layer, *inputs, use_reentrant=False, preserve_rng_state=False)
