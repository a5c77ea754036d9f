"""The whole model, from a batch of masked ids to logits: look up, fuse, encode, decode, recall, predict."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from retailsim.config import ModelConfig
from retailsim.labels import UNKNOWN
from retailsim.model.batch import Batch
from retailsim.model.evidence import Shown, TripEvidence, shown_of
from retailsim.model.history import HistoryHead, visible_ids
from retailsim.model.lookup import Lookup, Tables
from retailsim.model.world_model import WorldModel, WorldModelOutput
from retailsim.vocab import PAD, SPECIAL_TOKENS


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
        self.evidence = TripEvidence(tables.group) if config.trip_evidence else None
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
        chain: Float[Tensor, "B 3 V"] | None,
    ) -> tuple[Float[Tensor, "M V"], dict[str, Float[Tensor, "B _"]]]:
        """What the decoder's states at the hidden places and at position 0 say about products and trip.

        `chain` is what the chain sold, for a model with purchase histories.
        """
        head, trips = self.world.product_head, self.world.trip_heads(context)
        if self.history is None and self.evidence is None:
            return head(hidden), trips
        told = None
        if self.evidence is not None:
            told, said = self.evidence(self._shown(batch), _known_trip(batch), self.lookup.product[: self.vocab_size])
            is_complete = ~batch.is_open[:, None]
            trips = {label: trips[label] + said[label] * is_complete for label in trips}
        if self.history is not None and chain is not None:
            products = self.lookup.vocabulary(self.history.trust)
            return self.history(batch, hidden, context, products, head, chain, told), trips
        logits = head(hidden)
        if told is None:
            return logits, trips
        return logits + told[batch.basket], trips

    def log_likelihood(self, batch: Batch) -> Float[Tensor, " M"]:
        """log P(known labels | visible products and each hidden one), see `TripEvidence.log_likelihood`."""
        assert self.evidence is not None, "a model without trip evidence"
        return self.evidence.log_likelihood(
            self._shown(batch), _known_trip(batch), self.lookup.product[: self.vocab_size], batch.basket, batch.targets
        )

    def _shown(self, batch: Batch) -> Shown:
        n_hidden = (batch.slots < batch.places.shape[0]).sum(1)
        return shown_of(visible_ids(batch, self.vocab_size), batch.quantity, batch.paid, n_hidden)

    def set_product_counts(self, counts: Float[Tensor, " V"]) -> None:
        """How many training baskets have each product.

        The document's model starts from their shares. One with purchase histories starts from what the chain had sold as of each
        basket's week: shares of all training weeks would tell a training basket of later weeks, and mislead after training.
        """
        if self.history is None:
            self.world.set_product_prior(log_prior(counts))
        else:
            nn.init.zeros_(self.world.product_head.to_products.bias)
            self.history.set_counts(counts)


def log_prior(counts: Float[Tensor, " V"]) -> Float[Tensor, " V"]:
    """Log share of each token among the products of the training baskets, one added to each count but those of special tokens."""
    counts = counts + 1.0
    counts[: len(SPECIAL_TOKENS)] = 1e-3
    return (counts / counts.sum()).log()


def _known_trip(batch: Batch) -> Int[Tensor, "B 4"]:
    """The labels that the evidence may look at: they are read off whole baskets, so a basket that goes on is none to compare."""
    return batch.trip.masked_fill((batch.hide_trip | batch.is_open)[:, None], UNKNOWN)
