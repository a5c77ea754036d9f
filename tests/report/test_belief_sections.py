"""The page says how far probabilities can be believed beside what chance alone does."""

import numpy as np
import pytest

from retailsim.evaluation.calibration import summary
from retailsim.report.belief_sections import calibration


def told(before, after):
    """The sentence above the figure."""
    record = {"temperature": 1.5, "before": before, "after": after}
    return calibration({"calibration": {"trip_unknown": record}}).parts[0]


@pytest.mark.parametrize("hits, side", [(20, "10.00 too sure on the mean"), (40, "10.00 too modest on the mean")])
def test_the_distance_stands_beside_that_of_chance_and_its_side(hits, side):  # C35
    found = summary(np.full(100, 0.3), np.arange(100) < hits)
    exact = summary(np.full(100, 0.3), np.arange(100) < 30)
    distance = (
        f"{100 * found['ece']:.2f} percentage points ({100 * found['ece_by_chance']:.2f} by chance alone), {side}"
    )
    assert f"as the model says, {distance}; after temperature scaling" in told(found, exact)


def test_an_evaluation_of_an_earlier_version_has_the_distance_only():
    earlier = {"ece": 0.0125, "brier": 0.1, "reliability": []}
    assert told(earlier, earlier).endswith(
        "as the model says, 1.25 percentage points; after temperature scaling, 1.25 percentage points.</p>"
    )
