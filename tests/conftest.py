"""What all tests share.

Shapes in the annotations of `retailsim.model` and `retailsim.training` are checked while testing: pyproject hands
`--jaxtyping-packages` to pytest, which hooks the imports before any module is loaded (tests/test_shapes.py shows that it does).
"""

import functools
import gc
import os
from pathlib import Path

import ibis
import pytest
import torch

from retailsim.console import GARBAGE_EVERY
from tests import recipe

gc.set_threshold(GARBAGE_EVERY)  # as commands do
ibis.duckdb.connect = functools.partial(ibis.duckdb.connect, threads=1)  # the other core has its own tests
torch.set_num_threads(1)  # tiny tensors: a second thread waits more than it computes, and rounds otherwise
LONGEST = (
    "test_killed", "test_mapped_road", "test_audit", "test_resume", "test_recipe", "test_documentation", "test_processes",
    "test_planted_truths", "test_export", "test_ablation", "test_spark", "test_damage",
)  # fmt: skip


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process more than cores: some wait for a disk, or for processes of their own."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The modules that take longest go first: begun last, one of them would keep a single process busy at the end."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(LONGEST)))


def pytest_unconfigure() -> None:
    """Close the engine on which small tables were executed: left open, DuckDB complains behind pytest's summary line."""
    ibis.options.default_backend = None


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Whatever number of threads the test before has left."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> recipe.Shop:
    """A small synthetic retailer, run through the recipe's commands 1–5."""
    root = tmp_path_factory.mktemp("shop")
    made = recipe.Shop(root / "raw_data", root / "data", root / "checkpoints")
    sizes = ["--customers", "60", "--products", "96", "--stores", "4", "--weeks", "30"]
    assert recipe.call("sources.make_data", ["--output", made.raw, *sizes], made) == 0
    recipe.give_second_basket(made.raw, recipe.CHANGED_FROM)
    recipe.prepare(made)
    return made


@pytest.fixture(scope="session")
def trained(shop: recipe.Shop) -> Path:
    """The folder of checkpoints of four epochs of the tiny preset on the shop."""
    recipe.train(shop)
    return shop.checkpoints


@pytest.fixture(scope="session")
def changed_raw(shop: recipe.Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's raw files with products, prices and customers of weeks ≥ 26 permuted, but for one basket of week 26."""
    return recipe.change_future(shop, recipe.CHANGED_FROM, tmp_path_factory.mktemp("changed"))


@pytest.fixture(scope="session")
def changed_shop(changed_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> recipe.Shop:
    """A shop made of `changed_raw`."""
    root = tmp_path_factory.mktemp("changed_shop")
    changed = recipe.Shop(changed_raw, root / "data", root / "checkpoints")
    recipe.prepare(changed)
    return changed
