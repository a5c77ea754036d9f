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
    learning_rate: float
    mask_prob: float
    weights: Mapping[str, float]


def phase_at(epoch: int, config: TrainConfig) -> Phase:
    """The phase of `epoch`, which counts from 1."""
    is_warmup = epoch <= config.warmup_epochs
    is_finetuning = epoch > config.epochs - config.finetune_epochs
    name = "warmup" if is_warmup else "finetune" if is_finetuning else "main"
    if config.cosine:
        rate = cosine_rate(epoch, config)
    else:
        rate = config.learning_rate if name == "main" else config.edge_learning_rate
    mask_prob = config.finetune_mask_prob if is_finetuning else config.mask_prob
    return Phase(name, rate, mask_prob, FOCAL_ONLY if is_warmup else task_weights(config))


def cosine_rate(epoch: int, config: TrainConfig) -> float:
    """The rate of `epoch` on a cosine from `learning_rate` to 0 (Loshchilov & Hutter 2017, eq. 5), taken at its middle."""
    return config.learning_rate * (1 + math.cos(math.pi * (epoch - 0.5) / config.epochs)) / 2


def task_weights(config: TrainConfig) -> dict[str, float]:
    """Shares of the loss: products, products bought together, the trip's labels; a part without a share is not computed."""
    focal = 1 - config.contrastive_share - config.auxiliary_share
    auxiliary = {name: config.auxiliary_share * share for name, share in AUXILIARY.items()}
    shares = {"focal": focal, "contrastive": config.contrastive_share, **auxiliary}
    return {name: share for name, share in shares.items() if share > 0}
