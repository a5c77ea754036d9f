"""What is on offer: what chain and store have sold lately, and what goes with the visible products, as offsets of all logits.

Both start from known quantities, so that training begins at the store's popularity and learns, from the context, how
much each of them counts. Companions' weights are EASE's (Steck 2019, eq. 8) in folds: a training basket is shown weights
fitted without its own fold, so that training finds them as honest as later weeks do; afterwards their mean is used.

Legend: B baskets · S places · D width · V vocabulary · C companions of a product.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from retailsim.config import ModelConfig
from retailsim.vocab import PAD

STORE_PRIOR = 5.0  # baskets: how much of the store's history weighs as much as the chain's share
FLOOR = 1e-3  # share of baskets below which a companion's rise says nothing


class Offer(nn.Module):
    """Offsets of all logits by basket.

    Args:
        config: shape of the model.
        companions: rows of the products that go with each product, by fold.
        companion_weights: by how much each one's share of baskets rises.
    """

    companions: Tensor
    companion_weights: Tensor

    def __init__(
        self,
        config: ModelConfig,
        companions: Int[Tensor, "folds V C"],
        companion_weights: Float[Tensor, "folds V C"],
    ) -> None:
        super().__init__()
        self.register_buffer("companions", companions, persistent=False)
        self.register_buffer("companion_weights", companion_weights, persistent=False)
        self.gains = nn.Linear(config.width, 4)
        nn.init.zeros_(self.gains.weight)
        with torch.no_grad():
            self.gains.bias.copy_(torch.tensor([1.0, 1.0, 0.7, 0.0]))

    def forward(
        self,
        context: Float[Tensor, "B D"],
        visible: Int[Tensor, "B S"],
        sample: Int[Tensor, " B"],
        log_prior: Float[Tensor, " V"],
        chain: Float[Tensor, "B V"],
        store: Float[Tensor, "B V"],
    ) -> Float[Tensor, "B V"]:
        """The sum of four offsets, each times its gain: chain over training, store over chain, companions in log and plain.

        Args:
            context: the decoder at position 0, which gives the gains.
            visible: products shown, PAD elsewhere.
            sample: number of each basket, which gives its fold.
            log_prior: log share of each token among the training baskets' products.
            chain: share of the chain's recent baskets with each product, above 0.
            store: decayed baskets of the store with each product; column PAD: in all.
        """
        log_chain = chain.log()
        at_store = (store + STORE_PRIOR * chain) / (store[:, PAD, None] + STORE_PRIOR)
        rise = self._rise(visible, sample, chain)
        in_log = ((chain + rise).relu() + FLOOR).log() - (chain + FLOOR).log()
        by_chain, by_store, by_log, by_rise = self.gains(context).split(1, dim=-1)
        return (
            by_chain * (log_chain - log_prior)
            + by_store * (at_store.log() - log_chain)
            + by_log * in_log
            + by_rise * rise
        )

    def _rise(self, visible: Tensor, sample: Tensor, chain: Tensor) -> Tensor:
        """How much the visible products raise each product's share of baskets, [B, V]."""
        folds, rise = len(self.companions), torch.zeros_like(chain)
        if self.training:
            fold = (sample % folds)[:, None]
            ids, weights = self.companions[fold, visible], self.companion_weights[fold, visible]  # [B, S, C]
            return rise.scatter_add_(1, ids.flatten(1), weights.flatten(1))
        for ids, weights in zip(self.companions, self.companion_weights, strict=True):
            rise.scatter_add_(1, ids[visible].flatten(1), weights[visible].flatten(1) / folds)
        return rise
