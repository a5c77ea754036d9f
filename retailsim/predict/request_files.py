"""Files of requests, read as a stream of words: CSV, Parquet or JSON lines with columns named like the flags (C36)."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.json as json
import pyarrow.parquet as pq

from retailsim.errors import UserError
from retailsim.predict.request import FIELDS

CHUNK = 512  # requests that are answered together
COLUMNS = ("id", *FIELDS)  # `id` is the asker's own, and comes back with the answer
AS_TEXT = dict.fromkeys(COLUMNS, pa.string())

Words = dict[str, str | None]


def read_requests(path: Path) -> Iterator[list[Words]]:
    """The rows of the file as words by column, up to `CHUNK` at a time; the same chunks every time.

    Raises:
        UserError: the file is missing or cannot be read, lacks the column `when`, or has a column not in `COLUMNS`.
    """
    if not path.is_file():
        raise UserError(f"--requests {path} does not exist: name a CSV, Parquet or JSON lines file")
    return _chunks(path)


def _chunks(path: Path) -> Iterator[list[Words]]:
    try:
        for block in _blocks(path):
            _check(path, block.schema)
            for start in range(0, block.num_rows, CHUNK):
                yield [
                    {name: _text(value) for name, value in row.items()} for row in block.slice(start, CHUNK).to_pylist()
                ]
    except (pa.ArrowException, OSError) as error:
        said = " ".join("".join(letter if letter.isprintable() else " " for letter in str(error)).split())
        raise UserError(f"--requests {path} cannot be read ({said}): mend it, or write it anew") from error


def _blocks(path: Path) -> Iterator[pa.RecordBatch]:
    if path.suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=CHUNK)
    elif path.suffix in (".jsonl", ".ndjson"):
        schema = pa.schema([(name, kind) for name, kind in AS_TEXT.items()])
        with json.open_json(path, parse_options=json.ParseOptions(explicit_schema=schema)) as reader:
            yield from reader
    else:
        options = csv.ConvertOptions(column_types=AS_TEXT, strings_can_be_null=True)
        with csv.open_csv(path, convert_options=options) as reader:
            yield from reader


def _check(path: Path, schema: pa.Schema) -> None:
    if "when" not in schema.names:
        raise UserError(f"--requests {path} has no column when, the date and hour of the trip: add it")
    strange = [name for name in schema.names if name not in COLUMNS]
    if strange:
        raise UserError(
            f"--requests {path} has a column {strange[0]!r} that means nothing here: the columns are {', '.join(COLUMNS)}"
        )


def _text(value: object) -> str | None:
    """A cell as the flag would be written: lists are joined by commas."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return None if value is None else str(value)
