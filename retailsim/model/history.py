"""The path from purchases of earlier weeks to the product logits (docs/decisions/0009-purchase-history.md).

Legend: B baskets · M hidden places · D width · V vocabulary.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from retailsim import layout
from retailsim.config import ModelConfig
from retailsim.model.batch import HABITS, Batch
from retailsim.model.heads import ProductHead
from retailsim.model.lookup import Tables
from retailsim.model.offer import SIGNALS, Offer
from retailsim.model.recall import Entries, Recall
from retailsim.vocab import PAD

OWN = 30.0  # training baskets with a product after which half of what is learned of it alone counts
DECAYED, TRIPS = 1, 14  # habits: log(1 + …) of decayed baskets with the product, and of all, half-life 8 weeks
SHRINK = 5.0  # decayed baskets, see training.companion_weights
EXCLUDED = -1e4  # logit of a product that is visible in the basket: it is on the receipt once


class HistoryHead(nn.Module):
    """Product logits that know what customer, store and chain bought before.

    Args:
        config: shape of the model.
        tables: the chain's popularity, companions and successors.
        vocab_size: V.
    """

    popularity: Tensor
    trust: Tensor

    def __init__(self, config: ModelConfig, tables: Tables, vocab_size: int) -> None:
        super().__init__()
        self.register_buffer("popularity", tables.popularity, persistent=False)
        self.register_buffer("trust", torch.ones(vocab_size))
        self.entries = Entries(config, HABITS + SIGNALS, layout.T2.width)
        self.recall = Recall(config)
        self.offer = Offer(config, tables)
        self.tie = nn.Linear(layout.T2.width, config.width, bias=False)
        nn.init.zeros_(self.tie.weight)

    def set_counts(self, counts: Float[Tensor, " V"]) -> None:
        """How many training baskets have each product: how far what is learned of it alone counts."""
        self.trust.copy_(counts / (counts + OWN))

    def chain(self, week: Int[Tensor, " B"]) -> Float[Tensor, "B 3 V"]:
        """Long-run, recent and current shares of the chain's baskets with each product, as of each week."""
        return self.popularity[week - 1]

    def forward(
        self,
        batch: Batch,
        hidden: Float[Tensor, "M D"],
        context: Float[Tensor, "B D"],
        products: Float[Tensor, "V _"],
        head: ProductHead,
        chain: Float[Tensor, "B 3 V"],
        told: Float[Tensor, "B V"] | None = None,
    ) -> Float[Tensor, "M V"]:
        """Logits at the hidden places.

        Args:
            batch: B baskets.
            hidden: the decoder at the hidden places, basket by basket.
            context: the decoder at position 0.
            products: T2 of the vocabulary; the head's weights are tied to it, each product's own part is added.
            head: the document's product head; what it learns of a product alone counts as far as `trust` says.
            chain: what the chain sold, see `chain`.
            told: what else is added to the logits of each basket's places.
        """
        basket = batch.basket
        visible = visible_ids(batch, len(products))
        signals = self.offer.signals(
            visible, batch.bought, frequency(batch.habits), batch.sample, chain, batch.store_counts
        )
        of_each = batch.bought[:, None].expand(-1, SIGNALS, -1)
        is_product = (batch.bought != PAD)[..., None]
        here = signals.gather(2, of_each).transpose(1, 2) * is_product  # of each entry's product
        entries, habits = self.entries(products, batch.bought, torch.cat([batch.habits, here], dim=-1))
        places = torch.cat([hidden, torch.zeros_like(hidden[:1])])[batch.slots]  # [B, P, D]
        places, scores = self.recall(places, entries, habits, batch.bought)
        offset = self.offer(context, signals) + self.trust * head.to_products.bias
        offset = (offset if told is None else offset + told).scatter_(1, visible, EXCLUDED)[basket]
        offset = offset.scatter_add_(1, batch.bought[basket], scores[basket, batch.within].to(offset.dtype))
        weight = self.trust[:, None] * head.to_products.weight + self.tie(products)
        return head.transform(places[basket, batch.within]) @ weight.T + offset


def frequency(habits: Float[Tensor, "B K F"]) -> Float[Tensor, "B K"]:
    """The customer's decayed frequency of each entry, as `training.companion_weights` has it: habits are logs of its parts."""
    decayed, trips = (habits[..., column].expm1() for column in (DECAYED, TRIPS))
    return decayed / (trips + SHRINK)


def visible_ids(batch: Batch, vocab_size: int) -> Int[Tensor, "B S"]:
    """The products shown at places that are not to be predicted; PAD elsewhere and for late products."""
    visible = batch.ids.flatten().index_fill(0, batch.places, PAD).view_as(batch.ids)
    return torch.where(visible < vocab_size, visible, PAD)
