"""Train the world model in three phases: warm-up, main, fine-tuning.

Reads data/training/ and data/tensors/. Writes checkpoints/epoch_N.pt, best_model.pt, metrics.jsonl and tensorboard/.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from retailsim import console, status
from retailsim.config import PRESETS, Config
from retailsim.errors import UserError, refuse_below
from retailsim.evaluation.hidden import MIN_PRODUCTS
from retailsim.model.world_model import parameter_count
from retailsim.reading import load_vocabulary
from retailsim.training import checkpoint
from retailsim.training.batch_size import SMALLEST, batch_that_fits
from retailsim.training.device import set_threads
from retailsim.training.fabric import make_fabric
from retailsim.training.loop import fit
from retailsim.training.memory import or_what_helps
from retailsim.training.run import Run
from retailsim.training.run_log import EpochReport
from retailsim.training.samples import load_samples
from retailsim.training.stopping import EXIT_CODE, Stopped
from retailsim.training.tables import load_tables
from retailsim.vocab import Vocabulary

PRECISIONS = {"32-true": "float32", "bf16-mixed": "bfloat16"}


def train(
    epochs: int | None = None,
    batch_size: int | Literal["auto"] | None = None,
    learning_rate: float | None = None,
    warmup_epochs: int | None = None,
    finetune_epochs: int | None = None,
    mask_prob: float | None = None,
    open_share: float | None = None,
    max_grad_norm: float | None = None,
    seed: int | None = None,
    preset: Literal["tiny", "small", "best", "full"] | None = None,
    resume: Path | None = None,
    gradient_checkpointing: bool = False,
    checkpoint_every: int = 0,
    accumulate: int = 1,
    num_workers: int = 0,
    threads: int | None = None,
    precision: Literal["auto", "32", "bf16"] = "auto",
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto",
    data_dir: Path = Path("data"),
    checkpoint_dir: Path = Path("checkpoints"),
) -> int:
    """Train the world model; what is left out is the preset's (full: the founding document's).

    Args:
        epochs: epochs in all (20).
        batch_size: baskets per step (256); auto: as many as the memory of a GPU holds.
        learning_rate: rate of the main phase (full: 5e-5; warm-up and fine-tuning have the preset's lower rate), elsewhere the one from which a cosine falls to 0 (2e-3; best: 1e-3).
        warmup_epochs: first epochs, with the product loss only (3).
        finetune_epochs: last epochs, with 20 % of the products hidden (5).
        mask_prob: share 0–1 of a basket's products that is hidden (0.15).
        open_share: share 0–1 of baskets that go on: half of them are shown empty, of the others a part; predict asks so (0.2).
        max_grad_norm: largest norm of the gradient; longer ones are shortened (full: 1.0, else 100).
        seed: seed of weights, masks, order and dropout (0).
        preset: size of the model: tiny (seconds), small (laptop), best (wider; a GPU helps), full (the document's); left out: full, or the resumed checkpoint's.
        resume: go on from this checkpoint, or from the newest whole one of a folder, with its configuration; auto: the newest of --checkpoint-dir, and anew where it holds none.
        gradient_checkpointing: recompute activations in the backward pass: less memory, more time.
        checkpoint_every: steps between checkpoints inside an epoch; 0 saves at its end only.
        accumulate: compute each step in this many pieces: less memory, the same result but for rounding.
        num_workers: processes that make batches ahead; 0: on a CPU a thread, on a GPU none.
        threads: threads that compute (OMP_NUM_THREADS, else this process's cores; resumed: as before).
        precision: auto takes bf16 where the device has instructions for it, else 32 bits.
        device: auto takes CUDA, then MPS, then the CPU.
        data_dir: root of what the earlier stages wrote.
        checkpoint_dir: where checkpoints, metrics and TensorBoard files go.
    """
    refuse_below(
        1,
        epochs=epochs,
        batch_size=None if batch_size == "auto" else batch_size,
        accumulate=accumulate,
        threads=threads,
    )
    refuse_below(
        0,
        warmup_epochs=warmup_epochs,
        finetune_epochs=finetune_epochs,
        checkpoint_every=checkpoint_every,
        num_workers=num_workers,
        seed=seed,
    )
    vocabulary = load_vocabulary(data_dir)
    resumed, best = go_on_from(resume, checkpoint_dir, vocabulary) if resume else (None, None)
    given = {
        "epochs": epochs, "batch_size": None if batch_size == "auto" else batch_size, "learning_rate": learning_rate, "warmup_epochs": warmup_epochs,
        "finetune_epochs": finetune_epochs, "mask_prob": mask_prob, "open_share": open_share, "max_grad_norm": max_grad_norm, "seed": seed,
    }  # fmt: skip
    config = configure(preset, resumed, given)
    threads = set_threads(threads or (resumed["threads"] if resumed else None))
    fabric = make_fabric(device, precision)
    console.out.quiet = not fabric.is_global_zero
    samples = {split: load_samples(data_dir, split) for split in ("train", "val")}
    run = Run(checkpoint_dir, fabric, num_workers, gradient_checkpointing, accumulate, checkpoint_every, threads)
    tables = load_tables(data_dir)
    if batch_size == "auto" and not resumed:
        with or_what_helps(run, SMALLEST):
            fitting = batch_that_fits(config, tables, vocabulary, samples["train"], run)
        config = config.with_train(batch_size=fitting)
        console.out.print(f"{config.train.batch_size:,} baskets per step")
    if fabric.is_global_zero:
        status.warn_of_stale(data_dir)
        if not (samples["val"].columns["n_products"] >= MIN_PRODUCTS).any():
            console.err.print(
                "warning: no basket of the validation weeks has two products, so nothing in them can be hidden: the last epoch is "
                "taken as the best"
            )
    console.out.print(
        f"{config.preset} preset on {where(run)}: {len(samples['train']):,} training baskets, "
        f"{len(samples['val']):,} validation baskets, vocabulary {vocabulary.size:,}"
    )
    with console.progress("batches", transient=True) as bar:
        bar.disable = not fabric.is_global_zero
        try:
            with or_what_helps(run, config.train.batch_size):
                model = fit(
                    config, tables, vocabulary, samples["train"], samples["val"], run, resumed, best,
                    lambda epoch, *steps: console.show_steps(bar, f"epoch {epoch}/{config.train.epochs}", *steps),
                    lambda report: show_epoch(report, config.train.epochs),
                )  # fmt: skip
        except Stopped as stopped:
            console.out.print(f"{stopped}: saved; the same command with --resume {checkpoint_dir} goes on from here")
            return EXIT_CODE[stopped.signal]
    console.out.print(
        f"Training complete! {parameter_count(model):,} parameters. Best model: {checkpoint_dir / checkpoint.BEST}"
    )
    return 0


def go_on_from(resume: Path, checkpoint_dir: Path, vocabulary: Vocabulary) -> tuple[dict | None, Path | None]:
    """The state that --resume names, None where it is "auto" and there is none, and its best epoch; says which file it is."""
    is_auto = resume == Path("auto") and not resume.exists()
    state, path, refusals = checkpoint.find(checkpoint_dir if is_auto else resume, vocabulary)
    for sentence in refusals:
        console.out.print(sentence)
    if state is None:
        if not is_auto:
            raise UserError(f"--resume {resume}: no whole checkpoint lies there: train anew without --resume")
        console.out.print(f"no whole checkpoint in {checkpoint_dir}: starting anew")
        return None, None
    console.out.print(f"going on from {path}")
    best = checkpoint.find_best(checkpoint_dir, path, state, vocabulary)
    if best is None and (epoch := checkpoint.best_epoch(state)):
        console.out.print(
            f"epoch {epoch}, the best so far, lies in no file beside it: {checkpoint_dir / checkpoint.BEST} will be the best of the "
            f"epochs from {state['epoch'] + 1} on"
        )
    return state, best


def where(run: Run) -> str:
    """Device, processes, precision and threads of a run."""
    fabric = run.fabric
    processes = f"{fabric.world_size} × " if fabric.world_size > 1 else ""
    threads = f", {run.threads} thread{'s' * (run.threads > 1)}" if fabric.device.type == "cpu" else ""
    return f"{processes}{fabric.device} ({PRECISIONS[fabric._precision.precision]}{threads})"


def configure(preset: str | None, resumed: dict | None, given: dict) -> Config:
    """The preset, or the resumed checkpoint's configuration, with the flags that were given."""
    try:
        if resumed is None:
            return PRESETS[preset or "full"].with_train(**given)
        config = Config.from_json(resumed["config"])
        for name, value in {"preset": preset, **given}.items():
            kept = config.preset if name == "preset" else getattr(config.train, name)
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
        raise UserError(
            f"{error}: give other --epochs, --warmup-epochs, --finetune-epochs, --learning-rate, --max-grad-norm, --mask-prob or --open-share"
        ) from error


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
