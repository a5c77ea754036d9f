"""`retailsim run`: the commands in order, what is current left out, a stopped training gone on with (C39)."""

import importlib
import os
import subprocess
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest

from retailsim import artifacts, run
from retailsim.weeks import Calendar


@pytest.fixture
def road(tmp_path, monkeypatch):
    """Commands that write their manifests' stand-ins only; gives the calls as (verb, flags)."""
    calls, codes, bytes_of, stopped_after, weeks = [], {}, {}, [], [117]

    def pretend(name):
        stage = name.removeprefix("retailsim.")

        def main(words):
            calls.append((stage.split(".")[-1], words))
            code = codes.get(stage, 0)
            if code == 0:
                write(stage)
            if stage == run.TRAIN and code == 0 and not stopped_after:
                (tmp_path / "checkpoints" / f"epoch_{words[words.index('--epochs') + 1]}.pt").write_text("")
            return code

        return SimpleNamespace(main=main)

    def write(stage):
        if stage == artifacts.PIPELINE:
            artifacts.CALENDAR.write(tmp_path / "data", Calendar(date(2006, 4, 10), weeks[0]).to_json())
        paths = {
            artifacts.SAMPLES: ["data/training/prepare_samples.manifest.json"],
            artifacts.CACHE: ["data/training/cache/prepare_tensor_cache.manifest.json"],
            run.TRAIN: ["checkpoints/best_model.pt"],
            run.EVALUATE: ["checkpoints/evaluation_test.json", "data/evaluation/baselines_test.manifest.json"],
        }
        for path in paths.get(stage, []):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(bytes_of.get(stage, stage))

    monkeypatch.setattr(importlib, "import_module", pretend)
    flags = [
        "--data-dir",
        str(tmp_path / "data"),
        "--checkpoint-dir",
        str(tmp_path / "checkpoints"),
        "--preset",
        "tiny",
    ]

    def called(*more):
        calls.clear()
        return run.main([*flags, *map(str, more)]), [verb for verb, _ in calls], [words for _, words in calls]

    return SimpleNamespace(
        call=called,
        codes=codes,
        bytes_of=bytes_of,
        stopped_after=stopped_after,
        weeks=weeks,
        checkpoints=tmp_path / "checkpoints",
        data=tmp_path / "data",
    )


ROOT = Path(__file__).parent.parent
PREPARE = [
    "run_pipeline", "run_feature_engineering", "run_tensor_preparation", "prepare_samples", "prepare_tensor_cache",
]  # fmt: skip


def test_the_road_in_order_and_what_is_current_left_out(road, capsys):
    code, verbs, words = road.call("--epochs", 6, "--nrows", 1000)
    assert (code, verbs) == (0, [*PREPARE, "train", "evaluate"])
    assert words[0] == ["--input", "raw_data", "--nrows", "1000", "--data-dir", str(road.data)]
    assert " ".join(words[5]).startswith(
        "--preset tiny --epochs 6 --batch-size 64 --seed 0 --warmup-epochs 0 --finetune-epochs 1 --device"
    )
    assert road.call("--epochs", 6, "--nrows", 1000)[:2] == (0, PREPARE)  # each of which skips itself
    assert "best_model.pt is current: nothing to do" in capsys.readouterr().out


def test_what_can_be_done_next_is_said(road, capsys):
    for _ in ("evaluated", "current"):
        assert road.call("--epochs", 6)[0] == 0
        predict, report = capsys.readouterr().out.splitlines()[-2:]
        assert predict.startswith(
            f"next: retailsim predict {road.checkpoints / 'best_model.pt'} --when 2008-07-07T10:00 "
        )
        assert report.split() == [
            "retailsim",
            "report",
            str(road.checkpoints / "best_model.pt"),
            "--data-dir",
            str(road.data),
        ]
    road.bytes_of[run.TRAIN], road.codes[run.EVALUATE] = "another", 2
    assert road.call("--epochs", 7)[0] == 2 and "next:" not in capsys.readouterr().out


def test_a_mapping_and_a_split_reach_the_first_stage(road):
    words = road.call("--mapping", "ta-feng", "--train-weeks", 11, "--val-weeks", 14)[2]
    assert words[0][:8] == ["--input", "raw_data", "--train-weeks", "11", "--val-weeks", "14", "--mapping", "ta-feng"]


@pytest.mark.parametrize("engine, flags", [("duckdb", []), ("spark", ["--engine", "spark"])])
def test_the_engine_is_named_where_it_is_not_the_usual_one(road, engine, flags):
    _, verbs, words = road.call("--engine", engine)
    computed = [*flags, "--data-dir", str(road.data)]
    for verb, line in zip(verbs, words, strict=True):
        is_told = verb in ("run_pipeline", "run_feature_engineering", "prepare_samples")
        assert line[-len(computed) :] == computed if is_told else "--engine" not in line, verb


def test_a_split_that_the_data_do_not_reach_ends_the_road_after_the_first_stage(road, capsys):
    road.weeks[0] = 60
    assert road.call()[:2] == (2, PREPARE[:1])
    assert capsys.readouterr().err == (
        "error: --train-weeks 80 --val-weeks 95 leave no week of 60 for the test: choose for example --train-weeks 41 "
        "--val-weeks 48\n"
    )


@pytest.mark.parametrize(
    "preset, epochs, flags",
    [
        ("small", None, "--epochs 8 --batch-size 256 --seed 0"),
        ("full", None, "--epochs 20 --batch-size 256 --seed 0"),
        ("full", 5, "--epochs 5 --batch-size 256 --seed 0 --warmup-epochs 1 --finetune-epochs 1"),
        ("full", 2, "--epochs 2 --batch-size 256 --seed 0 --warmup-epochs 0 --finetune-epochs 0"),
        ("best", 9, "--epochs 9 --batch-size 256 --seed 0"),
    ],
)
def test_the_preset_says_what_is_not_asked_for(preset, epochs, flags):
    found = run.training_flags(preset, epochs, None, 0)[1]
    assert " ".join(map(str, found)) == f"--preset {preset} {flags}"


def test_what_is_stale_is_made_again(road):
    road.call("--epochs", 6)
    road.bytes_of |= {artifacts.CACHE: "other tensors", run.TRAIN: "another model"}
    assert road.call("--epochs", 6)[1] == [*PREPARE, "train", "evaluate"]
    assert road.call("--epochs", 7)[1] == [*PREPARE, "train"]  # to the same model: evaluated before
    (road.checkpoints / "evaluation_test.json").write_text("{}")
    assert road.call("--epochs", 7)[1] == [*PREPARE, "evaluate"]


def test_an_evaluation_beside_other_baselines_is_made_again(road):
    """`baselines` has tuned them, and then it has ranked with them, or added the blend."""
    road.call("--epochs", 6)
    for path in run.rivals(road.data):
        path.write_text("other baselines")
        assert road.call("--epochs", 6)[1] == [*PREPARE, "evaluate"]
        assert road.call("--epochs", 6)[1] == PREPARE


def test_paths_with_a_space_are_quoted(road, capsys):
    artifacts.CALENDAR.write(road.data, Calendar(date(2006, 4, 10), 117).to_json())
    root = road.data.rename(road.data.with_name("my data"))
    run.say_next(Path("my models/best_model.pt"), root)
    run.step(artifacts.FEATURES, ["--data-dir", root])
    predict, report, step = [line for line in capsys.readouterr().out.splitlines() if line]
    assert predict.startswith("next: retailsim predict 'my models/best_model.pt' --when ")
    assert report.endswith(f"report 'my models/best_model.pt' --data-dir '{root}'")
    assert step == f"$ retailsim run-feature-engineering --data-dir '{root}'"


def test_the_first_command_that_fails_ends_the_road(road):
    road.codes[artifacts.SAMPLES] = 2
    assert road.call()[:2] == (2, PREPARE[:4])


def test_a_stopped_training_goes_on(road):
    road.codes[run.TRAIN] = 130
    assert road.call("--epochs", 6)[:2] == (130, [*PREPARE, "train"])
    (road.checkpoints / "epoch_1.pt").write_text("")
    road.codes[run.TRAIN] = 0
    road.stopped_after.append(1)  # asked to stop by a signal, training saves and ends well
    code, verbs, words = road.call("--epochs", 6)
    assert (code, verbs[5:]) == (130, ["train"])
    assert words[5][words[5].index("--resume") + 1] == str(road.checkpoints)
    road.stopped_after.clear()
    assert road.call("--epochs", 6)[:2] == (0, [*PREPARE, "train", "evaluate"])
    assert not (road.checkpoints / run.STARTED).exists()


def test_a_training_that_was_ended_by_hand_is_not_trained_again(road):
    road.codes[run.TRAIN] = 130
    road.call("--epochs", 6)
    for name in ("epoch_6.pt", "best_model.pt"):
        (road.checkpoints / name).write_text("")
    for _ in range(2):
        code, verbs, _ = road.call("--epochs", 6)
        assert code == 0 and "train" not in verbs
    assert not (road.checkpoints / run.STARTED).exists()


def test_another_training_does_not_go_on_with_it(road):
    road.codes[run.TRAIN] = 130
    road.call("--epochs", 6)
    (road.checkpoints / "epoch_1.pt").write_text("")
    assert "--resume" not in road.call("--epochs", 7)[2][5]


@pytest.mark.parametrize("by", ["arguments", "variables"])
def test_the_recipe_sees_paths_from_where_it_is_called(tmp_path, by):
    """Each command of runs/recipe.sh, called from another folder, with a Python that only says what it is given."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@" >> "$SAID"\n')
    python.chmod(0o755)
    paths = {"INPUT": "till", "DATA_DIR": "made", "CHECKPOINT_DIR": str(tmp_path / "models")}
    flags = ["till", "all", "2", "tiny", "made", paths["CHECKPOINT_DIR"]] if by == "arguments" else []
    given = {} if flags else paths
    for here, root, at in ((tmp_path, "", "there"), (ROOT, ROOT, "here")):
        said = tmp_path / f"{at}.txt"
        variables = {**os.environ, "PYTHON": str(python), "SAID": str(said), **given}
        subprocess.run([ROOT / "runs/recipe.sh", *flags], cwd=here, env=variables, check=True, capture_output=True)
        first, *_, last = said.read_text().splitlines()
        before = "" if root else f"{tmp_path}/"
        assert f"--input {before}till " in first and first.endswith(f"--data-dir {before}made")
        assert f" {tmp_path}/models/best_model.pt " in last


def test_the_recipe_takes_what_is_left_out_from_the_repository(tmp_path):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\npwd; echo "$@"\n')
    python.chmod(0o755)
    variables = {**{k: v for k, v in os.environ.items() if k not in ("INPUT", "DATA_DIR")}, "PYTHON": str(python)}
    said = subprocess.run(
        [ROOT / "runs/recipe.sh"], cwd=tmp_path, env=variables, check=True, capture_output=True, text=True
    )
    assert f"\n{ROOT}\n" in said.stdout and "--input raw_data --nrows 10000 --data-dir data\n" in said.stdout
