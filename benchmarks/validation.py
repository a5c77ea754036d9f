"""All rules of validation on a raw source: seconds, rows per second.

Usage: python benchmarks/validation.py [INPUT]    (without INPUT: a synthetic retailer of about 200,000 rows)
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from retailsim.sources.read import read_transactions, source_files
from retailsim.sources.stored import stored_rows
from retailsim.sources.validate import judge
from retailsim.storage import connect


def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        source = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(root)
        if len(sys.argv) == 1:
            subprocess.run([sys.executable, "-m", "src.sources.make_data", "--output", root], check=True)
        start, engine = time.perf_counter(), connect()
        verdict = judge(read_transactions(source, engine), stored_rows(source_files(source)), engine)
        rows, aside = verdict.rows.count().execute(), verdict.faults.count().execute()
        took = time.perf_counter() - start
        print(f"{rows:,} rows, {aside:,} set aside: {took:.1f} s, {rows / took:,.0f} rows/s")


if __name__ == "__main__":
    main()
