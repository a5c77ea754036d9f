"""The page says no more of a tensor than its interval does."""

from retailsim.report.ablation_section import ablation


def test_an_interval_that_reaches_0_is_no_proof_of_nothing():  # C34 C35
    drop = {"mrr": {"drop": 0.01, "interval": [-0.01, 0.03]}}
    found = {"baskets": 2, "split": "test", "exchanged": {"tensors": {"T4": {"drops": drop, "claim": 0.08}}}}
    section = ablation(found)
    assert "is not told apart from 0" in section.reading
    assert "nothing to this model" not in section.reading
    (exchanged, _) = section.parts[1].data
    assert (exchanged["y"], exchanged["error_y"]["arrayminus"]) == ([1.0], [2.0])
