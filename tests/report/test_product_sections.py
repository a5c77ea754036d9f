"""The map's arithmetic: principal axes and nearest neighbours, found by hand."""

import numpy as np
import pytest

from retailsim.report.product_sections import nearest, project


def test_the_axes_are_those_of_largest_variance():
    vectors = np.array([[-3.0, 0, 0], [3, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, 0.1], [0, 0, -0.1]])
    places, share = project(vectors)
    assert places == pytest.approx(np.array([[-3, 0], [3, 0], [0, -1], [0, 1], [0, 0], [0, 0]]), abs=1e-9)
    assert share == pytest.approx((18 + 2) / (18 + 2 + 0.02))


def test_the_nearest_are_those_of_least_angle_and_never_oneself():
    angles = np.radians([0, 10, 30, 100])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array([[1], [5], [2], [9]])
    assert nearest(vectors, 2).tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
