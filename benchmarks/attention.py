"""The model's attention on a CPU in float32 and under autocast to bfloat16: why `model.attention` leaves the autocast.

    python -m benchmarks.attention [--rounds 10] [--threads 1] [--json PATH]

Forward and backward of PyTorch's `scaled_dot_product_attention` with a mask, 256 baskets; both precisions take turns.
"""

import argparse
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.measure import in_turns, report

BATCH = 256
SHAPES = {  # heads, queries, keys, width of a head
    "decoder of small, 7 places": (4, 7, 7, 32),
    "decoder of small, 20 places": (4, 20, 20, 32),
    "decoder of small, 51 places": (4, 51, 51, 32),
    "decoder of full, 51 places": (8, 51, 51, 64),
    "recall of 200 purchases": (4, 6, 200, 16),
}


def forward_backward(queries: Tensor, keys: Tensor, values: Tensor, is_visible: Tensor) -> None:
    found = scaled_dot_product_attention(queries, keys, values, attn_mask=is_visible)
    torch.autograd.grad(found, (queries, keys, values), torch.ones_like(found))


def measure(heads: int, queries: int, keys: int, width: int, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of each precision."""
    draw = torch.Generator().manual_seed(0)
    tensors = [torch.randn(BATCH, heads, n, width, generator=draw) for n in (queries, keys, keys)]
    is_visible = torch.rand(BATCH, 1, 1, keys, generator=draw) < 0.8
    is_visible[..., 0] = True
    runs = {}
    for name, precision in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        own = [t.to(precision, copy=True).requires_grad_() for t in tensors]
        runs[name] = partial(forward_backward, *own, is_visible)
    in_turns(runs, 2)  # warms up
    return {name: turns.record() for name, turns in in_turns(runs, rounds).items()}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="timed turns (default 10)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    record: dict[str, dict] = {}
    for name, shape in SHAPES.items():
        figures = record[name] = measure(*shape, args.rounds)
        single, half = (1000 * figures[kind]["processor_fastest"] for kind in ("float32", "bfloat16"))
        print(f"{name:28} {shape}: float32 {single:.1f} ms, bfloat16 {half:.1f} ms, {half / single:.1f} times")
    report({"seconds": record}, args.json)


if __name__ == "__main__":
    main()
