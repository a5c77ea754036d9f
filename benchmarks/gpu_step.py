"""The training step on a GPU: baskets a second by precision and batch size, what the step waits for, and peak memory.

    python -m benchmarks.gpu_step [--preset full] [--data-dir DIR] [--batch-sizes 256 2048 8192] [--rounds 3] [--json PATH]

Steps are the product's (forward, losses, backward, clip, AdamW) on BATCHES batches at even distances along an epoch, made
before the clock runs. The profile is of bfloat16: how many kernels a step starts, how long the device computes, and how long
the step takes; where that is much longer, the device waits for the host.
"""

import argparse
import gc
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.profiler import ProfilerActivity, profile

from benchmarks.measure import report
from benchmarks.workload import workload
from retailsim.config import PRESETS, Config
from retailsim.model.lookup import Tables
from retailsim.training.fabric import make_fabric
from retailsim.training.gradient import backward
from retailsim.training.graphs import SIGHTS
from retailsim.training.masking import Masking
from retailsim.training.run import Run, Training, prepare
from retailsim.training.samples import Samples
from retailsim.training.schedule import Phase, phase_at
from retailsim.training.steps import Step, epoch_rows, make_step
from retailsim.vocab import SPECIAL_TOKENS, Vocabulary

BATCHES = 12
WAYS: dict[str, tuple[str, dict[str, bool]]] = {  # precision, and fields of Run
    "bf16": ("bf16", {}),
    "bf16, no graphs": ("bf16", {"graphs": False}),
    "bf16, checkpointing": ("bf16", {"gradient_checkpointing": True}),
    "float32": ("32", {}),
}
LARGEST_KERNELS = 10  # shown of a profile


def take(training: Training, steps: list[Step], phase: Phase) -> list[float]:
    """The loss of each step; the host does not wait for one before the next."""
    losses = []
    for step in steps:
        losses.append(backward(training, step, phase)[0])
        training.run.fabric.clip_gradients(training.forward, training.optimizer, max_norm=1.0, error_if_nonfinite=False)
        training.optimizer.step()
        training.optimizer.zero_grad(set_to_none=True)
    return torch.stack(losses).tolist()


def profiled(training: Training, steps: list[Step], phase: Phase) -> dict[str, object]:
    """Kernels a step, ms of the device a step, and the kernels that take most of it."""
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        take(training, steps, phase)
    events = found.key_averages()
    spent = sorted(((e.self_device_time_total / 1e3 / len(steps), e.count, e.key) for e in events), reverse=True)
    return {
        "kernels": sum(count for _, count, _ in spent) / len(steps),
        "device_ms": sum(ms for ms, _, _ in spent),
        "largest": [(ms, count / len(steps), name[:90]) for ms, count, name in spent[:LARGEST_KERNELS]],
    }


def measure(
    fabric: Fabric,
    config: Config,
    data: tuple[Samples, Tables, Vocabulary],
    rounds: int,
    is_profiled: bool,
    **settings: bool,
) -> dict[str, object]:
    """One way and batch size: losses of the last pass before the clock runs, ms a step, baskets a second, peak memory; `settings` are fields of Run."""
    samples, tables, vocabulary = data
    phase = phase_at(config.train.warmup_epochs + 1, config.train)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), fabric, **settings)
        training = prepare(config, tables, vocabulary, samples, run, None)
    training.forward.train()
    masking = Masking(vocabulary.size, phase.mask_prob, config.train.hide_trip_prob, epoch=1)
    rows = epoch_rows(samples, config.train.batch_size, masking)
    chosen = [rows[i] for i in np.linspace(0, len(rows) - 1, min(BATCHES, len(rows))).astype(int)]
    steps = [make_step(samples, of_step, masking, run.share) for of_step in chosen]
    for step in steps:
        step.pieces[:] = [piece.to(fabric.device) for piece in step.pieces]
    torch.cuda.reset_peak_memory_stats()
    losses: list[float] = []
    for _ in range(SIGHTS + 1):  # warms up, records, and replays
        losses = take(training, steps, phase)
    seconds = []
    for _ in range(rounds):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        take(training, steps, phase)
        seconds.append((time.perf_counter() - begin) / len(steps))
    record: dict[str, object] = {
        "losses": losses,
        "step_ms": 1e3 * min(seconds),
        "baskets_per_second": float(np.mean([len(of_step) for of_step in chosen]) / min(seconds)),
        "peak_memory_gb": torch.cuda.max_memory_allocated() / 2**30,
    }
    return record | (profiled(training, steps, phase) if is_profiled else {})


def show(name: str, found: dict) -> None:
    """One line, and the profile's."""
    print(
        f"{name:34s} {found['baskets_per_second']:9,.0f} baskets/s  {found['step_ms']:7.1f} ms  {found['peak_memory_gb']:5.1f} GB  "
        f"losses {found['losses'][0]:.4f} … {found['losses'][-1]:.4f}",
        flush=True,
    )
    if "kernels" in found:
        print(
            f"    {found['kernels']:,.0f} kernels a step, the device computes {found['device_ms']:.1f} ms of it; most:"
        )
        for ms, count, kernel in found["largest"]:
            print(f"    {ms:7.2f} ms  {count:6.0f} ×  {kernel}")


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    samples, tables, vocab_size = workload(args.data_dir, 100_000)
    preset = PRESETS[args.preset]
    samples = samples if preset.model.history else samples.without_histories()
    vocabulary = Vocabulary([str(i) for i in range(vocab_size - len(SPECIAL_TOKENS))])
    record: dict[str, object] = {"preset": args.preset, "device": torch.cuda.get_device_name()}
    print(f"{args.preset} preset on {record['device']}")
    data = samples, tables, vocabulary
    for way, (precision, settings) in WAYS.items():
        for size in args.batch_sizes:
            name, config = f"{way}, {size:,}", preset.with_train(batch_size=size)
            try:
                fabric, is_profiled = make_fabric("cuda", precision), precision == "bf16" and not settings
                record[name] = found = measure(fabric, config, data, args.rounds, is_profiled, **settings)
                show(name, found)
            except torch.cuda.OutOfMemoryError:
                print(f"{name:34s} more than the memory of this device", flush=True)
            gc.collect()
            torch.cuda.empty_cache()
    report(record, args.json)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=tuple(PRESETS), default="full")
    parser.add_argument("--data-dir", type=Path, help="root of prepared data; without: random baskets of real lengths")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[256, 2048, 8192], help="baskets a step")
    parser.add_argument("--rounds", type=int, default=3, help="timed passes over the batches (default 3)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
