"""Open raw transactions: one CSV, a folder of weekly files, or Parquet, as one table of text (SPEC C1)."""

from pathlib import Path

import ibis
import ibis.expr.types as ir

from retailsim.errors import UserError
from retailsim.sources.files import (
    SUFFIXES,
    matching_files,
    receipts_of,
    refuse_empty,
    side_file,
    suffix_of,
    unknown_suffix,
)
from retailsim.sources.mapping import Mapping
from retailsim.sources.mapping_rows import code_columns, mapped_rows
from retailsim.sources.raw_tables import open_file, unreadable
from retailsim.sources.schema import CODES, LINE, OPTIONAL_VALUES, ROW, SPELLINGS, as_text
from retailsim.sources.stored import stored_rows
from retailsim.storage import engine_errors

UNFINISHED = "truth/unfinished.json"  # beside the weeks of a synthetic retailer until make-data has written all of them
PUBLISHED_CODES = {spelling.casefold() for name in CODES for spelling in SPELLINGS[name]}


def source_files(source: Path, mapping: Mapping | None = None) -> list[Path]:
    """The files of `source`: itself, or a folder's `transactions*` files in the order of their names, or its only data file.

    A `transactions*` entry that is no data file is a UserError, as nobody would read it; files that lie beside data, such as
    checksums, are passed by. A `mapping` may name a folder's files otherwise.
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
        files = matching_files(source, mapping.files)
        if not files:
            raise UserError(
                f"{source} holds none of the files {', '.join(mapping.files)} that {mapping.origin} names: "
                f'name another folder with "--input", or another mapping with "--mapping"'
            )
    else:
        files = receipts_of(source)
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
        suffix = suffix_of(file)
        if not suffix:
            raise unknown_suffix(file, "name another with --input" if file == source else f"take it out of {source}")
        refuse_empty(file)
        twin = stems.setdefault(file.name[: -len(suffix)], file)
        if twin != file:
            raise UserError(f"{file} and {twin.name} would count the same rows twice: take one out of {file.parent}")
    return files


def side_files(source: Path, mapping: Mapping) -> list[Path]:
    """The files beside the rows of `source` that `mapping` joins, optional ones where they are."""
    folder = source if source.is_dir() else source.parent
    return [path for join in mapping.joins if (path := side_file(folder, join))]


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
        sides = [(join, side_file(folder, join)) for join in mapping.joins]
        codes = code_columns(mapping)
        beside = [(join, path, _side_rows(path, engine, codes, mapping) if path else None) for join, path in sides]
        rows = [(path, open_file(path, engine, codes, mapping.missing)) for path in files]
        return mapped_rows(rows, beside, mapping)
    tables = [_read_file(file, engine) for file in files]
    return ibis.union(*tables) if len(tables) > 1 else tables[0]


def _side_rows(file: Path, engine: ibis.BaseBackend, codes: set[str], mapping: Mapping) -> ir.Table:
    """The rows of a file beside the receipts. Nobody accounts for them, so a UserError where one of them is unsound."""
    refuse_empty(file)
    stored = stored_rows([file])[file.name]
    raw = open_file(file, engine, codes, mapping.missing)
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
    raw = open_file(file, engine, PUBLISHED_CODES)
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
