"""Three short epochs of the tiny preset on a small world: the same losses every time, in a process of its own where wanted."""

import hashlib
import json
import platform
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from retailsim.config import PRESETS, Config
from retailsim.model.lookup import Tables
from retailsim.training.loop import fit
from retailsim.training.run import Run
from retailsim.training.run_log import EpochReport
from retailsim.training.train import go_on_from
from retailsim.vocab import SPECIAL_TOKENS, Vocabulary
from tests.small_world import ROWS, VOCAB_SIZE, make_samples, make_tables

BASKETS, BATCH = 150, 32
STEPS = -(-BASKETS // BATCH)  # per epoch
GOLDEN = Path(__file__).parent.parent / "assets" / "losses_tiny.json"


def small_config(**changes: int | float) -> Config:
    given = {"epochs": 3, "warmup_epochs": 1, "finetune_epochs": 1, "batch_size": BATCH} | changes
    return PRESETS["tiny"].with_train(**given)


def small_vocabulary() -> Vocabulary:
    names = [f"P{i:03}" for i in range(ROWS - len(SPECIAL_TOKENS))]
    known = VOCAB_SIZE - len(SPECIAL_TOKENS)
    return Vocabulary(names[:known], late=names[known:])


def train_small(
    folder: Path,
    resume: Path | None = None,
    config: Config | None = None,
    tables: Tables | None = None,
    on_batch: Callable[[int, int, int], None] = lambda epoch, done, total: None,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    **changes: int | bool | Fabric,
) -> list[EpochReport]:
    """Reports of the epochs that were trained; `changes` are fields of Run."""
    vocabulary, reports = small_vocabulary(), []
    train = make_samples(np.random.default_rng(0).integers(1, 13, BASKETS))
    train.products[train.products >= VOCAB_SIZE] = len(SPECIAL_TOKENS)  # no late product in the training weeks
    val = make_samples(np.random.default_rng(1).integers(1, 13, 40), seed=1)
    named = Path("auto") if resume == folder else resume
    resumed, best = go_on_from(named, folder, vocabulary) if named else (None, None)
    run = replace(Run(folder, Fabric(accelerator="cpu", devices=1)), **changes)

    def note(report: EpochReport) -> None:
        reports.append(report)
        on_epoch(report)

    fit(config or small_config(), tables or make_tables(), vocabulary, train, val, run, resumed, best, on_batch, note)
    return reports


def train_or_go_on(folder: Path) -> None:
    """What a process does that may be killed at any moment: go on from what lies in `folder`, to the end."""
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    train_small(folder, folder, checkpoint_every=2)


def end_of(folder: Path) -> dict[str, object]:
    """Everything that a finished training leaves: digests of files, lines, scalars."""
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.is_file()}
    board = EventAccumulator(str(folder / "tensorboard"))
    board.Reload()
    scalars = {tag: [(e.step, e.value) for e in board.Scalars(tag)] for tag in board.Tags()["scalars"]}
    return {"files": files, "scalars": scalars}


def this_platform() -> dict[str, str]:
    """What the last digit of a loss depends on."""
    capabilities = torch.cpu.get_capabilities()
    return {
        "torch": torch.__version__,
        "machine": platform.machine(),
        "processor": str(capabilities.get("cpu_name", "")),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


def write_golden(folder: Path) -> None:
    """Store the losses as they are now."""
    record = {"platform": this_platform(), "epochs": [asdict(report) for report in train_small(folder)]}
    GOLDEN.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
