"""What products say about the kind of trip, and a known trip about the products (docs/decisions/0010-trip-evidence.md).

A trip's labels are read off its whole basket: what was bought, how many of it and for how much. So, by Bayes' rule, a hidden
product's odds are those without the labels times P(labels | visible products and it). A log-linear model of the labels guesses
them where the trip is not known, and weighs every product where it is: there with corrections, so that each of the two tasks
has weights of its own (docs/decisions/0014-two-tasks-two-weights.md).

Legend: B baskets · S places · V vocabulary · C classes of all labels.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from retailsim import layout
from retailsim.labels import TRIP_LABELS
from retailsim.model.precision import without_autocast
from retailsim.vocab import PAD

# Of graph embeddings in what is read of T2: as they are, of norm √256, they drown the learned corrections.
GRAPH_SHARE = layout.T2.width**-0.5
LEAST = 1e-30  # probability, so that its logarithm is finite
CLASSES = [len(classes) for classes in TRIP_LABELS.values()]
MOST_ITEMS = 63  # baskets of more items share a weight
TOTALS = 4  # numbers about the basket as a whole


class Shown(NamedTuple):
    """What the evidence sees of B baskets. Every hidden product counts as one item, at a price that nobody knows."""

    visible: Int[Tensor, "B S"]  # products, PAD elsewhere
    share: Float[Tensor, "B S"]  # of what was spent on the visible products
    items: Float[Tensor, " B"]
    totals: Float[Tensor, "B 4"]  # log(1 + ·) of all products, all items, visible items and £ spent on them


def shown_of(
    visible: Int[Tensor, "B S"],
    quantity: Float[Tensor, "B S"],
    paid: Float[Tensor, "B S"],
    n_hidden: Int[Tensor, " B"],
) -> Shown:
    """What the evidence sees.

    Args:
        visible: products shown, PAD elsewhere.
        quantity: items of each; unknown (NaN): 1.
        paid: £ per item; unknown (NaN): 1.
        n_hidden: how many products of each basket are hidden.
    """
    is_shown = (visible != PAD).to(paid.dtype)
    items = quantity.nan_to_num(1.0) * is_shown
    spent = paid.nan_to_num(1.0) * items
    n, visible_items, total = (of_each.sum(1) for of_each in (is_shown, items, spent))
    all_items = visible_items + n_hidden
    totals = torch.stack([n + n_hidden, all_items, visible_items, total], dim=1).log1p()
    return Shown(visible, spent / total.clamp(min=LEAST)[:, None], all_items, totals)


class LabelLogits(nn.Module):
    """Logits of the labels' classes, log-linear in what is shown; all weights start at 0.

    Each visible product adds weights of its own and of its T2, and others times its share of what was spent; to these come
    weights of the number of items, since sizes have sharp bounds, and of the totals.

    Args:
        vocab_size: V.
    """

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.own = nn.Embedding(vocab_size, 2 * sum(CLASSES))
        self.of_row = nn.Linear(layout.T2.width, 2 * sum(CLASSES), bias=False)
        self.of_items = nn.Embedding(MOST_ITEMS + 1, sum(CLASSES))
        self.of_totals = nn.Linear(TOTALS, sum(CLASSES))
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, shown: Shown, products: Float[Tensor, "V _"]
    ) -> tuple[Float[Tensor, "B C"], Float[Tensor, "V C"]]:
        """The logits, and how one more item of each product would change them.

        Args:
            shown: the baskets.
            products: T2 of the vocabulary, its graph embeddings times GRAPH_SHARE.
        """
        both = self.own.weight + self.of_row(products)  # [V, 2 C]
        counted, shared = functional.embedding(shown.visible, both).chunk(2, dim=-1)
        is_shown = (shown.visible != PAD).to(shared.dtype)
        of_products = (counted * is_shown[..., None] + shared * shown.share[..., None]).sum(1)
        of_items = self.of_items(shown.items.round().long().clamp(max=MOST_ITEMS))
        return of_products + of_items + self.of_totals(shown.totals), both.chunk(2, dim=1)[0]


class TripEvidence(nn.Module):
    """Logits of the labels, and what a known label says about each product: nothing before training.

    The labels alone teach their logits. The products' loss moves corrections of them and of each product's weights, and the gains.

    Args:
        vocab_size: V.
    """

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.labels, self.correction = LabelLogits(vocab_size), LabelLogits(vocab_size)
        self.gain = nn.Linear(TOTALS, len(CLASSES))  # log of each label's gain on the products
        nn.init.zeros_(self.gain.weight)
        nn.init.zeros_(self.gain.bias)
        for parameter in self.parameters():
            parameter._is_evidence = True  # type: ignore[attr-defined]

    def forward(
        self, shown: Shown, trip: Int[Tensor, "B 4"], products: Float[Tensor, "V _"]
    ) -> tuple[Float[Tensor, "B V"], dict[str, Float[Tensor, "B _"]]]:
        """Offsets of the product logits, 0 where no label is known, and logits of the labels.

        Args:
            shown: the baskets.
            trip: codes of the labels that are known, −1 for the others.
            products: T2 of the vocabulary, its graph embeddings times GRAPH_SHARE.
        """
        logits, weights = self.labels(shown, products)
        more, heavier = self.correction(shown, products)
        gains = self.gain(shown.totals).exp() * (trip >= 0)
        with without_autocast(logits):
            offset = _likelihood(weights.detach() + heavier, logits.detach() + more, trip, gains)
        return offset, dict(zip(TRIP_LABELS, logits.split(CLASSES, 1), strict=True))


def _likelihood(
    weights: Float[Tensor, "V C"], logits: Float[Tensor, "B C"], trip: Int[Tensor, "B 4"], gains: Float[Tensor, "B 4"]
) -> Float[Tensor, "B V"]:
    """log P(classes `trip` | visible products and each product), up to what all products share, each label times its gain.

    Both the classes' own weights and the sum over classes of exp(logit + weight) are matrix products: no [B, V, C] is made.
    """
    # taking a label's largest weight off all of its weights changes nothing, but none is too large to be raised
    by_label = [of_label - of_label.amax(1, keepdim=True) for of_label in weights.split(CLASSES, 1)]
    gains_by_label = gains.to(weights.dtype).split(1, 1)
    codes = [functional.one_hot(code, n) for code, n in zip(trip.clamp(min=0).T, CLASSES, strict=True)]
    told = torch.cat([code * gain for code, gain in zip(codes, gains_by_label, strict=True)], dim=1)
    offset = told @ torch.cat(by_label, dim=1).T
    for gain, of_label, said in zip(gains_by_label, by_label, logits.split(CLASSES, 1), strict=True):
        expected = said.to(weights.dtype).softmax(1).clamp(min=LEAST) @ of_label.exp().T
        offset = torch.addcmul(offset, gain, expected.log(), value=-1.0)
    return offset
