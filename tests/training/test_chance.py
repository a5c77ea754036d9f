"""C12, C40: chance drawn from keys: pinned, uniform, and unrelated between streams."""

import numpy as np
import pytest

from retailsim.training.chance import shuffled, uniform

MASK64 = 2**64 - 1


def by_hand(*keys):
    """SplitMix64's finaliser in Python's own integers."""
    state = 0x9E3779B97F4A7C15
    for key in keys:
        x = state ^ ((key + 0x9E3779B97F4A7C15) & MASK64)
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK64
        state = x ^ (x >> 31)
    return (state >> 11) * 2.0**-53


def test_values_are_pinned():  # C40: a new value would give every user other masks
    assert uniform(0, 1, 2, 3).item() == 0.6938385058088058
    assert shuffled(8, 3, 2).tolist() == [2, 4, 5, 7, 1, 3, 0, 6]


@pytest.mark.parametrize("keys", [(0,), (1, 0, 0), (2, 7, 3, 10**6, 49), (4, 2**40), (3, -1)])
def test_arrays_give_what_plain_integers_give(keys):
    assert uniform(*keys).item() == by_hand(*keys)
    stacked = uniform(*keys[:-1], np.array([keys[-1], 5]))
    assert stacked.tolist() == [by_hand(*keys), by_hand(*keys[:-1], 5)]


def test_keys_broadcast():
    grid = uniform(1, np.arange(3)[:, None], np.arange(4))
    assert grid.shape == (3, 4) and grid[2, 1] == by_hand(1, 2, 1)


def test_numbers_are_uniform():
    u = uniform(0, 0, 1, np.arange(200_000))
    assert u.min() >= 0 and u.max() < 1
    assert u.mean() == pytest.approx(0.5, abs=5 * 12**-0.5 / 200_000**0.5)
    counts = np.bincount((u * 50).astype(int), minlength=50)
    assert ((counts - 4000) ** 2 / 4000).sum() < 49 + 5 * (2 * 49) ** 0.5  # χ² with 49 degrees of freedom


@pytest.mark.parametrize("position", [0, 1, 2])  # stream, seed, epoch
def test_neighbouring_keys_are_unrelated(position):
    keys = np.zeros((2, 3), dtype=int)
    keys[1, position] = 1
    a, b = (uniform(*row, np.arange(100_000)) for row in keys.tolist())
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / 100_000**0.5
    assert abs(np.corrcoef(a[1:], a[:-1])[0, 1]) < 5 / 100_000**0.5


def test_orders_are_permutations_that_depend_on_every_key():
    a = shuffled(1000, 0, 0)
    assert sorted(a) == list(range(1000))
    assert (a == shuffled(1000, 0, 0)).all()
    assert all((a != b).mean() > 0.9 for b in (shuffled(1000, 1, 0), shuffled(1000, 0, 1)))
