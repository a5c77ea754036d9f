"""The three phases of training (document: "Three Training Phases", SPEC C26).

Everything that depends on the epoch stands here; the loop asks `phase_at` and keeps no phase of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from retailsim.config import TrainConfig

FOCAL_ONLY = {"focal": 1.0}
ALL_TASKS = {
    "focal": 0.60,
    "contrastive": 0.20,
    "basket_size": 0.08,
    "price_sensitivity": 0.08,
    "mission_type": 0.02,
    "mission_focus": 0.02,
}


@dataclass(frozen=True)
class Phase:
    """What holds during a phase; `weights` are shares of the loss and add up to 1."""

    name: str
    learning_rate: float
    mask_prob: float
    weights: Mapping[str, float]


def phase_at(epoch: int, config: TrainConfig) -> Phase:
    """The phase of `epoch`, which counts from 1."""
    if epoch <= config.warmup_epochs:
        return Phase("warmup", config.edge_learning_rate, config.mask_prob, FOCAL_ONLY)
    if epoch <= config.epochs - config.finetune_epochs:
        return Phase("main", config.learning_rate, config.mask_prob, ALL_TASKS)
    return Phase("finetune", config.edge_learning_rate, config.finetune_mask_prob, ALL_TASKS)
