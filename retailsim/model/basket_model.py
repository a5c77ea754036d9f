"""The whole model, from a batch of masked ids to logits: look up, fuse, encode, decode, recall, predict."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from retailsim.config import ModelConfig
from retailsim.labels import UNKNOWN
from retailsim.model.batch import Batch
from retailsim.model.evidence import GRAPH_SHARE, TripEvidence, shown_of
from retailsim.model.history import HistoryHead, visible_ids
from retailsim.model.lookup import Lookup, Tables
from retailsim.model.world_model import WorldModel, WorldModelOutput
from retailsim.vocab import PAD


class BasketModel(nn.Module):
    """A world model together with the rows that it looks up.

    Args:
        config: shape of the model; without `history` and `trip_evidence` it is the document's.
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
        self.evidence = TripEvidence(vocab_size) if config.trip_evidence else None
        self.vocab_size = vocab_size
        self.gradient_checkpointing = gradient_checkpointing

    def forward(self, batch: Batch) -> WorldModelOutput:
        """Logits at the hidden places and for the trip's labels."""
        tensors, is_padding = self.lookup(batch), batch.ids == PAD
        draws = batch.chance if self.training else None
        hidden, context = self.world.states(tensors, is_padding, batch.places, self.gradient_checkpointing, draws)
        chain = None if self.history is None else self.history.chain(batch.week)
        product_logits, trip_logits = self.read(batch, hidden, context, chain)
        return WorldModelOutput(product_logits, trip_logits, hidden, context)

    def read(
        self,
        batch: Batch,
        hidden: Float[Tensor, "M D"],
        context: Float[Tensor, "B D"],
        chain: Float[Tensor, "B V"] | None,
    ) -> tuple[Float[Tensor, "M V"], dict[str, Float[Tensor, "B _"]]]:
        """What the decoder's states at the hidden places and at position 0 say about products and trip.

        `chain` is what the chain sold lately, for a model with purchase histories.
        """
        head, trips = self.world.product_head, self.world.trip_heads(context)
        if self.history is None and self.evidence is None:
            return head(hidden), trips
        told = None
        if self.evidence is not None:
            known = batch.trip.masked_fill(batch.hide_trip[:, None], UNKNOWN)
            n_hidden = (batch.slots < batch.places.shape[0]).sum(1)
            shown = shown_of(visible_ids(batch, self.vocab_size), batch.quantity, batch.paid, n_hidden)
            told, said = self.evidence(shown, known, self.lookup.vocabulary(self.vocab_size, GRAPH_SHARE))
            trips = {label: trips[label] + said[label] for label in trips}
        if self.history is not None and chain is not None:
            products = self.lookup.vocabulary(self.vocab_size)
            return self.history(batch, hidden, context, products, head, chain, told), trips
        logits = head(hidden)
        if told is None:
            return logits, trips
        return logits + told[torch.div(batch.places, batch.ids.shape[1], rounding_mode="floor")], trips

    def set_product_prior(self, log_prior: Float[Tensor, " V"]) -> None:
        """See `ProductHead.set_prior`; what the chain sells lately is compared with it."""
        self.world.set_product_prior(log_prior)
        if self.history is not None:
            self.history.log_prior.copy_(log_prior)
