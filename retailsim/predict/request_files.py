"""Files of requests, read as a stream of words: CSV, Parquet or JSON lines with columns named like the flags (C36)."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from retailsim.errors import UserError
from retailsim.predict.request import FIELDS, whole

JSON_LINES = (".jsonl", ".ndjson", ".json")
SUFFIXES = (".csv", ".csv.gz", ".parquet", *JSON_LINES)
CHUNK = 512  # requests that are answered together
COLUMNS = ("id", *FIELDS)  # `id` is the asker's own, and comes back with the answer

Words = dict[str, str | None]


def read_requests(path: Path) -> Iterator[list[Words]]:
    """The rows of the file as words by column, up to `CHUNK` at a time; the same chunks every time.

    Raises:
        UserError: the file is missing, of another kind or cannot be read, lacks the column `when`, or has a column not in
            `COLUMNS`.
    """
    if not path.is_file():
        raise UserError(f"--requests {path} does not exist: name a CSV, Parquet or JSON lines file")
    if not path.name.endswith(SUFFIXES):
        raise UserError(f"--requests {path} is none of {', '.join(SUFFIXES)}: convert it, or name it so")
    return _chunks(path)


def _chunks(path: Path) -> Iterator[list[Words]]:
    rows = _json_lines if path.name.endswith(JSON_LINES) else _table_rows
    try:
        for chunk in _batched(rows(path), CHUNK):
            yield [{name: _text(value) for name, value in row.items()} for row in chunk]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        said = " ".join("".join(letter if letter.isprintable() else " " for letter in str(error)).split())
        raise UserError(f"--requests {path} cannot be read ({said}): mend it, or write it anew") from error


def _batched(rows: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    rest = iter(rows)
    while batch := list(islice(rest, size)):
        yield batch


def _table_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a CSV or Parquet file; its columns are checked though it has no row."""
    if path.suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            _check(path, file.schema_arrow.names)
            for block in file.iter_batches(batch_size=CHUNK):
                yield from block.to_pylist()
    else:
        options = csv.ConvertOptions(
            column_types=dict.fromkeys(COLUMNS, pa.string()), null_values=[""], strings_can_be_null=True
        )
        with csv.open_csv(path, convert_options=options) as reader:
            _check(path, reader.schema.names)
            for block in reader:
                yield from block.to_pylist()


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise UserError(
                    f"--requests {path} cannot be read (line {number} is no JSON object): write one request per line"
                )
            _check(path, ["when", *row])  # a line without it is refused by itself
            yield row


def _check(path: Path, names: Sequence[str]) -> None:
    if "when" not in names:
        raise UserError(f"--requests {path} has no column when, the date and hour of the trip: add it")
    strange = [name for name in names if name not in COLUMNS]
    if strange:
        raise UserError(
            f"--requests {path} has a column {strange[0]!r} that means nothing here: the columns are {', '.join(COLUMNS)}"
        )


def _text(value: object) -> str | None:
    """A cell as the flag would be written: of lists and objects the parts that are there, joined by commas.

    A Parquet table of objects has all their names in each row, with null where a row has none of it; its maps are lists of pairs.
    """
    if isinstance(value, dict):
        value = list(value.items())
    if isinstance(value, list):
        return ",".join(part for part in map(_part, value) if part is not None)
    return _part(value)


def _part(value: object) -> str | None:
    if isinstance(value, tuple):
        name, of = value
        return None if of is None else f"{whole(str(name))}={whole(str(of))}"
    return None if value is None else whole(str(value))
