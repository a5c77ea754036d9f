"""Train the world model in three phases: warm-up, main, fine-tuning.

Reads data/training/ and data/tensors/. Writes checkpoints/epoch_N.pt, best_model.pt, metrics.jsonl and tensorboard/.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.progress import TaskID

from retailsim import console
from retailsim.config import PRESETS, Config
from retailsim.errors import UserError
from retailsim.model.world_model import parameter_count
from retailsim.reading import load_vocabulary
from retailsim.training import checkpoint
from retailsim.training.dataset import load_samples
from retailsim.training.device import make_fabric
from retailsim.training.loop import EpochReport, Run, fit
from retailsim.training.tables import load_tables


def train(
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    warmup_epochs: int | None = None,
    finetune_epochs: int | None = None,
    mask_prob: float | None = None,
    max_grad_norm: float | None = None,
    seed: int | None = None,
    preset: Literal["tiny", "small", "full"] = "full",
    resume: Path | None = None,
    gradient_checkpointing: bool = False,
    num_workers: int = 0,
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto",
    data_dir: Path = Path("data"),
    checkpoint_dir: Path = Path("checkpoints"),
) -> None:
    """Train the world model; what is left out is the preset's (full: the founding document's).

    Args:
        epochs: epochs in all (20).
        batch_size: baskets per step (256).
        learning_rate: rate of the main phase (full: 5e-5; warm-up and fine-tuning have the preset's lower rate).
        warmup_epochs: first epochs, with the product loss only (3).
        finetune_epochs: last epochs, with 20 % of the products hidden (5).
        mask_prob: share 0–1 of a basket's products that is hidden (0.15).
        max_grad_norm: largest norm of the gradient; longer ones are shortened (1.0).
        seed: seed of weights, masks, order and dropout (0).
        preset: size of the model: tiny (seconds), small (laptop), full (the document's).
        resume: go on after this checkpoint, with its configuration.
        gradient_checkpointing: recompute activations in the backward pass: less memory, more time.
        num_workers: processes that make batches ahead.
        device: auto takes CUDA, then MPS, then the CPU.
        data_dir: root of what the earlier stages wrote.
        checkpoint_dir: where checkpoints, metrics and TensorBoard files go.
    """
    vocabulary = load_vocabulary(data_dir)
    resumed = checkpoint.load(resume, vocabulary) if resume else None
    given = {
        "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "warmup_epochs": warmup_epochs,
        "finetune_epochs": finetune_epochs, "mask_prob": mask_prob, "max_grad_norm": max_grad_norm, "seed": seed,
    }  # fmt: skip
    config = configure(preset, resumed, given)
    fabric = make_fabric(device)
    samples = {split: load_samples(data_dir, split) for split in ("train", "val")}
    run = Run(checkpoint_dir, fabric, num_workers, gradient_checkpointing)
    console.out.print(
        f"{config.preset} preset on {fabric.device}: {len(samples['train']):,} training baskets, "
        f"{len(samples['val']):,} validation baskets, vocabulary {vocabulary.size:,}"
    )
    with console.progress("batches", transient=True) as bar:
        task = bar.add_task("", total=None, rate="–")
        model = fit(
            config, load_tables(data_dir), vocabulary, samples["train"], samples["val"], run, resumed,
            lambda epoch, done, total: show_batch(bar, task, config, epoch, done, total),
            lambda report: show_epoch(report, config.train.epochs),
        )  # fmt: skip
    console.out.print(
        f"Training complete! {parameter_count(model):,} parameters. Best model: {checkpoint_dir / 'best_model.pt'}"
    )


def configure(preset: str, resumed: dict | None, given: dict) -> Config:
    """The preset, or the resumed checkpoint's configuration, with the flags that were given."""
    try:
        if resumed is None:
            return PRESETS[preset].with_train(**given)
        config = Config.from_json(resumed["config"])
        for name, value in given.items():
            kept = getattr(config.train, name)
            if value is not None and value != kept and name != "epochs":
                raise UserError(
                    f"--{name.replace('_', '-')} {value} contradicts the checkpoint's {kept}: leave the flag out, or train anew without --resume"
                )
        config = config.with_train(epochs=given["epochs"])
        if resumed["epoch"] >= config.train.epochs:
            raise UserError(
                f"--resume: epoch {resumed['epoch']} of {config.train.epochs} is done already: give more --epochs"
            )
        return config
    except ValueError as error:
        raise UserError(f"{error}: choose other --epochs, --warmup-epochs or --finetune-epochs") from error


def show_batch(bar: console.Progress, task: TaskID, config: Config, epoch: int, done: int, total: int) -> None:
    """Move the bar of the epoch."""
    if done == 1:
        bar.reset(task, total=total, description=f"epoch {epoch}/{config.train.epochs}", rate="–")
    speed = bar.tasks[0].speed
    bar.update(task, completed=done, rate=f"{speed:.1f}" if speed else "–")


def show_epoch(report: EpochReport, epochs: int) -> None:
    """The document's lines of an epoch."""
    console.out.print(f"Epoch {report.epoch}/{epochs} [{report.phase.capitalize()}]")
    console.out.print("─" * 48)
    console.out.print(
        f"Train Loss: {report.train_loss:.3f}  |  Val Loss: {report.val_loss:.3f}  |  Val Acc: {report.val_accuracy:.4f}"
    )
    console.out.print(f"Phase: {report.phase}  |  LR: {report.learning_rate:g}  |  Mask: {report.mask_prob:.0%}")
    if report.is_best:
        console.out.print("✓ New best model saved!")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(train, argv)


if __name__ == "__main__":
    sys.exit(main())
