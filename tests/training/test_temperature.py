"""Temperatures of validation weeks in which nothing can be hidden: a warning, and nothing is kept."""

import torch

from retailsim.config import PRESETS
from retailsim.model.basket_model import BasketModel
from retailsim.reading import load_vocabulary
from retailsim.training.samples import load_samples
from retailsim.training.tables import load_tables
from retailsim.training.temperature import KINDS, fit_temperatures, kept_temperatures


def test_validation_baskets_that_hide_nothing_fit_nothing(shop, tmp_path, capsys):
    val, size = load_samples(shop.data, "val"), load_vocabulary(shop.data).size
    alone = val.select(val.columns["n_products"] == 1)
    model, checkpoint = BasketModel(PRESETS["tiny"].model, load_tables(shop.data), size), tmp_path / "best_model.pt"
    checkpoint.write_bytes(b"a model")
    found = fit_temperatures(checkpoint, model, alone, size, 64, torch.device("cpu"))
    assert len(alone) and found == dict.fromkeys(KINDS, 1.0) and kept_temperatures(checkpoint) is None
    assert "no temperature is fitted" in capsys.readouterr().err
