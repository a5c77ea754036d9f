"""Which device computes, and with which precision."""

import torch
from lightning_fabric import Fabric

from retailsim.errors import UserError


def choose_device(device: str) -> torch.device:
    """`device`, where "auto" takes CUDA, then MPS, then the CPU; a UserError when it is not there."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        device = next(name for name, is_there in available.items() if is_there)
    if not available[device]:
        raise UserError(f"--device {device}: there is none here; take --device auto")
    return torch.device(device)


def make_fabric(device: str) -> Fabric:
    """The device with its precision: bfloat16 on CUDA, float32 elsewhere."""
    kind = choose_device(device).type
    return Fabric(accelerator=kind, devices=1, precision="bf16-mixed" if kind == "cuda" else "32-true")
