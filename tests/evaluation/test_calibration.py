import numpy as np
import pytest
import torch

from retailsim.evaluation import calibration
from retailsim.evaluation.calibration import Bin
from retailsim.training.report_tables import calibration_lines


def drawn(temperature, places=20_000, products=12):
    """Logits, and targets drawn from softmax(logits / temperature); product 0 never competes."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(places, products, generator=generator)
    excluded = torch.zeros(places, products, dtype=torch.bool)
    excluded[:, 0] = True
    logits = calibration.competing(logits, excluded)
    target = torch.multinomial(torch.softmax(logits / temperature, dim=1), 1, generator=generator)[:, 0]
    return logits, target


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_planted_temperature_is_found(temperature):  # C32
    assert calibration.fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.03)


def test_the_temperature_makes_confidence_believable():
    logits, target = drawn(2.5)
    is_hit = (logits.argmax(1) == target).numpy()
    before, after = (calibration.confidence(logits, t) for t in (1.0, calibration.fit_temperature(logits, target)))
    assert calibration.ece(calibration.reliability(before, is_hit)) > 0.2
    assert calibration.ece(calibration.reliability(after, is_hit)) < 0.015
    assert calibration.brier(after, is_hit) < calibration.brier(before, is_hit)


def test_confidence_is_the_share_among_what_competes():
    logits = torch.tensor([[1.0, 2.0, 3.0, 100.0]])
    left = calibration.competing(logits, torch.tensor([[False, False, False, True]]))
    e = np.exp
    assert calibration.confidence(left, 1.0) == pytest.approx([e(3) / (e(1) + e(2) + e(3))])
    assert calibration.confidence(left, 2.0) == pytest.approx([e(1.5) / (e(0.5) + e(1) + e(1.5))])


def test_reliability_ece_and_brier_by_hand():
    confidence, is_hit = np.array([0.9, 0.1, 0.3, 0.7, 0.5]), np.array([True, False, True, True, False])
    table = calibration.reliability(confidence, is_hit, bins=2)
    assert table == [Bin(3, pytest.approx(0.3), pytest.approx(1 / 3)), Bin(2, pytest.approx(0.8), 1.0)]
    assert calibration.ece(table) == pytest.approx((3 * (1 / 3 - 0.3) + 2 * 0.2) / 5)
    assert calibration.brier(confidence, is_hit) == pytest.approx((0.01 + 0.01 + 0.49 + 0.09 + 0.25) / 5)


@pytest.mark.parametrize("n", [40, 250, 5000])
@pytest.mark.parametrize("likely", [0.07, 0.3])
def test_the_error_by_chance_is_that_of_exact_probabilities(n, likely):  # C32
    generator = np.random.default_rng(0)
    confidence = generator.beta(2, 2 / likely - 2, n)
    tables = [calibration.reliability(confidence, generator.random(n) < confidence) for _ in range(300)]
    simulated = np.mean([calibration.ece(table) for table in tables])
    assert calibration.ece_by_chance(tables[0]) == pytest.approx(simulated, rel=0.12 if n == 40 else 0.04)


@pytest.mark.parametrize("too_sure", [-0.03, 0.0, 0.03])
def test_an_error_to_one_side_is_told_from_chance(too_sure):  # C32
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.1, 0.4, 20_000)
    found = calibration.summary(confidence, generator.random(20_000) < confidence - too_sure)
    assert found["too_sure"] == pytest.approx(too_sure, abs=0.006)
    assert found["ece_by_chance"] == pytest.approx(0.009, abs=0.001)
    if too_sure:
        assert found["ece"] == pytest.approx(abs(found["too_sure"]), rel=0.1)
        assert found["ece"] > 2 * found["ece_by_chance"]
    else:
        assert found["ece"] < 1.5 * found["ece_by_chance"]


def test_evaluate_prints_the_error_beside_chance_and_its_side():  # C32
    confidence = np.full(100, 0.3)
    before, after = (calibration.summary(confidence, np.arange(100) < hits) for hits in (20, 40))
    record = {"calibration": {"trip_unknown": {"temperature": 1.25, "before": before, "after": after}}}
    (line,) = calibration_lines(record, "trip_unknown", is_detailed=False)
    chance = f"{before['ece_by_chance']:.4f} by chance alone"
    first, second = line.split("; at temperature 1.250")
    assert chance in first and "said − right +0.1000, Brier 0.1700" in first
    assert chance in second and "said − right -0.1000, Brier 0.2500" in second


def test_nothing_to_judge():
    nothing = np.empty(0)
    found = calibration.summary(nothing, nothing.astype(bool))
    assert found.pop("reliability") == [] and set(found.values()) == {None}
    judged = calibration.summary(np.array([0.5]), np.array([True]))
    assert found.keys() == judged.keys() - {"reliability"} and None not in judged.values()
    with pytest.raises(ValueError, match="at least one"):
        calibration.fit_temperature(torch.empty(0, 3), torch.empty(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="compete"):
        calibration.fit_temperature(torch.tensor([[0.0, -torch.inf]]), torch.tensor([1]))
