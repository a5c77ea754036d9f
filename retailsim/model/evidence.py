"""What products say about the kind of trip, and a known trip about the products (docs/decisions/0010-trip-evidence.md).

A trip's labels are read off its whole basket. So, by Bayes' rule, a hidden product's odds are those without the labels times
P(labels | visible products and it). One log-linear model of the labels serves both ways: it guesses them where the trip is
not known, and weighs every product where it is.

Legend: B baskets · S places · V vocabulary · C classes of all labels.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from retailsim import layout
from retailsim.labels import TRIP_LABELS
from retailsim.vocab import PAD

LEAST = 1e-30  # probability, so that its logarithm is finite
CLASSES = [len(classes) for classes in TRIP_LABELS.values()]


class TripEvidence(nn.Module):
    """Each visible product adds its own weights and those of its T2 to the logits of the labels' classes; these start at 0.

    Args:
        vocab_size: V.
    """

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.own = nn.Embedding(vocab_size, sum(CLASSES))
        self.of_row = nn.Linear(layout.T2.width, sum(CLASSES), bias=False)
        self.of_count = nn.Linear(2, sum(CLASSES))
        for layer in (self.own, self.of_row, self.of_count):
            nn.init.zeros_(layer.weight)
        self.gain = nn.Parameter(torch.ones(len(CLASSES)))  # of each label on the products

    def forward(
        self, visible: Int[Tensor, "B S"], trip: Int[Tensor, "B 4"], products: Float[Tensor, "V _"]
    ) -> tuple[Float[Tensor, "B V"], dict[str, Float[Tensor, "B _"]]]:
        """Offsets of the product logits, 0 where no label is known, and logits of the labels.

        Args:
            visible: products shown, PAD elsewhere.
            trip: codes of the labels that are known, −1 for the others.
            products: T2 of the vocabulary.
        """
        weights = self.own.weight + self.of_row(products)  # [V, C]
        is_shown = (visible != PAD)[..., None]
        summed, n = (functional.embedding(visible, weights) * is_shown).sum(1), is_shown.sum(1)
        with_one_more = summed + self.of_count(_count(n + 1))
        by_label = zip(weights.split(CLASSES, 1), with_one_more.split(CLASSES, 1), trip.T, self.gain, strict=True)
        offset = torch.stack([gain * _likelihood(*of_label) for *of_label, gain in by_label]).sum(0)
        logits = (summed + self.of_count(_count(n))).split(CLASSES, 1)
        return offset, dict(zip(TRIP_LABELS, logits, strict=True))


def _count(n: Int[Tensor, "B 1"]) -> Float[Tensor, "B 2"]:
    """How many products, as a log-linear model takes it."""
    return torch.cat([n.log1p(), 1 / (1 + n)], dim=-1)


def _likelihood(
    weights: Float[Tensor, "V c"], logits: Float[Tensor, "B c"], code: Int[Tensor, " B"]
) -> Float[Tensor, "B V"]:
    """log P(class `code` | visible products and each product), up to what all products share; 0 where the code is −1.

    The sum over classes of exp(logit + weight) is a matrix product, so no [B, V, c] is made.
    """
    weights = weights - weights.amax(1, keepdim=True)  # which changes nothing, but no weight is too large to be raised
    told = functional.embedding(code.clamp(min=0), weights.T)
    expected = (logits.softmax(1) @ weights.exp().T).clamp(min=LEAST)
    return (told - expected.log()) * (code >= 0)[:, None]
