"""C29, C31 from the shell: several processes give one process's losses; a command that is asked to stop saves and says so."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

FLAGS = ["--preset", "tiny", "--epochs", "3", "--warmup-epochs", "1", "--finetune-epochs", "1", "--threads", "1"]
FLAGS += ["--precision", "32"]  # bfloat16's rounding of pieces grows to 0.2 % within an epoch


def train(shop, folder, *more, processes=1):
    """A training of its own process, or of `processes` that torchrun starts; unlike batch size and processes, 45 does not divide."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    paths = ["--data-dir", str(shop.data), "--checkpoint-dir", str(folder)]
    command = [sys.executable, *launch, "-m", "src.training.train", *FLAGS, "--batch-size", "45", *paths, *more]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_and_four_processes_give_the_losses_of_one(shop, tmp_path):  # C31
    for name, processes, more in (
        ("1", 1, ()),
        ("pieces", 1, ("--accumulate", "2")),
        ("2", 2, ("--checkpoint-every", "2")),
        ("4", 4, ()),
    ):
        process = train(shop, tmp_path / name, *more, processes=processes)
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
        assert out.count("Training complete!") == 1, "only the first process speaks"
        assert ("2 × " if processes == 2 else "") in out
    one, pieces, two, four = (lines(tmp_path / name) for name in ("1", "pieces", "2", "4"))
    # Two processes add what one adds of two pieces. Otherwise the order of sums makes up to 1.0e-3 of a loss in an epoch:
    # while no label was learned, the gradient of the evidence's gain is rounding and nothing else.
    for rel, runs in ((1e-6, (pieces, two)), (2e-3, (one, two)), (2e-3, (one, four))):
        for alone, together in zip(*runs, strict=True):
            assert together["parts"] == pytest.approx(alone["parts"], rel=rel)
            assert together["val_loss"] == pytest.approx(alone["val_loss"], rel=rel)
            assert together["val_accuracy"] == pytest.approx(alone["val_accuracy"], abs=0.01)
    names = {path.name for path in (tmp_path / "4").iterdir()}
    assert names == {"epoch_1.pt", "epoch_2.pt", "epoch_3.pt", "best_model.pt", "metrics.jsonl", "tensorboard"}


@pytest.mark.slow
@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_command_that_is_asked_to_stop_saves_and_ends(shop, tmp_path, number, code):  # C29
    process = train(shop, tmp_path)
    while not (tmp_path / "epoch_1.pt").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code and "Traceback" not in err
    assert f"{number.name}: saved" in out and f"--resume {tmp_path}" in out
    assert len(list(tmp_path.glob("epoch_*_step_*.pt"))) == 1
    process = train(shop, tmp_path, "--resume", "auto")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0 and "going on from" in out
    assert [line["epoch"] for line in lines(tmp_path)] == [1, 2, 3]
