"""C40: the losses of a short training, digit for digit. A refactoring leaves them; a change of results says so.

To store new ones, when a change of results is meant: `GOLDEN=write .venv/bin/pytest tests/training/test_golden_losses.py`,
and say in the commit why they moved.
"""

import json
import os
from dataclasses import asdict

import pytest

from tests.training.small_training import GOLDEN, this_platform, train_small, write_golden


def test_the_losses_are_those_that_were_stored(tmp_path):
    if os.environ.get("GOLDEN") == "write":
        write_golden(tmp_path / "written")
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    found = [asdict(report) for report in train_small(tmp_path)]
    if golden["platform"] == this_platform():
        assert found == golden["epochs"]
    for here, there in zip(found, golden["epochs"], strict=True):  # elsewhere sums are rounded otherwise
        assert here["parts"] == pytest.approx(there["parts"], rel=2e-3)
        assert here["val_loss"] == pytest.approx(there["val_loss"], rel=2e-3)
