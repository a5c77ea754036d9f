"""The labels of a trip as one number, and back."""

import ibis
import numpy as np
import pytest

from retailsim.labels import TRIP_LABELS
from retailsim.training.trip_kinds import kind_of_trip, label_codes, likeness_of_kind

TRIPS = {
    "B1": ("Top Up", "Fresh", "MM", "XL"),
    "B2": ("Other", "Other", "Premium", "S"),  # the last class of each label but size
    "B3": (None, "Fresh", "XX", None),
}
CODES = {"B1": [1, 0, 1, 3], "B2": [4, 5, 3, 0], "B3": [-1, 0, -1, -1]}


@pytest.fixture
def found():
    rows = [{"basket_id": name, **dict(zip(TRIP_LABELS, labels, strict=True))} for name, labels in TRIPS.items()]
    lines = ibis.memtable([*rows, *rows], schema={"basket_id": "string", **dict.fromkeys(TRIP_LABELS, "string")})
    table = lines.group_by("basket_id").agg(**label_codes(lines), kind=kind_of_trip(lines))
    return table.order_by("basket_id").to_pyarrow().to_pydict()


def test_labels_have_the_codes_of_their_classes(found):
    assert {name: [found[label][i] for label in TRIP_LABELS] for i, name in enumerate(found["basket_id"])} == CODES


def test_a_kind_holds_every_label(found):
    """Each trip shares with B1 exactly the labels whose codes are the same."""
    shared = likeness_of_kind(np.array(found["kind"]), np.array([CODES["B1"]] * 3))
    assert shared.tolist() == [[True] * 5, [False] * 5, [False, True, False, False, False]]
    for kind, codes in zip(found["kind"], CODES.values(), strict=True):
        assert kind == sum((code + 1) * 8**place for place, code in enumerate(codes))


def test_a_label_that_is_not_asked_for_is_shared_by_none_and_hinders_none(found):
    kinds = np.array(found["kind"])
    shared = likeness_of_kind(kinds, np.array([[-1, 0, -1, -1]] * 3))
    assert shared.tolist() == [[False, True, False, False, True], [False] * 5, [False, True, False, False, True]]
    assert not likeness_of_kind(kinds, np.full((3, 4), -1)).any()
