"""Batches made ahead of their use."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

Item = TypeVar("Item")


def load(dataset: Dataset[Item], num_workers: int = 0, pin: bool = False) -> Iterator[Item]:
    """The items in order, made ahead by `num_workers` processes, or by a thread where that is 0; the same in either case.

    `pin` keeps them in page-locked memory, for a GPU. That is asked of the device, so no thread of ours does it, which would ask
    the first device whatever the process's own is, and while another thread may be recording a CUDA graph.
    """
    own = torch.Generator()  # a loader without one draws from torch's global chance, which dropout depends on
    items = iter(DataLoader(dataset, batch_size=None, num_workers=num_workers, generator=own, pin_memory=pin))
    return items if num_workers or pin else one_ahead(items)


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, each made by a thread while the one before is in use: NumPy lets go of the interpreter meanwhile."""
    with ThreadPoolExecutor(1, "made-ahead") as thread:
        pending = thread.submit(next, items, None)
        while (item := pending.result()) is not None:
            pending = thread.submit(next, items, None)
            yield item
