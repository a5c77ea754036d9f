"""What is on offer: what chain and store have sold lately, and what goes with basket and history, as signals of every product.

All start from known quantities, as of the week before the basket's, so that training begins at a linear model's answer and
learns, from the context, how much each signal counts. Companions (what goes with the visible products) and successors (what
goes with the customer's earlier ones) have ridge weights in folds (training.companion_weights): a training basket is shown
weights fitted without its own fold, so that training finds them as honest as later weeks do; afterwards their mean is used.

Legend: B baskets · S places · K earlier products · D width · V vocabulary · C companions of a product · N signals.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from retailsim.config import ModelConfig
from retailsim.model.lookup import Tables
from retailsim.model.precision import without_autocast
from retailsim.vocab import PAD

STORE_PRIOR = 5.0  # baskets: how much of the store's history weighs as much as the chain's share
FLOOR = 1e-3  # share of baskets below which a rise says nothing
GAINS = (1.0, 0.8, 0.8, 1.0, 0.2, 0.0, 0.6, 0.0)  # at the start, in the order of `signals`
SIGNALS = len(GAINS)  # N


class Offer(nn.Module):
    """Signals of all products by basket, and the offsets of the logits that they make.

    Args:
        config: shape of the model.
        tables: companions and successors with their weights.
    """

    companions: Tensor
    companion_weights: Tensor
    successors: Tensor
    successor_weights: Tensor

    def __init__(self, config: ModelConfig, tables: Tables) -> None:
        super().__init__()
        for name in ("companions", "companion_weights", "successors", "successor_weights"):
            self.register_buffer(name, getattr(tables, name), persistent=False)
        self.gains = nn.Linear(config.width, SIGNALS)
        nn.init.zeros_(self.gains.weight)
        with torch.no_grad():
            self.gains.bias.copy_(torch.tensor(GAINS))

    def signals(
        self,
        visible: Int[Tensor, "B S"],
        bought: Int[Tensor, "B K"],
        often: Float[Tensor, "B K"],
        sample: Int[Tensor, " B"],
        chain: Float[Tensor, "B 3 V"],
        store: Float[Tensor, "B V"],
    ) -> Float[Tensor, "B N V"]:
        """Long-run share, recent over long-run, current over recent, store over chain, companions in log and plain, both in log, successors plain.

        Args:
            visible: products shown, PAD elsewhere.
            bought: products bought before, PAD for the trip and at the end.
            often: the customer's decayed frequency of each of them.
            sample: number of each basket, which gives its fold.
            chain: long-run, recent and current shares of the chain's baskets with each product, above 0.
            store: decayed baskets of the store with each product; column PAD: in all.
        """
        share = chain[:, 1]
        long_run, recent, current = chain.log().unbind(1)
        at_store = (store + STORE_PRIOR * share) / (store[:, PAD, None] + STORE_PRIOR)
        is_shown, often = (visible != PAD).to(share.dtype), often * (bought != PAD)
        rise = self._rise(self.companions, self.companion_weights, visible, is_shown, sample, share)
        follow = self._rise(self.successors, self.successor_weights, bought, often, sample, share)
        floor = (share + FLOOR).log()
        in_log, both = (((share + r).relu() + FLOOR).log() - floor for r in (rise, rise + follow))
        of_chain = long_run + math.log(share.shape[1]), recent - long_run, current - recent
        return torch.stack([*of_chain, at_store.log() - recent, in_log, rise, both, follow], dim=1)

    def forward(self, context: Float[Tensor, "B D"], signals: Float[Tensor, "B N V"]) -> Float[Tensor, "B V"]:
        """The sum of the signals, each times its gain, which the decoder at position 0 (`context`) gives."""
        gains = self.gains(context)[:, None]
        with without_autocast(context):
            return (gains.to(signals.dtype) @ signals)[:, 0]

    def _rise(
        self, ids: Tensor, weights: Tensor, products: Tensor, amounts: Tensor, sample: Tensor, like: Tensor
    ) -> Tensor:
        """How much `amounts` [B, K] of `products` raise each product's share of baskets, [B, V]."""
        folds, rise = len(ids), torch.zeros_like(like)
        if self.training:
            fold = (sample % folds)[:, None]
            raised = weights[fold, products] * amounts[..., None]  # [B, K, C]
            return rise.scatter_add_(1, ids[fold, products].flatten(1), raised.flatten(1).to(rise.dtype))
        for of_fold, w in zip(ids, weights, strict=True):
            raised = w[products] * (amounts[..., None] / folds)
            rise.scatter_add_(1, of_fold[products].flatten(1), raised.flatten(1).to(rise.dtype))
        return rise
