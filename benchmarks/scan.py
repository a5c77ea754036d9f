"""The encoder's scan against the recurrence place by place, and how its time grows with the number of places.

    python benchmarks/scan.py [--rounds 7] [--threads 2] [--json PATH]

Forward and backward of the scan alone, both directions, float32. The two are timed in turns and the fastest round of
each counts, so that a busy machine disturbs the ratio little.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from retailsim.config import PRESETS
from retailsim.model.scan import CHUNK, scan, scan_reference

MODEL = PRESETS["full"].model
BATCH = 64
LENGTHS = (17, 51)  # an average and a full basket, with the context
GROWTH = (256, 512, 1024, 2048, 4096)


def inputs(batch: int, length: int) -> list[Tensor]:
    """x, dt, log_a, b, c as the full preset's encoder gives them."""
    heads = MODEL.width * MODEL.encoder_expand // MODEL.encoder_head_width
    groups = heads // MODEL.heads_per_group
    generator = torch.Generator().manual_seed(length)
    x = torch.randn(batch, length, heads, MODEL.encoder_head_width, generator=generator)
    dt = functional.softplus(torch.randn(batch, length, heads, 2, generator=generator) - 3)
    b, c = (torch.randn(batch, length, groups, MODEL.state_size, generator=generator) for _ in range(2))
    log_a = -dt * torch.linspace(1, 16, heads)[:, None]
    return [t.requires_grad_() for t in (x, dt, log_a, b, c)]


def seconds(function: Callable[..., Tensor], arguments: list[Tensor]) -> float:
    """Forward and backward once."""
    start = time.perf_counter()
    y = function(*arguments)
    torch.autograd.grad(y, arguments, torch.ones_like(y))
    return time.perf_counter() - start


def fastest(runs: dict[str, tuple[Callable[..., Tensor], list[Tensor]]], rounds: int) -> dict[str, float]:
    """Milliseconds of each run, all runs in turns; the first turn only warms up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, (function, arguments) in runs.items():
            times[name].append(seconds(function, arguments))
    return {name: 1000 * min(each[1:]) for name, each in times.items()}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="timed turns (default 7)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    record: dict[str, object] = {
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "threads": args.threads,
        "batch": BATCH,
        "inner_width": MODEL.width * MODEL.encoder_expand,
    }
    print(f"batch {BATCH}, inner width {record['inner_width']}, state {MODEL.state_size}, {args.threads} threads")
    for length in LENGTHS:
        arguments = inputs(BATCH, length)
        ms = fastest({"recurrence": (scan_reference, arguments), "scan": (scan, arguments)}, args.rounds)
        record[f"L={length}"] = ms
        ratio = ms["recurrence"] / ms["scan"]
        print(f"L={length:<5} recurrence {ms['recurrence']:8.1f} ms   scan {ms['scan']:7.1f} ms   ratio {ratio:.1f}")
    ms = fastest({str(n): (scan, inputs(1, n)) for n in GROWTH}, args.rounds)
    record["growth"] = ms
    for n in GROWTH:
        each = ms[str(n)] / n
        print(f"L={n:<5} batch 1: {ms[str(n)]:8.1f} ms, {1000 * each:.1f} µs a place (chunks of {CHUNK})")
    growth = ms[str(GROWTH[-1])] / ms[str(GROWTH[0])]
    print(f"L={GROWTH[0]} → {GROWTH[-1]}: time × {growth:.1f} for places × {GROWTH[-1] / GROWTH[0]:.0f}")
    if args.json:
        args.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
