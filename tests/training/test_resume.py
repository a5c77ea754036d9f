"""C28, C29: however a training ends, what is resumed ends with the same bytes as one that was never stopped."""

import errno
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import time

import pytest
import torch

from retailsim import layout
from retailsim.errors import UserError
from retailsim.training import checkpoint
from retailsim.training.run_log import RunLog
from retailsim.training.schedule import rate_at
from retailsim.training.stopping import Stopped
from tests.small_world import ROWS
from tests.training.small_training import STEPS, end_of, small_config, small_vocabulary, train_or_go_on, train_small

KILLS = 50


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an uninterrupted training leaves, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    train_small(folder, checkpoint_every=2)
    return end_of(folder), folder


def test_an_uninterrupted_training_leaves_epochs_best_and_log(whole):
    end, _ = whole
    assert set(end["files"]) == {"epoch_1.pt", "epoch_2.pt", "epoch_3.pt", "best_model.pt", "metrics.jsonl"}
    assert [step for step, _ in end["scalars"]["val/loss"]] == [1, 2, 3]


class PowerCut(BaseException):
    """The process ends here."""


def test_every_step_has_its_own_rate_and_evidence_three_times_it(whole):
    """What the optimiser was left with is the last step's."""
    state, config = checkpoint.load(whole[1] / "epoch_3.pt", small_vocabulary()), small_config().train
    rate = rate_at(3, (STEPS - 0.5) / STEPS, config)
    assert config.evidence_rate == 3 and rate < rate_at(3, 0.5, config)
    assert [group["lr"] for group in state["optimizer"]["param_groups"]] == [rate, rate, 3 * rate, 3 * rate]


@pytest.mark.parametrize("renames", [2, 4, 5, 6])  # inside epoch 1, its best model, its end, its line
def test_a_cut_before_any_rename_loses_nothing(whole, tmp_path, monkeypatch, renames):
    """Every file is renamed into place: cut before the 1st, 2nd, … of them, then go on."""
    replace, left = os.replace, [renames]

    def replace_or_die(source, target):
        left[0] -= 1
        if left[0] == 0:
            raise PowerCut
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_or_die)
    with pytest.raises(PowerCut):
        train_small(tmp_path, checkpoint_every=2)
    train_small(tmp_path, tmp_path, checkpoint_every=2)
    assert end_of(tmp_path) == whole[0]


@pytest.mark.parametrize("number, at", [(signal.SIGTERM, STEPS + 1), (signal.SIGINT, 2 * STEPS)])
def test_a_signal_saves_at_the_next_step(whole, tmp_path, number, at):
    before, calls = signal.getsignal(number), []  # a run in the background inherits an ignored Ctrl-C

    def ask_to_stop(epoch, done, total):
        calls.append((epoch, done))
        if len(calls) == at:
            os.kill(os.getpid(), number)

    with pytest.raises(Stopped) as stopped:
        train_small(tmp_path, on_batch=ask_to_stop)
    assert stopped.value.signal == number and len(calls) == at
    epoch, done = calls[-1]
    state, path, refusals = checkpoint.find(tmp_path, small_vocabulary())
    assert (state["epoch"], state["step"], refusals) == (epoch - 1, done, [])
    assert path.name == f"epoch_{epoch}_step_{done}.pt"
    train_small(tmp_path, path)
    assert end_of(tmp_path) == whole[0]
    assert signal.getsignal(number) == before


def test_checkpoints_inside_an_epoch_are_the_newest_two(tmp_path):
    seen = []
    train_small(
        tmp_path,
        checkpoint_every=1,
        on_epoch=lambda report: seen.append(sorted(p.name for p in tmp_path.glob("*step*"))),
    )
    assert seen == [[f"epoch_{epoch}_step_{step}.pt" for step in (STEPS - 1, STEPS)] for epoch in (1, 2, 3)]
    assert not list(tmp_path.glob("*step*"))


def test_a_torn_checkpoint_stands_for_the_one_before(whole, tmp_path):  # C29
    for name in ("epoch_1.pt", "epoch_2.pt", "best_model.pt"):
        shutil.copy2(whole[1] / name, tmp_path)
    newest = tmp_path / "epoch_2.pt"
    newest.write_bytes(newest.read_bytes()[:-1000])
    for named in (newest, tmp_path):
        state, path, (refusal,) = checkpoint.find(named, small_vocabulary())
        assert (path.name, state["epoch"]) == ("epoch_1.pt", 1) and f"{newest} is damaged" in refusal
    train_small(tmp_path, newest)
    assert end_of(tmp_path) == whole[0]


def test_a_foreign_checkpoint_is_passed_over_in_a_folder_and_refused_by_name(whole, tmp_path):
    shutil.copy2(whole[1] / "epoch_1.pt", tmp_path)
    (tmp_path / "epoch_7.pt").write_bytes(checkpoint.sealed({"weights": torch.ones(3)}))
    state, path, (refusal,) = checkpoint.find(tmp_path, small_vocabulary())
    assert path.name == "epoch_1.pt" and f"{tmp_path / 'epoch_7.pt'} is no checkpoint" in refusal
    with pytest.raises(UserError, match="epoch_7.pt is no checkpoint"):
        checkpoint.find(tmp_path / "epoch_7.pt", small_vocabulary())
    (tmp_path / "epoch_1.pt").unlink()
    with pytest.raises(UserError, match="epoch_7.pt is no checkpoint"):
        checkpoint.find(tmp_path, small_vocabulary())


def best_of(folder):
    """The epoch in `folder`'s best model, and the epochs that its log calls best."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    state = checkpoint.load(folder / "best_model.pt", small_vocabulary())
    return state["epoch"], [line["epoch"] for line in lines if line["is_best"]]


@pytest.fixture
def branched(tmp_path, monkeypatch):
    """A training whose second epoch is its best, and what sets the validation losses of the epochs to come."""
    losses = [3.0, 1.0, 2.0]
    monkeypatch.setattr("retailsim.training.loop.validate", lambda *given: (losses.pop(0), 0.1))
    train_small(tmp_path / "a")
    assert best_of(tmp_path / "a") == (2, [1, 2])
    return tmp_path / "a", losses


def test_another_folder_gets_the_best_model_of_the_epochs_before(branched, tmp_path):
    a, losses = branched
    end = (a / "best_model.pt").read_bytes()
    for resume in (a / "epoch_2.pt", a / "best_model.pt"):
        losses[:], b = [2.0], tmp_path / "b"
        train_small(b, resume)
        assert best_of(b) == (2, [1, 2]) and (b / "best_model.pt").read_bytes() == end
        assert (b / "epoch_3.pt").read_bytes() == (a / "epoch_3.pt").read_bytes()
        shutil.rmtree(b)


def test_the_best_model_of_a_branch_that_was_left_is_replaced(branched):
    a, losses = branched
    losses[:] = [5.0, 6.0]
    train_small(a, a / "epoch_1.pt")
    assert best_of(a) == (1, [1])
    assert (a / "best_model.pt").read_bytes() == (a / "epoch_1.pt").read_bytes()


def test_a_best_epoch_of_another_branch_is_none(branched, tmp_path, capsys):
    """Epoch 2 was written over: what the third epoch calls the best is lost, and the next epoch is the best of what is left."""
    a, losses = branched
    shutil.copytree(a, tmp_path / "other")
    losses[:] = [0.5, 0.6]
    train_small(a, a / "epoch_1.pt")
    shutil.copy2(tmp_path / "other" / "epoch_3.pt", a / "epoch_3.pt")
    losses[:] = [9.0]
    train_small(a, a / "epoch_3.pt", small_config(epochs=4))
    assert best_of(a) == (4, [1, 2, 4])
    said = " ".join(capsys.readouterr().out.split())
    assert "epoch 2, the best so far, lies in no file beside it" in said and "the epochs from 4 on" in said


def refusal_to_go_on_from(state, folder):
    checkpoint.save(folder / "epoch_1.pt", state)
    with pytest.raises(UserError) as refusal:
        train_small(folder, folder)
    return str(refusal.value)


def test_an_optimiser_of_other_weights_is_refused(whole, tmp_path):
    state = checkpoint.load(whole[1] / "epoch_1.pt", small_vocabulary())
    of_products = [m for m in state["optimizer"]["state"].values() if m["exp_avg"].shape == (ROWS, layout.T2.width)]
    assert len(of_products) == 1
    of_products[0]["exp_avg"] = of_products[0]["exp_avg"][:-1]  # of data with a late product less
    assert "--resume: other products" in refusal_to_go_on_from(state, tmp_path)
    groups = state["optimizer"]["param_groups"]
    groups[0]["params"].append(groups[1]["params"].pop())
    assert "whose weight decay fell on other weights" in refusal_to_go_on_from(state, tmp_path)


def test_an_empty_folder_holds_nothing_to_go_on_from(tmp_path):
    assert checkpoint.find(tmp_path, small_vocabulary()) == (None, tmp_path, [])


def test_a_full_disk_keeps_the_last_checkpoint_and_says_so(whole, tmp_path):
    """Files may not grow beyond 100 kB after the first epoch."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(UserError) as refusal:
            train_small(tmp_path, on_epoch=lambda report: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"could not be written ({os.strerror(errno.EFBIG)})" in str(refusal.value)
    assert f"{tmp_path / 'epoch_1.pt'} is whole" in str(refusal.value) and f"--resume {tmp_path}" in str(refusal.value)
    assert not list(tmp_path.glob(".*.tmp"))
    train_small(tmp_path, tmp_path)
    assert end_of(tmp_path) == whole[0]


def test_a_new_run_replaces_the_log_of_an_old_one(whole, tmp_path):
    shutil.copytree(whole[1], tmp_path, dirs_exist_ok=True)
    RunLog(tmp_path, []).close()
    end = end_of(tmp_path)
    assert (tmp_path / "metrics.jsonl").read_text() == "" and end["scalars"] == {}
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


@pytest.mark.slow
def test_fifty_kills_at_random_moments_end_bit_identical(tmp_path):  # C29
    """Fifty trainings, each killed once by SIGKILL at a random moment and gone on with, in processes of their own."""
    processes = multiprocessing.get_context("forkserver")
    # A process that has imported everything, what a training imports on the way too, makes the others at once.
    processes.set_forkserver_preload(["tests.training.small_training", "torch._dynamo", "pandas", "holidays.countries"])

    def start(folder):
        process = processes.Process(target=train_or_go_on, args=(folder,))
        process.start()
        return process

    def run_to_the_end(folder):
        began = time.monotonic()
        process = start(folder)
        process.join(120)
        assert process.exitcode == 0
        return time.monotonic() - began

    run_to_the_end(tmp_path / "warm")
    seconds = run_to_the_end(tmp_path / "whole")
    whole, moments, killed = end_of(tmp_path / "whole"), random.Random(0), 0
    places = set()
    while killed < KILLS:
        folder = tmp_path / f"killed_{killed}"
        process = start(folder)
        process.join(moments.uniform(0, seconds))
        process.kill()
        process.join()
        if process.exitcode == 0:
            shutil.rmtree(folder)  # it had ended already
            continue
        assert process.exitcode == -signal.SIGKILL
        killed += 1
        places.add(frozenset(path.name for path in folder.glob("*.pt")) if folder.exists() else None)
        run_to_the_end(folder)
        assert end_of(folder) == whole, f"kill {killed}"
        shutil.rmtree(folder)
    assert len(places) > 8, "the kills fell into the same moment"
