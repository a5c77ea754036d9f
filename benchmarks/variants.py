"""What the training step is measured against: the same model with another encoder, or fed another way."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional

from retailsim.config import Config, ModelConfig
from retailsim.layout import MAX_PLACES
from retailsim.model.basket_model import BasketModel
from retailsim.model.batch import Batch
from retailsim.model.lookup import Tables
from retailsim.model.scan import scan_reference
from retailsim.model.world_model import parameter_groups
from retailsim.training.losses import total_loss
from retailsim.training.objective import loss_parts
from retailsim.training.schedule import phase_at

SMALLER_BATCH = {"recurrence": 8, "transformers_mamba": 4}  # baskets at once: they keep a state for every place
PADDED = frozenset(SMALLER_BATCH)  # these get every basket padded to MAX_PLACES, as is usual


class TransformersMamba(nn.Module):
    """A layer of `transformers`' Mamba (its PyTorch path), in one direction only: half the work of both."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        from transformers import MambaConfig  # the extra `bench`
        from transformers.models.mamba.modeling_mamba import MambaMixer

        self.norm = nn.RMSNorm(config.width, eps=1e-5)
        self.mixer = MambaMixer(MambaConfig(hidden_size=config.width, expand=config.encoder_expand), layer_idx=0)

    def forward(self, x: Tensor, is_padding: Tensor, draws: Tensor | None = None) -> Tensor:
        return x + self.mixer(self.norm(x), attention_mask=(~is_padding).to(x.dtype))


class TransformerLayer(nn.Module):
    """A layer of a Transformer encoder of the same width."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            config.width, config.attention_heads, config.feed_forward, config.dropout, "gelu", batch_first=True
        )

    def forward(self, x: Tensor, is_padding: Tensor, draws: Tensor | None = None) -> Tensor:
        return self.layer(x, src_key_padding_mask=is_padding)


ENCODERS: dict[str, Callable[[ModelConfig], nn.Module]] = {
    "transformers_mamba": TransformersMamba,
    "transformer": TransformerLayer,
}
VARIANTS = ("retailsim", "bf16", "compile", "compile_bf16", "recurrence", "transformers_mamba", "transformer")


@dataclass
class Step:
    """A variant's training step in its two halves."""

    name: str
    config: Config
    model: BasketModel
    forward: Callable[[Batch], object]
    optimizer: torch.optim.Optimizer

    def gradients(self, batches: list[Batch]) -> None:
        """Forward, losses, backward of each batch."""
        for batch in batches:
            self.loss(batch).backward()

    def update(self) -> None:
        """Clip, AdamW."""
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def loss(self, batch: Batch) -> Tensor:
        """The main phase's loss."""
        phase = phase_at(self.config.train.warmup_epochs + 1, self.config.train)
        scan = patch("retailsim.model.mamba.scan", scan_reference) if self.name == "recurrence" else nullcontext()
        with scan, torch.autocast("cpu", torch.bfloat16, enabled="bf16" in self.name):
            parts = loss_parts(self.model, self.forward, batch, phase.weights, self.config.train)
        return total_loss(parts, phase)


def make_step(name: str, config: Config, tables: Tables, vocab_size: int) -> Step:
    """The variant with the same weights as every other, as far as they have the same parts."""
    torch.manual_seed(0)
    model = BasketModel(config.model, tables, vocab_size)
    if name in ENCODERS:
        model.world.encoder = nn.ModuleList(ENCODERS[name](config.model) for _ in range(config.model.encoder_layers))
    forward = torch.compile(model, dynamic=True) if "compile" in name else model
    groups = parameter_groups(model, config.train.weight_decay, config.train.evidence_rate)
    optimizer = torch.optim.AdamW(groups, lr=config.train.learning_rate, fused=True)
    return Step(name, config, model, forward, optimizer)


def padded(batch: Batch) -> Batch:
    """The same baskets with MAX_PLACES places each."""
    width, more = batch.ids.shape[1], MAX_PLACES - batch.ids.shape[1]
    basket = torch.div(batch.places, width, rounding_mode="floor")
    return replace(
        batch,
        ids=functional.pad(batch.ids, (0, more)),
        paid=functional.pad(batch.paid, (0, more), value=torch.nan),
        quantity=functional.pad(batch.quantity, (0, more), value=torch.nan),
        places=basket * MAX_PLACES + batch.places % width,
    )
