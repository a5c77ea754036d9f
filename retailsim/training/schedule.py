"""The three phases of training (document: "Three Training Phases", SPEC C26).

Everything that depends on the epoch stands here; the loop asks `phase_at` and keeps no phase of its own.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from retailsim.config import TrainConfig

FOCAL_ONLY = {"focal": 1.0}
AUXILIARY = {"basket_size": 0.4, "price_sensitivity": 0.4, "mission_type": 0.1, "mission_focus": 0.1}  # of their share


@dataclass(frozen=True)
class Phase:
    """What holds during a phase; `weights` are shares of the loss and add up to 1."""

    name: str
    learning_rate: float  # at the middle of the epoch, see `rate_at`
    mask_prob: float
    weights: Mapping[str, float]


def phase_at(epoch: int, config: TrainConfig) -> Phase:
    """The phase of `epoch`, which counts from 1."""
    is_warmup, is_finetuning = epoch <= config.warmup_epochs, _is_finetuning(epoch, config)
    name = "warmup" if is_warmup else "finetune" if is_finetuning else "main"
    mask_prob = config.finetune_mask_prob if is_finetuning else config.mask_prob
    weights = FOCAL_ONLY if is_warmup else task_weights(config)
    return Phase(name, rate_at(epoch, 0.5, config), mask_prob, weights)


def rate_at(epoch: int, passed: float, config: TrainConfig) -> float:
    """The learning rate when the share `passed` of `epoch` is over.

    The phase's, or on a cosine that falls from `learning_rate` to 0 over all epochs (Loshchilov & Hutter 2017, eq. 5).
    """
    if config.cosine:
        return config.learning_rate * (1 + math.cos(math.pi * (epoch - 1 + passed) / config.epochs)) / 2
    is_edge = epoch <= config.warmup_epochs or _is_finetuning(epoch, config)
    return config.edge_learning_rate if is_edge else config.learning_rate


def task_weights(config: TrainConfig) -> dict[str, float]:
    """Shares of the loss: products, products bought together, known trips beside hidden products, the trip's labels; a part without a share is not computed."""
    focal = 1 - config.contrastive_share - config.evidence_share - config.auxiliary_share
    auxiliary = {name: config.auxiliary_share * share for name, share in AUXILIARY.items()}
    shares = {
        "focal": focal, "contrastive": config.contrastive_share, "evidence": config.evidence_share, **auxiliary
    }  # fmt: skip
    return {name: share for name, share in shares.items() if share > 0}


def _is_finetuning(epoch: int, config: TrainConfig) -> bool:
    return epoch > config.epochs - config.finetune_epochs
