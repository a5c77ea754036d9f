"""A predictor of the trained model on the small synthetic shop, and the shop's ids."""

import shutil

import pytest

from retailsim.predict import Predictor
from retailsim.training.samples import load_samples


@pytest.fixture(scope="session")
def trained(trained, tmp_path_factory):
    """The best checkpoint in a folder of its own: no evaluation of another test leaves its temperatures beside it."""
    folder = tmp_path_factory.mktemp("checkpoints")
    shutil.copy(trained / "best_model.pt", folder)
    return folder


@pytest.fixture(scope="session")
def predictor(shop, trained):
    return Predictor.load(trained / "best_model.pt", shop.data)


@pytest.fixture(scope="session")
def samples(shop):
    return load_samples(shop.data, "val")
