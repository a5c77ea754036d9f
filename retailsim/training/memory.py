"""What a training says when the memory does not suffice (document: "Out of Memory")."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from retailsim.errors import UserError
from retailsim.training.run import Run

# What PyTorch's allocators say where they raise a plain RuntimeError: on the CPU (c10/core/impl/alloc_cpu.cpp), on MPS.
ALLOCATORS = ("DefaultCPUAllocator", "MPS backend out of memory")


@contextmanager
def or_what_helps(run: Run, batch_size: int) -> Iterator[None]:
    """Memory that runs out becomes a UserError that says which flags need less of it, first those that keep the recipe."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        raise UserError(what_helps(run, batch_size)) from error


def ran_out(error: MemoryError | RuntimeError) -> bool:
    """Whether it was an allocation that failed: Python's, a GPU's, the CPU's or MPS's."""
    is_named = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return is_named or any(allocator in str(error) for allocator in ALLOCATORS)


def what_helps(run: Run, batch_size: int) -> str:
    """One sentence: for what the memory did not suffice, and what needs less."""
    pieces = run.pieces * run.fabric.world_size
    flags = [f"--accumulate {2 * run.pieces}"] if 2 * pieces <= batch_size else []
    flags += [] if run.gradient_checkpointing else ["--gradient-checkpointing"]
    same = f"add {' or '.join(flags)}, which changes no result but by rounding, or " if flags else ""
    in_pieces = f" in {pieces} pieces" if pieces > 1 else ""
    return (
        f"{run.fabric.device} has too little memory for a step of {batch_size:,} baskets{in_pieces}: "
        f"{same}take a smaller --preset or --batch-size"
    )
