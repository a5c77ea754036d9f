"""Where training runs: device, precision, processes.

Apart from `training.device`, since the library behind it takes more than a second to start, and only training needs it.
"""

import logging
import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from retailsim.errors import UserError
from retailsim.training.device import choose_device


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
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # `train` says itself what it took
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
