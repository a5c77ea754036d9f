"""A full training step (forward, losses, backward, clip, AdamW) against others, in baskets a second.

    python -m benchmarks.training_step [--preset full] [--variants retailsim recurrence …] [--data-dir DIR]
                                       [--batch-size 256] [--rounds 3] [--threads 2] [--json PATH]

Variants: retailsim; bf16, compile, compile_bf16: the same under autocast, torch.compile or both; recurrence: the same model
padded to 50 places with the scan step by step; transformers_mamba: its encoder replaced by that of the package
`transformers` (extra `bench`), padded to 50, one direction; transformer: a Transformer encoder of the same width, in our
batches. The variants take turns. Baskets are those of real lengths: BATCHES batches at even distances along an epoch
sorted by length. The two padded ones need too much memory for a batch of 256, so they sum gradients over smaller ones; one
such is measured, and the optimizer's step once a batch is counted as ours.
Also: floating-point operations per basket, the share of the machine's matrix-product peak, and peak memory (--memory).
"""

import argparse
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import in_turns, matmul_peak, report
from benchmarks.variants import ENCODERS, PADDED, SMALLER_BATCH, VARIANTS, Step, make_step, padded
from benchmarks.workload import workload
from retailsim.config import PRESETS
from retailsim.model.batch import Batch
from retailsim.training.dataset import make_batch
from retailsim.training.masking import Masking
from retailsim.training.samples import Samples
from retailsim.vocab import PAD

BATCHES = 8
CLOCKS = ("wall_fastest", "wall_median", "processor_fastest", "processor_median")


def length_sorted(samples: Samples, masking: Masking, batch_size: int) -> list[Batch]:
    """BATCHES batches at even distances along the samples sorted by length."""
    order = np.argsort(samples.lengths, kind="stable")
    starts = ((np.arange(BATCHES) + 0.5) / BATCHES * (len(order) - batch_size)).astype(int)
    return [make_batch(samples, order[start : start + batch_size], masking) for start in starts]


def mixed(samples: Samples, masking: Masking, baskets: int) -> Batch:
    """Baskets at even distances along the samples sorted by length, padded to 50 places."""
    order = np.argsort(samples.lengths, kind="stable")
    rows = order[((np.arange(baskets) + 0.5) / baskets * len(order)).astype(int)]
    return padded(make_batch(samples, rows, masking))


def losses(steps: dict[str, Step], batch: Batch) -> dict[str, float]:
    """The loss of each variant that has the same weights, without dropout."""
    found = {}
    for name in steps.keys() - ENCODERS.keys():
        steps[name].model.eval()
        with torch.no_grad():
            found[name] = steps[name].loss(padded(batch) if name in PADDED else batch).item()
        steps[name].model.train()
    return found


def measure(steps: dict[str, Step], feeds: dict[str, list[Batch]], batch_size: int, rounds: int) -> dict[str, dict]:
    """By variant: turns of both halves, baskets a second of wall and of processor time, floating-point operations."""
    flops = {}
    for name, step in steps.items():  # warms up and counts
        with FlopCounterMode(display=False) if "compile" not in name else nullcontext() as counter:
            step.gradients(feeds[name])
        flops[name] = counter.get_total_flops() if counter else None
        step.update()
    halves: dict[str, Callable[[], None]] = {}
    for name, step in steps.items():
        halves[f"{name} gradients"] = partial(step.gradients, feeds[name])
        halves[f"{name} update"] = step.update
    turns = in_turns(halves, rounds)
    found = {}
    for name in steps:
        baskets = sum(len(batch.ids) for batch in feeds[name])
        gradients, update = turns[f"{name} gradients"].record(), turns[f"{name} update"].record()
        rates = {clock: batch_size / (gradients[clock] * batch_size / baskets + update[clock]) for clock in CLOCKS}
        each = flops[name] / baskets if flops[name] else None
        found[name] = {"gradients": gradients, "update": update, "baskets_per_second": rates, "flops_per_basket": each}
    return found


def peak_memory(arguments: argparse.Namespace, variant: str) -> float:
    """Largest resident GB of a process of its own that takes one step of the longest baskets."""
    command = [sys.executable, "-m", "benchmarks.training_step", "--only-step", "--variants", variant]
    command += ["--preset", arguments.preset, "--batch-size", str(arguments.batch_size)]
    command += ["--threads", str(arguments.threads)]
    command += ["--data-dir", str(arguments.data_dir)] if arguments.data_dir else []
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def show(found: dict[str, dict], peak: dict[str, float]) -> None:
    """One line a variant; ratios against the first."""
    first = next(iter(found.values()))["baskets_per_second"]
    print(
        f"matrix products: {peak['processor']:.0f} GFLOP per second of processor time, {peak['wall']:.0f} of wall time"
    )
    print(f"{'variant':20s} baskets/s: wall  processor   first ÷ it: wall  processor   GFLOP/basket  share of peak")
    for name, figures in found.items():
        rates, flops = figures["baskets_per_second"], figures["flops_per_basket"]
        wall, processor = rates["wall_fastest"], rates["processor_fastest"]
        ratios = f"{first['wall_fastest'] / wall:16.2f} {first['processor_fastest'] / processor:10.2f}"
        work = f"{flops / 1e9:14.2f} {flops * processor / 1e9 / peak['processor']:14.0%}" if flops else ""
        print(f"{name:20s} {wall:15.2f} {processor:10.2f} {ratios} {work}")


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    torch.set_num_threads(args.threads)
    config = PRESETS[args.preset]
    samples, tables, vocab_size = workload(args.data_dir, 25_000)
    masking = Masking(vocab_size, hide_trip_prob=0.5, epoch=1)
    if args.only_step:
        longest = np.argsort(samples.lengths, kind="stable")[-args.batch_size :]
        step = make_step(args.variants[0], config, tables, vocab_size)
        step.gradients([padded(make_batch(samples, longest, masking))])
        step.update()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
        return
    batches = length_sorted(samples, masking, args.batch_size)
    feeds = {
        name: [mixed(samples, masking, SMALLER_BATCH[name])] if name in PADDED else batches for name in args.variants
    }
    steps = {name: make_step(name, config, tables, vocab_size) for name in args.variants}
    real = sum(int((batch.ids != PAD).sum()) for batch in batches) / sum(len(batch.ids) for batch in batches)
    print(
        f"{args.preset} preset, batch {args.batch_size}, {real:.1f} products a basket (all: {samples.lengths.mean():.1f})"
    )
    record: dict[str, object] = {"preset": args.preset, "batch_size": args.batch_size, "products_per_basket": real}
    record["losses"] = losses(steps, mixed(samples, masking, 16))
    print("loss of the same 16 baskets: " + ", ".join(f"{name} {loss:.6f}" for name, loss in record["losses"].items()))
    record["variants"] = found = measure(steps, feeds, args.batch_size, args.rounds)
    record["matmul_gflops"] = peak = matmul_peak()
    show(found, peak)
    if args.memory:
        record["peak_memory_gb"] = {name: peak_memory(args, name) for name in args.variants if name not in PADDED}
        print(
            "peak memory, 50 products a basket: "
            + ", ".join(f"{n} {gb:.2f} GB" for n, gb in record["peak_memory_gb"].items())
        )
    report(record, args.json)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=tuple(PRESETS), default="full")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["retailsim", "recurrence", "transformer"])
    parser.add_argument("--data-dir", type=Path, help="root of prepared data; without: random baskets of real lengths")
    parser.add_argument("--batch-size", type=int, default=256, help="baskets a step (default 256)")
    parser.add_argument("--rounds", type=int, default=3, help="timed turns (default 3)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument("--memory", action="store_true", help="also measure peak memory on full baskets")
    parser.add_argument("--only-step", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
