"""The founding document's recipe on a small synthetic shop, and the laws that only the whole road can hold."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from retailsim import artifacts
from retailsim.evaluation.line_up import LINE_UP, SPEAKS_OF_BASKETS, by_question
from retailsim.evaluation.metrics import SLICES, Metrics
from retailsim.training.baseline_ranks import kept_ranks
from retailsim.training.temperature import kept_temperatures
from tests import recipe


def test_every_stage_left_its_files(shop):  # C7 C8 C9 C10 C11
    for artifact in artifacts.ALL:
        assert artifact.at(shop.data).stat().st_size > 0


def test_a_second_run_says_that_all_is_current(shop, capsys):
    for module, flags in recipe.PREPARATION:
        before = {path: path.stat().st_mtime_ns for path in shop.data.rglob("*") if path.is_file()}
        assert recipe.call(module, [*flags, "--data-dir", shop.data], shop) == 0
        assert "is current" in capsys.readouterr().out
        assert before == {path: path.stat().st_mtime_ns for path in shop.data.rglob("*") if path.is_file()}


def test_another_split_is_made_over_the_one_before(shop, tmp_path):
    """Other training weeks on the same data root: calendar and vocabulary are others, each read by the stage that writes it."""
    root = shutil.copytree(shop.data, tmp_path / "data")
    other = recipe.Shop(shop.raw, root, tmp_path)
    pipeline, *later = recipe.PREPARATION
    for weeks in (["--train-weeks", "8", "--val-weeks", "12"], recipe.SPLIT):
        recipe.prepare(other, [(pipeline[0], ["--input", "RAW", *weeks]), *later[:2]])
    for artifact in artifacts.ALL:
        if artifact.path.startswith(("processed/", "features/", "tensors/")):
            assert artifact.at(root).read_bytes() == artifact.at(shop.data).read_bytes(), artifact.path


ANEW = """
import functools, sys
from pathlib import Path
import ibis, torch
from tests import recipe
ibis.duckdb.connect = functools.partial(ibis.duckdb.connect, threads=3)
shop = recipe.Shop(*map(Path, sys.argv[1:]))
torch.set_num_threads(2)
recipe.prepare(shop)
torch.set_num_threads(1)
recipe.train(shop)
"""


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes(shop, trained, tmp_path):  # C40
    """Once in this process; once in another, with another hash seed and other numbers of threads."""
    again = recipe.Shop(shop.raw, tmp_path / "data", tmp_path / "checkpoints")
    command = [sys.executable, "-W", "ignore", "-c", ANEW, again.raw, again.data, again.checkpoints]
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    subprocess.run(command, check=True, cwd=Path(__file__).parent.parent, env=environment, stdout=subprocess.DEVNULL)
    for artifact in artifacts.ALL:
        assert artifact.at(again.data).read_bytes() == artifact.at(shop.data).read_bytes(), artifact.path
    names = sorted(path.name for path in trained.glob("*.pt"))
    assert len(names) > 4
    for name in [*names, "metrics.jsonl"]:
        assert (again.checkpoints / name).read_bytes() == (trained / name).read_bytes(), name


def test_checkpoints_and_evaluation(shop, trained, capsys):  # C23 C25 C26 C28 C30 C32 C33
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert [line["phase"] for line in lines] == ["warmup", "main", "main", "finetune"]
    best = min(lines, key=lambda line: line["val_loss"])
    assert torch.load(trained / "best_model.pt", weights_only=True)["epoch"] == best["epoch"]
    path = trained / "evaluation.json"
    flags = [trained / "best_model.pt", "--detailed", "--json", path, "--data-dir", shop.data]
    assert recipe.call("training.evaluate", flags, shop) == 0
    printed = capsys.readouterr().out
    assert "That is no prediction before the trip" in printed  # C23
    for words in ("Top-1", "personal frequency", "popularity", "Breakdown by Day of Week", "majority"):
        assert words in printed
    record = json.loads(path.read_text())
    metrics = {"n", "top1", "top5", "top10", "mrr", "ndcg10"}
    assert {"split", "checkpoint", "views", "slices", "auxiliary", "baselines"} <= record.keys()
    assert {view: set(trips) for view, trips in record["views"].items()} == dict.fromkeys(
        ("fresh", "replayed", "all"), {"trip_known", "trip_unknown"}
    )
    fresh = record["views"]["fresh"]["trip_unknown"]
    assert set(record["slices"]) == set(SLICES) >= {"weekday", "basket_size", "customer_history"}
    assert set(record["baselines"]) >= set(LINE_UP)
    gap = record["intervals"]["against_best_trip_unknown"]
    assert record["baselines"][gap["baseline"]]["mrr"] == max(m["mrr"] for m in record["baselines"].values())
    for low, high in gap["difference"].values():
        assert -1 < low < high < 1
    kept = kept_temperatures(trained / "best_model.pt", shop.data)
    before = record["before_trip"]
    for trip, found in (*record["calibration"].items(), ("open_trip_unknown", before["calibration"])):
        assert found["temperature"] == kept[trip]
        assert sum(b["n"] for b in found["after"]["reliability"]) == fresh["n"]
    assert before["model"]["n"] == fresh["n"] and set(before["baselines"]) == set(LINE_UP) - set(SPEAKS_OF_BASKETS)
    assert before["model"]["mrr"] < fresh["mrr"]  # a visible basket says something
    assert before["against_best"]["baseline"] == max(
        before["baselines"], key=lambda name: before["baselines"][name]["mrr"]
    )
    assert "Before the trip" in printed and "(before the trip)" in printed
    assert set(fresh) == metrics and fresh["n"] > 100
    assert record["views"]["all"]["trip_known"]["n"] == fresh["n"] + record["views"]["replayed"]["trip_known"]["n"]
    for trip, slices in (("trip_unknown", record["slices"]), ("trip_known", record["trip_known_slices"])):
        for names in slices.values():
            assert sum(m["n"] for m in names.values()) == fresh["n"]
            hits = sum(m["n"] * m["top10"] for m in names.values() if m["n"])
            assert hits == pytest.approx(fresh["n"] * record["views"]["fresh"][trip]["top10"])
    assert all(m["n"] == fresh["n"] for m in record["baselines"].values())
    first_time, novel = record["slices"]["bought_before"]["first time"], record["novel"]["methods"]
    assert list(novel) == ["model, trip unknown", "model, trip known", *LINE_UP]
    assert {m["n"] for m in novel.values()} == {first_time["n"]}
    assert novel["model, trip unknown"]["mrr"] > first_time["mrr"]  # fewer products compete
    assert "never bought before" in printed
    assert set(record["auxiliary"]) == {"mission_type", "mission_focus", "price_sensitivity", "basket_size"}
    for label, m in record["auxiliary"].items():
        assert m["beats_both"] == all(low > 0 for low, _ in m["leads"].values()), label
    assert kept_temperatures(trained / "epoch_2.pt", shop.data) is None  # another checkpoint's are not its own
    kept = kept_ranks(shop.data, "test")
    shown, unseen = by_question(kept)
    assert list(shown) == list(LINE_UP)
    for of, of_record in ((shown, record["baselines"]), (unseen, before["baselines"])):
        for name, method in of.items():  # this shop has no replays
            assert Metrics.from_ranks(method.overall).to_json() == of_record[name]


def test_resumed_equals_uninterrupted(shop, trained, tmp_path):  # C28 C40
    for name in ("epoch_2.pt", "metrics.jsonl"):
        shutil.copy(trained / name, tmp_path / name)
    flags = ["--resume", tmp_path / "epoch_2.pt", "--data-dir", shop.data, "--checkpoint-dir", tmp_path]
    assert recipe.call("training.train", flags, shop) == 0
    whole, resumed = (torch.load(folder / "epoch_4.pt", weights_only=True) for folder in (trained, tmp_path))
    for name, weight in whole["model"].items():
        assert torch.equal(weight, resumed["model"][name]), name
    assert (tmp_path / "metrics.jsonl").read_text() == (trained / "metrics.jsonl").read_text()


def test_workers_and_recomputed_activations_change_nothing(shop, tmp_path):  # C27
    flags = [
        "--preset",
        "tiny",
        "--epochs",
        "1",
        "--warmup-epochs",
        "0",
        "--finetune-epochs",
        "0",
        "--data-dir",
        shop.data,
    ]
    lines = []
    for name, more in {"plain": [], "other": ["--gradient-checkpointing", "--num-workers", "1"]}.items():
        assert recipe.call("training.train", [*flags, *more, "--checkpoint-dir", tmp_path / name], shop) == 0
        lines.append(json.loads((tmp_path / name / "metrics.jsonl").read_text()))
    assert lines[0]["val_loss"] == pytest.approx(lines[1]["val_loss"], rel=1e-5)


def test_an_infinite_loss_stops_and_keeps_the_batch(shop, tmp_path, capsys):  # C30
    flags = [
        "--preset",
        "tiny",
        "--epochs",
        "1",
        "--warmup-epochs",
        "0",
        "--finetune-epochs",
        "0",
        "--batch-size",
        "64",
    ]
    paths = ["--data-dir", shop.data, "--checkpoint-dir", tmp_path]
    assert recipe.call("training.train", [*flags, "--learning-rate", "1e30", *paths], shop) == 2
    said = capsys.readouterr().err
    assert "the loss became infinite or not a number in epoch 1" in said and "--learning-rate" in said
    (kept,) = tmp_path.glob("nan_batch_epoch_1_step_*.pt")
    assert kept.name in said and torch.load(kept, weights_only=True)["ids"].shape[0] == 64
    assert not list(tmp_path.glob("epoch_*.pt"))


class TestTheFutureDoesNotMatter:  # C19
    """Everything of weeks ≥ 26 but one basket is changed; no tensor of an earlier basket, or of that one, moves."""

    def test_no_tensor_moves(self, shop, changed_shop):
        assert not moved(shop, changed_shop)

    def test_the_change_reached_the_future(self, shop, changed_shop):
        assert moved(shop, changed_shop, first_week=recipe.CHANGED_FROM + 1)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "user, tables",
        [
            ("feature_engineering.histories", [artifacts.CUSTOMER_EMBEDDINGS, artifacts.STORE_FEATURES]),
            ("feature_engineering.customer_histories", [artifacts.CUSTOMER_EMBEDDINGS]),
            ("feature_engineering.store_features", [artifacts.STORE_FEATURES]),
            ("data_pipeline.missions", [artifacts.MISSIONS]),
            ("data_pipeline.store_affinity", [artifacts.AFFINITY]),
        ],
    )
    def test_a_frame_that_holds_the_week_itself_is_caught(
        self, shop, changed_shop, tmp_path, monkeypatch, user, tables
    ):
        """The leaky module's tables are written anew, and the stages behind them run again."""
        monkeypatch.setattr(f"retailsim.{user}.as_of_sums", recipe.leaky_sums)
        leaky = [recipe.Shop(one.raw, tmp_path / name, tmp_path) for name, one in (("a", shop), ("b", changed_shop))]
        for one, sound in zip(leaky, (shop, changed_shop), strict=True):
            shutil.copytree(sound.data, one.data)
            recipe.write_again(one.data, tables)
            recipe.prepare(one, recipe.PREPARATION[2:])
        assert moved(*leaky)


def moved(shop: recipe.Shop, changed: recipe.Shop, first_week: int = 1) -> set[str]:
    """Names of the tensors that differ for a basket of weeks first_week … 25, or for the kept basket of week 26."""
    different: set[str] = set()
    kept = recipe.kept_basket(shop, recipe.CHANGED_FROM)
    last = recipe.CHANGED_FROM if first_week == 1 else 10_000
    for split in ("train", "val", "test"):
        here, there = (recipe.tensors(s, split) for s in (shop, changed))
        for basket, (week, tensors) in here.items():
            if week < first_week or week > last or (first_week == 1 and week == recipe.CHANGED_FROM and basket != kept):
                continue
            if basket not in there:
                different.add("basket")
                continue
            different |= {n for n, value in tensors.items() if not np.array_equal(value, there[basket][1][n])}
    return different
