"""How far a training has come: with the weights and the optimiser's state, all that a resumed run needs (SPEC C29)."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from retailsim.training.run_log import EpochReport


@dataclass
class Progress:
    """Counted in whole steps. Masks, order and dropout follow from (seed, epoch, basket), so no generator is kept."""

    epoch: int = 0  # epochs done
    step: int = 0  # steps done of the next epoch
    sums: dict[str, float] = field(default_factory=dict)  # of these steps' losses, float64
    best_val_loss: float = math.inf
    reports: list[EpochReport] = field(default_factory=list)  # one per epoch done

    @classmethod
    def of(cls, state: dict[str, Any]) -> "Progress":
        """As a checkpoint holds it."""
        reports = [EpochReport(**report) for report in state["reports"]]
        return cls(state["epoch"], state["step"], state["sums"], state["best_val_loss"], reports)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self)

    def finish_epoch(self, report: EpochReport) -> None:
        """The epoch of `report` is done."""
        self.epoch, self.step, self.sums = report.epoch, 0, {}
        self.best_val_loss = min(self.best_val_loss, report.val_loss)
        self.reports.append(report)
