"""How many predictions per second the HTTP service gives, and how long a caller waits: 1, 8 and 32 callers at once.

python -m benchmarks.serve CHECKPOINT --data-dir data

The service is the command itself, in a process of its own; each caller asks, waits for the answer and asks again. The requests
are baskets of the validation weeks with customer, store and time, the trip left open.
"""

import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import httpx2
import numpy as np
import tyro

from benchmarks.measure import report
from retailsim.artifacts import STORE_FEATURES
from retailsim.reading import load_calendar, load_vocabulary
from retailsim.storage import connect
from retailsim.training.samples import load_baskets

BATCH = 64  # requests at once to /predict/batch
STARTS_WITHIN = 300.0  # seconds


@dataclass(frozen=True)
class Waits:
    """What callers met."""

    seconds: float  # from the first request to the last answer
    waits: list[float]  # seconds per request

    def row(self, per_request: int = 1) -> dict[str, float]:
        """Answers per second, and the middle and the hundredth-longest wait in milliseconds."""
        p50, p99 = np.percentile(self.waits, [50, 99]) * 1000
        return {"per_second": len(self.waits) * per_request / self.seconds, "p50_ms": float(p50), "p99_ms": float(p99)}


def main(
    checkpoint: Annotated[Path, tyro.conf.Positional],
    data_dir: Path = Path("data"),
    requests: int = 400,
    json: Path | None = None,
) -> None:
    """Start the service, ask, and print a table.

    Args:
        checkpoint: to serve.
        data_dir: root of what the stages wrote.
        requests: per number of callers.
        json: file for the result.
    """
    asked = bodies(data_dir, requests)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begun = time.perf_counter()
    command = ["-m", "retailsim.predict.serve", str(checkpoint), "--data-dir", str(data_dir), "--port", str(port)]
    server = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            wait_until_ready(http, server)
            record: dict[str, Any] = {"seconds_to_ready": time.perf_counter() - begun}
            record["first_answer_ms"] = ask(http, "/predict", [asked[0]], 1).waits[0] * 1000
            for callers in (1, 8, 32):
                record[f"{callers} callers"] = ask(http, "/predict", asked, callers).row()
            many = [{"requests": [one["request"] for one in asked[i : i + BATCH]]} for i in range(0, len(asked), BATCH)]
            record[f"batches of {BATCH}"] = ask(http, "/predict/batch", many, 1).row(BATCH)
    finally:
        server.terminate()
        server.wait()
    for name, value in record.items():
        print(name, {k: round(v, 1) for k, v in value.items()} if isinstance(value, dict) else round(value, 1))
    report(record, json)


def bodies(data_dir: Path, count: int) -> list[dict[str, Any]]:
    """Requests made of the validation baskets: the first product is asked for, the others are visible."""
    samples, calendar, vocabulary = load_baskets(data_dir, "val"), load_calendar(data_dir), load_vocabulary(data_dir)
    engine = connect()
    stores = engine.to_pyarrow(STORE_FEATURES.read(data_dir, engine).order_by("row").store_id).to_pylist()
    columns, some = samples.columns, np.random.default_rng(0).choice(len(samples), count, replace=len(samples) < count)
    return [
        {
            "request": {
                "when": f"{calendar.first_monday + timedelta(days=int(columns['day'][i]))}T{max(0, columns['hour'][i]):02d}:00",
                "customer": columns["customer_id"][i],
                "store": stores[columns["store_row"][i] - 1] if columns["store_row"][i] else None,
                "basket": [
                    vocabulary.ids[row] for row in samples.products[samples.starts[i] + 1 : samples.starts[i + 1]]
                ],
            }
        }
        for i in some
    ]


def wait_until_ready(http: httpx2.Client, server: subprocess.Popen) -> None:
    """Until GET /ready answers."""
    for _ in range(int(STARTS_WITHIN * 10)):
        if server.poll() is not None:
            raise SystemExit(f"the service ended with {server.returncode}")
        try:
            http.get("/ready").raise_for_status()
            return
        except httpx2.TransportError:
            time.sleep(0.1)
    raise SystemExit(f"the service was not ready within {STARTS_WITHIN:g} s")


def ask(http: httpx2.Client, path: str, asked: list[dict[str, Any]], callers: int) -> Waits:
    """All requests once, by `callers` callers at once; an answer that is not 200 ends the benchmark."""

    def one(body: dict[str, Any]) -> float:
        start = time.perf_counter()
        http.post(path, json=body).raise_for_status()
        return time.perf_counter() - start

    start = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        waits = list(pool.map(one, asked))
    return Waits(time.perf_counter() - start, waits)


if __name__ == "__main__":
    tyro.cli(main)
