"""Which device computes, with how many threads."""

import os

import torch

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
