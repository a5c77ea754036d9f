"""From raw file to finished tensor cache (commands 1–5 of the recipe): seconds, rows per second, peak memory.

Usage: python benchmarks/pipeline.py [INPUT [NROWS]]    (without INPUT: a synthetic retailer of about 200,000 rows)

Each command runs as a process of its own, as a user runs it. Memory is the largest resident size of any of them.
Results are kept in benchmarks/README.md with machine, date and commit.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

COMMANDS = (
    ("data_pipeline.run_pipeline", ["--input", "{input}", "{nrows}"]),
    ("feature_engineering.run_feature_engineering", ["{nrows}"]),
    ("tensor_preparation.run_tensor_preparation", []),
    ("training.prepare_samples", []),
    ("training.prepare_tensor_cache", []),
)


def run(command: list[str]) -> tuple[float, float]:
    """Seconds and peak resident GB of a process; it must end well."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 2**20


def main() -> None:
    nrows = ["--nrows", sys.argv[2]] if len(sys.argv) > 2 else []
    rows, seconds, peak = 0, 0.0, 0.0
    with tempfile.TemporaryDirectory() as root:
        source = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(root) / "raw_data"
        if len(sys.argv) == 1:
            run([sys.executable, "-m", "src.sources.make_data", "--output", str(source)])
        for module, flags in COMMANDS:
            filled = [str(source) if f == "{input}" else f for f in flags if f != "{nrows}"]
            extra = nrows if "{nrows}" in flags else []
            took, memory = run([sys.executable, "-m", f"src.{module}", "--data-dir", root, *filled, *extra])
            if not rows:
                rows = pq.ParquetFile(Path(root) / "processed/transactions.parquet").metadata.num_rows
            seconds, peak = seconds + took, max(peak, memory)
            print(f"{module:48s} {took:7.1f} s  {rows / took:10,.0f} rows/s  {memory:5.2f} GB")
    print(f"{'all':48s} {seconds:7.1f} s  {rows / seconds:10,.0f} rows/s  {peak:5.2f} GB   ({rows:,} rows)")


if __name__ == "__main__":
    main()
