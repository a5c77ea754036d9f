"""Files and folders that are there whole or not at all.

An atomic write goes to a temporary file in the same folder, is flushed to disk and then renamed, so that a killed
run or a full disk leaves the old file or none, never half of one.
"""

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retailsim.errors import UserError

Marks = list[tuple[str, int, int]]
_placed: dict[Path, Marks] = {}  # what this process put where


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` when the block ends well and vanishes when it does not.

    What a killed process left of an earlier attempt is taken away first. A link stays, and what it leads to is written; what
    is no file (`--json /dev/stdout`) is a UserError, since it would be replaced.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is a folder or a device, not a file: name another path")
    path = path.resolve() if path.is_symlink() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if not is_running(left.name.split(".")[-2]):
            left.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _placed[path.resolve()] = marks(path)
    except OSError as error:
        if error.errno is not None:
            error.filename = error.filename or str(path)  # a full disk does not say of which file
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block ends well and vanishes when it does not.

    A folder at `path` is there, whole, until the files of the new one are on the disk; two renames then exchange them.
    What a killed process left of an earlier attempt is taken away first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if not is_running(left.name.split(".")[-2]):
            shutil.rmtree(left)
    ours, before = (path.with_name(f".{path.name}.{age}.{os.getpid()}.tmp") for age in ("new", "old"))
    ours.mkdir()
    try:
        yield ours
        for file in ours.iterdir():
            with open(file, "rb+") as stream:
                os.fsync(stream.fileno())
        if path.exists():
            os.replace(path, before)
        os.replace(ours, path)
        if before.exists():
            shutil.rmtree(before)
    finally:
        if ours.exists():
            shutil.rmtree(ours)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Where a folder may be made beside `path`, which vanishes when the block ends; a killed process's goes first."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.parts"):
        if not is_running(left.name.split(".")[-2]):
            shutil.rmtree(left)
    folder = path.with_name(f".{path.name}.{os.getpid()}.parts")
    try:
        yield folder
    finally:
        if folder.exists():
            shutil.rmtree(folder)


def is_running(pid: str) -> bool:
    """Whether process `pid` is there; a temporary file of our own name has no other text in that place."""
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError, ValueError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def is_placed(path: Path) -> bool:
    """Whether `path` is the file that this process put there."""
    return _placed.get(path.resolve()) == marks(path)


def is_replaced(path: Path) -> bool:
    """Whether this process put a file at `path` and another one, or none, lies there now."""
    return path.resolve() in _placed and not is_placed(path)


def marks(path: Path) -> Marks:
    """Of a file, or of all files under a folder, what another one in its place would not share: its number and its time."""
    path = path.resolve()
    files = sorted(path.rglob("*")) if path.is_dir() else [path] if path.exists() else []
    return [(str(file), of.st_ino, of.st_mtime_ns) for file in files if not file.is_dir() and (of := file.stat())]
