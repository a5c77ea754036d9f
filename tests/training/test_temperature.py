"""Temperatures belong to a checkpoint and its validation weeks; where those hide nothing, none are kept."""

import json
import shutil

import numpy as np
import torch

from retailsim.artifacts import SAMPLE_TABLES
from retailsim.config import PRESETS
from retailsim.model.basket_model import BasketModel
from retailsim.reading import load_vocabulary
from retailsim.training import temperature
from retailsim.training.samples import load_samples
from retailsim.training.tables import load_tables
from retailsim.training.temperature import KINDS, fit_temperatures, kept_temperatures


def test_validation_baskets_that_hide_nothing_fit_nothing(shop, tmp_path, capsys):
    val, size = load_samples(shop.data, "val"), load_vocabulary(shop.data).size
    alone = val.select(val.columns["n_products"] == 1)
    model, checkpoint = BasketModel(PRESETS["tiny"].model, load_tables(shop.data), size), tmp_path / "best_model.pt"
    checkpoint.write_bytes(b"a model")
    found = fit_temperatures(checkpoint, shop.data, model, alone, size, 64, torch.device("cpu"))
    assert len(alone) and found == dict.fromkeys(KINDS, 1.0) and kept_temperatures(checkpoint, shop.data) is None
    assert "no temperature is fitted" in capsys.readouterr().err


def test_no_more_baskets_are_fitted_on_than_are_asked_for(shop, tmp_path, monkeypatch):
    val, size = load_samples(shop.data, "val"), load_vocabulary(shop.data).size
    model, checkpoint = BasketModel(PRESETS["tiny"].model, load_tables(shop.data), size), tmp_path / "best_model.pt"
    checkpoint.write_bytes(b"a model")
    n = int(np.sum(val.columns["n_products"] >= 2))
    monkeypatch.setattr(temperature, "BASKETS", n - 1)
    fit_temperatures(checkpoint, shop.data, model, val, size, 64, torch.device("cpu"))
    assert json.loads(temperature.temperature_path(checkpoint).read_text())["baskets"] == (n + 1) // 2


def test_another_validation_split_does_not_inherit_them(shop, tmp_path):
    """The same training weeks, hence the same vocabulary and a checkpoint that loads, with other validation weeks."""
    val, size = load_samples(shop.data, "val"), load_vocabulary(shop.data).size
    model, checkpoint = BasketModel(PRESETS["tiny"].model, load_tables(shop.data), size), tmp_path / "best_model.pt"
    checkpoint.write_bytes(b"a model")
    found = fit_temperatures(checkpoint, shop.data, model, val, size, 64, torch.device("cpu"))
    assert kept_temperatures(checkpoint, shop.data) == found and set(found.values()) != {1.0}
    other = tmp_path / SAMPLE_TABLES["val"].path
    other.parent.mkdir(parents=True)
    shutil.copy(SAMPLE_TABLES["test"].at(shop.data), other)
    assert kept_temperatures(checkpoint, tmp_path) is None
