"""C29: a pipeline that is killed at any moment leaves old files or new ones, and the rerun ends with the same bytes."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from retailsim import artifacts
from tests import recipe

KILLS = 9
ROOT = Path(__file__).parent.parent


def contents(root: Path) -> dict[str, bytes]:
    """The artifacts that are there, by their bytes."""
    paths = [root / artifact.path for artifact in artifacts.ALL]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths if path.exists()}


SERVER = """
import functools, importlib, os, sys
from pathlib import Path
import holidays.countries, ibis, pandas, torch._dynamo  # what the first walk would import on the way
from tests import recipe
ibis.duckdb.connect = functools.partial(ibis.duckdb.connect, threads=1)
for module, _ in recipe.PREPARATION:
    importlib.import_module(f"retailsim.{module}")
shop = recipe.Shop(*map(Path, sys.argv[1:4]))
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        recipe.prepare(shop)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Walker:
    """Walks commands 1–5 in processes that can be killed, forked from one that has imported everything."""

    def __init__(self, shop: recipe.Shop) -> None:
        paths = [str(path) for path in (shop.raw, shop.data, shop.checkpoints)]
        self.server = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SERVER, *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def __enter__(self) -> "Walker":
        return self

    def __exit__(self, *error: object) -> None:
        self.server.communicate()

    def walk_for(self, seconds: float | None = None) -> bool:
        """Start a walk and kill it after `seconds`, if any; whether it was killed before its end."""
        self.server.stdin.write("go\n")
        self.server.stdin.flush()
        child = int(self.server.stdout.readline())
        if seconds is not None:
            time.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.kill(child, signal.SIGKILL)
        status = int(self.server.stdout.readline())
        assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
        return os.WIFSIGNALED(status)


def begin_again(root: recipe.Shop, shop: recipe.Shop) -> None:
    """The old files, and nothing else."""
    shutil.rmtree(root.data)
    shutil.copytree(shop.data, root.data)


@pytest.mark.slow
def test_killed_at_random_moments(shop, changed_shop, tmp_path):  # C29, C40
    """The shop's data root is rebuilt for other receipts and killed again and again on the way."""
    root = recipe.Shop(changed_shop.raw, tmp_path / "data", tmp_path / "checkpoints")
    shutil.copytree(shop.data, root.data)
    old, new = contents(shop.data), contents(changed_shop.data)
    assert old.keys() == new.keys() and sum(old[name] != new[name] for name in old) > 10
    rng, kills, mixed = np.random.default_rng(0), 0, 0
    with Walker(root) as walker:
        begun = time.monotonic()
        walker.walk_for()
        whole = time.monotonic() - begun  # seconds, on this machine with what else it does
        begin_again(root, shop)
        while kills < KILLS:
            longest = whole * (0.15, 0.35, 1.0)[kills % 3]  # stages that are done are not walked again
            was_killed = walker.walk_for(rng.uniform(0, longest))
            kills += was_killed
            found = contents(root.data)
            assert found.keys() == old.keys()
            assert [name for name, data in found.items() if data not in (old[name], new[name])] == []
            mixed += found not in (old, new)
            if not was_killed:  # it was quicker
                begin_again(root, shop)
    assert mixed > 1  # kills met a root that was half old and half new
    recipe.prepare(root)
    assert contents(root.data) == new
    assert [path for path in root.data.rglob("*") if ".tmp" in path.name] == []
