"""A training under way: where it runs, what it works on, and how it is saved."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from retailsim.config import Config
from retailsim.errors import UserError
from retailsim.model.basket_model import BasketModel
from retailsim.model.lookup import Tables
from retailsim.model.world_model import parameter_groups
from retailsim.training import checkpoint
from retailsim.training.graphs import Graphs
from retailsim.training.made_from import digest, refuse_other_baskets, refuse_other_products, sketch
from retailsim.training.progress import Progress
from retailsim.training.samples import Samples
from retailsim.training.steps import Share
from retailsim.training.validation import product_counts
from retailsim.vocab import Vocabulary


@dataclass(frozen=True)
class Run:
    """Where and how a training runs; nothing here changes its result but the device's rounding."""

    checkpoint_dir: Path
    fabric: Fabric
    num_workers: int = 0
    gradient_checkpointing: bool = False
    pieces: int = 1  # in which every process computes its part of a step
    checkpoint_every: int = 0  # steps between checkpoints inside an epoch; 0: none
    threads: int = 1
    graphs: bool = True  # whether a CUDA device replays steps

    @property
    def share(self) -> Share:
        """What this process computes of every step."""
        return Share(self.fabric.global_rank, self.fabric.world_size, self.pieces)


@dataclass
class Training:
    """What the loop works on."""

    config: Config
    vocabulary: Vocabulary
    run: Run
    model: BasketModel
    forward: Any  # the model as the device runs it
    optimizer: Any
    progress: Progress
    products: Tensor  # see made_from.sketch
    baskets: str  # see made_from.digest
    graphs: Graphs | None = None  # on a CUDA device
    weeks: dict[str, int] = field(default_factory=dict)  # see `known_weeks`

    def save(self, name: str) -> Path:
        """Write a checkpoint of this name, by the first process."""
        path = self.run.checkpoint_dir / name
        if self.run.fabric.is_global_zero:
            state = {
                "format": checkpoint.FORMAT,
                "config": self.config.to_json(),
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.optimizer.state_dict(),
                "vocabulary": checkpoint.vocabulary_digest(self.vocabulary),
                "products": self.products,
                "baskets": self.baskets,
                **self.weeks,
                "threads": self.run.threads,
                **self.progress.state(),
            }
            try:
                checkpoint.save(path, state)
            except OSError as error:
                kept = checkpoint.newest(self.run.checkpoint_dir)
                last = f"{kept} is whole" if kept else "no checkpoint was written before"
                raise UserError(
                    f"{path} could not be written ({error.strerror}), {last}: make room, then go on with "
                    f"--resume {self.run.checkpoint_dir}"
                ) from error
        return path

    def save_inside_epoch(self) -> Path:
        """Write a checkpoint of the epoch in work and forget the oldest such."""
        path = self.save(f"epoch_{self.progress.epoch + 1}_step_{self.progress.step}.pt")
        if self.run.fabric.is_global_zero:
            checkpoint.prune(self.run.checkpoint_dir)
        return path


def known_weeks(train: Samples, val: Samples, resumed: dict[str, Any] | None) -> dict[str, int]:
    """Last weeks of the baskets that are trained on, and of those that choose the best epoch, by checkpoint.WEEKS.

    With those of what the training goes on from; nothing where that does not say which they were.
    """
    found = {name: int(of.columns["week"].max()) for name, of in zip(checkpoint.WEEKS, (train, val), strict=True)}
    if resumed is None:
        return found
    return {name: max(week, resumed[name]) for name, week in found.items() if name in resumed}


def prepare(
    config: Config, tables: Tables, vocabulary: Vocabulary, train: Samples, run: Run, resumed: dict[str, Any] | None
) -> Training:
    """Model and optimiser on their device, as they start or as `resumed` left them; a UserError where that had other data."""
    if resumed:
        refuse_other_products("--resume: the checkpoint", resumed, tables.product, vocabulary.size)
        refuse_other_baskets(resumed, train)
    torch.manual_seed(config.train.seed)
    model = BasketModel(config.model, tables, vocabulary.size, run.gradient_checkpointing)
    model.set_product_counts(product_counts(train, vocabulary.size))
    groups = parameter_groups(model, config.train.weight_decay, config.train.evidence_rate)
    optimizer = torch.optim.AdamW(groups, lr=config.train.learning_rate, fused=True)
    if resumed:
        model.load_state_dict(resumed["model"], strict=True)
    forward, wrapped = run.fabric.setup(model, optimizer)
    if resumed:  # on the device by now: the state goes where the weights are
        _load_optimizer(optimizer, resumed["optimizer"])
    progress = Progress.of(resumed) if resumed else Progress()
    device = run.fabric.device
    graphs = Graphs(model.parameters(), device) if device.type == "cuda" and run.graphs else None
    products = sketch(tables.product, vocabulary.size)
    return Training(config, vocabulary, run, model, forward, wrapped, progress, products, digest(train), graphs)


def _load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    try:
        optimizer.load_state_dict(state)
    except ValueError as error:  # its groups are not ours
        raise UserError(
            "--resume: the checkpoint is of an earlier version, whose weight decay fell on other weights: train anew without "
            "--resume"
        ) from error
    if any(moments["exp_avg"].shape != parameter.shape for parameter, moments in optimizer.state.items()):
        raise UserError(
            "--resume: other products than in the checkpoint's data were first sold after the training weeks: name the --data-dir "
            "it was trained on, or train anew without --resume"
        )
