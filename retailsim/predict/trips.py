"""Which labels of a trip are told together: the sets that training shows.

A training basket shows all the labels that it has, or none; presets that learn trips told in part show some of them, too. A request that
tells others is nothing that the model has met: told the type alone, it takes the other labels for those of the few baskets that have none.
"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from retailsim.labels import TRIP_LABELS
from retailsim.training.purchases import Purchases
from retailsim.training.trip_kinds import BITS, SHIFTS
from retailsim.vocab import PAD

LEAST_SHARE = 0.01  # of the training trips: sets that fewer have were hardly learned

LabelSets = frozenset[frozenset[str]]


def learned_sets(customers: Purchases, train_end: int, in_part: bool) -> LabelSets:
    """The sets of labels that training shows of the trips of the weeks up to `train_end`; all labels together where no trip is known.

    Args:
        customers: what was bought on which trips.
        train_end: last week of training.
        in_part: whether training shows trips in part, too.
    """
    week, product, _, kind = customers.purchases.T
    kinds, trips = np.unique(kind[(product == PAD) & (week <= train_end)], return_counts=True)
    if not len(kinds):
        return frozenset([frozenset(TRIP_LABELS)])
    has = (kinds[:, None] >> SHIFTS) % 2**BITS > 0  # [kinds, labels]
    found, which = np.unique(has, axis=0, return_inverse=True)
    share = np.bincount(which.reshape(-1), trips) / trips.sum()
    sets = [np.array(list(TRIP_LABELS))[labels].tolist() for labels in found[share >= LEAST_SHARE]]
    return frozenset(frozenset(part) for labels in sets for part in (_parts(labels) if in_part else [labels]))


def _parts(labels: list[str]) -> list[tuple[str, ...]]:
    return [part for size in range(1, len(labels) + 1) for part in combinations(labels, size)]


def is_open(trip: Mapping[str, str], learned: LabelSets) -> bool:
    """Whether a request with these labels is asked as one whose kind of trip is not known."""
    return not trip or frozenset(trip) not in learned
