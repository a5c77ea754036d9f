"""What stands in a raw file, found without an engine: rows stored, and damage that an engine would read over.

DuckDB ends a cut-off `.zst` without a word, takes all behind an open quote for one value and does not check the sum of a
`.gz`; so every byte is read once here, and the account of `validate` must come to the number of rows found.
"""

import codecs
import csv
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retailsim.errors import UserError
from retailsim.sources.files import suffix_of

CHUNK = 1 << 20
DELIMITERS = ",;\t|"
NEWLINE, RETURN, QUOTE = b'\n\r"'


def stored_rows(files: list[Path]) -> dict[str, int]:
    """Rows stored in each of `files`, by name; header and empty lines are none. A UserError for a damaged file."""
    return {file.name: _parquet_rows(file) if suffix_of(file) == ".parquet" else _csv_rows(file) for file in files}


def csv_header(file: Path) -> tuple[list[str], str]:
    """The names in the first line of a CSV file, and the delimiter between them."""
    first = next(_chunks(file), b"")
    line = first.removeprefix(codecs.BOM_UTF8).split(b"\n", 1)[0].rstrip(b"\r")
    _decoded(codecs.getincrementaldecoder("utf-8")(), line, file, 0)
    text = line.decode(errors="replace")  # a first line longer than a chunk may end inside a letter
    delimiter = max(DELIMITERS, key=text.count)
    try:
        return next(csv.reader([text], delimiter=delimiter), []), delimiter
    except csv.Error as error:
        raise UserError(f"{file} begins with no line of column names ({error}): write them there") from error


def csv_head(file: Path, delimiter: str, rows: int) -> list[list[str]]:
    """The first rows of a CSV file behind its header, at most `rows` and no more than its first chunk holds whole.

    Empty where Python cannot read one of them: a value of more than 131,072 characters, or an open quote.
    """
    text = next(_chunks(file), b"").decode(errors="replace")
    lines = text.splitlines(keepends=True)[: rows + 2]
    try:
        found = list(csv.reader(lines, delimiter=delimiter))[1:]
    except csv.Error:
        return []
    return found if text == "".join(lines) and text.endswith("\n") else found[:-1]  # the last one may be cut


def parquet_zones(file: Path) -> dict[str, str]:
    """Columns of a Parquet file that hold moments, with the zone that they are told in; UTC is left out."""
    try:
        schema = pq.read_schema(file)
    except pa.ArrowException as error:
        raise _damaged(file, str(error)) from error
    zones = {field.name: field.type.tz for field in schema if pa.types.is_timestamp(field.type)}
    return {name: zone for name, zone in zones.items() if zone and zone.upper() not in ("UTC", "Z")}


def refuse_twins(file: Path, names: list[str]) -> None:
    """A UserError where two columns of `file` have one name, whatever its case."""
    keys = [name.casefold() for name in names]
    for name, key in zip(names, keys, strict=True):
        if keys.count(key) > 1:
            raise UserError(f"{file} has two columns {name}: take one out")


def _parquet_rows(file: Path) -> int:
    """Rows of a Parquet file, every page of which is read."""
    try:
        schema = pq.read_schema(file)
        refuse_twins(file, schema.names)
        deltas = _delta_columns(pq.read_metadata(file))  # which Arrow reads as they are, but into no dictionary
        names = [field.name for field in schema if pa.types.is_string(field.type) and field.name not in deltas]
        with pq.ParquetFile(file, read_dictionary=names, page_checksum_verification=True) as parquet:
            return sum(batch.num_rows for batch in parquet.iter_batches())
    except PermissionError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, str(error)) from error


def _delta_columns(parquet: pq.FileMetaData) -> set[str]:
    chunks = (parquet.row_group(g).column(i) for g in range(parquet.num_row_groups) for i in range(parquet.num_columns))
    return {chunk.path_in_schema for chunk in chunks if "DELTA_BYTE_ARRAY" in chunk.encodings}


def _csv_rows(file: Path) -> int:
    """Records behind the header: what ends outside quotes (RFC 4180) and is not empty."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    records = lines = ends = returns = all_returns = 0
    size, last_end, last_byte, is_quoted = 0, -1, NEWLINE, False
    for chunk in _chunks(file):
        _decoded(decoder, chunk, file, lines)
        data = np.frombuffer(chunk, dtype=np.uint8)
        is_end, is_return = data == NEWLINE, data == RETURN
        if is_quoted or b'"' in chunk:
            quoted = (np.cumsum(data == QUOTE) + is_quoted) % 2 == 1
            is_end, is_return, is_quoted = is_end & ~quoted, is_return & ~quoted, bool(quoted[-1])
        at = np.flatnonzero(is_end)
        has_return = np.where(at > 0, data[at - 1], last_byte) == RETURN
        lengths = np.diff(at + size, prepend=last_end) - 1 - has_return
        records += int((lengths > 0).sum())
        ends, returns, all_returns = ends + len(at), returns + int(has_return.sum()), all_returns + int(is_return.sum())
        lines += chunk.count(b"\n")
        size, last_byte = size + len(chunk), chunk[-1]
        last_end = int(at[-1]) + size - len(chunk) if len(at) else last_end
    _decoded(decoder, b"", file, lines, final=True)
    if is_quoted:
        raise UserError(f"{file} opens a quote and does not close it: mend the line, or double quotes inside values")
    if all_returns != returns or returns not in (0, ends):
        raise UserError(f"{file} mixes line ends (LF, CR LF, CR): save it with one of LF and CR LF")
    return records + (size - last_end > 1) - 1


def _chunks(file: Path) -> Iterator[bytes]:
    """The file's bytes, unpacked; a UserError where what is packed is cut off or does not agree with its sum, and for UTF-16."""
    chunks = _unpacked(file)
    first = next(chunks, b"")
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{file} is UTF-16 text: save it as UTF-8 (spreadsheets call it CSV UTF-8)")
    if first:
        yield first
    yield from chunks


def _unpacked(file: Path) -> Iterator[bytes]:
    packing = suffix_of(file).removeprefix(".csv")
    if packing not in (".gz", ".zst"):
        with open(file, "rb") as stream:
            yield from iter(lambda: stream.read(CHUNK), b"")
        return
    with open(file, "rb") as packed:
        try:
            if packing == ".gz":
                with gzip.open(packed) as stream:
                    yield from iter(lambda: stream.read(CHUNK), b"")
            else:
                with pa.CompressedInputStream(packed, "zstd") as stream:
                    yield from iter(lambda: stream.read(CHUNK), b"")
        except (EOFError, OSError, zlib.error) as error:
            raise _damaged(file, str(error)) from error


def _decoded(decoder: codecs.IncrementalDecoder, chunk: bytes, file: Path, lines: int, final: bool = False) -> None:
    try:
        text = decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        line = lines + 1 + chunk[: error.start].count(b"\n")
        raise UserError(
            f"{file} is not UTF-8 text (byte 0x{error.object[error.start]:02X} in line {line:,}): "
            f'convert all of it, e.g. with "iconv -f latin1 -t utf-8", if it is in one encoding, or fetch it again'
        ) from error
    if "\0" in text:
        raise UserError(f"{file} holds NUL bytes: it is damaged, or not UTF-8 text; fetch it again or convert it")


def _damaged(file: Path, detail: str) -> UserError:
    said = "".join(letter for letter in detail.split("\n")[0] if letter.isprintable())
    return UserError(f"{file} cannot be read ({said}): it is cut off or damaged; fetch it again")
