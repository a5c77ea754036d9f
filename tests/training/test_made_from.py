"""C28: a checkpoint is used on the data it was trained on, or refused; the same vocabulary alone is not the same data."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from retailsim.errors import UserError
from retailsim.training import checkpoint
from retailsim.training.made_from import digest, model_of, refuse_other_products, sketch
from tests.small_world import VOCAB_SIZE, make_samples, make_tables
from tests.training.small_training import small_vocabulary, train_small


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    train_small(folder)
    return folder / "epoch_2.pt"


def test_other_embeddings_of_the_same_products_are_refused(trained, tmp_path):
    tables, state = make_tables(), checkpoint.load(trained, small_vocabulary())
    ours = model_of(trained, state, tables, small_vocabulary())
    assert torch.equal(ours.lookup.product, tables.product)
    other = replace(tables, product=tables.product[torch.randperm(len(tables.product))])
    with pytest.raises(UserError, match=r"epoch_2.pt was trained on other product embeddings than the data's"):
        model_of(trained, state, other, small_vocabulary())
    with pytest.raises(UserError, match="--resume: the checkpoint was trained on other product embeddings"):
        train_small(tmp_path, trained, tables=other)


def test_rounding_and_late_products_are_no_other_embeddings():
    """Another processor's last digits, and products that come after the training weeks, leave a checkpoint usable."""
    tables = make_tables()
    state = {"products": sketch(tables.product, VOCAB_SIZE)}
    rounded = tables.product * (1 + 1e-3 * torch.randn_like(tables.product))
    rounded[VOCAB_SIZE:] = 1.0
    assert len(rounded) > VOCAB_SIZE
    refuse_other_products("a.pt", state, rounded, VOCAB_SIZE)


def test_a_training_does_not_go_on_with_other_baskets(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.training.small_training.BASKETS", 149)
    with pytest.raises(UserError, match="--resume: the training baskets are not those of the checkpoint"):
        train_small(tmp_path, trained)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["customer_row", "week"])
def test_the_digest_sees_what_baskets_are_looked_up_by(name):
    samples = make_samples(np.full(20, 3))
    moved = replace(samples, columns={**samples.columns, name: samples.columns[name][::-1].copy()})
    assert digest(samples) == digest(make_samples(np.full(20, 3))) != digest(moved)
