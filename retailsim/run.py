"""The whole road with one command: receipts to a trained, evaluated model; what is current is skipped.

Reads --input. Writes --data-dir and --checkpoint-dir: the model, `train.manifest.json` and `evaluation_test.json`.
"""

import importlib
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from retailsim import artifacts, console
from retailsim.atomic import atomic
from retailsim.config import PRESETS
from retailsim.errors import UserError, refuse_below
from retailsim.manifest import Manifest, fingerprint, manifest_path
from retailsim.reading import load_calendar
from retailsim.storage import Artifact, EngineName, flag_of

TRAIN, EVALUATE = "training.train", "training.evaluate"
BEST = Artifact("best_model.pt", TRAIN, "the best epoch by validation loss")
EVALUATION = Artifact("evaluation_test.json", EVALUATE, "figures of the best epoch on the test weeks")
STARTED = "train.started.json"  # what a training that has not ended was made from
STOPPED = 130  # exit code of a road that was stopped


def run(
    input: Path = Path("raw_data"),
    nrows: int | None = None,
    mapping: str | None = None,
    train_weeks: int | None = None,
    val_weeks: int | None = None,
    preset: Literal["tiny", "small", "best", "full"] = "full",
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto",
    engine: EngineName = "duckdb",
    data_dir: Path = Path("data"),
    checkpoint_dir: Path = Path("checkpoints"),
) -> int:
    """Receipts → prepared data → trained model → evaluation, skipping what is current; an interrupted run goes on.

    Args:
        input: the raw source: CSV or Parquet file, or folder of weekly files.
        nrows: about so many rows, as whole customers; left out: all.
        mapping: a YAML file or the name of a shipped one that says what other columns than the published ones mean.
        train_weeks: last week of the training split (80; of data that end before week 96, about two thirds of their weeks).
        val_weeks: last week of the validation split (95, or about four fifths); later weeks are the test split.
        preset: size of the model: tiny (seconds), small (laptop), best (wider; a GPU helps), full (the document's).
        epochs: epochs in all; left out: the preset's; with fewer, warm-up and fine-tuning take one each at most.
        batch_size: baskets per step; left out: the preset's.
        seed: seed of whatever is drawn.
        device: auto takes CUDA, then MPS, then the CPU.
        engine: what computes tables, features and samples: duckdb, inside this process, or spark (docs/large_data.md); the same results.
        data_dir: root of what the stages write.
        checkpoint_dir: where the model and its evaluation go.
    """
    refuse_below(0, seed=seed)
    refuse_below(1, epochs=epochs, batch_size=batch_size)  # not after five stages
    rows, data, computed = given(nrows=nrows), given(data_dir=data_dir), given(engine=flag_of(engine))
    receipts = given(input=input, nrows=nrows, train_weeks=train_weeks, val_weeks=val_weeks, mapping=mapping)
    for stage, flags in (
        (artifacts.PIPELINE, [*receipts, *computed]),
        (artifacts.FEATURES, [*rows, "--seed", seed, *computed]),
        (artifacts.TENSORS, []),
        (artifacts.SAMPLES, computed),
        (artifacts.CACHE, []),
    ):
        code = step(stage, [*flags, *data])
        if code:
            return code
        if fault := load_calendar(data_dir).split_fault():
            raise UserError(fault)
    epochs, flags = training_flags(preset, epochs, batch_size, seed)
    made_from = [manifest_path(artifacts.CUSTOMER_CACHE, artifacts.CACHE, data_dir)]
    made_from.append(manifest_path(artifacts.SAMPLE_TABLES["train"], artifacts.SAMPLES, data_dir))
    training = Manifest(TRAIN, checkpoint_dir, made_from, {"flags": [str(flag) for flag in flags]}, [BEST])
    where = ["--device", device, *data]
    if training.is_current():
        console.out.print(f"{checkpoint_dir / BEST.path} is current: nothing to do")
    else:
        code = train(training, epochs, flags, [*where, "--checkpoint-dir", checkpoint_dir], checkpoint_dir)
        if code:
            return code
    best, figures = checkpoint_dir / BEST.path, checkpoint_dir / EVALUATION.path
    if evaluation(best, made_from, data_dir).is_current():
        console.out.print(f"{figures} is current: nothing to do")
    else:
        code = step(EVALUATE, [best, "--detailed", "--json", figures, *where])
        if code:
            return code
        evaluation(best, made_from, data_dir).write()  # by now the ranks of the baselines are kept
    say_next(best, data_dir)
    return 0


def given(**flags: Any) -> list:
    """The words of those of `flags` that are not left out.

    >>> given(nrows=None, train_weeks=20)
    ['--train-weeks', 20]
    """
    words = ((f"--{name.replace('_', '-')}", value) for name, value in flags.items() if value is not None)
    return [word for flag in words for word in flag]


def evaluation(best: Path, made_from: list[Path], root: Path) -> Manifest:
    """The manifest of the evaluation: of which model, on which tensors, beside which baselines."""
    beside = {path.name: fingerprint(path) if path.exists() else "published" for path in rivals(root)}
    return Manifest(EVALUATE, best.parent, [best, *made_from], {"baselines": beside}, [EVALUATION])


def rivals(root: Path) -> list[Path]:
    """The manifests of what the baselines' figures on the test weeks depend on: their tuned settings and their kept ranks."""
    ranks = manifest_path(artifacts.BASELINE_RANKS["test"], f"{artifacts.BASELINES}_test", root)
    return [manifest_path(artifacts.BASELINE_SETTINGS, artifacts.BASELINES, root), ranks]


def training_flags(preset: str, epochs: int | None, batch_size: int | None, seed: int) -> tuple[int, list]:
    """How many epochs, and the flags of `train` that say what is trained."""
    own = PRESETS[preset].train
    epochs, batch_size = own.epochs if epochs is None else epochs, own.batch_size if batch_size is None else batch_size
    flags = ["--preset", preset, "--epochs", epochs, "--batch-size", batch_size, "--seed", seed]
    if epochs < own.epochs:
        most = 1 if epochs > 2 else 0
        flags += ["--warmup-epochs", min(most, own.warmup_epochs)]
        flags += ["--finetune-epochs", min(most, own.finetune_epochs)]
    return epochs, flags


def say_next(best: Path, data_dir: Path) -> None:
    """What can be done with the model, as commands; the prediction is of the week after the data."""
    calendar = load_calendar(data_dir)
    when = f"{calendar.monday_of(calendar.last_week + 1).isoformat()}T10:00"
    model, root = shlex.quote(str(best)), shlex.quote(str(data_dir))
    console.out.print(f"\nnext: retailsim predict {model} --when {when} --data-dir {root}")
    console.out.print(f"      retailsim report {model} --data-dir {root}")


def train(training: Manifest, epochs: int, flags: list, where: list, folder: Path) -> int:
    """Train, or go on with the same training where it was stopped; the exit code, 130 when it is stopped again."""
    started, record = folder / STARTED, json.dumps(training.record, sort_keys=True)
    is_same = started.exists() and started.read_text(encoding="utf-8") == record

    def has_since_then(pattern: str) -> bool:  # older ones are of another training
        return any(path.stat().st_mtime >= started.stat().st_mtime for path in folder.glob(pattern))

    if is_same and has_since_then(f"epoch_{epochs}.pt"):  # `train --resume` has taken it to its end
        training.write()
        started.unlink()
        return 0
    resume = ["--resume", folder] if is_same and has_since_then("epoch_*.pt") else []
    if not resume:
        with atomic(started) as temporary:
            temporary.write_text(record, encoding="utf-8")
    code = step(TRAIN, [*flags, *resume, *where])
    if code == 0 and not has_since_then(f"epoch_{epochs}.pt"):
        return STOPPED
    if code == 0:
        training.write()
        started.unlink()
    return code


def step(stage: str, flags: list) -> int:
    """Say and call one command; its exit code."""
    words = [str(flag) for flag in flags]
    console.out.print(f"\n$ retailsim {stage.split('.')[-1].replace('_', '-')} {shlex.join(words)}")
    return importlib.import_module(f"retailsim.{stage}").main(words + [console.QUIET] * console.is_quiet())


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(run, argv)


if __name__ == "__main__":
    sys.exit(main())
