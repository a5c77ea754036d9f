"""`validate_data`: what is sound, what is damaged or missing, and which command mends it (C4, C28, C39)."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retailsim import artifacts
from retailsim.manifest import Manifest
from retailsim.run import BEST, TRAIN
from tests import recipe


@pytest.fixture
def checked(shop, trained, tmp_path):
    """Exit code and findings by path of the command on a copy of the shop, after `damage` was done to it."""

    def run(damage=lambda data, checkpoints: None):
        copy = recipe.Shop(shop.raw, tmp_path / "data", tmp_path / "checkpoints")
        shutil.copytree(shop.data, copy.data)
        copy.checkpoints.mkdir()
        shutil.copy(trained / "best_model.pt", copy.checkpoints)
        damage(copy.data, copy.checkpoints)
        flags = ["--input", "RAW", "--data-dir", copy.data, "--checkpoint-dir", copy.checkpoints]
        code = recipe.call("training.validate_data", [*flags, "--json", tmp_path / "found.json"], copy)
        record = json.loads((tmp_path / "found.json").read_text())
        return code, {found["path"]: found for found in record["findings"]}

    return run


def flip(path):
    """Change one byte in the middle of the file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def test_a_finished_road_is_sound(checked):
    code, findings = checked()
    assert code == 0 and all(found["sound"] for found in findings.values())
    assert {artifact.path for artifact in artifacts.ALL} <= {path.removeprefix("data/") for path in findings} | set(
        findings
    )


def test_a_checkpoint_of_other_product_embeddings_is_a_fault(checked):
    def other(data, checkpoints):
        products = artifacts.PRODUCT_CACHE.read(data)
        artifacts.PRODUCT_CACHE.write(data, products[:, ::-1])

    code, findings = checked(other)
    found = next(found for path, found in findings.items() if path.endswith("best_model.pt"))
    assert code == 1 and "other product embeddings" in found["finding"] and "training.train" in found["repair"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_counted(checked, value):
    """NaN is in no column's least and most values, by which an engine may judge."""
    table, column = artifacts.AFFINITY, "concentration"

    def damage(data, checkpoints):
        rows = table.load(data)
        broken = pa.array([value, value, *rows[column].to_pylist()[2:]], rows[column].type)
        pq.write_table(rows.set_column(rows.column_names.index(column), column, broken), data / table.path)

    _, findings = checked(damage)
    (found,) = [found for path, found in findings.items() if path.endswith(table.path)]
    assert "holds 2 numbers that are not finite in column" in found["finding"]


def test_every_damaged_file_is_found_and_the_command_named(checked):
    missing = artifacts.PRICE_CACHE

    def damage(data, checkpoints):
        for artifact in artifacts.ALL:
            flip(data / artifact.path)
        (data / missing.path).unlink()
        flip(checkpoints / "best_model.pt")

    code, findings = checked(damage)
    assert code == 1
    for artifact in artifacts.ALL:
        found = next(found for path, found in findings.items() if path.endswith(artifact.path))
        assert not found["sound"] and artifact.written_by in found["repair"], artifact.path
    checkpoint = next(found for path, found in findings.items() if path.endswith("best_model.pt"))
    assert not checkpoint["sound"] and "training.train --checkpoint-dir" in checkpoint["repair"]


def test_a_damaged_checkpoint_of_a_run_is_trained_with_its_flags(checked):
    def damage(data, checkpoints):
        flip(checkpoints / "best_model.pt")
        flags = {"flags": ["--preset", "tiny", "--epochs", "4"]}
        Manifest(TRAIN, checkpoints, [], flags, [BEST]).write()

    repair = next(found["repair"] for path, found in checked(damage)[1].items() if path.endswith("best_model.pt"))
    assert repair.startswith("python -m src.training.train --preset tiny --epochs 4 --checkpoint-dir ")
