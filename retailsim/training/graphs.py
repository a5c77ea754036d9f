"""CUDA graphs of the gradient: batches of shapes that were seen before are replayed, so that the GPU does not wait for the host.

A step of the full preset starts some 1,400 kernels, and the host is slower to start them than a GPU to compute a small batch.
Batches hold baskets of like length, so that of 747 steps of 256 real baskets 9 in 10 repeat the shapes of an earlier one, and
nothing is padded for it. Recorded is the way from a batch to the gradients; clipping and the optimiser's update stay outside.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor, nn

from retailsim import console
from retailsim.model.batch import Batch

Totals = Mapping[str, float | Tensor]
Gradient = Callable[[Batch, Totals], Float[Tensor, " parts"]]  # leaves the gradients in the parameters

# Times the same shapes are seen before they are recorded: the first ones run as they are and show the memory that they need.
SIGHTS = 2
MOST = 128  # graphs; shapes beyond run as they are
# Share of the memory up to which a step is recorded: graphs have memory of their own beside the other steps'.
ROOM = 0.4


@dataclass(frozen=True)
class Recording:
    """What a graph reads and writes."""

    graph: torch.cuda.CUDAGraph
    batch: Batch
    totals: dict[str, Tensor]
    losses: Float[Tensor, " parts"]
    gradients: list[tuple[nn.Parameter, Tensor]]

    def replay(self, batch: Batch, totals: Mapping[str, float]) -> Float[Tensor, " parts"]:
        """The losses of `batch`; the gradients are left in the parameters."""
        for field in fields(Batch):
            getattr(self.batch, field.name).copy_(getattr(batch, field.name), non_blocking=True)
        for name, total in self.totals.items():
            total.fill_(totals[name])
        self.graph.replay()
        for parameter, gradient in self.gradients:
            parameter.grad = gradient
        return self.losses.clone()


class Graphs:
    """The graphs of one training.

    Args:
        parameters: of the model; one more copy of their gradients is held, which all graphs share.
        device: a CUDA device.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], device: torch.device) -> None:
        self.gradients = [(p, torch.empty_like(p)) for p in parameters if p.requires_grad]
        self.device = device
        self.recorded: dict[tuple, Recording] = {}
        self.seen: Counter[tuple] = Counter()
        self.is_on = True

    def run(self, batch: Batch, totals: Mapping[str, float], phase: str, gradient: Gradient) -> Float[Tensor, " parts"]:
        """What `gradient` returns and leaves for `batch`, from a graph where its shapes were seen before in this phase."""
        shapes = (phase, *(getattr(batch, field.name).shape for field in fields(Batch)))
        self.seen[shapes] += 1
        if shapes not in self.recorded and self.is_on and self.seen[shapes] >= SIGHTS and self._has_room():
            try:
                self.recorded[shapes] = self._record(batch, totals, gradient)
            except RuntimeError as error:
                self.is_on = False
                console.out.print(f"CUDA graphs are off, steps are started one by one: {str(error).splitlines()[0]}")
            finally:
                for parameter, _ in self.gradients:
                    parameter.grad = None
        if shapes in self.recorded:
            return self.recorded[shapes].replay(batch, totals)
        return gradient(batch.to(self.device), totals)

    def _has_room(self) -> bool:
        whole = torch.cuda.get_device_properties(self.device).total_memory
        return len(self.recorded) < MOST and torch.cuda.max_memory_allocated(self.device) <= ROOM * whole

    def _record(self, batch: Batch, totals: Mapping[str, float], gradient: Gradient) -> Recording:
        """A graph of `gradient` for batches of these shapes; nothing is computed yet."""
        own = Batch(**{f.name: getattr(batch, f.name).to(self.device, copy=True) for f in fields(Batch)})
        divisors = {name: torch.full((), total, device=self.device) for name, total in totals.items()}
        pool = next(iter(self.recorded.values())).graph.pool() if self.recorded else None
        graph, held = torch.cuda.CUDAGraph(), []
        # thread_local: the loader's thread may take page-locked memory meanwhile
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            losses = gradient(own, divisors)
            for parameter, kept in self.gradients:
                if parameter.grad is not None:
                    kept.copy_(parameter.grad)
                    held.append((parameter, kept))
        return Recording(graph, own, divisors, losses, held)
