"""Draws of many shoppers at once for the synthetic retailer: weighted choices, and the first few distinct ones.

Every function takes the NumPy Generator it draws from; equal generators give equal draws.
"""

import numpy as np

BELOW_ONE = 1.0 - 1e-9  # keeps group + u below group + 1 after rounding


def generator(seed: int, stream: int) -> np.random.Generator:
    """The generator of one stream of `seed`: 0 is the world, w is week w, whatever the number of weeks."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream,)))


class Choices:
    """G discrete distributions over the same n items, drawn from by inversion.

    Args:
        weights: [G, n] not negative, with a positive sum in each row.
    """

    def __init__(self, weights: np.ndarray) -> None:
        self.n = weights.shape[1]
        shares = weights.cumsum(axis=1)
        shares /= shares[:, -1:]
        self._edges = (shares + np.arange(len(weights))[:, None]).ravel()

    def draw(self, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One item for each row of distribution numbers `group`, int64 of its shape."""
        values = group + np.minimum(rng.random(group.shape), BELOW_ONE)
        return np.searchsorted(self._edges, values, side="right") - group * self.n


def first_distinct(owner: np.ndarray, item: np.ndarray, limit: np.ndarray | None = None) -> np.ndarray:
    """Row numbers, rising, of the first `limit[owner]` distinct items of each owner; of all of them without a limit.

    Args:
        owner: [R] not negative, not falling.
        item: [R] not negative.
        limit: most items of each owner, by owner number.
    """
    if len(owner) == 0:
        return np.zeros(0, np.int64)
    key = owner.astype(np.int64) * (int(item.max()) + 1) + item
    first = np.sort(np.unique(key, return_index=True)[1])
    if limit is None:
        return first
    return first[rank_within(owner[first]) < limit[owner[first]]]


def rank_within(owner: np.ndarray) -> np.ndarray:
    """The place 0, 1, … of each row among the rows of its owner; `owner` does not fall."""
    return np.arange(len(owner)) - np.searchsorted(owner, owner)


def round_at_random(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Whole numbers next to `x` whose expectation is `x`."""
    return np.floor(x + rng.random(x.shape)).astype(np.int64)
