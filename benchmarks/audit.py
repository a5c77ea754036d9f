"""The audit: seconds on the clock, seconds of processor, peak memory.

Usage: python benchmarks/audit.py [INPUT DATA_DIR [CHECKPOINT]]    (commands 1–5 have been run on INPUT; without INPUT: a
synthetic retailer of about 200,000 rows, which goes through them first)

It runs as a process of its own, as a user runs it. Results are kept in benchmarks/README.md with machine, date and commit.
"""

import os
import subprocess
import sys
import tempfile
import time

ROAD = (
    "sources.make_data --output {raw}",
    "data_pipeline.run_pipeline --input {raw}",
    "feature_engineering.run_feature_engineering",
    "tensor_preparation.run_tensor_preparation",
    "training.prepare_samples",
    "training.prepare_tensor_cache",
)


def measure(source: str, root: str, checkpoint: list[str]) -> None:
    flags = ["--input", source, "--data-dir", root, *(["--checkpoint", *checkpoint] if checkpoint else [])]
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "src.training.audit", *flags])
    _, status, usage = os.wait4(process.pid, 0)
    took, processor = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
    code = os.waitstatus_to_exitcode(status)
    print(f"exit code {code}, {took:.0f} s, {processor:.0f} s of processor, {usage.ru_maxrss / 2**20:.2f} GB")


def main() -> None:
    if len(sys.argv) > 2:
        return measure(sys.argv[1], sys.argv[2], sys.argv[3:4])
    with tempfile.TemporaryDirectory() as folder:
        raw, root = f"{folder}/raw_data", f"{folder}/data"
        for number, line in enumerate(ROAD):
            flags = [word.format(raw=raw) for word in line.split()] + (["--data-dir", root] if number else [])
            subprocess.run([sys.executable, "-m", f"src.{flags[0]}", *flags[1:]], check=True, stdout=subprocess.DEVNULL)
        measure(raw, root, [])


if __name__ == "__main__":
    main()
