"""A step whose loss or gradient is infinite or not a number changes nothing and ends the training (SPEC C30)."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from retailsim.atomic import atomic
from retailsim.errors import UserError
from retailsim.model.batch import Batch

LOOK_EVERY = 25  # steps between two looks at the flag where looking makes the host wait for the device


class Guard:
    """Watches steps without waiting for the device: from the first bad one on, the optimiser's updates are skipped there.

    The fused optimiser reads `found_inf` as it does under gradient scaling (torch/optim/adamw.py), so the weights stay as
    they were before the bad step, however late it is noticed.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        self.is_bad = torch.zeros((), device=device)  # 1 since the first bad step
        self.good = torch.zeros((), dtype=torch.int64, device=device)  # steps before it
        self.steps = 0
        self.look_every = 1 if device.type == "cpu" else LOOK_EVERY
        optimizer.found_inf = self.is_bad  # type: ignore[attr-defined]

    def watch(self, *numbers: Float[Tensor, "..."]) -> None:
        """Note a step before the optimiser's update: bad where one of `numbers` is not finite."""
        is_finite = torch.stack([number.isfinite().all() for number in numbers]).all()
        self.is_bad.copy_(torch.maximum(self.is_bad, (~is_finite).to(self.is_bad.dtype)))
        self.good += (self.is_bad == 0).to(torch.int64)
        self.steps += 1

    def first_bad(self, look: bool = False) -> int | None:
        """How many steps were good before the first bad one; None where none was. Looks now and then, or when told to."""
        if not look and self.steps % self.look_every:
            return None
        return int(self.good) if self.is_bad.item() else None


def first_nonfinite(model: torch.nn.Module, run_backward: Any) -> str | None:
    """The first tensor that is not finite when `run_backward` computes a batch; None where all are.

    Args:
        model: with the weights as they were before the batch.
        run_backward: computes the losses by name, goes backward and returns them.
    """
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            return f"the weight {name}"
    found: list[str] = []

    def look(name: str) -> Any:
        def hook(module: torch.nn.Module, inputs: Any, output: Any) -> None:
            for part, tensor in _tensors(output):
                if not found and tensor.is_floating_point() and not tensor.isfinite().all():
                    found.append(f"the output {part} of {name}" if part else f"the output of {name}")

        return hook

    hooks = [module.register_forward_hook(look(name)) for name, module in model.named_modules() if name]
    model.zero_grad(set_to_none=True)
    parts = run_backward()
    for hook in hooks:
        hook.remove()
    found += [f"the loss {name}" for name, part in parts.items() if not part.isfinite()]
    gradients = [(name, p.grad) for name, p in model.named_parameters() if p.grad is not None]
    found += [f"the gradient of {name}" for name, gradient in gradients if not gradient.isfinite().all()]
    return found[0] if found else None


def refuse(where: str, tensor: str, batch: Batch, path: Path) -> UserError:
    """The error that ends a training, after the batch has been kept at `path`."""
    with atomic(path) as temporary, open(temporary, "wb") as file:
        torch.save({name: value.cpu() for name, value in vars(batch).items()}, file)
    return UserError(
        f"the loss became infinite or not a number in {where}, first {tensor}; the batch is in {path}: "
        f'try a lower "--learning-rate", or check the data with "python -m src.training.validate_data"'
    )


def _tensors(output: Any) -> list[tuple[str, Tensor]]:
    if isinstance(output, Tensor):
        return [("", output)]
    if isinstance(output, tuple):
        output = {str(i): part for i, part in enumerate(output)}
    fields = output if isinstance(output, dict) else vars(output)
    return [
        (f"{name}.{part}" if part else name, tensor)
        for name, value in fields.items()
        for part, tensor in _tensors(value)
    ]
