"""Which labels of a trip are told together: the sets that training shows.

A training basket shows all the labels that it has, or none. A request that tells others is nothing that the model has met: told the
type alone, it takes the other labels for those of the few baskets that have none.
"""

from collections.abc import Mapping

import numpy as np

from retailsim.labels import TRIP_LABELS
from retailsim.training.purchases import Purchases
from retailsim.training.trip_kinds import BITS, SHIFTS
from retailsim.vocab import PAD

LEAST_SHARE = 0.01  # of the training trips: sets that fewer have were hardly learned

LabelSets = frozenset[frozenset[str]]


def learned_sets(customers: Purchases, train_end: int) -> LabelSets:
    """The sets of labels that the trips of the weeks up to `train_end` have; all labels together where no trip is known."""
    week, product, _, kind = customers.purchases.T
    kinds, trips = np.unique(kind[(product == PAD) & (week <= train_end)], return_counts=True)
    if not len(kinds):
        return frozenset([frozenset(TRIP_LABELS)])
    has = (kinds[:, None] >> SHIFTS) % 2**BITS > 0  # [kinds, labels]
    found, which = np.unique(has, axis=0, return_inverse=True)
    share = np.bincount(which.reshape(-1), trips) / trips.sum()
    return frozenset(frozenset(np.array(list(TRIP_LABELS))[labels].tolist()) for labels in found[share >= LEAST_SHARE])


def is_open(trip: Mapping[str, str], learned: LabelSets) -> bool:
    """Whether a request with these labels is asked as one whose kind of trip is not known."""
    return not trip or frozenset(trip) not in learned
