"""C4: whatever happens to a good file, it runs, runs with rows set aside, or is refused in a sentence; no row is lost.

Each example damages a small good file at random, reads and judges it. What comes out is held against a count of the rows
that is made with Python's own csv reader.
"""

import csv
import gzip
import io
import os
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retailsim.artifacts import CALENDAR, QUARANTINE, TRANSACTIONS
from retailsim.data_pipeline.run_pipeline import prepare_transactions
from retailsim.errors import UserError
from retailsim.sources import faults
from retailsim.sources.raw_tables import NO_NULL
from retailsim.sources.read import read_transactions, source_files
from retailsim.sources.schema import PUBLISHED as SCHEMA
from retailsim.sources.stored import stored_rows
from retailsim.sources.validate import judge
from retailsim.storage import connect
from tests.sources.conftest import GOOD

FILES = int(os.environ.get("DAMAGED_FILES", 150))  # more of them, when reading or judging has changed
csv.field_size_limit(10**7)
NASTY = [
    "", " ", "abc", "NaN", "inf", "-1", "0", "1.5", "1,234.50", "1.234,50", "9.94E+14", "99999999999999999999", "1e308",
    "'; DROP TABLE receipts; --", "../../x", "🧺", "x" * 10_000, 'a "quoted" word', "two\nlines", "20990101", "19000101",
    "13/04/2006", "\t", "NULL", "\\N", "\x01", "\ufeff", "XX", "200652",
]  # fmt: skip


def lines(change):
    """A damage to the list of lines."""
    return lambda data, rng: b"".join(change(data.splitlines(keepends=True) or [b""], rng))


def cells(change):
    """A damage to the table of cells."""

    def damage(data, rng):
        table = list(csv.reader(io.StringIO(data.decode(errors="replace"), newline=""))) or [[""]]
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(change(table, rng))
        return buffer.getvalue().encode(errors="replace")

    return damage


def flip(data, rng):
    changed = bytearray(data or b" ")
    for at in rng.integers(0, len(changed), size=rng.integers(1, 4)):
        changed[at] ^= int(rng.integers(1, 256))
    return bytes(changed)


def some(rows, rng):
    return int(rng.integers(0, len(rows)))


def nasty_cells(table, rng):
    for _ in range(int(rng.integers(1, 5))):
        row = table[some(table, rng)]
        if row:
            row[some(row, rng)] = NASTY[some(NASTY, rng)]
    return table


def nasty_column(table, rng):
    column, value = some(table[0] or [""], rng), NASTY[some(NASTY, rng)]
    return [table[0], *([*row[:column], value, *row[column + 1 :]] for row in table[1:])]


def other_columns(table, rng):
    order = rng.permutation(len(table[0]))[: len(table[0]) - int(rng.integers(0, 2))]
    return [[row[i] for i in order if i < len(row)] for row in table]


def other_header(table, rng):
    header = [name.lower() if rng.random() < 0.5 else name for name in table[0]]
    if rng.random() < 0.5 and header:
        header[some(header, rng)] = header[some(header, rng)] + "_"
    return [header, *table[1:]]


DAMAGES = {
    "flip": flip,
    "cut": lambda data, rng: data[: some(data + b" ", rng)],
    "line cut": lines(lambda rows, rng: [r[: some(r, rng)] + b"\n" if i == 3 else r for i, r in enumerate(rows)]),
    "line twice": lines(lambda rows, rng: [*rows, rows[some(rows, rng)]]),
    "all twice": lines(lambda rows, rng: [*rows, *rows[int(rng.integers(0, 2)) :]]),
    "lines moved": lines(lambda rows, rng: [rows[0], *(rows[1:][i] for i in rng.permutation(len(rows) - 1))]),
    "line gone": lines(lambda rows, rng: rows[: some(rows, rng)] + rows[some(rows, rng) :]),
    "long row": lines(lambda rows, rng: [*rows[:-1], rows[-1].rstrip(b"\n") + b"," * int(rng.integers(1, 12)) + b"\n"]),
    "delimiter behind": lambda data, rng: data.replace(b"\n", b",\n"),
    "crlf": lambda data, rng: data.replace(b"\n", b"\r\n"),
    "one crlf": lambda data, rng: data.replace(b"\n", b"\r\n", 1),
    "empty lines": lambda data, rng: data.replace(b"\n", b"\n\n", int(rng.integers(1, 9))),
    "semicolons": lambda data, rng: data.replace(b",", b";"),
    "utf-16": lambda data, rng: data.decode(errors="replace").encode("utf-16"),
    "latin-1": lambda data, rng: data.replace(b"Fresh", "Frühstück".encode("latin-1"), int(rng.integers(1, 9))),
    "bom": lambda data, rng: b"\xef\xbb\xbf" + data,
    "quote": lambda data, rng: data[: (at := some(data + b" ", rng))] + b'"' + data[at:],
    "nasty cells": cells(nasty_cells),
    "nasty column": cells(nasty_column),
    "other columns": cells(other_columns),
    "other header": cells(other_header),
    "header again": lines(lambda rows, rng: [*rows[:5], rows[0], *rows[5:]]),
}
PACKED = {".csv": bytes, ".csv.gz": gzip.compress, ".csv.zst": lambda data: pa.compress(data, "zstd", asbytes=True)}
EXAMPLES = st.tuples(
    st.lists(st.tuples(st.sampled_from(sorted(DAMAGES)), st.integers(0, 2**32 - 1)), min_size=1, max_size=2),
    st.sampled_from([*[".csv"] * 5, ".csv.gz", ".csv.zst", ".parquet"]),
    st.sampled_from([None] * 8 + ["flip", "cut"]),
)


def damaged(example, folder: Path) -> Path:
    """The file of an example, alone in its folder."""
    damages, suffix, last = example
    if suffix == ".parquet":
        buffer = io.BytesIO()
        pq.write_table(pa.csv.read_csv(io.BytesIO(GOOD)), buffer)
        data, last = buffer.getvalue(), last or "flip"
    else:
        data = GOOD
        for name, seed in damages:
            data = DAMAGES[name](data, np.random.default_rng(seed))
        data = PACKED[suffix](data)
    if last:
        data = DAMAGES[last](data, np.random.default_rng(damages[0][1]))
    path = folder / f"transactions{suffix}"
    path.write_bytes(data)
    return path


def records(path: Path) -> list[list[str]]:
    """Header and rows of a CSV file, as Python reads them."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    if path.suffix == ".zst":
        with pa.CompressedInputStream(io.BytesIO(data), "zstd") as stream:
            data = stream.read()
    text = data.decode("utf-8-sig")
    delimiter = max(",;", key=text.split("\n")[0].count)
    return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]


def rows_and_values_agree(path: Path, aside: list[dict], used: int) -> None:
    """The account comes to the rows in the file, and what is shown is what stands there."""
    if path.suffix == ".parquet":
        assert used + len(aside) == pq.read_metadata(path).num_rows
        return
    header, *rows = records(path)
    assert used + len(aside) == len(rows), (used, len(aside), len(rows))
    at = {name.strip().casefold(): i for i, name in enumerate(header)}
    for fault in aside:
        if fault["column"] != "the row":
            stored = rows[fault["row"] - 1][at[fault["column"].casefold()]].strip()
            assert ("" if stored == NO_NULL else stored) == (fault["value"] or ""), fault
        else:
            assert len(rows[fault["row"] - 1]) != len(header), fault


class Desk:
    """One engine for many files: it is emptied between them, and replaced when a file has spoiled it."""

    def __init__(self):
        self.engine = connect()

    def judge(self, path: Path) -> tuple[list[dict], int]:
        try:
            self.engine.raw_sql("DROP VIEW IF EXISTS text")
            for table in faults.plan(SCHEMA, "duckdb"):
                self.engine.raw_sql(f"DROP TABLE IF EXISTS {table}")
        except duckdb.Error:
            self.engine = connect()
        verdict = judge(read_transactions(path, self.engine), stored_rows(source_files(path)), self.engine)
        return verdict.faults.to_pyarrow().to_pylist(), verdict.used.count().execute()


def outcome_of(path: Path, run) -> str:
    """What came of a file; the one sentence of a refusal is checked here."""
    try:
        aside, used = run(path)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 600
        return "refused"
    rows_and_values_agree(path, aside, used)
    return "rows set aside" if aside else "clean"


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def check_many(tmp_path, check, n):
    counts = Counter()
    quiet = settings(
        max_examples=n, deadline=None, database=None, derandomize=True, print_blob=False,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip

    @quiet
    @given(EXAMPLES)
    def examples(example):
        counts[check(damaged(example, tmp_path))] += 1

    examples()
    return counts


def test_a_damaged_file_leaves_old_files_or_new_ones(tmp_path, capsys):
    """The whole first step on a few damaged files: what is written, or that nothing was."""
    root, folder = tmp_path / "data", tmp_path / "raw"
    folder.mkdir()
    (folder / "transactions.csv").write_bytes(GOOD)
    prepare_transactions(folder / "transactions.csv", None, root, (1, 2))

    def run(path):
        before = files(root)
        try:
            prepare_transactions(path, None, root, (1, 2))
        except UserError:
            assert files(root) == before
            raise
        assert set(files(root)) - {QUARANTINE.path} == {TRANSACTIONS.path, CALENDAR.path}
        engine = connect()
        has_aside = (root / QUARANTINE.path).exists()
        aside = QUARANTINE.read(root, engine).to_pyarrow().to_pylist() if has_aside else []
        said = capsys.readouterr().out
        used = int(said.split(" rows in = ")[1].split(" used")[0].replace(",", ""))
        summed = int(said.split(" rows (")[1].split(" added")[0].replace(",", ""))
        assert TRANSACTIONS.read(root, engine).count().execute() == used - summed
        return aside, used

    counts = check_many(folder, lambda path: outcome_of(path, run), 12)
    assert sum(counts.values()) >= 12 and len(counts) > 1


@pytest.mark.slow
def test_many_damaged_files(tmp_path, capsys):
    desk = Desk()
    counts = check_many(tmp_path, lambda path: outcome_of(path, desk.judge), FILES)
    with capsys.disabled():
        print(f"\n{sum(counts.values()):,} damaged files: {dict(counts.most_common())}")
    assert sum(counts.values()) >= FILES
    assert min(counts[name] for name in ("refused", "rows set aside", "clean")) > FILES / 40
