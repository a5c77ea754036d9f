"""`retailsim status`: what is current, stale and why, missing; the next command (C39). Works on hard links to a prepared shop."""

import json
import os
import shutil

import pytest

from retailsim import artifacts, status
from retailsim.run import EVALUATION
from retailsim.training.evaluate import evaluate
from retailsim.training.train import train
from tests import recipe


@pytest.fixture
def data(shop, tmp_path):
    """A copy of the prepared shop's data root."""
    return shutil.copytree(shop.data, tmp_path / "data")


@pytest.fixture
def say(shop, data, tmp_path, capsys):
    def called(raw=shop.raw, checkpoints=tmp_path):
        flags = ["--input", str(raw), "--data-dir", str(data), "--checkpoint-dir", str(checkpoints)]
        code = status.main(flags)
        out = capsys.readouterr().out
        *lines, following = (line.split(maxsplit=2) for line in out.splitlines())
        found = {verb: (state, *(why or [""])) for verb, state, *why in lines}
        return code, found, " ".join(following)

    return called


def test_all_is_current_up_to_the_model(say, data, shop, trained):
    code, found, following = say(checkpoints=trained)
    assert code == 0 and found == {name: ("current", "") for name in [*map(status.verb_of, status.ROAD), "train"]}
    assert following == f"next: retailsim evaluate {trained / 'best_model.pt'} --data-dir {data}"


@pytest.mark.parametrize("later, verb", [(1, "report"), (-1, "evaluate")])  # trained again: evaluate again
def test_after_run_has_evaluated_comes_the_report(say, trained, tmp_path, later, verb):
    shutil.copyfile(trained / "best_model.pt", tmp_path / "best_model.pt")
    figures = tmp_path / EVALUATION.path
    figures.write_text("{}")
    moment = (tmp_path / "best_model.pt").stat().st_mtime + later
    os.utime(figures, (moment, moment))
    assert say()[2].startswith(f"next: retailsim {verb} {tmp_path / 'best_model.pt'}")


def test_who_trains_or_evaluates_is_warned_of_what_is_stale(data, trained, tmp_path, capsys):
    status.warn_of_stale(data)
    assert capsys.readouterr().err == ""
    path = data / artifacts.PRICE_FEATURES.path
    path.write_bytes(path.read_bytes() + b" ")
    for command in (
        lambda: train(
            preset="tiny", epochs=1, warmup_epochs=0, finetune_epochs=0, data_dir=data, checkpoint_dir=tmp_path
        ),
        lambda: evaluate(trained / "best_model.pt", data_dir=data),
    ):
        command()
        said = capsys.readouterr().err
        assert "warning: run-feature-engineering is not current (" in said
        assert f"{path} has changed" in said and f'"retailsim status --data-dir {data}"' in said


def test_what_is_missing_comes_next_and_what_follows_is_stale(say, data):
    (data / artifacts.SCALERS.path).unlink()
    code, found, following = say()
    assert code == 1 and following.startswith("next: retailsim run-tensor-preparation --data-dir")
    assert [state for state, _ in found.values()] == ["current", "current", "missing", "stale", "stale", "missing"]
    assert "scalers.json is missing" in found["run-tensor-preparation"][1]
    assert found["prepare-samples"][1] == "an earlier stage is not current"


def test_a_changed_file_is_stale_by_name(say, data):
    path = data / artifacts.PSEUDO_BRANDS.path
    path.write_bytes(path.read_bytes() + b" ")
    code, found, _ = say()
    assert code == 1 and found["run-feature-engineering"][0] == "stale"
    assert "pseudo_brands.parquet has changed since it was written" in found["run-feature-engineering"][1]


@pytest.mark.parametrize("change, why", [("new", "is new"), ("other", "has changed"), ("gone", "was read and is gone")])
def test_raw_files_are_compared(say, shop, tmp_path, change, why):
    raw = shutil.copytree(shop.raw, tmp_path / "raw")
    first = min(raw.glob("transactions_*.csv"))
    if change == "gone":
        first.unlink()
    else:
        (raw / "transactions_209901.csv" if change == "new" else first).write_text("x")
    code, found, following = say(raw=raw)
    assert code == 1 and found["run-pipeline"][0] == "stale" and found["run-pipeline"][1].endswith(why)
    assert following.startswith(f"next: retailsim run-pipeline --input {raw}")


def test_the_next_command_is_that_of_the_last_time(shop, data, tmp_path, capsys):
    """Source, mapping and weeks need not be told again."""
    weeks = ["--train-weeks", "20", "--val-weeks", "24"]
    assert recipe.call("data_pipeline.run_pipeline", ["--input", "RAW", *weeks, "--data-dir", data], shop) == 0
    (data / artifacts.PRICES.path).unlink()
    (tmp_path / "train.manifest.json").write_text('{"settings": {"flags": ["--preset", "tiny", "--epochs", "2"]}}')
    capsys.readouterr()
    assert status.main(["--data-dir", str(data), "--checkpoint-dir", str(tmp_path)]) == 1
    (following,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next: ")]
    assert following == f"next: retailsim run-pipeline --input {shop.raw} {' '.join(weeks)} --data-dir {data}"
    assert status.train_again(tmp_path) == f"train --preset tiny --epochs 2 --checkpoint-dir {tmp_path}"
    findings = tmp_path / "findings.json"
    assert recipe.call("training.validate_data", ["--data-dir", data, "--json", findings], shop) == 1
    assert json.loads(findings.read_text())["findings"][0]["path"] == str(shop.raw)


def test_a_changed_program_makes_everything_stale(say, monkeypatch):
    monkeypatch.setattr(status, "code_fingerprint", lambda: "another")
    code, found, _ = say()
    assert code == 1 and found["run-pipeline"] == ("stale", "the program has changed")


def test_an_empty_root(say, data):
    shutil.rmtree(data)
    code, found, following = say()
    assert code == 1 and {state for state, _ in found.values()} == {"missing", "stale"}
    assert "retailsim run-pipeline" in following
