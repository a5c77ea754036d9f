"""How commands meet the person at the keyboard: flags, progress, sentences for mistakes, exit codes."""

import errno
import gc
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import tyro
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from retailsim.errors import UserError

Advance = Callable[[str], None]  # says the name of the step that begins

EXIT_CODES = {
    0: "done",
    1: "a check failed",
    2: "a mistake that the message says how to mend",
    130: "interrupted",
    141: "the reader of the output closed the pipe",
}
# Paths and disks that cannot be used are the user's to mend; every other OSError is ours and keeps its traceback.
MENDABLE = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOSPC, errno.EDQUOT,
    errno.EFBIG, errno.ENAMETOOLONG, errno.ELOOP, errno.EIO,
}  # fmt: skip
# `--detailed` alone, no `--no-detailed` beside it; a flag that is left out is None, the word "None" is no value.
FLAGS = (tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone)
SPARK_MEMORY = "Spark has too little memory: set SPARK_DRIVER_MEMORY=8g (on other machines spark.executor.memory)"
SPARK_LACKS = {  # what Spark says → what the user can do about it
    "OutOfMemoryError": SPARK_MEMORY,
    "spark.driver.maxResultSize": f"{SPARK_MEMORY}, and spark.driver.maxResultSize with it",
    "Answer from Java side is empty": f"Spark has ended in the middle of its work. If a log says of lacking memory: {SPARK_MEMORY}",
    "No space left on device": "Spark has filled a disk: set spark.local.dir to a larger one, or make room where --data-dir lies",
}
QUIET = "--quiet"  # taken by every command: no word on how far it is
PLAIN_EVERY = 10.0  # seconds between two lines of progress where there is no terminal
GARBAGE_EVERY = 50_000  # new objects between two looks for garbage: at Python's 700 they take a third of the time of planning a query


class _Screen(Console):
    """Standard output; a pipe that the reader closed (`| head`) ends the command without a trace."""

    def on_broken_pipe(self) -> None:
        """Called inside Rich's handler of BrokenPipeError."""
        _leave_closed_pipe()
        raise SystemExit(141)


# A file or pipe has no width of its own; tables there get one at which their words are not broken.
out = _Screen(highlight=False, markup=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)
err = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def run(command: Callable[..., int | None], argv: Sequence[str] | None = None) -> int:
    """Parse flags after `command`'s signature (help from its docstring), call it and return the exit code."""
    gc.set_threshold(GARBAGE_EVERY)
    words = list(sys.argv[1:] if argv is None else argv)
    _Plain.is_quiet = QUIET in words
    flags = [word for word in words if word != QUIET]
    return answer(lambda: tyro.cli(command, args=flags, prog=_spelling(command), config=FLAGS))


def size(n: int) -> str:
    """So many bytes, in the unit in which they are at least one.

    >>> size(31), size(30_642), size(4_856_500)
    ('31 bytes', '30 kB', '4.6 MB')
    """
    if n < 2**10:
        return f"{n} bytes"
    return f"{n / 2**10:.0f} kB" if n < 2**20 else f"{n / 2**20:,.1f} MB"


def is_quiet() -> bool:
    """Whether the command that runs was called with `--quiet`."""
    return _Plain.is_quiet


def answer(call: Callable[[], int | None]) -> int:
    """Exit code of `call`; what the user can mend is said in one sentence, without a traceback."""
    try:
        code = call() or 0
        sys.stdout.flush()
        return code
    except UserError as error:
        return _refuse(str(error))
    except BrokenPipeError:
        _leave_closed_pipe()
        return 141
    except _engine_errors() as error:
        sentence = _sentence_of(error)
        if sentence is None:
            raise
        return _refuse(sentence)
    except OSError as error:
        if error.errno not in MENDABLE:
            raise
        where = error.filename or "the disk"
        return _refuse(f"{where} cannot be used ({error.strerror}): mend that, or name another path")
    except SystemExit as end:  # help was shown, flags did not parse, or the pipe was closed
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except (KeyboardInterrupt, RuntimeError) as error:
        if isinstance(error, RuntimeError) and str(error) != "Query interrupted":  # what DuckDB makes of Ctrl-C
            raise
        err.print("interrupted")
        return 130


class _Plain(Progress):
    """Progress without a terminal: a plain line now and then, and none with `--quiet`."""

    is_quiet = False  # of the command that runs

    def __init__(self, *columns: Any) -> None:
        super().__init__(*columns, console=err, disable=True)
        self._said = time.monotonic()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """As Rich's, with a line when the last one is `PLAIN_EVERY` seconds old."""
        super().update(task_id, **changes)
        now = time.monotonic()
        if now - self._said >= PLAIN_EVERY:
            self._said = now
            self.say(self._tasks[task_id])

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """As Rich's, through `update`."""
        self.update(task_id, advance=advance)

    def say(self, task: Task) -> None:
        """One line: how much is done, how fast, how long it takes still."""
        if not (_Plain.is_quiet or out.quiet):
            total = f" of {task.total:,.0f}" if task.total else ""
            rate = f", {task.speed:,.1f}/s" if task.speed else ""
            left = f", {task.time_remaining:,.0f} s left" if task.time_remaining else ""
            err.print(f"{task.description}: {task.completed:,.0f}{total}{rate}{left}")


def progress(unit: str, transient: bool = False) -> Progress:
    """A progress bar with rate and time left, in `unit` per second; without a terminal a plain line now and then."""
    rate: Any = TextColumn(f"{{task.fields[rate]}} {unit}/s")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        rate,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return _bar(columns, transient)


def show_steps(bar: Progress, description: str, done: int, total: int) -> None:
    """Move the only task of `bar`, 200 times at most; begin it anew where the description is another."""
    if not bar.tasks:
        bar.add_task("", total=None, rate="–")
    task = bar.tasks[0]
    if task.description != description:
        bar.reset(task.id, total=total, description=description, rate="–")
    if done % (total // 200 + 1) and done < total:
        return
    bar.update(task.id, completed=done, rate=f"{task.speed:.1f}" if task.speed else "–")


@contextmanager
def stages(total: int) -> Iterator[Advance]:
    """A bar over a few named steps; call what it gives with the name of the step that begins."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with _bar(columns, transient=True) as bar:
        task = bar.add_task("", total=total)
        started = 0

        def advance(name: str) -> None:
            nonlocal started
            bar.update(task, description=name, completed=started)
            started += 1

        yield advance
        bar.update(task, completed=total)


def _bar(columns: tuple[Any, ...], transient: bool) -> Progress:
    if err.is_terminal and not _Plain.is_quiet:
        return Progress(*columns, console=err, transient=transient)
    return _Plain(*columns)


@contextmanager
def silence() -> Iterator[None]:
    """Nothing is said on standard output: for a command that calls others."""
    was, out.quiet = out.quiet, True
    try:
        yield
    finally:
        out.quiet = was


def _engine_errors() -> tuple[type[Exception], ...]:
    """What the engines raise, where a command has loaded them: `--help` does without."""
    raised = (("duckdb", "Error"), ("pyspark.errors", "PySparkException"), ("py4j.protocol", "Py4JError"))
    return tuple(getattr(sys.modules[module], name) for module, name in raised if module in sys.modules)


def _sentence_of(error: Exception) -> str | None:
    """What the user can mend of an engine's error; None where it is ours."""
    damaged = re.search(r'Failed to read file "([^"]+)"', str(error))
    if damaged:
        return f'{damaged[1]} is damaged: "retailsim validate-data" names the command that writes it again'
    what, duckdb = str(error).splitlines()[0], sys.modules["duckdb"]
    if not isinstance(error, duckdb.Error):
        return next((sentence for cause, sentence in SPARK_LACKS.items() if cause in str(error)), None)
    if isinstance(error, duckdb.OutOfMemoryException):
        return f'the data engine has too little memory ({what}): close other programs, or "run-pipeline" fewer rows (--nrows)'
    if isinstance(error, duckdb.IOException) and any(os.strerror(code) in what for code in MENDABLE):
        return f"the data engine cannot use a file ({what}): mend that, or name another path"
    return None


def _refuse(sentence: str) -> int:
    err.print(f"error: {sentence}")
    return 2


def _spelling(command: Callable[..., Any]) -> str:
    """How the user called `command`: as a module of its own, or as a verb of `retailsim`."""
    if command.__module__ == "__main__":
        spec = sys.modules["__main__"].__spec__
        return f"python -m {spec.name}" if spec else f"python {sys.argv[0]}"
    return f"retailsim {command.__module__.split('.')[-1].replace('_', '-')}"


def _leave_closed_pipe() -> None:
    """Send what is still buffered nowhere, so that the interpreter's last flush does not fail (Python docs, SIGPIPE)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
