"""How commands meet the person at the keyboard: flags, progress, sentences for mistakes, exit codes.

Exit codes: 0 done · 1 a check failed · 2 a mistake that the message says how to mend · 130 interrupted.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from retailsim.errors import UserError

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def run(command: Callable[..., int | None], argv: Sequence[str] | None = None) -> int:
    """Parse flags after `command`'s signature (help from its docstring), call it and return the exit code."""
    module = command.__module__ if command.__module__ != "__main__" else sys.modules["__main__"].__spec__.name  # type: ignore[union-attr]
    prog = f"python -m {module.replace('retailsim.', 'src.')}"
    try:
        return tyro.cli(command, args=argv, prog=prog) or 0
    except UserError as error:
        err.print(f"error: {error}", markup=False)
        return 2
    except KeyboardInterrupt:
        err.print("interrupted")
        return 130


def progress(unit: str, transient: bool = False) -> Progress:
    """A progress bar with rate and time left, in `unit` per second; plain when not on a terminal."""
    rate: Any = TextColumn(f"{{task.fields[rate]}} {unit}/s")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=err, transient=transient)
