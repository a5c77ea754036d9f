"""Batches made ahead: the same ones, in order, whoever makes them."""

import threading

import pytest
from torch.utils.data import Dataset

from retailsim.training.loader import load, one_ahead


class Squares(Dataset[int]):
    def __len__(self) -> int:
        return 5

    def __getitem__(self, i: int) -> int:
        return i * i


@pytest.mark.parametrize("num_workers", [0, 1])
def test_items_come_in_order(num_workers):
    assert list(load(Squares(), num_workers)) == [0, 1, 4, 9, 16]


class Makers(Dataset[str]):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, i: int) -> str:
        return threading.current_thread().name


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but no accelerator")
def test_what_is_pinned_is_made_by_the_thread_that_asks():
    assert set(load(Makers(), pin=True)) == {threading.current_thread().name}
    assert all(name.startswith("made-ahead") for name in load(Makers()))


def test_the_next_item_is_made_while_one_is_in_use():
    is_made = [threading.Event() for _ in range(3)]

    def items():
        for i, event in enumerate(is_made):
            event.set()
            yield i

    for i in one_ahead(items()):
        assert is_made[min(i + 1, 2)].wait(10)


def test_an_error_reaches_whoever_asks_for_the_item_and_the_thread_ends():
    def items():
        yield 1
        raise OSError("the disk is gone")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)
    stopped = one_ahead(iter(range(9)))
    next(stopped)
    stopped.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("made-ahead")]
