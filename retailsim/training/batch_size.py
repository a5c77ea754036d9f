"""`--batch-size auto`: the largest power of two whose longest baskets train within the memory of the GPU."""

from collections.abc import Callable

import numpy as np
import torch

from retailsim.config import Config
from retailsim.model.lookup import Tables
from retailsim.training.gradient import piece_losses
from retailsim.training.masking import Masking
from retailsim.training.run import Run, prepare
from retailsim.training.samples import Samples
from retailsim.training.schedule import Phase, task_weights
from retailsim.training.steps import make_step
from retailsim.vocab import Vocabulary

SMALLEST, LARGEST = 64, 16_384  # baskets; larger steps are too few for an epoch
ROOM = 0.9  # share of the memory that may be used: later batches fragment it


def batch_that_fits(config: Config, tables: Tables, vocabulary: Vocabulary, train: Samples, run: Run) -> int:
    """Baskets per step; the preset's where memory is not what limits: on a CPU more baskets at once are not faster."""
    device = run.fabric.device
    if device.type != "cuda":
        return config.train.batch_size
    training = prepare(config, tables, vocabulary, train, run, None)
    phase = Phase("main", config.train.learning_rate, config.train.mask_prob, task_weights(config.train))
    masking = Masking(vocabulary.size, phase.mask_prob, config.train.hide_trip_prob)
    longest = np.argsort(-train.lengths, kind="stable")

    def fits(size: int) -> bool:
        torch.cuda.reset_peak_memory_stats(device)
        try:
            step = make_step(train, longest[:size], masking, run.share)
            for piece in step.pieces:
                run.fabric.backward(piece_losses(training, piece.to(device), phase, step.totals)["total"])
            training.optimizer.step()
        except torch.cuda.OutOfMemoryError:
            return False
        finally:
            training.optimizer.zero_grad(set_to_none=True)
        return torch.cuda.max_memory_allocated(device) <= ROOM * torch.cuda.get_device_properties(device).total_memory

    found = torch.tensor(float(largest(fits, len(train))), device=device)
    if run.fabric.world_size > 1:
        torch.distributed.all_reduce(found, op=torch.distributed.ReduceOp.MIN)
    del training
    torch.cuda.empty_cache()
    return int(found)


def largest(fits: Callable[[int], bool], baskets: int) -> int:
    """The largest size of SMALLEST, its double, … that `fits` and of which there are two in `baskets`; SMALLEST if none."""
    size = SMALLEST
    while 4 * size <= max(baskets, 0) and 2 * size <= LARGEST and fits(2 * size):
        size *= 2
    return size
