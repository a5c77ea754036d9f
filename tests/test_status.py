"""`retailsim status`: what is current, stale and why, missing; the next command (C39). Works on hard links to a prepared shop."""

import json
import os
import shlex
import shutil
import sys

import pytest

from retailsim import artifacts, cli, status
from retailsim.manifest import fingerprint
from retailsim.run import EVALUATION, STARTED, rivals
from retailsim.training.evaluate import evaluate
from retailsim.training.train import train
from tests import recipe

TILL = """columns:
  basket_id: BASKET_ID
  product_id: PROD_CODE
  date: {column: SHOP_DATE, format: "%Y%m%d"}
  quantity: QUANTITY
"""


@pytest.fixture
def data(shop, tmp_path):
    """A copy of the prepared shop's data root."""
    return shutil.copytree(shop.data, tmp_path / "data")


@pytest.fixture
def say(shop, data, tmp_path, capsys):
    def called(raw=shop.raw, checkpoints=tmp_path):
        flags = ["--input", str(raw), "--data-dir", str(data), "--checkpoint-dir", str(checkpoints)]
        capsys.readouterr()
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


@pytest.mark.parametrize("which", [0, 1])  # the baselines' settings, and their ranks
def test_figures_are_stale_once_the_baselines_beside_them_are_others(say, data, trained, tmp_path, which):
    best, figures = tmp_path / "best_model.pt", tmp_path / EVALUATION.path
    shutil.copyfile(trained / "best_model.pt", best)
    figures.write_text("{}")
    code, found, following = say()
    assert code == 0 and found["evaluate"] == ("current", "") and f"retailsim report {best} " in following
    path = rivals(data)[which]
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    moment = figures.stat().st_mtime + 1
    os.utime(path, (moment, moment))
    code, found, following = say()
    assert code == 0 and found["evaluate"] == ("stale", f"{figures} is older than {path}")
    assert following == f"next: retailsim evaluate {best} --detailed --json {figures} --data-dir {data}"


def test_a_training_that_was_stopped_is_unfinished_and_the_next_command_ends_it(say, trained, tmp_path):
    for name in ("best_model.pt", "epoch_1.pt", "epoch_2.pt", "metrics.jsonl"):
        shutil.copy2(trained / name, tmp_path / name)
    code, found, following = say()
    why = f"{tmp_path / 'epoch_2.pt'} is the newest checkpoint: 2 of 4 epochs are done"
    assert code == 1 and found["train"] == ("unfinished", why)
    assert following.startswith(
        f"next: retailsim train --preset tiny --epochs 4 --resume auto --checkpoint-dir {tmp_path} "
    )
    assert cli.main(shlex.split(following.removeprefix("next: retailsim "))) == 0
    assert say()[:2] == (0, {name: ("current", "") for name in [*map(status.verb_of, status.ROAD), "train"]})


def test_a_training_that_has_saved_nothing_yet_is_unfinished(say, trained, tmp_path):
    """`run` has begun another one in a folder with a model; its first epoch is not done."""
    folder = shutil.copytree(trained, tmp_path / "checkpoints")
    started = folder / STARTED
    started.write_text('{"settings": {"flags": ["--preset", "tiny", "--epochs", "6"]}}')
    moment = (folder / "epoch_4.pt").stat().st_mtime + 1
    os.utime(started, (moment, moment))
    code, found, following = say(checkpoints=folder)
    assert code == 1 and found["train"] == ("unfinished", f"{started} is of a training that has not saved anything yet")
    assert following.startswith(f"next: retailsim train --preset tiny --epochs 6 --checkpoint-dir {folder} ")


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


def test_without_a_checkpoint_pytorch_is_not_loaded(say, monkeypatch):
    monkeypatch.setitem(sys.modules, "retailsim.training.checkpoint", None)  # importing it is an error
    assert say()[1]["train"][0] == "missing"


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
    assert status.training_state(tmp_path, data)[2] == ["--preset", "tiny", "--epochs", "2"]
    findings = tmp_path / "findings.json"
    assert recipe.call("training.validate_data", ["--data-dir", data, "--json", findings], shop) == 1
    assert json.loads(findings.read_text())["findings"][0]["path"] == str(shop.raw)


def test_the_source_is_found_from_any_folder(shop, data, tmp_path, capsys, monkeypatch):
    """A source and a mapping that were named from one folder; there the next command names them so again."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for folder in (home, elsewhere):
        folder.mkdir()
    (home / "raw").symlink_to(shop.raw)
    (home / "till.yaml").write_text(TILL)
    shutil.rmtree(data / "processed")
    monkeypatch.chdir(home)
    flags = ["--input", "raw", "--mapping", "till.yaml", "--data-dir", data]
    assert recipe.call("data_pipeline.run_pipeline", flags, shop) == 0
    for folder, before in ((home, ""), (tmp_path, "home/"), (elsewhere, f"{home}/")):
        monkeypatch.chdir(folder)
        capsys.readouterr()
        status.main(["--data-dir", str(data), "--checkpoint-dir", str(tmp_path)])
        assert capsys.readouterr().out.splitlines()[0].split() == ["run-pipeline", "current"]
        again = status.command_again(artifacts.PIPELINE, status.source_of(data), data)
        assert again == f"run-pipeline --input {before}raw --mapping {before}till.yaml"


def test_the_command_that_an_error_names_mends_the_file(shop, data, tmp_path, capsys, monkeypatch):  # C39
    """From a folder in which raw_data/ is another shop's: without its flags the command would make the data of that."""
    root, path = data.rename(tmp_path / "my data"), tmp_path / "my data" / artifacts.PRICES.path
    monkeypatch.chdir(tmp_path)
    raw = tmp_path / "raw_data"
    raw.mkdir()
    shutil.copy(min(shop.raw.glob("transactions_*.csv")), raw)
    honest = path.read_bytes()
    path.write_bytes(honest[:100] + bytes([honest[100] ^ 1]) + honest[101:])
    again = ["feature_engineering.run_feature_engineering", ["--data-dir", root], shop]
    assert recipe.call(*again) == 2
    said = capsys.readouterr().err
    python, m, module, *flags = shlex.split(said.split('run "')[1].split('" again')[0])
    assert [python, m, module] == ["python", "-m", f"src.{artifacts.PIPELINE}"] and "is not the file" in said
    assert recipe.call(artifacts.PIPELINE, flags, shop) == 0
    assert path.read_bytes() == honest and not (tmp_path / "data").exists()


def test_other_rows_name_the_command_that_takes_them(shop, data, capsys):
    flags = ["--nrows", "500", "--data-dir", data]
    assert recipe.call("feature_engineering.run_feature_engineering", flags, shop) == 2
    pipeline = f"--input {shop.raw} --train-weeks 20 --val-weeks 24 --nrows 500 --data-dir {data}"
    assert f'run "python -m src.{artifacts.PIPELINE} {pipeline}" first' in capsys.readouterr().err


@pytest.fixture
def till(tmp_path):
    """Mapped receipts with a file beside them, and what the pipeline's manifest would say of the two."""
    folder, mapping = tmp_path / "till", tmp_path / "till.yaml"
    folder.mkdir()
    (folder / "orders_1.csv").write_text("BASKET_ID,store\n1,a\n")
    (folder / "stores.csv").write_text("store,region\na,north\n")
    mapping.write_text(TILL + 'files: ["orders_*.csv"]\njoins:\n  - file: stores.csv\n    key: store\n')
    record = {
        "inputs": {file.name: fingerprint(file) for file in folder.iterdir()},
        "settings": {"mapping": mapping.read_text()},
        "command": {"--mapping": str(mapping)},
    }
    status._print_of.cache_clear()
    return folder, mapping, record


@pytest.mark.parametrize("name", ["", "orders_1.csv"])  # the folder, or the file in it
def test_mapped_files_are_those_that_the_pipeline_would_read(till, name):
    folder, mapping, record = till
    (folder / "transactions_notes.txt").write_text("no receipts")
    assert status.changed_source(record, folder / name) is None
    (folder / "stores.csv").write_text("store,region\na,south\n")
    status._print_of.cache_clear()
    assert status.changed_source(record, folder / name) == f"{folder / 'stores.csv'} has changed"
    mapping.write_text(mapping.read_text() + "# edited\n")
    assert status.changed_source(record, folder / name) == f"the mapping {mapping} has changed"
    mapping.unlink()
    assert f"--mapping {mapping} is no file" in status.changed_source(record, folder / name)


def test_a_new_file_that_the_mapping_names_is_new(till):
    folder, _, record = till
    (folder / "orders_2.csv").write_text("BASKET_ID,store\n2,a\n")
    assert status.changed_source(record, folder) == f"{folder / 'orders_2.csv'} is new"
    assert status.changed_source(record, folder / "orders_1.csv") is None
    assert status.changed_source(record, folder / "orders_2.csv") == f"{folder / 'orders_2.csv'} is new"


def test_notes_beside_the_receipts_are_not_new(say, shop, tmp_path):
    raw = shutil.copytree(shop.raw, tmp_path / "raw")
    (raw / "transactions_notes.md").write_text("no receipts")
    assert say(raw=raw)[1]["run-pipeline"] == ("current", "")


def test_paths_with_a_space_are_quoted(say, data, tmp_path, capsys):
    (data / artifacts.SCALERS.path).unlink()
    root = data.rename(tmp_path / "my data")
    status.main(["--data-dir", str(root), "--checkpoint-dir", str(tmp_path)])
    assert capsys.readouterr().out.splitlines()[-1] == f"next: retailsim run-tensor-preparation --data-dir '{root}'"
    status.warn_of_stale(root)
    assert f"\"retailsim status --data-dir '{root}'\"" in capsys.readouterr().err


def test_a_changed_program_makes_everything_stale(say, monkeypatch):
    monkeypatch.setattr(status, "code_fingerprint", lambda: "another")
    code, found, _ = say()
    assert code == 1 and found["run-pipeline"] == ("stale", "the program has changed")


def test_an_empty_root(say, data):
    shutil.rmtree(data)
    code, found, following = say()
    assert code == 1 and {state for state, _ in found.values()} == {"missing", "stale"}
    assert found["train"][0] == "missing" and "retailsim run-pipeline" in following
