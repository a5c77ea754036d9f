"""The training loop: for each epoch, for each step: forward, loss, backward, update; then validate, save, log."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from retailsim.config import Config
from retailsim.model.basket_model import BasketModel
from retailsim.model.lookup import Tables
from retailsim.training import checkpoint
from retailsim.training.gradient import backward, explain
from retailsim.training.guard import Guard
from retailsim.training.masking import Masking
from retailsim.training.run import Run, Training, known_weeks, prepare
from retailsim.training.run_log import EpochReport, RunLog
from retailsim.training.samples import Samples
from retailsim.training.schedule import Phase, phase_at, rate_at
from retailsim.training.steps import epoch_rows, load_steps, make_step
from retailsim.training.stopping import Stopped, StopWish
from retailsim.training.validation import validate
from retailsim.vocab import Vocabulary


def fit(
    config: Config,
    tables: Tables,
    vocabulary: Vocabulary,
    train: Samples,
    val: Samples,
    run: Run,
    resumed: dict[str, Any] | None,
    best: Path | None,
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
        best: the checkpoint of the best epoch of `resumed`, see `checkpoint.find_best`; None: the next epoch is the best.
        on_batch: called with epoch, steps done and steps in all.
        on_epoch: called with the report of each epoch.

    Raises:
        Stopped: the process was asked to end; a checkpoint of the last step lies in the folder.
        UserError: a number became infinite or not a number; the batch lies in the folder.
    """
    fabric = run.fabric
    if not config.model.history:
        train, val = train.without_histories(), val.without_histories()
    training = prepare(config, tables, vocabulary, train, run, resumed)
    training.weeks = known_weeks(train, val, resumed)
    progress = training.progress
    if best is None:  # none yet, or lost
        progress.best_val_loss = math.inf
    if fabric.is_global_zero:
        checkpoint.tidy(run.checkpoint_dir)
        if best:
            checkpoint.keep_as_best(best, run.checkpoint_dir)
    log = RunLog(run.checkpoint_dir, progress.reports) if fabric.is_global_zero else None
    with StopWish(fabric) as wish:
        try:
            for epoch in range(progress.epoch + 1, config.train.epochs + 1):
                phase = phase_at(epoch, config.train)
                means = train_epoch(training, train, phase, wish, on_batch)
                val_loss, val_accuracy = validate(
                    training.forward,
                    val,
                    vocabulary.size,
                    config.train.batch_size,
                    fabric,
                    wish.check_alone,
                    run.num_workers,
                )
                is_best = (
                    val_loss <= progress.best_val_loss
                )  # equal: nothing can be hidden, and the last epoch is taken
                report = EpochReport(
                    epoch,
                    phase.name,
                    phase.learning_rate,
                    phase.mask_prob,
                    means.pop("total"),
                    means,
                    val_loss,
                    val_accuracy,
                    is_best,
                )
                progress.finish_epoch(report)
                if is_best:  # first: a run that is killed in between repeats the epoch, and this file
                    training.save(checkpoint.BEST)
                training.save(f"epoch_{epoch}.pt")
                if log:
                    log.add(report)
                on_epoch(report)
        except Stopped:
            training.save_inside_epoch()
            raise
        finally:
            if log:
                log.close()
    if fabric.is_global_zero:
        checkpoint.prune(run.checkpoint_dir, keep=0)
    return training.model


def train_epoch(
    training: Training, train: Samples, phase: Phase, wish: StopWish, on_batch: Callable[[int, int, int], None]
) -> dict[str, float]:
    """What is left of a pass over the training baskets; means over its steps of `total` and of each unweighted part."""
    setting, run, progress, optimizer = training.config.train, training.run, training.progress, training.optimizer
    fabric, epoch = run.fabric, progress.epoch + 1
    training.forward.train()
    masking = Masking(
        training.vocabulary.size,
        phase.mask_prob,
        setting.hide_trip_prob,
        epoch,
        setting.seed,
        mask_token_share=setting.mask_token_share,
        part_trip_prob=setting.part_trip_prob,
        open_share=setting.open_share,
    )
    rows = epoch_rows(train, setting.batch_size, masking)
    first, names = progress.step, ("total", *phase.weights)
    precise = torch.float32 if fabric.device.type == "mps" else torch.float64  # MPS has no float64
    carried = [progress.sums.get(name, 0.0) if fabric.is_global_zero else 0.0 for name in names]
    sums = torch.tensor(carried, dtype=precise, device=fabric.device)
    guard = Guard(optimizer.optimizer, fabric.device)
    for step in load_steps(train, rows[first:], masking, run.share, run.num_workers, fabric.device.type == "cuda"):
        losses = backward(training, step, phase)
        norm = fabric.clip_gradients(
            training.forward, optimizer, max_norm=setting.max_grad_norm, error_if_nonfinite=False
        )
        # a gradient is everybody's, a loss one process's: all have to stop at the same step
        guard.watch(*((losses, norm) if fabric.world_size == 1 else (norm,)))
        rate = rate_at(epoch, (progress.step + 0.5) / len(rows), setting)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        sums += losses.to(precise)
        progress.step += 1
        on_batch(epoch, progress.step, len(rows))
        is_due = run.checkpoint_every > 0 and progress.step % run.checkpoint_every == 0
        signal_number, is_last = wish.granted(), progress.step == len(rows)
        bad = guard.first_bad(look=is_due or is_last or signal_number > 0)
        if bad is not None:
            step = make_step(train, rows[first + bad], masking, run.share)
            raise explain(training, step, phase, f"epoch {epoch}, step {first + bad + 1}")
        if is_due or is_last or signal_number:
            of_all = fabric.all_reduce(sums.clone(), reduce_op="sum")  # in place: this process's own sums go on
            progress.sums = dict(zip(names, of_all.tolist(), strict=True))
        if signal_number:
            raise Stopped(signal_number)
        if is_due:
            training.save_inside_epoch()
    return {name: total / len(rows) for name, total in progress.sums.items()}
