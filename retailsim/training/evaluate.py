"""Evaluate a checkpoint on hidden products of later weeks, beside baselines on the same ones (SPEC C32, C33).

Reads a checkpoint, data/training/, data/tensors/ and data/processed/transactions.parquet. Writes nothing but --json.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from retailsim import console
from retailsim.config import Config
from retailsim.evaluation.baselines import (
    Baseline,
    PersonalFrequency,
    Popularity,
    RecentPopularity,
    StorePopularity,
    rank_hidden,
)
from retailsim.evaluation.companions import Ease, ItemItem
from retailsim.labels import TRIP_LABELS, UNKNOWN
from retailsim.model.basket_model import BasketModel
from retailsim.reading import load_calendar, load_vocabulary
from retailsim.storage import atomic
from retailsim.training import checkpoint as checkpoints
from retailsim.training.dataset import Samples, load_samples
from retailsim.training.device import choose_device
from retailsim.training.protocol import Protocol, load_protocol
from retailsim.training.report_card import TRIPS, Findings, breakdowns, headline, to_json
from retailsim.training.scoring import score
from retailsim.training.tables import load_tables


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
        detailed: break down by weekday, basket size and customer history.
        json: write all figures to this file.
        batch_size: baskets at a time.
        device: auto takes CUDA, then MPS, then the CPU.
        data_dir: root of what the earlier stages wrote.
    """
    vocabulary = load_vocabulary(data_dir)
    state = checkpoints.load(checkpoint, vocabulary)
    chosen = choose_device(device)
    model = BasketModel(Config.from_json(state["config"]).model, load_tables(data_dir), vocabulary.size)
    model.load_state_dict(state["model"])
    model.to(chosen)
    protocol = load_protocol(data_dir, split, vocabulary)
    with console.progress("batches", transient=True) as bar:
        ranks = {}
        for trip in TRIPS:
            task = bar.add_task(f"model, {trip.replace('_', ' ')}", total=None, rate="–")

            def show(done: int, total: int, task: int = task) -> None:
                bar.update(task, completed=done, total=total)  # type: ignore[arg-type]

            ranks[trip], guesses = score(
                model, protocol, vocabulary.size, batch_size, chosen, trip == "trip_known", show
            )
        makers = make_baselines(protocol, vocabulary.size, split, data_dir)
        task = bar.add_task("baselines", total=len(makers), rate="–")
        baselines = {}
        for make in makers:
            baseline = make()
            baselines[baseline.name] = rank_hidden(baseline, protocol.hidden)
            bar.advance(task)
    findings = Findings(protocol, ranks, baselines, guesses, majority_classes(load_samples(data_dir, "train")))
    record = to_json(findings, split, str(checkpoint))
    show_record(record, state["epoch"], len(protocol.samples), detailed)
    if json:
        write_json(json, record)


def make_baselines(protocol: Protocol, size: int, split: str, root: Path) -> list[Callable[[], Baseline]]:
    """The baselines of `split`, each fitted when it is called, on the weeks before the split."""
    fit_end = load_calendar(root).weeks_in(split)[0] - 1
    purchases = protocol.purchases
    return [
        lambda: Popularity(purchases, size, fit_end),
        lambda: RecentPopularity(purchases, size),
        lambda: StorePopularity(purchases, size, protocol.store_group),
        lambda: ItemItem(purchases, size, fit_end),
        lambda: Ease(purchases, size, fit_end),
        lambda: PersonalFrequency(purchases, size),
    ]


def majority_classes(train: Samples) -> np.ndarray:
    """The most frequent known class of each trip label in the training baskets, int64 [4]."""
    columns = [train.trip[:, i] for i in range(len(TRIP_LABELS))]
    return np.array([np.bincount(c[c != UNKNOWN], minlength=1).argmax() for c in columns])


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
    gap = record["intervals"]
    if gap:
        low, high = gap["difference"]["mrr"]
        console.out.print(
            f"MRR, model (trip unknown) − {gap['best_baseline']} on fresh baskets: 95 % interval {low:+.4f} … {high:+.4f} (bootstrap by customer)"
        )
    if detailed:
        for line in breakdowns(record):
            console.out.print(line)


def write_json(path: Path, record: dict) -> None:
    """Write the evaluation's figures to `path`."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(evaluate, argv)


if __name__ == "__main__":
    sys.exit(main())
