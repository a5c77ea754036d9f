"""C12, C13: what kind of trip: fixed orthogonal codes, unknown is zero."""

import numpy as np

from retailsim.labels import TRIP_LABELS
from retailsim.layout import T6
from retailsim.tensor_preparation.t6_trip import trip_tables


def test_codes_are_orthogonal_and_unknown_is_zero():
    for table, (label, names) in zip(trip_tables(), TRIP_LABELS.items(), strict=True):
        assert table.dtype == np.float32 and table.shape == (len(names) + 1, 48)
        assert (table[0] == 0).all()
        width = T6.widths[label]
        assert (table[1:] @ table[1:].T == width * np.eye(len(names))).all()
        assert (np.abs(table[1:, T6[label]]) == 1).all()  # every column is used
        outside = np.delete(table, np.r_[T6[label]], axis=1)
        assert (outside == 0).all()


def test_each_combination_is_a_sum_of_its_own():
    """From the sum of the four rows each label can be read off by its codes."""
    tables, rng = trip_tables(), np.random.default_rng(0)
    for _ in range(20):
        codes = [int(rng.integers(0, len(table))) for table in tables]
        t6 = sum(table[code] for table, code in zip(tables, codes, strict=True))
        for table, code, label in zip(tables, codes, TRIP_LABELS, strict=True):
            agreement = table @ t6 / T6.widths[label]
            assert agreement.tolist() == [float(code > 0 and row == code) for row in range(len(table))]


def test_codes_are_the_same_every_time():  # C13, C40
    for a, b in zip(trip_tables(), trip_tables(), strict=True):
        assert (a == b).all()
    assert trip_tables()[3][1, T6["basket_size"]].tolist() == [1, -1, 1, -1, 1, -1, 1, -1]
