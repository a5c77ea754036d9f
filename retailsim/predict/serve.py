"""`retailsim serve CHECKPOINT`: predictions over HTTP, with an OpenAPI page at /docs.

Reads a checkpoint and data/; writes nothing. Needs the extra `retailsim[serve]`.
"""

import errno
import importlib.metadata
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from retailsim import console
from retailsim.errors import UserError, refuse_below
from retailsim.manifest import fingerprint
from retailsim.predict.catalogue import read_names
from retailsim.predict.predictor import Predictor

MOST_PORT = 65_535


def serve(
    checkpoint: Annotated[Path, tyro.conf.Positional],
    host: str = "127.0.0.1",
    port: int = 8000,
    catalogue: Path | None = None,
    batch: int = 256,
    seconds: float = 30.0,
    at_once: int = 2,
    device: Literal["auto", "cuda", "mps", "cpu"] = "cpu",
    data_dir: Path = Path("data"),
) -> int:
    """Answer predictions over HTTP until it is stopped: POST /predict, POST /predict/batch, GET /model, /health, /ready, /docs.

    Args:
        checkpoint: a checkpoint of training, e.g. checkpoints/best_model.pt.
        host: address to listen on; 0.0.0.0 lets other machines in, who need no password.
        port: port to listen on.
        catalogue: CSV or Parquet file with columns product_id and name: shows names.
        batch: requests at most in one batch.
        seconds: until an answer is given up.
        at_once: predictions that compute side by side.
        device: where the model runs.
        data_dir: root of what the stages wrote.
    """
    try:
        import uvicorn

        from retailsim.predict.service import Limits, make_app
    except ImportError as error:
        raise UserError(f'serving needs {error.name}: install it with pip install "retailsim[serve]"') from error
    refuse_below(1, batch=batch, at_once=at_once)
    if not seconds > 0:
        raise UserError(f"--seconds {seconds} leaves no time to answer: give more than 0")
    refuse_taken(host, port)
    predictor = Predictor.load(checkpoint, data_dir, device, read_names(catalogue) if catalogue else None)
    app = make_app(predictor, model_card(predictor, checkpoint), Limits(batch=batch, seconds=seconds, at_once=at_once))
    address = f"[{host}]" if ":" in host else host
    console.out.print(f"http://{address}:{port}/docs shows what can be asked; Ctrl-C ends it")
    uvicorn.run(app, host=host, port=port, log_level="warning")
    return 0


def refuse_taken(host: str, port: int) -> None:
    """A UserError where nothing can listen on `host` and `port`: before a model is loaded, and not in a log."""
    try:
        if not 0 <= port <= MOST_PORT:
            raise OSError(errno.EINVAL, f"ports are 0 to {MOST_PORT}")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise UserError(
            f"--host {host} --port {port} cannot be listened on ({error.strerror}): end what listens there, or name others"
        ) from error


def model_card(predictor: Predictor, checkpoint: Path) -> dict[str, Any]:
    """What is served, and how its numbers are to be read."""
    return {
        "version": importlib.metadata.version("retailsim"),
        "checkpoint": fingerprint(checkpoint),
        "parameters": predictor.parameter_count,
        "vocabulary": predictor.vocabulary.size,
        "weeks": predictor.calendar.to_json(),
        "measure": "probability" if predictor.temperatures else "score",
        "meaning": "chance to be the next product of the basket; a score ranks products and is no frequency",
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(serve, argv)


if __name__ == "__main__":
    sys.exit(main())
