"""How far a metric would move with other customers: bootstrap intervals by customer (SPEC C32).

Baskets of one customer resemble each other, so customers are drawn, not hidden products (cluster bootstrap; Efron and
Tibshirani 1993, chapter 8). Each replicate gives every customer a Poisson(1) weight, the limit of drawing with
replacement, which needs no list of draws and can be made in blocks.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

REPLICATES = 1000
LEVEL = 0.95  # share 0–1 of the replicates inside the interval
BLOCK = 4_000_000  # weights held at a time
Name = TypeVar("Name", bound=Hashable)


def units_of(customer: np.ndarray, basket: np.ndarray) -> np.ndarray:
    """What is drawn together: the customer's baskets, and each anonymous basket by itself; int64 [M] from 0.

    Args:
        customer: int [M], −1 anonymous.
        basket: int [M], any number per basket.
    """
    is_anonymous = customer < 0
    key = np.stack([is_anonymous, np.where(is_anonymous, basket, customer)], axis=1)
    return np.unique(key, axis=0, return_inverse=True)[1].reshape(-1)


def intervals(
    values: Mapping[Name, np.ndarray], units: np.ndarray, seed: int, replicates: int = REPLICATES
) -> dict[Name, tuple[float, float]]:
    """Low and high end of the 95 % interval of the mean of each of `values`, by name (percentiles of the replicates).

    Every replicate is drawn once for all of them. The values may be differences of two methods on the same hidden products: the
    pairing takes out what makes a basket hard for every method, and 0 outside the interval is a real difference.

    Args:
        values: float [M] each, e.g. `metrics.VALUES["mrr"](ranks)`.
        units: int [M], see `units_of`.
        seed: of the replicates; the same for methods that are to be compared.
        replicates: how many.
    """
    columns = np.stack(list(values.values()), axis=1)
    return _ends(list(values), replicate_means(columns, units, np.random.default_rng(seed), replicates))


def share_intervals(
    values: Mapping[Name, np.ndarray],
    wholes: Mapping[Name, np.ndarray],
    units: np.ndarray,
    seed: int,
    replicates: int = REPLICATES,
) -> dict[Name, tuple[float, float]]:
    """As `intervals`, of the mean of each of `values` as a share of the mean of the whole of the same name.

    Both are drawn together, so that a share that is the same for every customer is certain; 0 of a whole of 0.
    """
    columns = np.stack([*values.values(), *(wholes[name] for name in values)], axis=1)
    part, whole = np.split(replicate_means(columns, units, np.random.default_rng(seed), replicates), 2, axis=1)
    shares = np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)
    return _ends(list(values), shares)


def _ends(names: Sequence[Name], replicates: np.ndarray) -> dict[Name, tuple[float, float]]:
    low, high = np.quantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return dict(zip(names, zip(low.tolist(), high.tolist(), strict=True), strict=True))


def replicate_means(
    values: np.ndarray, units: np.ndarray, generator: np.random.Generator, replicates: int
) -> np.ndarray:
    """Mean of each column of `values` [M, J] in each replicate, float64 [replicates, J]; the weight of a row is that of its unit.

    Raises:
        ValueError: there is nothing to draw from.
    """
    if not len(values):
        raise ValueError("no hidden products: there is no interval")
    counts = np.bincount(units)
    sums = np.stack([*(np.bincount(units, weights=column) for column in values.T), counts], axis=1)
    sums = sums[counts > 0]  # [U, J + 1]
    step = max(1, BLOCK // len(sums))
    blocks = [
        generator.poisson(1.0, (min(step, replicates - start), len(sums))).astype(np.float64) @ sums
        for start in range(0, replicates, step)
    ]
    total, weight = np.split(np.concatenate(blocks), [-1], axis=1)
    # A replicate that drew nobody (a chance of e^-U) says nothing; it stands at the plain mean.
    return np.divide(total, weight, out=np.tile(values.mean(0), (replicates, 1)), where=weight > 0)
