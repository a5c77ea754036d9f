"""How many baskets a second the loader makes into masked batches, without a model.

    python -m benchmarks.loader [--data-dir DIR] [--rounds 5] [--json PATH]

Without prepared data: 25,000 random baskets of real lengths. One process, no workers.
"""

import argparse
from functools import partial
from pathlib import Path

import torch

from benchmarks.measure import in_turns, report
from benchmarks.workload import workload
from retailsim.training.dataset import load_batches, ordered_rows
from retailsim.training.masking import Masking

BATCH_SIZES = (64, 256, 1024)
BASKETS = 20_480  # in a turn


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="root of prepared data")
    parser.add_argument("--rounds", type=int, default=5, help="timed turns (default 5)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    samples, _, vocab_size = workload(args.data_dir, 25_000)
    masking = Masking(vocab_size, hide_trip_prob=0.5, epoch=1)

    def load(batch_size: int) -> None:
        rows = ordered_rows(samples.lengths, batch_size)
        rows = rows[:: max(1, len(rows) * batch_size // BASKETS)][: BASKETS // batch_size]
        for _ in load_batches(samples, rows, masking):
            pass

    load(BATCH_SIZES[0])  # warms up
    turns = in_turns({str(size): partial(load, size) for size in BATCH_SIZES}, args.rounds)
    print(f"{len(samples):,} baskets, {samples.lengths.mean():.1f} products each")
    for size, turn in turns.items():
        wall, processor = (BASKETS / min(times) for times in (turn.wall, turn.processor))
        print(f"batch {size:>4}: {wall:9,.0f} baskets/s, {processor:9,.0f} per second of processor time")
    report({"baskets": BASKETS, "turns": {size: turn.record() for size, turn in turns.items()}}, args.json)


if __name__ == "__main__":
    main()
