"""The encoder's scan against the recurrence place by place, and how its time grows with the number of places.

    python -m benchmarks.scan [--rounds 5] [--threads 2] [--json PATH]

Forward and backward of the scan alone, both directions, float32, full preset; all variants take turns.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.measure import in_turns, report
from retailsim.config import PRESETS
from retailsim.model.scan import CHUNK, scan, scan_reference

MODEL = PRESETS["full"].model
BATCH = 64
LENGTHS = (17, 51)  # an average and a full basket, with the context
GROWTH = (256, 512, 1024, 2048, 4096)
VARIANTS: dict[str, Callable[..., Tensor]] = {
    "recurrence": scan_reference,
    "one matrix": partial(scan, chunk=GROWTH[-1]),
    f"chunks of {CHUNK}": scan,
    "chunks of 16": partial(scan, chunk=16),
}
TOO_SLOW = {"recurrence": 51, "one matrix": 1024}  # beyond so many places


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


def forward_backward(function: Callable[..., Tensor], arguments: list[Tensor]) -> None:
    y = function(*arguments)
    torch.autograd.grad(y, arguments, torch.ones_like(y))


def measure(batch: int, length: int, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of each variant that is not too slow for `length` places."""
    arguments = inputs(batch, length)
    runs = {
        name: partial(forward_backward, function, arguments)
        for name, function in VARIANTS.items()
        if length <= TOO_SLOW.get(name, length)
    }
    in_turns(runs, 1)  # warms up
    return {name: turns.record() for name, turns in in_turns(runs, rounds).items()}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="timed turns (default 5)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    record: dict[str, dict] = {}
    print(f"inner width {MODEL.width * MODEL.encoder_expand}, state {MODEL.state_size}; ms of processor time (wall)")
    for batch, lengths in ((BATCH, LENGTHS), (1, GROWTH)):
        for length in lengths:
            figures = record[str(length)] = measure(batch, length, args.rounds)
            shown = (
                f"{name} {1000 * f['processor_fastest']:.1f} ({1000 * f['wall_fastest']:.1f})"
                for name, f in figures.items()
            )
            print(f"batch {batch:>2}, L={length:<4}  " + "   ".join(shown))
    first, last = (record[str(n)][f"chunks of {CHUNK}"]["processor_fastest"] for n in (GROWTH[0], GROWTH[-1]))
    print(f"L={GROWTH[0]} → {GROWTH[-1]}: time × {last / first:.1f} for places × {GROWTH[-1] / GROWTH[0]:.0f}")
    report({"seconds": record}, args.json)


if __name__ == "__main__":
    main()
