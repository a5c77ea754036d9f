"""What all tests share.

Shapes in the annotations of `retailsim.model` and `retailsim.training` are checked while testing: pyproject hands
`--jaxtyping-packages` to pytest, which hooks the imports before any module is loaded (tests/test_shapes.py shows that it does).
"""

import functools
import gc
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import ibis
import pytest
import torch
from filelock import FileLock

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
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """`made_once(name, make)`: the folder that `make` has filled for the first process that asked; all read it, none writes."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder_of(name: str, make: Callable[[Path], None]) -> Path:
        folder, done = base / name, base / f"{name}.done"
        with FileLock(base / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what a process that failed has left
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session")
def prepared(made_once) -> recipe.Shop:
    """A small synthetic retailer, run through the recipe's commands 1–5."""

    def make(root: Path) -> None:
        made = _shop_in(root)
        sizes = ["--customers", "60", "--products", "96", "--stores", "4", "--weeks", "30"]
        assert recipe.call("sources.make_data", ["--output", made.raw, *sizes], made) == 0
        recipe.give_second_basket(made.raw, recipe.CHANGED_FROM)
        recipe.prepare(made)

    return _shop_in(made_once("shop", make))


@pytest.fixture(scope="session")
def shop(prepared: recipe.Shop, tmp_path_factory: pytest.TempPathFactory) -> recipe.Shop:
    """The small synthetic retailer with a data root of this process."""
    root = tmp_path_factory.mktemp("shop")
    shutil.copytree(prepared.data, root / "data")
    return recipe.Shop(prepared.raw, root / "data", root / "checkpoints")


@pytest.fixture(scope="session")
def trained(prepared: recipe.Shop, shop: recipe.Shop, made_once) -> Path:
    """The folder of checkpoints of four epochs of the tiny preset on the shop."""

    def make(root: Path) -> None:
        recipe.train(recipe.Shop(prepared.raw, prepared.data, root / "checkpoints"))

    shutil.copytree(made_once("trained", make) / "checkpoints", shop.checkpoints)
    return shop.checkpoints


@pytest.fixture(scope="session")
def changed_shop(prepared: recipe.Shop, made_once) -> recipe.Shop:
    """A shop made of the shop's raw files with products, prices and customers of weeks ≥ 26 permuted, but for one basket of week 26."""

    def make(root: Path) -> None:
        changed = _shop_in(root)
        changed.raw.mkdir()
        recipe.change_future(prepared, recipe.CHANGED_FROM, changed.raw)
        recipe.prepare(changed)

    return _shop_in(made_once("changed_shop", make))


def _shop_in(root: Path) -> recipe.Shop:
    return recipe.Shop(root / "raw_data", root / "data", root / "checkpoints")
