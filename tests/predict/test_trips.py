"""Which labels tell the kind of a trip: those that training shows together."""

import numpy as np
import pytest

from retailsim.labels import TRIP_LABELS
from retailsim.predict.trips import is_open, learned_sets
from retailsim.training.purchases import Purchases
from retailsim.training.trip_kinds import SHIFTS
from retailsim.vocab import PAD

TYPE, FOCUS, SENSITIVITY, SIZE = TRIP_LABELS
ALL = frozenset(TRIP_LABELS)
NO_SENSITIVITY = ALL - {SENSITIVITY}


def customers(*trips):
    """A customer's purchases: week, labels and number of trips, each of them with a product."""
    rows = []
    for week, labels, n in trips:
        kind = sum(1 << int(shift) for label, shift in zip(TRIP_LABELS, SHIFTS, strict=True) if label in labels)
        rows += [(week, PAD, 0, kind), (week, 5, 0, 0)] * n
    return Purchases(np.zeros((1, 2), np.int64), np.array(rows, np.int32).reshape(-1, 4))


def test_sets_of_a_hundredth_of_the_training_trips_are_learned():
    found = learned_sets(
        customers((1, ALL, 980), (2, NO_SENSITIVITY, 11), (2, {TYPE}, 9), (9, {SIZE}, 5000)), train_end=8, in_part=False
    )
    assert found == {ALL, NO_SENSITIVITY}


def test_a_training_on_parts_learns_every_part_of_them():
    trips = customers((1, {TYPE, FOCUS, SIZE}, 980), (2, {SENSITIVITY}, 9))
    expected = [{TYPE}, {FOCUS}, {SIZE}, {TYPE, FOCUS}, {TYPE, SIZE}, {FOCUS, SIZE}, {TYPE, FOCUS, SIZE}]
    assert learned_sets(trips, train_end=8, in_part=True) == set(map(frozenset, expected))


def test_where_no_trip_is_known_all_labels_are_asked_for_together():
    assert learned_sets(customers(), train_end=8, in_part=False) == {ALL}


@pytest.mark.parametrize(
    "told, open_there, open_here",  # with all labels or all but one learned, and with the size alone
    [(ALL, False, True), (NO_SENSITIVITY, False, True), ({TYPE}, True, True), ({SIZE}, True, False), ((), True, True)],
)
def test_a_request_with_other_labels_is_left_open(told, open_there, open_here):
    trip = {label: TRIP_LABELS[label][0] for label in told}
    there, here = (
        learned_sets(customers((1, ALL, 9), (1, NO_SENSITIVITY, 1)), 8, in_part=False),
        learned_sets(customers((1, {SIZE}, 1)), 8, in_part=False),
    )
    assert (is_open(trip, there), is_open(trip, here)) == (open_there, open_here)


def test_trips_without_a_label_teach_no_set_that_a_request_could_tell():
    assert is_open({}, learned_sets(customers((1, (), 5)), 8, False)) and is_open(
        {SIZE: "S"}, learned_sets(customers((1, (), 5)), 8, False)
    )
