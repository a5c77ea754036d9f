"""What each of the six tensors is worth, measured beside the founding document's claims (SPEC C34).

Reads a checkpoint and what `evaluate` reads. Writes --json and, with --retrain, one folder per run in --checkpoint-dir; a
run that is done is not trained again.
"""

import json
import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from retailsim import console
from retailsim.artifacts import SAMPLE_TABLES
from retailsim.atomic import atomic
from retailsim.config import PRESETS, Config
from retailsim.errors import UserError, refuse_below
from retailsim.evaluation.intervals import units_of
from retailsim.manifest import fingerprint
from retailsim.reading import load_vocabulary
from retailsim.training import checkpoint as checkpoints
from retailsim.training.ablation import TENSORS, ranks_with
from retailsim.training.ablation_report import ablation_table, exchanged_record, retrained_record, synergy_line
from retailsim.training.ablation_runs import Trainer
from retailsim.training.device import choose_device
from retailsim.training.made_from import model_of
from retailsim.training.protocol import Protocol, load_protocol, refuse_known_weeks
from retailsim.training.stopping import EXIT_CODE, Stopped
from retailsim.training.tables import load_tables

FEWEST = 2  # baskets between which something can be exchanged


def ablate(
    checkpoint: Annotated[Path, tyro.conf.Positional],
    split: Literal["val", "test"] = "test",
    max_baskets: int | None = None,
    retrain: bool = False,
    synergy: bool = False,
    seeds: int = 3,
    preset: Literal["tiny", "small", "best", "full"] | None = None,
    epochs: int | None = None,
    json: Path | None = None,
    seed: int = 0,
    batch_size: int = 256,
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto",
    data_dir: Path = Path("data"),
    checkpoint_dir: Path = Path("checkpoints/ablation"),
) -> int:
    """Measure what is lost when each of T1…T6 is exchanged between baskets, or missing since training.

    Args:
        checkpoint: a checkpoint of training, e.g. checkpoints/best_model.pt.
        split: val or test; replayed baskets are left out.
        max_baskets: how many baskets at most, evenly spaced; all, unless given.
        retrain: also train a model without each tensor and one with all, with the checkpoint's configuration.
        synergy: also train with a single tensor each and with none (implies --retrain).
        seeds: models per run, with seeds 0, 1, ….
        preset: retrain with this preset instead of the checkpoint's configuration.
        epochs: retrain for so many epochs of the main phase, without warm-up and fine-tuning, instead of the configuration's.
        json: write all figures to this file.
        seed: of the exchange and the bootstrap.
        batch_size: baskets at a time.
        device: auto takes CUDA, then MPS, then the CPU.
        data_dir: root of what the earlier stages wrote.
        checkpoint_dir: where retrained models and their results go.
    """
    refuse_below(0, seed=seed)
    refuse_below(1, seeds=seeds, epochs=epochs, batch_size=batch_size)
    refuse_below(FEWEST, max_baskets=max_baskets)
    vocabulary = load_vocabulary(data_dir)
    state = checkpoints.load(checkpoint, vocabulary)
    config, chosen = Config.from_json(state["config"]), choose_device(device)
    model = model_of(checkpoint, state, load_tables(data_dir), vocabulary).to(chosen)
    protocol = load_protocol(data_dir, split, vocabulary)
    refuse_known_weeks(checkpoint, state, split, protocol.samples)
    protocol = fresh(protocol, max_baskets)
    console.out.print(
        f"{checkpoint} (epoch {state['epoch']}) on {split}: {len(protocol.samples):,} fresh baskets, trip known"
    )
    ranks: dict[str | None, np.ndarray] = {}
    with console.stages(1 + len(TENSORS)) as advance:
        for tensor in (None, *TENSORS):
            advance(f"{tensor or 'nothing'} exchanged")
            ranks[tensor] = ranks_with(model, protocol, batch_size, chosen, exchanged=tensor, seed=seed)
    units = units_of(protocol.of_hidden(protocol.hidden.customer), protocol.hidden.basket)
    record = {
        "checkpoint": str(checkpoint),
        "fingerprint": fingerprint(checkpoint),
        "samples": fingerprint(SAMPLE_TABLES[split].at(data_dir)),
        "split": split,
        "baskets": len(protocol.samples),
        "exchanged": exchanged_record(ranks, units, seed),
    }
    if retrain or synergy:
        wanted = PRESETS[preset] if preset else config
        if epochs:
            wanted = wanted.with_train(epochs=epochs, warmup_epochs=0, finetune_epochs=0)
        trainer = Trainer(data_dir, checkpoint_dir, vocabulary, protocol, wanted, device)
        try:
            with console.progress("batches", transient=True) as bar:
                found = trainer.results(seeds, synergy, console.out.print, partial(console.show_steps, bar))
        except Stopped as stopped:
            console.out.print(f"{stopped}: saved; the same command goes on from here")
            return EXIT_CODE[stopped.signal]
        record["retrained"] = retrained_record(found)
    console.out.print(ablation_table(record))
    line = synergy_line(record)
    if line:
        console.out.print(line)
    if json:
        write_json(json, record)
    return 0


def fresh(protocol: Protocol, most: int | None) -> Protocol:
    """The protocol's baskets that repeat none, `most` of them at most, evenly spaced; a UserError where there are no two."""
    keep = ~protocol.samples.columns["is_replay"]
    if most:
        rows = np.flatnonzero(keep)
        keep[np.delete(rows, np.arange(0, len(rows), max(1, math.ceil(len(rows) / most))))] = False
    if keep.sum() < FEWEST:
        raise UserError(
            f"baskets of this split that repeat no earlier one: {keep.sum()}, and fewer than {FEWEST} can exchange nothing: take "
            "another --split"
        )
    return protocol.select(keep)


def write_json(path: Path, record: dict) -> None:
    """Write the ablation's figures to `path`."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(ablate, argv)


if __name__ == "__main__":
    sys.exit(main())
