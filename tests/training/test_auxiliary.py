"""The rivals of the trip's labels: what they are fitted and chosen on, and when the model beats them (C22, C32)."""

from types import SimpleNamespace

import numpy as np
import pytest

from retailsim.evaluation.intervals import intervals
from retailsim.labels import TRIP_LABELS, UNKNOWN
from retailsim.training import auxiliary
from retailsim.training.auxiliary import LabelRivals, accuracies, fit_rivals, spread
from tests.training.small_protocol import protocol_of, samples_of

BASKETS = 200


def found_for(model, regression, customer, is_replay=False):
    """What is said of mission_type, all of whose labels are 1, where `model` and `regression` are right, [BASKETS]."""
    samples = samples_of([3] * BASKETS)
    samples.columns["is_replay"][:], samples.trip[:] = is_replay, 1
    codes = [np.repeat(np.where(right, 1, 0)[:, None], len(TRIP_LABELS), axis=1) for right in (model, regression)]
    rivals = LabelRivals(np.zeros(len(TRIP_LABELS), dtype=int), codes[1], (3.0, None, None, None))
    return accuracies(codes[0], rivals, protocol_of(samples, customer), seed=5)["mission_type"]


@pytest.mark.parametrize("is_of_one", [False, True])
def test_what_one_customer_decides_is_no_lead(is_of_one):
    """The model is right in all baskets, the regression in all but twenty: those of as many customers, or of one."""
    number = np.arange(BASKETS)
    customer = np.where(number < 20, 0, number) if is_of_one else number
    found = found_for(number >= 0, number >= 20, customer)
    assert (found["accuracy"], found["majority"], found["regression"]) == (1, 0, 0.9)
    low, high = found["leads"]["regression"]
    assert (low == 0) is is_of_one and high > 0.1
    assert found["beats_both"] is not is_of_one and found["penalty"] == 3.0


def test_leads_are_paired_by_customer_and_replays_do_not_count():
    rng = np.random.default_rng(0)
    customer, is_replay = rng.integers(0, 40, BASKETS), rng.random(BASKETS) < 0.3
    model, regression = rng.random(BASKETS) < 0.8, rng.random(BASKETS) < 0.5
    found = found_for(model, regression, customer, is_replay)
    lead = (model.astype(float) - regression)[~is_replay]
    assert tuple(found["leads"]["regression"]) == intervals({"lead": lead}, customer[~is_replay], 5)["lead"]
    assert found["accuracy"] - found["regression"] == pytest.approx(lead.mean()) and found["n"] == len(lead)


def test_a_label_that_nobody_knows_is_beaten_by_nobody():
    found = found_for(np.ones(BASKETS, dtype=bool), np.zeros(BASKETS, dtype=bool), np.arange(BASKETS), is_replay=True)
    assert (found["n"], found["accuracy"], found["beats_both"], found["leads"]) == (0, None, None, {})


@pytest.mark.parametrize("most, kept", [(4, [0, 3, 5, 7]), (7, [0, 2, 3, 4, 5, 6, 7]), (9, [0, 2, 3, 4, 5, 6, 7])])
def test_at_most_so_many_baskets_are_fitted_on(monkeypatch, most, kept):
    """Seven of eight have two products and more."""
    monkeypatch.setattr(auxiliary, "FIT_BASKETS", most)
    assert spread(samples_of([2, 1, 2, 2, 2, 2, 2, 2])).columns["sample"].tolist() == kept


def test_the_regression_is_chosen_on_fresh_validation_baskets(monkeypatch):
    """Of fresh ones with two products and more; a label that no training basket has is not guessed."""
    train, val, asked = samples_of([3, 4] * 20), samples_of([3, 1, 3, 3] * 5, 1), samples_of([2] * 6, 2)
    train.trip[:, 0] = UNKNOWN
    val.columns["is_replay"][3::4] = True
    shown = []

    def fit(known, chosen_on):
        shown.append((known.labels.tolist(), chosen_on.labels.tolist()))
        return SimpleNamespace(penalty=10.0, guess=lambda columns: np.full(columns.shape[0], 2))

    monkeypatch.setattr(auxiliary, "fit_regression", fit)
    found = fit_rivals(train, val, protocol_of(asked))
    usable = (val.columns["n_products"] > 1) & ~val.columns["is_replay"]
    assert usable.sum() == 10
    assert shown == [(train.trip[:, i].tolist(), val.trip[usable, i].tolist()) for i in (1, 2, 3)]
    assert found.penalties == (None, 10.0, 10.0, 10.0)
    assert found.regression.tolist() == [[UNKNOWN, 2, 2, 2]] * 6
