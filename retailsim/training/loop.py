"""The training loop: for each epoch, for each batch: forward, loss, backward, step; then validate, save, log."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.utils.tensorboard import SummaryWriter

from retailsim.config import Config
from retailsim.errors import UserError
from retailsim.model.basket_model import BasketModel
from retailsim.model.batch import Batch
from retailsim.model.lookup import Tables
from retailsim.model.world_model import parameter_groups
from retailsim.storage import atomic
from retailsim.training import checkpoint
from retailsim.training.dataset import Masking, Samples, batch_rows, load_batches, ordered_rows
from retailsim.training.losses import focal_loss, total_loss
from retailsim.training.objective import loss_parts
from retailsim.training.schedule import Phase, phase_at
from retailsim.vocab import SPECIAL_TOKENS, Vocabulary


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


@dataclass(frozen=True)
class Run:
    """Where and how a training runs; nothing here changes its result but the device's rounding."""

    checkpoint_dir: Path
    fabric: Fabric
    num_workers: int = 0
    gradient_checkpointing: bool = False


def fit(
    config: Config,
    tables: Tables,
    vocabulary: Vocabulary,
    train: Samples,
    val: Samples,
    run: Run,
    resumed: dict[str, Any] | None,
    on_batch: Callable[[int, int, int], None],
    on_epoch: Callable[[EpochReport], None],
) -> BasketModel:
    """Train a model to the end of its epochs and return it.

    Args:
        config: model and training numbers.
        tables: cached tensors.
        vocabulary: the products.
        train: training baskets.
        val: validation baskets.
        run: device, checkpoint folder, workers.
        resumed: state of `checkpoint.load` from which to go on; None starts anew.
        on_batch: called with epoch, batches done and batches in all.
        on_epoch: called with the report of each epoch.
    """
    setting, fabric = config.train, run.fabric
    torch.manual_seed(setting.seed)
    model = BasketModel(config.model, tables, vocabulary.size, run.gradient_checkpointing)
    model.world.set_product_prior(log_prior(train, vocabulary.size))
    optimizer = torch.optim.AdamW(parameter_groups(model, setting.weight_decay), lr=setting.learning_rate)
    first_epoch, best = 1, math.inf
    if resumed:
        model.load_state_dict(resumed["model"], strict=True)
        optimizer.load_state_dict(resumed["optimizer"])
        first_epoch, best = resumed["epoch"] + 1, resumed["best_val_loss"]
    forward, optimizer = fabric.setup(model, optimizer)
    log_path = run.checkpoint_dir / "metrics.jsonl"
    _keep_epochs_before(log_path, first_epoch)
    with SummaryWriter(run.checkpoint_dir / "tensorboard", purge_step=first_epoch) as board:
        for epoch in range(first_epoch, setting.epochs + 1):
            phase = phase_at(epoch, setting)
            parts = train_epoch(model, forward, optimizer, train, vocabulary, phase, epoch, config, run, on_batch)
            val_loss, val_accuracy = validate(forward, val, vocabulary.size, setting.batch_size, fabric)
            is_best = val_loss < best
            best = min(best, val_loss)
            state = {
                "format": checkpoint.FORMAT,
                "config": config.to_json(),
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "epoch": epoch,
                "best_val_loss": best,
                "vocabulary": checkpoint.vocabulary_digest(vocabulary),
            }
            checkpoint.save(run.checkpoint_dir / f"epoch_{epoch}.pt", state)
            if is_best:
                checkpoint.save(run.checkpoint_dir / "best_model.pt", state)
            report = EpochReport(
                epoch,
                phase.name,
                phase.learning_rate,
                phase.mask_prob,
                parts.pop("total"),
                parts,
                val_loss,
                val_accuracy,
                is_best,
            )
            with open(log_path, "a", encoding="utf-8") as log:
                log.write(json.dumps(vars(report)) + "\n")
            for name, value in {
                "train/loss": report.train_loss,
                "val/loss": val_loss,
                "val/accuracy": val_accuracy,
            }.items():
                board.add_scalar(name, value, epoch)
            for name, value in parts.items():
                board.add_scalar(f"train/{name}", value, epoch)
            on_epoch(report)
    return model


def train_epoch(
    model: BasketModel,
    forward: torch.nn.Module,
    optimizer: Any,
    train: Samples,
    vocabulary: Vocabulary,
    phase: Phase,
    epoch: int,
    config: Config,
    run: Run,
    on_batch: Callable[[int, int, int], None],
) -> dict[str, float]:
    """One pass over the training baskets; means over batches of `total` and of each unweighted part."""
    setting = config.train
    torch.manual_seed(setting.seed * 1_000_003 + epoch)  # dropout: the same in a resumed epoch
    forward.train()
    for group in optimizer.param_groups:
        group["lr"] = phase.learning_rate
    masking = Masking(vocabulary.size, phase.mask_prob, setting.hide_trip_prob, epoch, setting.seed)
    rows = batch_rows(train.lengths, setting.batch_size, setting.seed, epoch)
    sums: dict[str, float] = {}
    for done, batch in enumerate(load_batches(train, rows, masking, run.num_workers), start=1):
        batch = batch.to(run.fabric.device)
        parts = loss_parts(model, forward, batch, phase.weights, setting)
        parts["total"] = total_loss(parts, phase)
        if not torch.isfinite(parts["total"]):
            _stop_on_nan(parts, batch, epoch, done, run.checkpoint_dir)
        run.fabric.backward(parts["total"])
        run.fabric.clip_gradients(forward, optimizer, max_norm=setting.max_grad_norm, error_if_nonfinite=False)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        for name, part in parts.items():
            sums[name] = sums.get(name, 0.0) + float(part.detach())
        on_batch(epoch, done, len(rows))
    return {name: value / len(rows) for name, value in sums.items()}


@torch.no_grad()
def validate(
    forward: torch.nn.Module, val: Samples, vocab_size: int, batch_size: int, fabric: Fabric
) -> tuple[float, float]:
    """Cross-entropy (nats) and accuracy (0–1) on the protocol's hidden products, T6 hidden: the same in every phase (C28).

    Late products, which no logit stands for, are left out of the loss and count as misses of the accuracy.
    """
    forward.eval()
    val = val.select(val.columns["n_products"] >= 2)
    masking = Masking(vocab_size, is_evaluation=True)
    loss = hits = known = total = 0.0
    for batch in load_batches(val, ordered_rows(val.lengths, batch_size), masking):
        batch = batch.to(fabric.device)
        logits = forward(batch).product_logits.float()
        is_known = batch.targets < vocab_size
        logits, targets = logits[is_known], batch.targets[is_known]
        loss += float(focal_loss(logits, targets, gamma=0.0)) * len(targets)
        hits += float((logits.argmax(-1) == targets).sum())
        known, total = known + len(targets), total + len(is_known)
    return loss / max(known, 1), hits / max(total, 1)


def log_prior(train: Samples, vocab_size: int) -> torch.Tensor:
    """Log share of each token among the products of the training baskets, one added to each count: float32 [V]."""
    counts = np.bincount(train.products, minlength=vocab_size)[:vocab_size] + 1.0
    counts[: len(SPECIAL_TOKENS)] = 1e-3
    return torch.from_numpy(np.log(counts / counts.sum()).astype(np.float32))


def _stop_on_nan(parts: dict[str, torch.Tensor], batch: Batch, epoch: int, step: int, folder: Path) -> None:
    path = folder / f"nan_batch_epoch_{epoch}_step_{step}.pt"
    torch.save({name: value.cpu() for name, value in vars(batch).items()}, path)
    bad = [name for name, value in parts.items() if not torch.isfinite(value)]
    raise UserError(
        f"the loss became infinite or not a number in epoch {epoch}, batch {step} (parts {', '.join(bad)}); the batch is in {path}: "
        f'try a lower "--learning-rate", or check the data with "python -m src.training.validate_data"'
    )


def _keep_epochs_before(path: Path, first_epoch: int) -> None:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if json.loads(line)["epoch"] < first_epoch]
    with atomic(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
