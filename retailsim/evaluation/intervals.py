"""How far a metric would move with other customers: bootstrap intervals by customer (SPEC C32).

Baskets of one customer resemble each other, so customers are drawn, not hidden products (cluster bootstrap; Efron and
Tibshirani 1993, chapter 8). Each replicate gives every customer a Poisson(1) weight, the limit of drawing with
replacement, which needs no list of draws and can be made in blocks.
"""

import numpy as np

from retailsim.evaluation.metrics import VALUES

REPLICATES = 1000
LEVEL = 0.95  # share 0–1 of the replicates inside the interval
BLOCK = 4_000_000  # weights held at a time


def units_of(customer: np.ndarray, basket: np.ndarray) -> np.ndarray:
    """What is drawn together: the customer's baskets, and each anonymous basket by itself; int64 [M] from 0.

    Args:
        customer: int [M], −1 anonymous.
        basket: int [M], any number per basket.
    """
    is_anonymous = customer < 0
    key = np.stack([is_anonymous, np.where(is_anonymous, basket, customer)], axis=1)
    return np.unique(key, axis=0, return_inverse=True)[1].reshape(-1)


def interval(
    ranks: np.ndarray, units: np.ndarray, metric: str, seed: int, replicates: int = REPLICATES
) -> tuple[float, float]:
    """Low and high end of a metric's 95 % interval (percentiles of the replicates).

    Args:
        ranks: [M], see `evaluation.ranking`.
        units: int [M], see `units_of`.
        metric: a key of `metrics.VALUES`.
        seed: of the replicates; the same for methods that are to be compared.
        replicates: how many.
    """
    return _percentiles(VALUES[metric](ranks), units, seed, replicates)


def interval_of_difference(
    ranks: np.ndarray, others: np.ndarray, units: np.ndarray, metric: str, seed: int, replicates: int = REPLICATES
) -> tuple[float, float]:
    """The interval of metric(ranks) − metric(others), both [M] of the same hidden products in the same order.

    The pairing takes out what makes a basket hard for every method: 0 outside the interval is a real difference.
    """
    return _percentiles(VALUES[metric](ranks) - VALUES[metric](others), units, seed, replicates)


def _percentiles(values: np.ndarray, units: np.ndarray, seed: int, replicates: int) -> tuple[float, float]:
    means = replicate_means(values, units, np.random.default_rng(seed), replicates)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def replicate_means(
    values: np.ndarray, units: np.ndarray, generator: np.random.Generator, replicates: int
) -> np.ndarray:
    """Mean of `values` [M] in each replicate, float64 [replicates]; the weight of a value is that of its unit.

    Raises:
        ValueError: there is nothing to draw from.
    """
    if not len(values):
        raise ValueError("no hidden products: there is no interval")
    counts = np.bincount(units)
    sums = np.stack([np.bincount(units, weights=values), counts], axis=1)[counts > 0]  # [U, 2]
    step = max(1, BLOCK // len(sums))
    blocks = [
        generator.poisson(1.0, (min(step, replicates - start), len(sums))).astype(np.float64) @ sums
        for start in range(0, replicates, step)
    ]
    total, weight = np.concatenate(blocks).T
    # A replicate that drew nobody (a chance of e^-U) says nothing; it stands at the plain mean.
    return np.divide(total, weight, out=np.full(replicates, values.mean()), where=weight > 0)
