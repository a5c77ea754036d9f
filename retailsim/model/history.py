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
from retailsim.model.offer import Offer
from retailsim.model.recall import Entries, Recall
from retailsim.vocab import PAD

EXCLUDED = -1e4  # logit of a product that is visible in the basket: it is on the receipt once


class HistoryHead(nn.Module):
    """Product logits that know what customer, store and chain bought before.

    Args:
        config: shape of the model.
        tables: the chain's popularity and the companions.
        vocab_size: V.
    """

    popularity: Tensor
    log_prior: Tensor

    def __init__(self, config: ModelConfig, tables: Tables, vocab_size: int) -> None:
        super().__init__()
        self.register_buffer("popularity", tables.popularity, persistent=False)
        self.register_buffer("log_prior", torch.zeros(vocab_size))
        self.entries = Entries(config, HABITS, layout.T2.width)
        self.recall = Recall(config)
        self.offer = Offer(config, tables.companions, tables.companion_weights)
        self.tie = nn.Linear(layout.T2.width, config.width, bias=False)
        nn.init.zeros_(self.tie.weight)

    def forward(
        self,
        batch: Batch,
        hidden: Float[Tensor, "M D"],
        context: Float[Tensor, "B D"],
        products: Float[Tensor, "V _"],
        head: ProductHead,
    ) -> Float[Tensor, "M V"]:
        """Logits at the hidden places.

        Args:
            batch: B baskets.
            hidden: the decoder at the hidden places, basket by basket.
            context: the decoder at position 0.
            products: T2 of the vocabulary; the head's weights are tied to it, each product's own part is added.
            head: the document's product head.
        """
        basket = torch.div(batch.places, batch.ids.shape[1], rounding_mode="floor")
        entries, habits = self.entries(products, batch.bought, batch.habits)
        count = torch.bincount(basket, minlength=len(context))
        within = torch.arange(len(basket), device=basket.device) - (count.cumsum(0) - count)[basket]
        places = hidden.new_zeros(len(context), int(count.max()), hidden.shape[1])
        places, scores = self.recall(places.index_put((basket, within), hidden), entries, habits, batch.bought)
        visible = visible_ids(batch, len(products))
        chain = self.popularity[batch.week - 1]
        offset = self.offer(context, visible, batch.sample, self.log_prior, chain, batch.store_counts)
        offset = offset.scatter(1, visible, EXCLUDED)[basket]
        offset = offset.scatter_add(1, batch.bought[basket], scores[basket, within].to(offset.dtype))
        weight = head.to_products.weight + self.tie(products)
        return head.transform(places[basket, within]) @ weight.T + head.to_products.bias + offset


def visible_ids(batch: Batch, vocab_size: int) -> Int[Tensor, "B S"]:
    """The products shown at places that are not to be predicted; PAD elsewhere and for late products."""
    visible = batch.ids.flatten().index_fill(0, batch.places, PAD).view_as(batch.ids)
    return torch.where(visible < vocab_size, visible, PAD)
