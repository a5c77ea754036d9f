"""The whole model, from a batch of masked ids to logits: look up, fuse, encode, decode, recall, predict."""

from jaxtyping import Float
from torch import Tensor, nn

from retailsim.config import ModelConfig
from retailsim.model.batch import Batch
from retailsim.model.history import HistoryHead
from retailsim.model.lookup import Lookup, Tables
from retailsim.model.world_model import WorldModel, WorldModelOutput
from retailsim.vocab import PAD


class BasketModel(nn.Module):
    """A world model together with the rows that it looks up.

    Args:
        config: shape of the model; without `history` it is the document's.
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
        self.history = HistoryHead(config, tables, vocab_size) if config.history else None
        self.vocab_size = vocab_size
        self.gradient_checkpointing = gradient_checkpointing

    def forward(self, batch: Batch) -> WorldModelOutput:
        """Logits at the hidden places and for the trip's labels."""
        tensors, is_padding = self.lookup(batch), batch.ids == PAD
        draws = batch.chance if self.training else None
        if self.history is None:
            return self.world(tensors, is_padding, batch.places, self.gradient_checkpointing, draws)
        hidden, context = self.world.states(tensors, is_padding, batch.places, self.gradient_checkpointing, draws)
        products = self.lookup.vocabulary(self.vocab_size)
        chain = self.history.chain(batch.week)
        logits = self.history(batch, hidden, context, products, self.world.product_head, chain)
        return WorldModelOutput(logits, self.world.trip_heads(context), hidden, context)

    def set_product_prior(self, log_prior: Float[Tensor, " V"]) -> None:
        """See `ProductHead.set_prior`; what the chain sells lately is compared with it."""
        self.world.set_product_prior(log_prior)
        if self.history is not None:
            self.history.log_prior.copy_(log_prior)
