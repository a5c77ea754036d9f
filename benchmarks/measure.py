"""What every benchmark shares: turns taken one after the other, the clocks, and where and when it was measured.

Wall time says what a user waits on a quiet machine. Processor time (all threads of the process) says the same of a busy
one, nearly: other work only costs it the caches. Both are taken; ratios come from one run in which all take turns.
"""

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch


@dataclass(frozen=True)
class Turns:
    """Seconds of each timed turn."""

    wall: list[float]
    processor: list[float]

    def record(self) -> dict[str, float]:
        """Fastest and median turn, in seconds."""
        return {
            f"{kind}_{name}": float(of(times))
            for kind, times in (("wall", self.wall), ("processor", self.processor))
            for name, of in (("fastest", np.min), ("median", np.median))
        }


def in_turns(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Turns]:
    """`rounds` timed turns of each run, all runs one after the other in every round. Warm up before."""
    turns: dict[str, Turns] = {name: Turns([], []) for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            wall, processor = time.perf_counter(), time.process_time()
            run()
            turns[name].wall.append(time.perf_counter() - wall)
            turns[name].processor.append(time.process_time() - processor)
    return turns


def matmul_peak(rounds: int = 5) -> dict[str, float]:
    """The largest float32 matrix product's floating-point operations per second of wall and of processor time, in G."""
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    turns = in_turns({"mm": lambda: a @ b}, rounds + 1)["mm"]
    return {"wall": 2 * 2048**3 / min(turns.wall) / 1e9, "processor": 2 * 2048**3 / min(turns.processor) / 1e9}


def circumstances() -> dict[str, object]:
    """Machine, load, date, versions and commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit.stdout.strip() + ("+" if changed.stdout.strip() else ""),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(
            os.getloadavg()[0], 1
        ),  # processes that want to run: far above the threads, wall time says little
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def report(record: dict[str, object], path: Path | None) -> None:
    """The circumstances on one line, and the whole record as JSON at `path`."""
    where = circumstances()
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    if path:
        path.write_text(json.dumps({**where, **record}, indent=2) + "\n")


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
