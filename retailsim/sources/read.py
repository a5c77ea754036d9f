"""Open raw transactions: one CSV, a folder of weekly files, or Parquet, as one table of text (SPEC C1)."""

import glob
from pathlib import Path

import ibis
import ibis.expr.types as ir

from retailsim.errors import UserError
from retailsim.sources.mapping import Mapping
from retailsim.sources.mapping_rows import mapped_rows, matching_files, side_file
from retailsim.sources.schema import LINE, OPTIONAL_VALUES, ROW, SPELLINGS, as_text
from retailsim.sources.stored import csv_header, refuse_twins, stored_rows
from retailsim.storage import engine_errors, read_parquet

CSV_SUFFIXES = (".csv", ".csv.gz", ".csv.zst")
SUFFIXES = (*CSV_SUFFIXES, ".parquet")
EXTRA = 8  # values behind the header's last column that are kept to be shown; still more of them stop the run
UNFINISHED = "truth/unfinished.json"  # beside the weeks of a synthetic retailer until make-data has written all of them
NO_NULL = "\x01"  # an empty value is text; null is what a short row lacks


def source_files(source: Path, mapping: Mapping | None = None) -> list[Path]:
    """The files of `source`: itself, or a folder's `transactions*` files in the order of their names, or its only data file.

    `time.csv`, the calendar that the published data has beside the receipts, is never taken. A `mapping` may name a
    folder's files otherwise.
    """
    if not source.exists():
        raise UserError(
            f'{source} does not exist: name the transactions with "--input FILE_OR_FOLDER", '
            f'or make some with "retailsim make-data --output {source}"'
        )
    if source.is_file():
        files = [source]
    elif not source.is_dir():
        raise UserError(f'{source} is neither a file nor a folder: name another source with "--input"')
    elif mapping and mapping.files:
        files = matching_files(source, mapping.files, SUFFIXES)
        if not files:
            raise UserError(
                f"{source} holds none of the files {', '.join(mapping.files)} that {mapping.origin} names: "
                f'name another folder with "--input", or another mapping with "--mapping"'
            )
    else:
        data = sorted(f for f in source.iterdir() if f.name.endswith(SUFFIXES) and f.name != "time.csv")
        files = [f for f in data if f.name.startswith("transactions")] or (data if len(data) == 1 else [])
        if not files:
            raise UserError(
                f"{source} holds no transactions: expected files transactions*{{{','.join(SUFFIXES)}}} in it; "
                f'name another folder or file with "--input"'
            )
    if (source / UNFINISHED).exists():
        raise UserError(
            f"{source} holds a synthetic retailer of which weeks may be missing, as make-data was stopped: "
            f'run "retailsim make-data --output {source}" again'
        )
    stems: dict[str, Path] = {}
    for file in files:
        if str(file).encode(errors="replace").decode() != str(file):
            raise UserError(f"{str(file)!r} has a name that is not UTF-8: rename it")
        if not file.is_file():
            raise UserError(
                f"{file} is a folder, or a link that leads nowhere: mend it, or take it out of {file.parent}"
            )
        if not file.name.endswith(SUFFIXES):
            raise UserError(f"{file} is none of {', '.join(SUFFIXES)}: convert it, or name another with --input")
        refuse_empty(file)
        suffix = next(suffix for suffix in SUFFIXES if file.name.endswith(suffix))
        twin = stems.setdefault(file.name.removesuffix(suffix), file)
        if twin != file:
            raise UserError(f"{file} and {twin.name} would count the same rows twice: take one out of {file.parent}")
    return files


def refuse_empty(file: Path) -> None:
    """A UserError where `file` has no byte."""
    if file.stat().st_size == 0:
        raise UserError(f"{file} is empty: fetch it again, or take it out of {file.parent}")


def side_files(source: Path, mapping: Mapping) -> list[Path]:
    """The files beside the rows of `source` that `mapping` joins, optional ones where they are."""
    folder = source if source.is_dir() else source.parent
    return [path for join in mapping.joins if (path := side_file(folder, join, SUFFIXES))]


def read_transactions(source: Path, engine: ibis.BaseBackend, mapping: Mapping | None = None) -> ir.Table:
    """All rows of `source` as text under our column names, with `file`, `row` and `line` of each.

    `row` counts the rows of a file from 1; where no value holds a line break and no line is empty, it is the line's number
    in the CSV less one, for the header. `line` is the text of a row that has more or fewer values than the header, else
    null. A column that is missing in a file is a UserError that names file and column. Without a `mapping` the columns are
    the published ones.
    """
    files = source_files(source, mapping)
    if mapping:
        folder = source if source.is_dir() else source.parent
        sides = [(join, side_file(folder, join, SUFFIXES)) for join in mapping.joins]
        beside = [(join, path, _side_rows(path, engine) if path else None) for join, path in sides]
        return mapped_rows([(path, open_file(path, engine)) for path in files], beside, mapping)
    tables = [_read_file(file, engine) for file in files]
    return ibis.union(*tables) if len(tables) > 1 else tables[0]


def unreadable(error: Exception, source: str = "the source") -> UserError:
    """The sentence for what an engine says of a file that it cannot read; the file is the one that it names, if any."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    named = [line.removeprefix("file = ") for line in lines if line.startswith("file = ")]
    detail = [line for line in lines[1:] if line.startswith(("Expected", "Invalid", "Value"))]
    return UserError(
        f"{named[0] if named else source} cannot be read ({'; '.join([lines[0], *detail])}): "
        f"it is cut off, damaged or not UTF-8 text; fetch it again or convert it"
    )


def open_file(file: Path, engine: ibis.BaseBackend) -> ir.Table:
    """The rows of one file with its own columns, ROW and LINE."""
    try:
        return _raw_csv(file, engine) if file.name.endswith(CSV_SUFFIXES) else _raw_parquet(file, engine)
    except engine_errors(engine) as error:
        raise unreadable(error, str(file)) from error


def _side_rows(file: Path, engine: ibis.BaseBackend) -> ir.Table:
    """The rows of a file beside the receipts. Nobody accounts for them, so a UserError where one of them is unsound."""
    refuse_empty(file)
    stored = stored_rows([file])[file.name]
    raw = open_file(file, engine)
    odd = raw[LINE].notnull().ifelse(raw[ROW], ibis.null("int64")).min()
    try:
        found = raw.aggregate(n=raw.count(), odd=odd).to_pyarrow().to_pylist()[0]
    except engine_errors(engine) as error:
        raise unreadable(error, str(file)) from error
    if not stored:
        raise UserError(f"{file} holds no row: fetch it again")
    if found["n"] != stored:
        raise UserError(
            f"{file} holds {stored:,} rows, of which {found['n']:,} can be told apart: fetch it again, or mend its quotes"
        )
    if found["odd"] is not None:
        raise UserError(
            f"{file}: row {found['odd']:,} has more or fewer values than the header: mend it, or fetch the file again"
        )
    return raw.drop(ROW, LINE)


def _read_file(file: Path, engine: ibis.BaseBackend) -> ir.Table:
    raw = open_file(file, engine)
    named = {name.casefold(): name for name in raw.columns}
    columns = {}
    for name, spellings in SPELLINGS.items():
        found = [named[s.casefold()] for s in spellings if s.casefold() in named]
        if not found:
            is_optional = name in OPTIONAL_VALUES
            raise UserError(
                f"{file} has no column {' or '.join(spellings)}: add it{' (it may be empty)' * is_optional}, name another source "
                f'with --input, or, where columns are called otherwise, let "retailsim inspect {file} --output mapping.yaml" '
                f"propose a --mapping"
            )
        columns[name] = as_text(raw[found[0]])
    return raw.select(file=ibis.literal(file.name), row=raw[ROW], line=raw[LINE], **columns)


def _raw_csv(file: Path, engine: ibis.BaseBackend) -> ir.Table:
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
    return raw.select(
        **{name: raw[place] for name, place in zip(names, places, strict=False)},
        **{ROW: ibis.row_number() + 1, LINE: has_width.ifelse(ibis.null("string"), line)},
    )


def _raw_parquet(file: Path, engine: ibis.BaseBackend) -> ir.Table:
    """A Parquet file with its own columns, ROW and LINE (null: its rows have one width)."""
    if engine.name != "duckdb":
        raw = read_parquet(file, engine)
        return raw.mutate(**{ROW: ibis.row_number() + 1, LINE: ibis.null("string")})
    raw = read_parquet(file, engine, file_row_number=True)
    return raw.mutate(**{ROW: raw.file_row_number + 1, LINE: ibis.null("string")})
