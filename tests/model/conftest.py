"""A model and baskets for it."""

import numpy as np
import pytest

from retailsim.model.basket_model import BasketModel
from retailsim.training.samples import Samples
from tests.small_world import make_model, make_samples, make_tables


@pytest.fixture(scope="module")
def model() -> BasketModel:
    return make_model(make_tables())


@pytest.fixture(scope="module")
def samples() -> Samples:
    return make_samples(np.random.default_rng(1).integers(2, 12, 24))
