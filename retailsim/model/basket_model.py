"""The whole model, from a batch of masked ids to logits: look up, fuse, encode, decode, predict."""

from torch import nn

from retailsim.config import ModelConfig
from retailsim.model.batch import Batch
from retailsim.model.lookup import Lookup, Tables
from retailsim.model.world_model import WorldModel, WorldModelOutput
from retailsim.vocab import PAD


class BasketModel(nn.Module):
    """A world model together with the rows that it looks up.

    Args:
        config: shape of the model.
        tables: cached tensors; they are not part of the weights.
        vocab_size: V, tokens that can be predicted.
        gradient_checkpointing: recompute layers in the backward pass instead of keeping their activations.
    """

    def __init__(
        self, config: ModelConfig, tables: Tables, vocab_size: int, gradient_checkpointing: bool = False
    ) -> None:
        super().__init__()
        self.lookup = Lookup(tables)
        self.lookup.correction.requires_grad_(config.learned_products)
        self.world = WorldModel(config, vocab_size)
        self.gradient_checkpointing = gradient_checkpointing

    def forward(self, batch: Batch) -> WorldModelOutput:
        """Logits at the hidden places and for the trip's labels."""
        draws = batch.chance if self.training else None
        return self.world(self.lookup(batch), batch.ids == PAD, batch.places, self.gradient_checkpointing, draws)
