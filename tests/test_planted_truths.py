"""The truths that the synthetic retailer planted are found again, over the whole road (C6, C7, C8, C33)."""

import json

import pytest

from benchmarks import planted_truths
from tests import recipe

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def retailer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("retailer")
    raw, root = planted_truths.make(folder)
    return recipe.Shop(raw, root, folder / "checkpoints")


def test_promotions_are_found(retailer):  # C7
    found = planted_truths.promotions(retailer.raw, retailer.data)
    assert found["planted"] > 300 and found["precision"] > 0.85 and found["recall"] > 0.7


def test_substitution_edges_hit_substitutes(retailer):  # C7
    found = planted_truths.substitutes(retailer.raw, retailer.data)
    assert found["planted"] == 75 and found["precision"] > 0.7 and found["recall"] > 0.4


def test_complements_are_neighbours(retailer):  # C8
    found = planted_truths.complements(retailer.raw, retailer.data)
    assert found["planted"] == 27 and found["among_nearest"] > 0.5 and found["by_chance"] < 0.05


def test_the_model_beats_popularity_and_personal_frequency(retailer):  # C33
    for module, flags in recipe.PREPARATION[2:]:
        assert recipe.call(module, [*flags, "--data-dir", retailer.data], retailer) == 0
    short = ["--epochs", "1", "--warmup-epochs", "0", "--finetune-epochs", "0", "--batch-size", "64"]
    paths = ["--data-dir", retailer.data, "--checkpoint-dir", retailer.checkpoints]
    assert recipe.call("training.train", ["--preset", "tiny", *short, "--mask-prob", "0.3", *paths], retailer) == 0
    path = retailer.checkpoints / "evaluation.json"
    best = retailer.checkpoints / "best_model.pt"
    assert recipe.call("training.evaluate", [best, "--json", path, "--data-dir", retailer.data], retailer) == 0
    record = json.loads(path.read_text())
    model = record["views"]["fresh"]["trip_unknown"]["mrr"]
    for name in ("popularity", "recent popularity", "personal frequency"):
        assert model > record["baselines"][name]["mrr"], name
