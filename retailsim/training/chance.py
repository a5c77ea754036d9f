"""Chance without state: numbers drawn from keys, the same whatever the batch size, the workers or the order of calls."""

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio, SplitMix64's step


def uniform(*keys: int | np.ndarray) -> np.ndarray:
    """Uniform numbers in [0, 1), one per broadcast tuple of integer `keys`, float64.

    The keys are folded one by one through the finaliser of SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable
    pseudorandom number generators", §3).
    """
    state = np.asarray(GOLDEN)
    with np.errstate(over="ignore"):  # the arithmetic is modulo 2^64
        for key in keys:
            state = _mix(np.asarray(state ^ (np.asarray(key).astype(np.uint64) + GOLDEN)))
    return np.asarray((state >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def shuffled(n: int, seed: int, epoch: int) -> np.ndarray:
    """The numbers 0 … n − 1 in an order that depends on (n, seed, epoch) alone, int64 [n]."""
    return np.random.Generator(np.random.PCG64([seed, epoch, n])).permutation(n)


def _mix(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))
