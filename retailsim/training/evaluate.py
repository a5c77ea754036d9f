"""Evaluate a checkpoint on hidden products of later weeks, beside baselines on the same ones (SPEC C32, C33).

Reads a checkpoint, data/training/, data/tensors/ and data/processed/transactions.parquet. Writes --json, the checkpoint's
temperatures beside it, and the baselines' ranks to data/evaluation/.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro

from retailsim import console, status
from retailsim.artifacts import SAMPLE_TABLES
from retailsim.atomic import atomic
from retailsim.errors import refuse_below
from retailsim.evaluation.line_up import by_question
from retailsim.manifest import fingerprint
from retailsim.model.basket_model import BasketModel
from retailsim.reading import load_calendar, load_vocabulary
from retailsim.training import checkpoint as checkpoints
from retailsim.training.auxiliary import fit_rivals
from retailsim.training.baseline_ranks import line_up_ranks, tuned_settings
from retailsim.training.device import choose_device
from retailsim.training.made_from import model_of
from retailsim.training.masking import Question
from retailsim.training.protocol import Protocol, load_protocol, refuse_known_weeks
from retailsim.training.report_card import TRIPS, Findings, to_json
from retailsim.training.report_tables import (
    before_trip_table,
    breakdowns,
    calibration_lines,
    gap_lines,
    headline,
    novel_table,
)
from retailsim.training.samples import load_baskets, load_samples
from retailsim.training.scoring import Scored, score
from retailsim.training.tables import load_tables
from retailsim.training.temperature import TEMPERATURE_OF, fit_temperatures, kept_temperatures


def evaluate(
    checkpoint: Annotated[Path, tyro.conf.Positional],
    split: Literal["val", "test"] = "test",
    detailed: bool = False,
    json: Path | None = None,
    batch_size: int = 256,
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto",
    data_dir: Path = Path("data"),
) -> None:
    """Rank hidden products of the validation or test weeks with a trained model and with baselines.

    Args:
        checkpoint: a checkpoint of training, e.g. checkpoints/best_model.pt.
        split: val (weeks 81–95 unless configured otherwise) or test (the weeks after).
        detailed: break down by weekday, basket size, customer, repetition and product; reliability table.
        json: write all figures to this file.
        batch_size: baskets at a time.
        device: auto takes CUDA, then MPS, then the CPU.
        data_dir: root of what the earlier stages wrote.
    """
    refuse_below(1, batch_size=batch_size)
    vocabulary = load_vocabulary(data_dir)
    state = checkpoints.load(checkpoint, vocabulary)
    chosen = choose_device(device)
    model = model_of(checkpoint, state, load_tables(data_dir), vocabulary).to(chosen)
    protocol = load_protocol(data_dir, split, vocabulary)
    refuse_known_weeks(checkpoint, state, split, protocol.samples)
    temperatures = kept_temperatures(checkpoint, data_dir) or fit_temperatures(
        checkpoint, data_dir, model, load_samples(data_dir, "val"), vocabulary.size, batch_size, chosen
    )
    scored = score_questions(model, protocol, temperatures, batch_size, chosen)
    baselines, before_trip = by_question(line_up_ranks(data_dir, split, protocol))
    rivals = fit_rivals(load_baskets(data_dir, "train"), load_baskets(data_dir, "val"), protocol)
    findings = Findings(
        protocol, scored, temperatures, baselines, before_trip, rivals, load_calendar(data_dir).train_end
    )
    record = to_json(findings, split, str(checkpoint))
    record["fingerprint"], record["samples"] = fingerprint(checkpoint), fingerprint(SAMPLE_TABLES[split].at(data_dir))
    record["baseline_settings"] = "published" if tuned_settings(data_dir) is None else "tuned"
    status.warn_of_stale(data_dir)  # beside the figures; what could not be read was refused before
    show_record(record, state["epoch"], len(protocol.samples), detailed)
    if json:
        write_json(json, record)


def score_questions(
    model: BasketModel, protocol: Protocol, temperatures: dict[str, float], batch_size: int, device: torch.device
) -> dict[Question, Scored]:
    """The model's answers with the trip known, unknown, and before it, under a bar; before it of fresh baskets only."""
    scored: dict[Question, Scored] = {}
    is_fresh = ~protocol.samples.columns["is_replay"]
    with console.progress("batches", transient=True) as bar:
        for question, kind in TEMPERATURE_OF.items():
            task = bar.add_task(f"model, {question.replace('_', ' ')}", total=None, rate="–")

            def show(done: int, total: int, task: int = task) -> None:
                bar.update(task, completed=done, total=total)  # type: ignore[arg-type]

            if question != "before_trip":
                scored[question] = score(model, protocol, question, batch_size, device, temperatures[kind], show)
            elif is_fresh.any():
                fresh = protocol.select(is_fresh)
                scored[question] = score(model, fresh, question, batch_size, device, temperatures[kind], show)
    return scored


def show_record(record: dict, epoch: int, baskets: int, detailed: bool) -> None:
    """Print the tables; products and labels of the trip are never said to be known before it (SPEC C23)."""
    console.out.print(
        f"{record['checkpoint']} (epoch {epoch}) on {record['split']}: {baskets:,} baskets of two or more products; 15 % of "
        "each basket's products are hidden and ranked among the whole vocabulary.\n"
        "Trip known: the model also sees the trip's type, focus, price sensitivity and size, which are read off the whole "
        "basket. That is no prediction before the trip; trip unknown is the headline."
    )
    for grid in headline(record):
        console.out.print(grid)
    if record["baseline_settings"] == "published":
        console.out.print('Baselines have their published settings: "retailsim baselines" tunes them on validation.')
    for trip in reversed(TRIPS):
        for line in (*gap_lines(record, trip), *calibration_lines(record, trip, detailed)):
            console.out.print(line)
    for part in before_trip_table(record, detailed):
        console.out.print(part)
    weak = [label.replace("_", " ") for label, m in record["auxiliary"].items() if m["beats_both"] is False]
    if weak:
        console.out.print(f"Labels on which the model does not beat both rivals: {', '.join(weak)}.")
    if detailed and record["intervals"]:
        for part in (*breakdowns(record), *novel_table(record)):
            console.out.print(part)


def write_json(path: Path, record: dict) -> None:
    """Write the evaluation's figures to `path`."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(evaluate, argv)


if __name__ == "__main__":
    sys.exit(main())
