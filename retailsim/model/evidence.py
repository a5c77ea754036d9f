"""What products say about the kind of trip, and a known trip about the products (docs/decisions/0010-trip-evidence.md).

A trip's labels are read off its whole basket: what was bought, how many of it and for how much. So, by Bayes' rule, a hidden product's odds are those without the labels times
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
TOTALS = 4  # numbers about the visible basket as a whole


class TripEvidence(nn.Module):
    """Logits of the labels' classes from what is visible, and what a known label says about each product; all weights start at 0.

    Each visible product adds weights of its own and of its T2 to the logits of the classes, and others times its share of what was
    spent; to these come the numbers of products and items and the sum spent. A product that is not visible is weighed as if
    it were one more, of one item; what it costs is not known, so the shares stay.

    Args:
        vocab_size: V.
    """

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.own = nn.Embedding(vocab_size, 2 * sum(CLASSES))
        self.of_row = nn.Linear(layout.T2.width, 2 * sum(CLASSES), bias=False)
        self.of_totals = nn.Linear(TOTALS, sum(CLASSES))
        self.gain = nn.Linear(TOTALS, len(CLASSES))  # log of each label's gain on the products
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self,
        visible: Int[Tensor, "B S"],
        quantity: Float[Tensor, "B S"],
        paid: Float[Tensor, "B S"],
        trip: Int[Tensor, "B 4"],
        products: Float[Tensor, "V _"],
    ) -> tuple[Float[Tensor, "B V"], dict[str, Float[Tensor, "B _"]]]:
        """Offsets of the product logits, 0 where no label is known, and logits of the labels.

        Args:
            visible: products shown, PAD elsewhere.
            quantity: items of each; unknown (NaN): 1.
            paid: £ per item; unknown (NaN): 1.
            trip: codes of the labels that are known, −1 for the others.
            products: T2 of the vocabulary.
        """
        both = self.own.weight + self.of_row(products)  # [V, 2 C]
        is_shown = (visible != PAD).to(paid.dtype)
        items = quantity.nan_to_num(1.0) * is_shown
        spent = paid.nan_to_num(1.0) * items
        n, q, total = (values.sum(1, keepdim=True) for values in (is_shown, items, spent))
        share = spent / total.clamp(min=LEAST)
        counted, shared = functional.embedding(visible, both).chunk(2, dim=-1)
        summed = (counted * is_shown[..., None] + shared * share[..., None]).sum(1)
        with_one_more = summed + self.of_totals(_totals(n + 1, q + 1, total))
        totals, weights = _totals(n, q, total), both.chunk(2, dim=1)[0].split(CLASSES, 1)
        gains = self.gain(totals).exp().split(1, 1)
        by_label = zip(gains, weights, with_one_more.split(CLASSES, 1), trip.T, strict=True)
        offset = torch.stack([gain * _likelihood(*of_label) for gain, *of_label in by_label]).sum(0)
        logits = (summed + self.of_totals(totals)).split(CLASSES, 1)
        return offset, dict(zip(TRIP_LABELS, logits, strict=True))


def _totals(n: Float[Tensor, "B 1"], q: Float[Tensor, "B 1"], spent: Float[Tensor, "B 1"]) -> Float[Tensor, "B 4"]:
    """How many products and items and what they cost, as a log-linear model takes it."""
    return torch.cat([n.log1p(), 1 / (1 + n), q.log1p(), spent.log1p()], dim=-1)


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
