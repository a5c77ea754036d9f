"""Which row says what was known before a week: a table typed by hand."""

import numpy as np
import pytest

from retailsim.predict.histories import Histories, Known

ROWS = [  # id, as of week, events before it, kind; row numbers 1 … 7
    ("A", 2, 0, "x"),
    ("A", 5, 3, "x"),
    ("A", 9, 4, "x"),
    ("B", 4, 0, None),
    ("C", 3, 0, "x"),
    ("C", 7, 1, "x"),
    ("D", 1, 0, "y"),
]


@pytest.fixture
def histories():
    ids, weeks, events, kinds = zip(*ROWS, strict=True)
    return Histories(ids, np.array(weeks), np.array(events), {"kind": kinds})


@pytest.mark.parametrize(
    "week, known", [(1, None), (2, Known(1, 2)), (4, Known(1, 2)), (8, Known(2, 5)), (99, Known(3, 9))]
)
def test_a_row_of_a_later_week_is_out_of_reach(histories, week, known):  # C19
    assert histories.as_of("A", week) == known


@pytest.mark.parametrize("week, last", [(2, None), (3, 2), (5, 2), (6, 5), (99, 9)])
def test_the_last_event_lies_before_the_week(histories, week, last):  # C19
    assert histories.last_event("A", week) == last


def test_ids_are_told_apart(histories):
    assert "B" in histories and "E" not in histories
    assert histories.as_of("B", 4) == Known(4, 4) and histories.as_of("D", 9) == Known(7, 1)


@pytest.mark.parametrize(
    "kind, week, known",
    [("x", 2, Known(1, 2)), ("x", 9, Known(5, 3)), (None, 9, Known(4, 4)), ("y", 9, Known(7, 1)), ("x", 1, None)],
)
def test_a_newcomer_has_no_events_and_the_labels(histories, kind, week, known):  # C13
    assert histories.newcomer({"kind": kind}, week) == known


def test_the_typical_one_is_nearest_to_the_mean_of_latest_rows(histories):
    vectors = np.zeros((8, 1), np.float32)
    vectors[[2, 3, 6], 0] = 10, 90, 12  # A as of 5 and 9, C as of 7
    vectors[7, 0] = 8
    assert histories.typical({"kind": "x"}, 8, vectors) == ("A", Known(2, 5))  # mean 11: a tie goes to the first
    assert histories.typical({}, 8, vectors) == ("D", Known(7, 1))  # mean of 10, 0, 12 and 8: 7.5
    assert histories.typical({"kind": "y"}, 0, vectors) is None


def test_values_are_sorted_and_known(histories):
    assert histories.values("kind") == ["x", "y"]
