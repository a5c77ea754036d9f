"""Open raw transactions: one CSV, a folder of weekly files, or Parquet, as one table of text (SPEC C1)."""

from pathlib import Path

import ibis
import ibis.expr.types as ir

from retailsim.errors import UserError
from retailsim.sources.schema import SPELLINGS
from retailsim.storage import engine_errors

CSV_SUFFIXES = (".csv", ".csv.gz", ".csv.zst")
SUFFIXES = (*CSV_SUFFIXES, ".parquet")


def source_files(source: Path) -> list[Path]:
    """The files of `source`: itself, or a folder's `transactions*` files in the order of their names, or its only data file.

    `time.csv`, the calendar that the published data has beside the receipts, is never taken.
    """
    if not source.exists():
        raise UserError(
            f'{source} does not exist: name the transactions with "--input FILE_OR_FOLDER", '
            f'or make some with "retailsim make-data --output {source}"'
        )
    if source.is_file():
        files = [source]
    else:
        data = sorted(f for f in source.iterdir() if f.name.endswith(SUFFIXES) and f.is_file() and f.name != "time.csv")
        files = [f for f in data if f.name.startswith("transactions")] or (data if len(data) == 1 else [])
        if not files:
            raise UserError(
                f"{source} holds no transactions: expected files transactions*{{{','.join(SUFFIXES)}}} in it; "
                f'name another folder or file with "--input"'
            )
    stems: dict[str, Path] = {}
    for file in files:
        if not file.name.endswith(SUFFIXES):
            raise UserError(f"{file} is none of {', '.join(SUFFIXES)}: convert it, or name another with --input")
        if file.stat().st_size == 0:
            raise UserError(f"{file} is empty: fetch it again, or take it out of {file.parent}")
        suffix = next(suffix for suffix in SUFFIXES if file.name.endswith(suffix))
        twin = stems.setdefault(file.name.removesuffix(suffix), file)
        if twin != file:
            raise UserError(f"{file} and {twin.name} would count the same rows twice: take one out of {file.parent}")
    return files


def read_transactions(source: Path, engine: ibis.BaseBackend) -> ir.Table:
    """All rows of `source` as text under our column names, with the `file` of each row.

    Empty text is null. A column that is missing in a file is a UserError that names file and column. Rows are read when
    the table is used; `validate.refuse_unparsable` reads them all once and says what cannot be read.
    """
    tables = [_read_file(file, engine) for file in source_files(source)]
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


def _read_file(file: Path, engine: ibis.BaseBackend) -> ir.Table:
    try:
        if file.name.endswith(CSV_SUFFIXES):
            # Without `quote`, a file whose first quotes come late would keep them as part of its values.
            raw = engine.read_csv(file, all_varchar=True, header=True, quote='"')
        else:
            raw = engine.read_parquet(file)
    except engine_errors(engine) as error:
        raise unreadable(error, str(file)) from error
    for spellings in SPELLINGS.values():
        if not set(spellings) & set(raw.columns):
            raise UserError(
                f"{file} has no column {' or '.join(spellings)}: add it (an empty column is enough where it is unknown) "
                f"or name another source with --input"
            )
    columns = {name: _text(raw, spellings) for name, spellings in SPELLINGS.items()}
    return raw.select(file=ibis.literal(file.name), **columns)


def _text(raw: ir.Table, spellings: tuple[str, ...]) -> ir.StringValue:
    name = next(s for s in spellings if s in raw.columns)
    return raw[name].cast("string").strip().nullif("")
