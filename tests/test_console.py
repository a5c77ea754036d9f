"""How commands meet the person at the keyboard: flags, one-sentence errors, exit codes, closed pipes."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import duckdb
import pytest
import tyro
from rich.table import Table

from retailsim import console
from retailsim.errors import UserError


def rank(
    checkpoint: tyro.conf.Positional[Path],
    split: Literal["val", "test"] = "test",
    detailed: bool = False,
    nrows: int | None = None,
) -> int:
    """Rank hidden products.

    Args:
        checkpoint: the model.
        split: weeks to rank on.
        detailed: show the breakdowns.
        nrows: rows to take; all when left out.
    """
    seen.append((checkpoint, split, detailed, nrows))
    return 1 if split == "val" else 0


seen: list[tuple] = []


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()


def test_flags_are_those_of_the_signature():
    assert console.run(rank, ["best_model.pt", "--detailed", "--nrows", "5"]) == 0
    assert seen == [(Path("best_model.pt"), "test", True, 5)]


def test_what_the_command_returns_is_the_exit_code():
    assert console.run(rank, ["best_model.pt", "--split", "val"]) == 1


def test_help_is_the_docstring_with_defaults_and_the_name_that_was_typed(capsys):
    assert console.run(rank, ["--help"]) == 0
    shown = capsys.readouterr().out
    for text in (
        "usage: retailsim test-console",
        "Rank hidden products.",
        "--detailed",
        "(default: test)",
        "--nrows INT",
    ):
        assert text in shown
    assert "--no-detailed" not in shown and not seen


@pytest.mark.parametrize(
    "flags, named",
    [
        ([], "PATH"),
        (["a.pt", "--split", "train"], "'train' for argument '--split'"),
        (["a.pt", "--nrows", "many"], "--nrows"),
        (["a.pt", "--nrows", "None"], "--nrows"),
        (["a.pt", "--nrows"], "'--nrows'"),
        (["a.pt", "--detail"], "--detailed"),  # the nearest flag
        (["a.pt", "--no-detailed"], "--no-detailed"),
    ],
)
def test_flags_that_do_not_parse_are_named(flags, named, capsys):  # C39
    assert console.run(rank, flags) == 2
    shown = capsys.readouterr()
    assert named in shown.err and "Traceback" not in shown.err and not shown.out and not seen


def raising(error):
    """A command that ends with `error`."""

    def command() -> None:
        """Fail."""
        raise error

    return command


def test_a_mistake_is_one_sentence_and_exit_code_2(capsys):  # C39
    assert console.run(raising(UserError("data/a [x].parquet is missing: run [this] first")), []) == 2
    shown = capsys.readouterr()
    assert shown.err == "error: data/a [x].parquet is missing: run [this] first\n" and not shown.out


def test_ids_between_colons_are_no_emoji(capsys):
    """A till's code may be 12:100:7: Rich writes :100: as a picture, unless it is told not to."""
    code, grid = "12:100:7", Table("product")
    grid.add_row(code)
    for screen in (console.out, console.err):
        screen.print(f'{{"product": "{code}", "name": "x :cat: y"}}')
        screen.print(grid)
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert text.count(code) == 2 and "x :cat: y" in text
    assert console.run(raising(UserError(f"unknown product {code!r}")), []) == 2
    assert capsys.readouterr().err == f"error: unknown product {code!r}\n"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP])
def test_a_path_that_cannot_be_used_is_the_users_to_mend(code, capsys):  # C39
    assert console.run(raising(OSError(code, os.strerror(code), "data/x")), []) == 2
    assert capsys.readouterr().err.startswith(f"error: data/x cannot be used ({os.strerror(code)})")


@pytest.mark.parametrize(
    "query, said",
    [
        ("SET memory_limit = '2MB'; SET temp_directory = ''; CREATE TABLE t AS SELECT hash(range) FROM range(10_000_000)",
         "the data engine has too little memory ("),
        ("COPY (SELECT range FROM range(100_000)) TO '/dev/full' (FORMAT csv)", "the data engine cannot use a file ("),
    ],
)  # fmt: skip
def test_what_the_engine_lacks_is_one_sentence(query, said, capsys):  # C39
    engine = duckdb.connect()
    assert console.answer(lambda: engine.execute(query) and None) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {said}") and err.count("\n") == 1


@pytest.mark.parametrize(
    "told, said",
    [
        ("An error occurred while calling o1.parquet. : java.lang.OutOfMemoryError: Java heap space", "Spark has too little memory"),
        ("Answer from Java side is empty", "Spark has ended in the middle of its work"),
        ("java.io.IOException: No space left on device", "Spark has filled a disk"),
    ],
)  # fmt: skip
def test_what_spark_lacks_is_one_sentence(told, said, capsys):  # C38, C39
    py4j = pytest.importorskip("py4j.protocol")
    assert console.run(raising(py4j.Py4JError(told)), []) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {said}") and err.count("\n") == 1
    with pytest.raises(py4j.Py4JError):
        console.run(raising(py4j.Py4JError("An error occurred while calling o1.parquet. : [DIVIDE_BY_ZERO]")), [])


@pytest.mark.parametrize("query", ["SELECT nothing", "FROM '/nowhere/t.parquet'"])
def test_a_query_that_is_wrong_is_our_own_mistake(query):
    with pytest.raises(duckdb.Error):
        console.answer(lambda: duckdb.connect().execute(query) and None)


def test_our_own_mistakes_keep_their_traceback():
    for error in (OSError(errno.EBADF, "bad descriptor"), KeyError("week"), ValueError("x")):
        with pytest.raises(type(error)):
            console.run(raising(error), [])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("Query interrupted")])
def test_an_interrupt_is_exit_code_130(error, capsys):
    assert console.run(raising(error), []) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("speak", ["console.out.print('x' * 70_000)", "print('x' * 70_000)"])
def test_a_closed_pipe_ends_without_a_trace(speak):
    """The reader goes away before anything is written, as `| head` does after its last line."""
    program = f"""
import sys
from retailsim import console
def speak() -> None:
    "Say much."
    sys.stdin.read()
    {speak}
sys.exit(console.run(speak, []))
"""
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdin and child.stdout and child.stderr
    child.stdout.close()
    child.stdin.close()
    said = child.stderr.read()
    child.stderr.close()
    assert (child.wait(timeout=60), said) == (141, b"")


def test_stages_name_the_step_that_begins():
    with console.stages(2) as advance:
        advance("prices")
        advance("graph")


def slow() -> None:
    """Take ten steps of which each takes long."""
    with console.progress("rows") as bar:
        task = bar.add_task("reading", total=10, rate="–")
        for _ in range(10):
            bar.advance(task)


def test_progress_without_a_terminal_is_plain_lines(capsys, monkeypatch):
    monkeypatch.setattr(console, "PLAIN_EVERY", 0.0)
    assert console.run(slow, []) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10 and lines[0].startswith("reading: 1 of 10") and lines[9].startswith("reading: 10 of 10")


def test_progress_is_a_line_only_now_and_then(capsys):
    assert console.run(slow, []) == 0
    assert capsys.readouterr().err == ""


def test_quiet_is_taken_by_every_command_and_leaves_progress_out(capsys, monkeypatch):
    monkeypatch.setattr(console, "PLAIN_EVERY", 0.0)
    assert console.run(slow, ["--quiet"]) == 0
    assert capsys.readouterr().err == "" and console.is_quiet()
    assert console.run(slow, []) == 0
    assert "reading: 1 of 10" in capsys.readouterr().err and not console.is_quiet()
