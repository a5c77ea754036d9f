"""The gradient of one step, in pieces, and what went wrong where it is not finite."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from retailsim.errors import UserError
from retailsim.model.batch import Batch
from retailsim.training.graphs import Totals
from retailsim.training.guard import first_nonfinite, refuse
from retailsim.training.losses import total_loss
from retailsim.training.objective import loss_parts
from retailsim.training.run import Training
from retailsim.training.schedule import Phase
from retailsim.training.steps import Step


def backward(training: Training, step: Step, phase: Phase) -> Float[Tensor, " parts"]:
    """Leave the gradient of the whole step; this process's losses, `total` first, then those of the phase in order."""
    fabric = training.run.fabric

    def gradient(piece: Batch, totals: Totals) -> Tensor:
        parts = piece_losses(training, piece, phase, totals)
        fabric.backward(parts["total"])
        return torch.stack([part.detach() for part in parts.values()])

    if training.graphs and len(step.pieces) == 1:
        losses = training.graphs.run(step.pieces[0], step.totals, phase.name, gradient)
    else:
        losses = torch.zeros(1 + len(phase.weights), device=fabric.device)
        for piece in step.pieces:
            losses += gradient(piece.to(fabric.device), step.totals)
    if fabric.world_size > 1:
        add_up([p.grad for p in training.model.parameters() if p.grad is not None])
    return losses


def add_up(gradients: list[Tensor]) -> None:
    """Add the gradients of all processes, which have one for the same parameters, in one exchange."""
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat)
    pieces = flat.split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [piece.view(g.shape) for piece, g in zip(pieces, gradients, strict=True)])


def piece_losses(training: Training, piece: Batch, phase: Phase, totals: Totals) -> dict[str, Float[Tensor, ""]]:
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
