"""The gradient of one step, in pieces, and what went wrong where it is not finite."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from retailsim.errors import UserError
from retailsim.model.batch import Batch
from retailsim.training.guard import first_nonfinite, refuse
from retailsim.training.losses import total_loss
from retailsim.training.objective import loss_parts
from retailsim.training.run import Training
from retailsim.training.schedule import Phase
from retailsim.training.steps import Step


def backward(training: Training, step: Step, phase: Phase) -> Float[Tensor, " parts"]:
    """Add the gradient of this process's part of the step; the losses, `total` first, then those of the phase in order."""
    fabric = training.run.fabric
    losses = torch.zeros(1 + len(phase.weights), device=fabric.device)
    for i, piece in enumerate(step.pieces, start=1):
        is_more = i < len(step.pieces) and fabric.world_size > 1
        with fabric.no_backward_sync(training.forward, enabled=is_more):
            parts = piece_losses(training, piece.to(fabric.device), phase, step.totals)
            # the processes' gradients are averaged, and their losses are to be added
            fabric.backward(parts["total"] * fabric.world_size)
        losses += torch.stack([part.detach() for part in parts.values()])
    return losses


def piece_losses(
    training: Training, piece: Batch, phase: Phase, totals: dict[str, float]
) -> dict[str, Float[Tensor, ""]]:
    """`total` and each unweighted part of the phase, as shares of the step's means."""
    parts = loss_parts(training.model, training.forward, piece, phase.weights, training.config.train, totals)
    return {"total": total_loss(parts, phase)} | {name: parts[name] for name in phase.weights}


def explain(training: Training, step: Step, phase: Phase, where: str) -> UserError:
    """The error for a step that was not finite: which tensor was the first, and where its batch was kept."""
    run, model = training.run, training.model
    alone = replace(training, forward=model)  # without the other processes
    for piece in step.pieces:

        def run_backward(piece: Batch = piece) -> dict[str, Tensor]:
            with run.fabric.autocast():
                parts = piece_losses(alone, piece.to(run.fabric.device), phase, step.totals)
            parts["total"].backward()
            return parts

        tensor = first_nonfinite(model, run_backward)
        if tensor:
            name = f"nan_batch_{where.replace(', ', '_').replace(' ', '_')}.pt"
            return refuse(where, tensor, piece, run.checkpoint_dir / name)
    return UserError(
        f"the gradient became infinite or not a number in {where}, in their sum: try a lower --learning-rate"
    )
