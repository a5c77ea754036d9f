"""Whether probabilities can be believed: reliability, ECE, Brier score, and the temperature that mends them (SPEC C32).

All speak of the top prediction at each hidden place: how sure the model is of it, and whether it is the hidden product.
Probabilities are shares among the products that compete (`evaluation.ranking`), so visible products and special tokens
take none.

Legend: M hidden products · V vocabulary.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize_scalar
from torch import Tensor

BINS = 15
COLDEST, HOTTEST = 0.05, 20.0  # temperatures between which one is looked for


@dataclass(frozen=True)
class Bin:
    """Top predictions of like confidence: how sure the model was on the mean, and how often it was right."""

    n: int
    confidence: float  # share 0–1
    accuracy: float  # share 0–1


def competing(logits: Float[Tensor, "M V"], excluded: Bool[Tensor, "M V"]) -> Float[Tensor, "M V"]:
    """Logits whose softmax is over the products that compete: −∞ for the others."""
    return logits.float().masked_fill(excluded, -torch.inf)


def fit_temperature(logits: Float[Tensor, "M V"], target: Int[Tensor, " M"]) -> float:
    """The temperature T at which softmax(logits / T) makes the targets likeliest (Guo et al. 2017, §4.2).

    Args:
        logits: of the products that compete, −∞ elsewhere, of weeks that the model was not fitted on.
        target: rows of the hidden products; all compete.

    Raises:
        ValueError: there is no hidden product, or one that does not compete.
    """
    own = logits.gather(1, target[:, None])[:, 0] if len(target) else logits.new_empty(0)
    if not len(own) or not own.isfinite().all():
        raise ValueError("a temperature is fitted on hidden products that compete, and on at least one")

    def cost(log_temperature: float) -> float:
        sharpness = float(np.exp(-log_temperature))
        return float((torch.logsumexp(logits * sharpness, dim=1) - own * sharpness).double().mean())

    bounds = (float(np.log(COLDEST)), float(np.log(HOTTEST)))
    return float(np.exp(minimize_scalar(cost, bounds=bounds, method="bounded").x))


def confidence(logits: Float[Tensor, "M V"], temperature: float) -> Float[np.ndarray, " M"]:
    """Probability of the top prediction at each place; logits are −∞ where a product does not compete."""
    scaled = logits / temperature
    return torch.exp(scaled.amax(dim=1) - torch.logsumexp(scaled, dim=1)).cpu().numpy()


def reliability(confidence: np.ndarray, is_hit: np.ndarray, bins: int = BINS) -> list[Bin]:
    """The top predictions in `bins` of equally many, by rising confidence; fewer bins than asked for with little data.

    Bins of equal count, not of equal width: most top predictions of a basket are unsure, and ten equal steps from 0 to 1
    would put nearly all of them into the first two.

    >>> reliability(np.array([0.2, 0.4, 0.6, 0.8]), np.array([False, False, True, True]), bins=2)
    [Bin(n=2, confidence=0.30000000000000004, accuracy=0.0), Bin(n=2, confidence=0.7, accuracy=1.0)]
    """
    order = np.argsort(confidence, kind="stable")
    parts = [rows for rows in np.array_split(order, bins) if len(rows)]
    return [Bin(len(rows), float(confidence[rows].mean()), float(is_hit[rows].mean())) for rows in parts]


def ece(table: list[Bin]) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over the bins, by count."""
    return sum(b.n * abs(b.confidence - b.accuracy) for b in table) / sum(b.n for b in table)


def ece_by_chance(table: list[Bin]) -> float:
    """The ECE to expect of a model with these confidences whose probabilities are exact.

    Its hits in a bin are a sum of n Bernoulli numbers, of variance v = n p (1 − p). The mean distance of the sum from n p is near
    √(2 v / π), as of a normal number, and at most 2 v, n times that of one of them, which is less in a bin of few hits.

    >>> [round(ece_by_chance([Bin(n, 0.1, 0.3)]), 4) for n in (1, 100, 10_000)]
    [0.18, 0.0239, 0.0024]
    """
    v = np.array([b.n * b.confidence * (1 - b.confidence) for b in table])
    return float(np.minimum(np.sqrt(2 * v / np.pi), 2 * v).sum() / sum(b.n for b in table))


def brier(confidence: np.ndarray, is_hit: np.ndarray) -> float:
    """Mean squared distance of confidence and hit (1) or miss (0)."""
    return float(np.mean((confidence - is_hit) ** 2))


def summary(confidence: np.ndarray, is_hit: np.ndarray) -> dict[str, float | list | None]:
    """What is said of top predictions, for JSON; null without any prediction.

    | key | |
    |---|---|
    | ece, ece_by_chance | the model's, and that of exact probabilities: only what is beyond it speaks against the model |
    | too_sure | mean of confidence less hit: near the ECE where the model errs to one side, below 0 where it is too modest |
    | brier, reliability | the score, and the bins |
    """
    table = reliability(confidence, is_hit)
    if not table:
        return {"ece": None, "ece_by_chance": None, "too_sure": None, "brier": None, "reliability": []}
    return {
        "ece": ece(table),
        "ece_by_chance": ece_by_chance(table),
        "too_sure": float(np.mean(confidence - is_hit)),
        "brier": brier(confidence, is_hit),
        "reliability": [asdict(b) for b in table],
    }
