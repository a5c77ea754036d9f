"""Which device computes, with which precision, in how many processes and threads."""

import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from retailsim.errors import UserError


def choose_device(device: str) -> torch.device:
    """`device`, where "auto" takes CUDA, then MPS, then the CPU; a UserError when it is not there."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        device = next(name for name, is_there in available.items() if is_there)
    if not available[device]:
        raise UserError(f"--device {device}: there is none here; take --device auto")
    if device == "cuda":  # cuDNN's attention plans every new shape anew, and batches have many: 0.1 s each on an H100
        torch.backends.cuda.enable_cudnn_sdp(False)
    return torch.device(device)


def choose_precision(precision: str, device: torch.device) -> str:
    """Fabric's name of `precision`; "auto" takes bfloat16 where the device computes it faster than float32.

    A CPU without instructions for it emulates bfloat16, three times slower than float32.
    """
    if precision == "auto":
        precision = "bf16" if has_bfloat16(device) else "32"
    return {"bf16": "bf16-mixed", "32": "32-true"}[precision]


def has_bfloat16(device: torch.device) -> bool:
    """Whether `device` multiplies matrices in bfloat16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def make_fabric(device: str, precision: str = "auto") -> Fabric:
    """The device with its precision; every process that `torchrun` started gets its own."""
    kind = choose_device(device)
    processes, here = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    chosen = choose_precision(precision, kind)
    if processes == 1:
        return Fabric(accelerator=kind.type, devices=1, precision=chosen)
    if kind.type == "mps":
        raise UserError("--device mps: one process only; start without torchrun, or take --device cpu")
    fabric = Fabric(
        accelerator=kind.type, devices=here, num_nodes=processes // here, strategy=AddingUp(), precision=chosen
    )
    fabric.launch()
    return fabric


class AddingUp(DDPStrategy):
    """Processes with the same weights whose gradients `training.gradient` adds up once a step.

    DistributedDataParallel is left out: it wants a gradient for every parameter (the trip's heads have none in warm-up) and
    every loss inside its forward (the contrastive one is not). The price: adding up (80 MB for the full preset) does not
    overlap the backward pass.
    """

    def setup_module(self, module: torch.nn.Module) -> torch.nn.Module:
        """The module as it is."""
        return module


def set_threads(threads: int | None) -> int:
    """Let PyTorch compute with `threads` threads, and say how many; None: OMP_NUM_THREADS, else this process's cores.

    Processes of one machine share its cores. Sums over threads are rounded differently when their number changes.
    """
    if threads is None and "OMP_NUM_THREADS" not in os.environ:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = max(cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)
    if threads is not None:
        torch.set_num_threads(threads)
    return torch.get_num_threads()
