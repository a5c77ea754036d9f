"""One thread, since tensors here are tiny and a second costs more than it gives; a model and baskets for it."""

import numpy as np
import pytest
import torch

from retailsim.model.basket_model import BasketModel
from retailsim.training.dataset import Samples
from tests.small_world import make_model, make_samples, make_tables


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model() -> BasketModel:
    return make_model(make_tables())


@pytest.fixture(scope="module")
def samples() -> Samples:
    return make_samples(np.random.default_rng(1).integers(2, 12, 24))
