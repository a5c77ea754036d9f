"""What a training says of its epochs: metrics.jsonl and TensorBoard, both written anew from the reports (SPEC C30).

The reports travel in every checkpoint, so a resumed run leaves the same lines and scalars as one that was never stopped.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from retailsim.atomic import atomic


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did; also a line of metrics.jsonl."""

    epoch: int
    phase: str
    learning_rate: float
    mask_prob: float
    train_loss: float
    parts: dict[str, float]  # unweighted means of the losses that the phase counts
    val_loss: float  # cross-entropy of the hidden products, nats
    val_accuracy: float  # share 0–1 of hidden products ranked first
    is_best: bool


class RunLog:
    """The log of a run in `folder`; what an earlier run left there is replaced by `reports`."""

    def __init__(self, folder: Path, reports: list[EpochReport]) -> None:
        self.lines = folder / "metrics.jsonl"
        for events in (folder / "tensorboard").glob("events.out.tfevents.*"):
            events.unlink()
        self.board = SummaryWriter(folder / "tensorboard")
        for report in reports:
            self._draw(report)
        self._write(reports)

    def add(self, report: EpochReport) -> None:
        """One more epoch."""
        self._write([*self.reports, report])
        self._draw(report)
        self.board.flush()

    def close(self) -> None:
        """The last thing to do."""
        self.board.close()

    def _write(self, reports: list[EpochReport]) -> None:
        self.reports = list(reports)
        with atomic(self.lines) as temporary:
            temporary.write_text("".join(json.dumps(asdict(r)) + "\n" for r in reports), encoding="utf-8")

    def _draw(self, report: EpochReport) -> None:
        scalars = {"train/loss": report.train_loss, "val/loss": report.val_loss, "val/accuracy": report.val_accuracy}
        for name, value in scalars.items():
            self.board.add_scalar(name, value, report.epoch)
        for name, value in report.parts.items():
            self.board.add_scalar(f"train/{name}", value, report.epoch)
