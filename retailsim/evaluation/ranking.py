"""The rank of a hidden product among all products, the same rule for model and baselines (SPEC C32).

All products of the vocabulary compete except special tokens and the basket's visible products; its other hidden
products stay in. Ties count half: rank = 1 + those scored higher + half of those scored the same. A product outside the
vocabulary (first sold after the fit) cannot be predicted: its rank is infinite, a miss that counts.

`ranks` (NumPy) is the definition. `ranks_of_logits` does the same where the logits are, `ranks_of_all` less `ahead_of` in a tenth of the time
where few products do not compete; both agree with it exactly.

A first-time purchase ranks low with every method that knows habits, because the customer's own products rightly come first. So it
is ranked a second time among novel products only, those that the customer never bought before (Li et al. 2023, "Masked and
Swapped Sequence Modeling for Next Novel Basket Recommendation in Grocery Shopping").

Legend: B baskets · S places · M hidden products · V vocabulary.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array
from torch import Tensor

from retailsim.vocab import PAD, SPECIAL_TOKENS


@dataclass(frozen=True)
class Ranks:
    """A method's ranks of the hidden products, float64 [M] each.

    `novel` is NaN where the hidden product is no first-time purchase of an identified customer, unless it is outside the vocabulary.
    """

    overall: np.ndarray  # among all products that compete
    novel: np.ndarray  # among those that the customer never bought before

    def halves(self) -> "tuple[Ranks, Ranks]":
        """The first half of the hidden products and the other."""
        parts = zip(np.split(self.overall, 2), np.split(self.novel, 2), strict=True)
        first, other = (Ranks(*part) for part in parts)
        return first, other


def ranks(scores: np.ndarray, target: np.ndarray, excluded: np.ndarray) -> np.ndarray:
    """Ranks of the hidden products, float64 [M], from 1; half numbers where ties are, infinite outside the vocabulary.

    Args:
        scores: [M, V], higher is likelier.
        target: int [M], row of the hidden product; V and above are outside the vocabulary.
        excluded: bool [M, V], the products that do not compete.

    Raises:
        ValueError: a score is not a number, or a hidden product is excluded from its own contest.
    """
    _check(np.isnan(scores).any(), "scores hold NaN: nothing can be ranked by them")
    place, row = np.arange(len(target)), np.minimum(target, scores.shape[1] - 1)
    is_known = target < scores.shape[1]
    _check((excluded[place, row] & is_known).any(), "a hidden product is visible or a special token")
    own = scores[place, row][:, None]
    higher = ((scores > own) & ~excluded).sum(axis=1)
    same = ((scores == own) & ~excluded).sum(axis=1) - 1  # itself is no rival
    return np.where(is_known, 1 + higher + same / 2, np.inf)


def ranks_of_all(scores: np.ndarray, target: np.ndarray, row: np.ndarray) -> np.ndarray:
    """`ranks` where nothing is visible, float64 [M]; what is visible is taken off by `ahead_of`.

    Basket by basket, since what stays in the processor's cache is counted several times as fast.

    Args:
        scores: [n, V], of n baskets.
        target: int [M], row of the hidden product; one outside the vocabulary has an infinite rank.
        row: int [M], the basket of each hidden product.
    """
    _check(np.isnan(scores.min(initial=np.inf)), "scores hold NaN: nothing can be ranked by them")
    _check((target < len(SPECIAL_TOKENS)).any(), "a hidden product is a special token")
    found = np.full(len(target), np.inf)
    for i in np.flatnonzero(target < scores.shape[1]):
        rivals, own = scores[row[i], len(SPECIAL_TOKENS) :], scores[row[i], target[i]]
        higher = np.count_nonzero(rivals > own)
        found[i] = 1 + higher + (np.count_nonzero(rivals == own) - 1) / 2
    return found


def ahead_of(scores: np.ndarray, target: np.ndarray, row: np.ndarray, left_out: csr_array) -> np.ndarray:
    """By how much a hidden product's rank among all falls where some products do not compete, float64 [M].

    Args:
        scores, target, row: as for `ranks_of_all`.
        left_out: [M, V], not 0 where a product, no special token, does not compete with the hidden one.
    """
    place = np.repeat(np.arange(len(row)), np.diff(left_out.indptr))
    _check((left_out.indices == target[place]).any(), "a hidden product is visible")
    own = scores[row, np.minimum(target, scores.shape[1] - 1)][place]
    theirs = scores[row[place], left_out.indices]
    return np.bincount(place, (theirs > own) + (theirs == own) / 2, minlength=len(row))


def excluded_rows(visible: np.ndarray) -> np.ndarray:
    """What does not compete: the visible products and the special tokens; `visible` bool [n, V] → bool [n, V]."""
    excluded = visible.astype(bool)
    excluded[:, : len(SPECIAL_TOKENS)] = True
    return excluded


def ranks_of_logits(
    logits: Float[Tensor, "M V"], target: Int[Tensor, " M"], excluded: Bool[Tensor, "M V"]
) -> Float[np.ndarray, " M"]:
    """`ranks` on the logits' device; only the ranks come back."""
    _check(bool(logits.isnan().any()), "logits hold NaN: nothing can be ranked by them")
    is_known = target < logits.shape[1]
    row = target.clamp(max=logits.shape[1] - 1)[:, None]
    _check(bool((excluded.gather(1, row)[:, 0] & is_known).any()), "a hidden product is visible or a special token")
    own = logits.gather(1, row)
    higher = ((logits > own) & ~excluded).sum(dim=1)
    same = ((logits == own) & ~excluded).sum(dim=1) - 1
    doubled = 2 + 2 * higher + same  # whole numbers: exact on every device
    return np.where(is_known.cpu().numpy(), doubled.cpu().numpy() / 2, np.inf)


def excluded_ids(ids: Int[Tensor, "B S"], size: int) -> Bool[Tensor, "B size"]:
    """What does not compete in baskets shown to the model as `ids`, where hidden places hold MASK and empty ones PAD.

    Args:
        ids: product rows after masking; late products (`size` and above) compete nowhere and need no mark.
        size: V.
    """
    excluded = torch.zeros(len(ids), size, dtype=torch.bool, device=ids.device)
    excluded[:, : len(SPECIAL_TOKENS)] = True
    return excluded.scatter_(1, torch.where(ids < size, ids, PAD), True)


def _check(is_wrong: bool | np.bool_, message: str) -> None:
    if is_wrong:
        raise ValueError(message)
