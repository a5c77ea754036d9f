"""The temperature that makes a checkpoint's probabilities believable, fitted on validation baskets and kept beside it.

`checkpoints/best_model.pt` has its temperatures in `checkpoints/best_model.temperature.json`, with the digests of the
checkpoint and of the validation samples that they belong to: neither a later training nor another split inherits them.
"""

import json
import math
import shlex
from pathlib import Path

import numpy as np
import torch

from retailsim import console
from retailsim.artifacts import SAMPLE_TABLES
from retailsim.atomic import atomic
from retailsim.errors import UserError
from retailsim.evaluation.calibration import competing, fit_temperature
from retailsim.evaluation.hidden import MIN_PRODUCTS
from retailsim.manifest import at_root, fingerprint
from retailsim.model.basket_model import BasketModel
from retailsim.training.masking import Masking, Question
from retailsim.training.samples import Samples
from retailsim.training.scoring import answers

KINDS = ("trip_known", "trip_unknown", "open_trip_known", "open_trip_unknown")  # of questions
TEMPERATURE_OF: dict[Question, str] = {
    "trip_known": "trip_known",
    "trip_unknown": "trip_unknown",
    "before_trip": "open_trip_unknown",
}
BASKETS = 3000  # of the validation weeks at most, evenly spaced: a single number needs no more


def temperature_path(checkpoint: Path) -> Path:
    """Where the temperatures of `checkpoint` lie."""
    return checkpoint.with_suffix(".temperature.json")


def kept_temperatures(checkpoint: Path, data_dir: Path) -> dict[str, float] | None:
    """Temperature by KINDS; None where none were fitted for this very checkpoint on these very validation samples."""
    path = temperature_path(checkpoint)
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        made_from = _made_from(checkpoint, data_dir)
        if record["checkpoint"] != made_from["checkpoint"] or record.get("validation") != made_from["validation"]:
            return None
        return {kind: float(record["temperature"][kind]) for kind in KINDS}
    except (ValueError, KeyError, TypeError) as error:
        command = shlex.join(["retailsim", "evaluate", str(checkpoint), *at_root(data_dir)])
        raise UserError(f'{path} is damaged: delete it, or run "{command}" again') from error


def _made_from(checkpoint: Path, data_dir: Path) -> dict[str, str]:
    return {
        "checkpoint": fingerprint(checkpoint),
        "validation": fingerprint(SAMPLE_TABLES["val"].at(data_dir)),
    }


def fit_temperatures(
    checkpoint: Path,
    data_dir: Path,
    model: BasketModel,
    val: Samples,
    vocab_size: int,
    batch_size: int,
    device: torch.device,
) -> dict[str, float]:
    """Fit the temperatures on the validation baskets `val` of `data_dir` and keep them beside the checkpoint.

    Open baskets are drawn as in training: half of them empty, of the others a part is shown. Where the validation baskets hide no
    product of the vocabulary, nothing can be fitted: all are 1, which is said and not kept.
    """
    usable = np.flatnonzero(val.columns["n_products"] >= MIN_PRODUCTS)
    keep = np.zeros(len(val), dtype=bool)
    keep[usable[:: max(1, math.ceil(len(usable) / BASKETS))]] = True
    samples = val.select(keep)
    found = {}
    for kind in KINDS:
        is_open, hide_trip_prob = kind.startswith("open"), float(kind.endswith("unknown"))
        masking = Masking(
            vocab_size, hide_trip_prob=hide_trip_prob, is_evaluation=not is_open, open_share=float(is_open)
        )
        parts = []
        for answer in answers(model, samples, masking, batch_size, device):
            target = answer.batch.targets
            can_win = target < vocab_size
            logits = competing(answer.output.product_logits, answer.excluded)
            parts.append((logits[can_win].cpu(), target[can_win].cpu()))
        if not sum(len(target) for _, target in parts):
            console.err.print("warning: nothing in the validation weeks can be hidden: no temperature is fitted")
            return dict.fromkeys(KINDS, 1.0)
        logits, targets = (torch.cat(part) for part in zip(*parts, strict=True))
        found[kind] = fit_temperature(logits, targets)
    with atomic(temperature_path(checkpoint)) as temporary:
        record = {**_made_from(checkpoint, data_dir), "temperature": found, "baskets": len(samples)}
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return found
