"""The benchmarks run, and what they compare computes the same (C15)."""

import json

import pytest

from benchmarks import attention, loader, training_step

pytestmark = pytest.mark.slow


def test_the_training_step_is_measured(tmp_path):
    path = tmp_path / "step.json"
    flags = ["--preset", "tiny", "--batch-size", "16", "--rounds", "1", "--threads", "1", "--json", str(path)]
    training_step.main([*flags, "--variants", "retailsim", "recurrence", "transformer"])
    record = json.loads(path.read_text())
    assert record["losses"]["recurrence"] == pytest.approx(record["losses"]["retailsim"], rel=1e-5)
    ours, theirs = (record["variants"][name] for name in ("retailsim", "recurrence"))
    assert (
        theirs["flops_per_basket"] > 2 * ours["flops_per_basket"]
    )  # padding, beside what every step pays for the vocabulary
    assert {"commit", "date", "processor", "load", "threads"} <= record.keys()


def test_the_loader_is_measured(tmp_path):
    path = tmp_path / "loader.json"
    loader.main(["--rounds", "1", "--json", str(path)])
    assert set(json.loads(path.read_text())["turns"]) == {"64", "256", "1024"}


def test_attention_is_measured_in_both_precisions(tmp_path):
    path = tmp_path / "attention.json"
    attention.main(["--rounds", "1", "--json", str(path)])
    seconds = json.loads(path.read_text())["seconds"]
    assert seconds.keys() == attention.SHAPES.keys()
    assert all(set(by_precision) == {"float32", "bfloat16"} for by_precision in seconds.values())
