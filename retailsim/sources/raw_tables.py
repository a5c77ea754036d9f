"""One raw file as a table with its own columns, the number of each row, and the text of rows of another width.

Every value is text in a CSV and of the file's own type in Parquet. Two things are put right here, where the file is known: ids
that a table of floats wrote as 10045.0, and times that Parquet keeps as moments of a zone.
"""

import glob
import re
from collections.abc import Collection
from pathlib import Path

import ibis
import ibis.expr.types as ir

from retailsim.errors import UserError
from retailsim.sources.files import CSV_SUFFIXES, suffix_of
from retailsim.sources.schema import LINE, ROW
from retailsim.sources.stored import csv_head, csv_header, parquet_zones, refuse_twins
from retailsim.storage import engine_errors, read_parquet

EXTRA = 8  # values behind the header's last column that are kept to be shown; still more of them stop the run
NO_NULL = "\x01"  # an empty value is text; null is what a short row lacks
FLOAT_ID = r"^-?[0-9]+\.0$"
LOOKED_AT = 500  # rows in which a column must look like floats before all of it is looked at
OFFSET = r"([+-])([0-9]{2}):?([0-9]{2})"


def open_file(
    file: Path, engine: ibis.BaseBackend, ids: Collection[str] = (), missing: Collection[str] = ()
) -> ir.Table:
    """The rows of one file with its own columns, ROW and LINE.

    Args:
        file: a CSV or Parquet file.
        engine: what reads it.
        ids: columns, in small letters, of which a CSV's 10045.0 is the id 10045.
        missing: values that mean that nothing is known.
    """
    try:
        if suffix_of(file) in CSV_SUFFIXES:
            return _raw_csv(file, engine, ids, missing)
        return _raw_parquet(file, engine)
    except engine_errors(engine) as error:
        raise unreadable(error, str(file)) from error


def unreadable(error: Exception, source: str = "the source") -> UserError:
    """The sentence for what an engine says of a file that it cannot read; the file is the one that it names, if any."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    named = [line.removeprefix("file = ") for line in lines if line.startswith("file = ")]
    detail = [line for line in lines[1:] if line.startswith(("Expected", "Invalid", "Value"))]
    return UserError(
        f"{named[0] if named else source} cannot be read ({'; '.join([lines[0], *detail])}): "
        f"it is cut off, damaged or not UTF-8 text; fetch it again or convert it"
    )


def _raw_csv(file: Path, engine: ibis.BaseBackend, ids: Collection[str], missing: Collection[str]) -> ir.Table:
    """A CSV file under its header's names, all text, with ROW and LINE."""
    header, delimiter = csv_header(file)
    names = [name.strip() or f"column {i}" for i, name in enumerate(header, start=1)]
    refuse_twins(file, names)
    if engine.name != "duckdb":
        raw = engine.read_csv(file, header=True, sep=delimiter, quote='"', escape='"', enforceSchema=False)
        return raw.mutate(**{ROW: ibis.row_number() + 1, LINE: ibis.null("string")})
    # Nothing is guessed: a guess from the first lines is wrong where quotes or odd rows come late.
    places = [f"c{i}" for i in range(len(names) + EXTRA)]
    raw = engine.read_csv(
        glob.escape(str(file)), hive_partitioning=False, auto_detect=False, columns=dict.fromkeys(places, "VARCHAR"),
        header=True, delim=delimiter, quote='"', escape='"', null_padding=True, nullstr=NO_NULL, parallel=False,
    )  # fmt: skip
    has_width = raw[places[len(names) - 1]].notnull() & raw[places[len(names)]].isnull()
    line = ibis.literal(delimiter).join([raw[place] for place in places])
    table = raw.select(
        **{name: raw[place] for name, place in zip(names, places, strict=False)},
        **{ROW: ibis.row_number() + 1, LINE: has_width.ifelse(ibis.null("string"), line)},
    )
    codes = [(i, name) for i, name in enumerate(names) if name.casefold() in ids]
    head = [row for row in csv_head(file, delimiter, LOOKED_AT) if len(row) == len(names)] if codes else []
    likely = [name for i, name in codes if _are_float_ids([row[i].strip() for row in head], (*missing, name))]
    return _without_points(table, likely, missing)


def _are_float_ids(values: list[str], missing: Collection[str]) -> bool:
    """Whether `values` are whole floats as far as they are not missing, and not all are."""
    known = [value for value in values if value not in ("", *missing)]
    return bool(known) and all(re.search(FLOAT_ID, value) for value in known)


def _without_points(table: ir.Table, likely: list[str], missing: Collection[str]) -> ir.Table:
    """`table`, read once more to see in which of the columns `likely` every value is a whole float; these are without ".0"."""
    if not likely:
        return table
    sound = table.filter(table[LINE].isnull())
    said = {}
    for name in likely:
        text = sound[name].strip()
        for mark in ("", *missing, name):  # the header may stand there again
            text = text.nullif(mark)
        said[name] = text.re_search(FLOAT_ID).cast("int64").min()  # null where the column is empty
    found = sound.aggregate(**said).to_pyarrow().to_pylist()[0]
    return table.mutate(**{name: table[name].strip().re_replace(r"\.0$", "") for name in likely if found[name] == 1})


def _raw_parquet(file: Path, engine: ibis.BaseBackend) -> ir.Table:
    """A Parquet file with its own columns, ROW and LINE (null: its rows have one width)."""
    if engine.name != "duckdb":
        raw = read_parquet(file, engine)
        return raw.mutate(**{ROW: ibis.row_number() + 1, LINE: ibis.null("string")})
    raw = read_parquet(file, engine, file_row_number=True)
    local = {name: _local_time(raw[name], zone, file) for name, zone in parquet_zones(file).items()}
    return raw.mutate(**local, **{ROW: raw.file_row_number + 1, LINE: ibis.null("string")})


def _local_time(moments: ir.Value, zone: str, file: Path) -> ir.TimestampValue:
    """What clocks showed in `zone` at `moments`: shops tell the hour by their own clock."""
    name = moments.get_name()
    if not moments.type().is_timestamp():  # nanoseconds, which Ibis does not know and DuckDB casts to text only
        moments = moments.cast("string").cast("timestamp('UTC')")
    if offset := re.fullmatch(OFFSET, zone):
        minutes = int(offset[2]) * 60 + int(offset[3])
        return moments.cast("timestamp") + ibis.interval(minutes=-minutes if offset[1] == "-" else minutes)
    if zone.casefold() not in _zones(ibis.get_backend(moments)):
        raise UserError(
            f"{file}: column {name} has times of the zone {zone!r}, which is not known: write them as "
            f"local times without a zone"
        )
    return _in_zone(zone, moments)


def _zones(engine: ibis.BaseBackend) -> set[str]:
    """The zones that `engine` knows, in small letters."""
    return {name.casefold() for (name,) in engine.raw_sql("SELECT name FROM pg_timezone_names()").fetchall()}


@ibis.udf.scalar.builtin(name="timezone", signature=(("string", "timestamp('UTC')"), "timestamp"))
def _in_zone(zone: str, moments: ir.Value) -> ir.TimestampValue:
    """DuckDB's own function."""
