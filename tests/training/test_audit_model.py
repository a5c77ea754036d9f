"""C24: the audit's rules on a model, each green on the code as it is and red with its leak put back."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from retailsim.config import PRESETS
from retailsim.training import dataset, objective
from retailsim.training.audit_model import label_rule, target_rule
from retailsim.training.losses import auxiliary_losses
from retailsim.training.masking import Masking
from retailsim.vocab import Vocabulary
from tests.small_world import ROWS, SPECIALS, VOCAB_SIZE, make_model, make_samples, make_tables
from tests.test_no_leak import ShownTrip, leave_paid_price, look_up_before_masking, stand_in_product_order

CONFIG = PRESETS["tiny"]
PLACES = np.arange(96)


@pytest.fixture(scope="module")
def model():
    return make_model(make_tables())


@pytest.fixture(scope="module")
def samples():
    return make_samples(np.random.default_rng(5).integers(2, 15, 96))


@pytest.fixture(scope="module")
def vocabulary():
    products = [f"P{i:03d}" for i in range(VOCAB_SIZE - SPECIALS)]
    return Vocabulary(products, [f"Q{i}" for i in range(ROWS - VOCAB_SIZE)])


def targets(model, samples, vocabulary):
    return target_rule(model, "a model", samples, PLACES, vocabulary)


def labels(model, samples):
    return label_rule(model, CONFIG, "a model", samples, PLACES, VOCAB_SIZE)


def test_nothing_shows_a_hidden_product(model, samples, vocabulary):  # C20
    finding = targets(model, samples, vocabulary)
    assert finding.state == "pass" and "96 baskets under a model" in finding.evidence
    count = sum(
        len(dataset.make_batch(samples, PLACES, masking).targets)
        for masking in (
            Masking(VOCAB_SIZE, is_evaluation=True),
            Masking(VOCAB_SIZE, epoch=1),
            Masking(VOCAB_SIZE, epoch=1, open_share=1.0),
        )
    )
    changed = int(finding.evidence.split("; ")[1].split()[0])
    assert 0.8 * count < changed < count  # a tenth of training's hidden products stand in their places


@pytest.mark.parametrize(
    "leak, moves",
    [
        (leave_paid_price, "input paid"),
        (look_up_before_masking, "input ids"),
        (stand_in_product_order, "input places"),
    ],
)
def test_a_batch_that_shows_a_hidden_product_fails(model, samples, vocabulary, monkeypatch, leak, moves):  # C20
    monkeypatch.setattr(dataset, "make_batch", leak)
    finding = targets(model, samples, vocabulary)
    assert finding.state == "fail" and any(example.startswith(moves) for example in finding.examples)


def test_an_input_that_is_added_is_audited_too(model, samples, vocabulary, monkeypatch):  # C20
    """A leak through a field that the rule does not know by name: the hour says what is hidden."""
    honest = dataset.make_batch

    def leaky(samples, rows, masking):
        batch = honest(samples, rows, masking)
        first = torch.zeros_like(batch.hour)
        first[batch.places // batch.ids.shape[1]] = batch.targets
        return replace(batch, hour=first % 24)

    monkeypatch.setattr(dataset, "make_batch", leaky)
    finding = targets(model, samples, vocabulary)
    assert finding.state == "fail" and {"input hour (evaluation)", "t3 (evaluation)"} <= set(finding.examples)


def test_a_basket_without_hidden_products_is_no_proof(model, samples, vocabulary, monkeypatch):
    monkeypatch.setattr("retailsim.training.audit_model.with_other_hidden", lambda samples, *rest: samples)
    assert targets(model, samples, vocabulary).state == "not run"


def test_nothing_shows_a_hidden_trip(model, samples):  # C22
    finding = labels(model, samples)
    assert finding.state == "pass" and "hidden trips do count" in finding.evidence


def test_a_shown_trip_that_counts_fails(samples):  # C22
    tables = make_tables()
    broken = make_model(tables)
    shown = ShownTrip(tables)
    shown.load_state_dict(broken.lookup.state_dict())
    broken.lookup = shown
    finding = labels(broken, samples)
    assert finding.state == "fail" and "t6 of a hidden trip" in finding.examples


def test_a_loss_that_counts_shown_trips_fails(model, samples, monkeypatch):  # C22
    def everything(trip_logits, labels, hide_trip, *totals):
        return auxiliary_losses(trip_logits, labels, torch.ones_like(hide_trip), *totals)

    monkeypatch.setattr(objective, "auxiliary_losses", everything)
    finding = labels(model, samples)
    assert finding.state == "fail" and "loss of basket_size counts a shown trip" in finding.examples
