"""Files between the stages: identity of write and read, atomic writes, sentences for what is damaged."""

import errno
import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import ibis
import numpy as np
import pandas as pd
import pytest

from retailsim.atomic import atomic, atomic_folder
from retailsim.errors import UserError
from retailsim.storage import Array, Record, Table, connect

TABLE = Table(
    "processed/sales.parquet",
    "data_pipeline.run_pipeline",
    "one row per product",
    {
        "product_id": ("string", "product id"),
        "week": ("int32", "week"),
        "spend": ("decimal(18, 2)", "£"),
        "date": ("date", "day"),
    },
)
ARRAY = Array("cache/rows.npy", "training.prepare_tensor_cache", "rows", "float32", "rows 3")
RECORD = Record("processed/calendar.json", "data_pipeline.run_pipeline", "the calendar")
ROWS = [("P2", 1, Decimal("0.10"), datetime(2006, 4, 10)), ("P1", 2, Decimal("2.55"), datetime(2006, 4, 18))]


def sales(rows=ROWS):
    """The table of the test, with wider types than declared, as an engine's sums have."""
    types = {"product_id": "string", "week": "int64", "spend": "decimal(38, 2)", "date": "timestamp"}
    return ibis.memtable(rows, schema=types)


def files_under(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_table_comes_back_as_declared_and_in_order(tmp_path):
    TABLE.write(tmp_path, sales(), connect(), ["product_id"])
    found = TABLE.read(tmp_path, connect())
    assert found.schema() == TABLE.schema
    assert found.to_pyarrow().to_pylist() == [
        {"product_id": "P1", "week": 2, "spend": Decimal("2.55"), "date": date(2006, 4, 18)},
        {"product_id": "P2", "week": 1, "spend": Decimal("0.10"), "date": date(2006, 4, 10)},
    ]
    assert files_under(tmp_path) == [TABLE.path]


def test_the_same_rows_are_the_same_bytes(tmp_path):  # C40
    for name, rows in (("a", ROWS), ("b", ROWS[::-1])):
        TABLE.write(tmp_path / name, sales(rows), connect(), ["product_id"])
        RECORD.write(tmp_path / name, {"b": 1, "a": [2, 3]} if name == "a" else {"a": [2, 3], "b": 1})
    for path in (TABLE.path, RECORD.path):
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


def test_an_array_comes_back_memory_mapped_and_read_only(tmp_path):  # C10
    numbers = np.arange(6, dtype=np.float64).reshape(2, 3).T.copy().T  # wider and in column order
    ARRAY.write(tmp_path, numbers)
    found = ARRAY.read(tmp_path)
    assert isinstance(found, np.memmap) and found.dtype == np.float32 and found.tolist() == numbers.tolist()
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1


def test_a_record_comes_back(tmp_path):
    RECORD.write(tmp_path, {"week": 3, "name": "Äpfel"})
    assert RECORD.read(tmp_path) == {"week": 3, "name": "Äpfel"}


def test_a_write_that_fails_leaves_the_old_file_and_no_temporary(tmp_path):  # C29
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write_half():
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert path.read_text() == "old" and files_under(tmp_path) == ["file.txt"]


@contextmanager
def full_disk():
    """No file may grow beyond 200 bytes inside: what a full disk does to a write, without filling one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    try:
        yield
    finally:  # before anything is printed: the tests' own output may go to a file
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kind", ["table", "array", "record"])
def test_a_full_disk_is_said_of_the_file_and_leaves_the_old_one(kind, tmp_path):  # C29
    write = {
        "table": lambda: TABLE.write(tmp_path, sales(), connect(), ["product_id"]),
        "array": lambda: ARRAY.write(tmp_path, np.ones((500, 3))),
        "record": lambda: RECORD.write(tmp_path, {"weeks": list(range(500))}),
    }[kind]
    path = tmp_path / {"table": TABLE, "array": ARRAY, "record": RECORD}[kind].path
    path.parent.mkdir()
    path.write_text("old")
    with pytest.raises(OSError) as caught, full_disk():
        write()
    assert caught.value.errno in (errno.EFBIG, errno.ENOSPC) and caught.value.filename == str(path)
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]


def write_text(path):
    with atomic(path) as temporary:
        temporary.write_text("new")


def test_what_is_no_file_is_not_replaced(tmp_path):  # C39
    """`--json /dev/stdout` by root would put a file in the device's place."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(UserError, match=f"{path} is a folder or a device, not a file: name another path"):
            write_text(path)
    assert files_under(tmp_path) == [] and (tmp_path / "pipe").is_fifo()


def test_a_link_stays_one_and_its_file_is_written(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_text(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == "new"


def test_a_table_whose_rows_cannot_be_made_leaves_the_old_file(tmp_path):
    TABLE.write(tmp_path, sales(), connect(), ["product_id"])
    old = (tmp_path / TABLE.path).read_bytes()
    broken = sales().mutate(week=ibis.literal("no week"))
    with pytest.raises(duckdb.ConversionException, match="no week"):
        TABLE.write(tmp_path, broken, connect(), ["product_id"])
    assert (tmp_path / TABLE.path).read_bytes() == old and files_under(tmp_path) == [TABLE.path]


def test_what_a_killed_process_left_is_taken_away_by_the_next_write(tmp_path):  # C29
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stale, running = (tmp_path / f".a[1].txt.{pid}.tmp" for pid in (dead.pid, os.getppid()))
    others = [tmp_path / ".b.txt.1.tmp", tmp_path / "a[1].txt.note.tmp"]
    for path in (stale, running, *others):
        path.write_text("half")
    with atomic(tmp_path / "a[1].txt") as temporary:
        temporary.write_text("whole")
    assert not stale.exists() and running.exists() and all(path.exists() for path in others)
    assert (tmp_path / "a[1].txt").read_text() == "whole"


def test_a_file_is_not_seen_before_it_is_whole(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists() and temporary.parent == path.parent
    assert path.read_text() == "whole"


@pytest.mark.parametrize("artifact", [TABLE, ARRAY, RECORD], ids=lambda artifact: artifact.path)
def test_a_missing_file_names_the_command_to_run(artifact, tmp_path):  # C39
    with pytest.raises(UserError) as caught:
        artifact.read(tmp_path, connect()) if isinstance(artifact, Table) else artifact.read(tmp_path)
    command = f'run "python -m src.{artifact.written_by} --data-dir {tmp_path}" first'
    assert str(caught.value) == f"{tmp_path / artifact.path} is missing: {command}"


@pytest.mark.parametrize("root, flags", [("data", ""), ("d0", " --data-dir d0"), ("my data", " --data-dir 'my data'")])
def test_the_command_names_the_data_root(root, flags, tmp_path, monkeypatch):  # C39
    """As a command without the flag would write to data/, and mend nothing."""
    monkeypatch.chdir(tmp_path)
    for artifact in (TABLE, ARRAY, RECORD):
        command = f"python -m src.{artifact.written_by}{flags}"
        assert str(artifact.damaged(Path(root), "is odd")) == f'{root}/{artifact.path} is odd: run "{command}" again'
        with pytest.raises(UserError) as caught:
            artifact.at(Path(root))
        assert str(caught.value) == f'{root}/{artifact.path} is missing: run "{command}" first'


def again(root):
    return f'run "python -m src.data_pipeline.run_pipeline --data-dir {root}" again'


def refused(artifact, root):
    """The sentence with which reading is refused, without the path in front, which it must begin with."""
    with pytest.raises(UserError) as caught:
        artifact.read(root, connect()) if isinstance(artifact, Table) else artifact.read(root)
    sentence = str(caught.value)
    assert sentence.startswith(f"{root / artifact.path} ") and "\n" not in sentence
    return sentence.removeprefix(f"{root / artifact.path} ")


def test_a_truncated_table_is_refused(tmp_path):  # C4
    TABLE.write(tmp_path, sales(), connect(), ["product_id"])
    path = tmp_path / TABLE.path
    path.write_bytes(path.read_bytes()[:-20])
    assert refused(TABLE, tmp_path).startswith("cannot be read (")
    path.write_bytes(b"")
    assert refused(TABLE, tmp_path).endswith(again(tmp_path))


@pytest.mark.parametrize("name, other", [("e[1]", "e1"), ("e*", "ee"), ("week=6", None)])
def test_a_path_is_itself_and_no_pattern(name, other, tmp_path):
    """Beside it lies what the name would match as a pattern; a folder's name is no column."""
    for folder, rows in ((name, ROWS), *(((other, ROWS[:1]),) if other else ())):
        TABLE.write(tmp_path / folder, sales(rows), connect(), ["product_id"])
    found = TABLE.read(tmp_path / name, connect()).to_pyarrow()
    assert sorted(found["product_id"].to_pylist()) == ["P1", "P2"] and found["week"].to_pylist() != [6, 6]


def test_a_missing_column_is_named(tmp_path):  # C4
    path = tmp_path / TABLE.path
    path.parent.mkdir()
    connect().to_parquet(sales().drop("spend", "date"), path)
    assert refused(TABLE, tmp_path) == "has column week as int64, not int32: " + again(tmp_path)
    connect().to_parquet(sales().drop("spend", "date").cast({"week": "int32"}), path)
    assert refused(TABLE, tmp_path) == "has no column spend: " + again(tmp_path)


def test_a_column_of_another_dtype_is_named(tmp_path):  # C4
    path = tmp_path / TABLE.path
    path.parent.mkdir()
    pd.DataFrame({"product_id": ["P1"], "week": ["1"], "spend": [1.0], "date": [date(2006, 4, 10)]}).to_parquet(path)
    assert refused(TABLE, tmp_path) == "has column week as string, not int32: " + again(tmp_path)


def test_a_damaged_array_is_refused(tmp_path):  # C4, C11
    command = f'run "python -m src.training.prepare_tensor_cache --data-dir {tmp_path}" again'
    path = tmp_path / ARRAY.path
    ARRAY.write(tmp_path, np.zeros((2, 3)))
    path.write_bytes(path.read_bytes()[:-5])
    assert refused(ARRAY, tmp_path).startswith("cannot be read (")
    path.write_bytes(b"")
    assert refused(ARRAY, tmp_path).endswith(command)
    np.save(path, np.zeros((2, 3), dtype=np.float64))
    assert refused(ARRAY, tmp_path) == f"holds float64 (2, 3), not float32 [rows 3]: {command}"
    np.save(path, np.zeros(3, dtype=np.float32))
    assert refused(ARRAY, tmp_path) == f"holds float32 (3,), not float32 [rows 3]: {command}"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "cannot be read (" in refused(ARRAY, tmp_path)  # a pickle inside is never opened


def test_an_array_of_another_width_is_refused(tmp_path):  # C9
    path = tmp_path / ARRAY.path
    path.parent.mkdir()
    np.save(path, np.zeros((2, 4), dtype=np.float32))
    assert refused(ARRAY, tmp_path).startswith("holds float32 (2, 4), not float32 [rows 3]")


def test_a_damaged_record_is_refused(tmp_path):  # C4
    RECORD.write(tmp_path, {"week": 3})
    path = tmp_path / RECORD.path
    path.write_text(path.read_text()[:-4])
    assert refused(RECORD, tmp_path).startswith("is not JSON (")
    path.write_bytes(b"\xff\xfe")
    assert refused(RECORD, tmp_path).endswith(again(tmp_path))
    path.write_text(json.dumps([1, 2]))
    assert refused(RECORD, tmp_path).startswith("is not a JSON object")


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "made"
    for names in (["a", "b"], ["c"]):
        with atomic_folder(folder) as temporary:
            for name in names:
                (temporary / name).write_text(name)
        assert files_under(tmp_path) == [f"made/{name}" for name in names]
    with pytest.raises(KeyError), atomic_folder(folder) as temporary:
        (temporary / "half").touch()
        raise KeyError
    assert files_under(tmp_path) == ["made/c"] and list(tmp_path.iterdir()) == [folder]


def test_what_a_killed_process_left_of_a_folder_is_taken_away(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    left = tmp_path / f".made.new.{dead.stdout.strip()}.tmp"
    living = tmp_path / f".made.new.{os.getppid()}.tmp"
    for folder in (left, living):
        folder.mkdir()
        (folder / "half").touch()
    with atomic_folder(tmp_path / "made") as temporary:
        (temporary / "a").touch()
    assert files_under(tmp_path) == [f"{living.name}/half", "made/a"]
