"""Look at receipts of any kind: what each column holds, which role it seems to play, and the mapping that follows.

Reads a file or folder; writes nothing, or with --output a mapping file for `run-pipeline --mapping`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table as Grid

from retailsim import console
from retailsim.atomic import atomic
from retailsim.errors import UserError
from retailsim.sources.files import SUFFIXES, data_files, refuse_empty, suffix_of
from retailsim.sources.mapping import Mapping, load_mapping, parse_mapping, shipped
from retailsim.sources.mapping_guess import NEEDED, Guess, as_yaml, guess_roles, joins_of
from retailsim.sources.profile import Profile, profile_file
from retailsim.sources.raw_tables import open_file
from retailsim.sources.read import read_transactions
from retailsim.sources.schema import LINE, ROW, SPELLINGS
from retailsim.storage import connect


def inspect(source: Annotated[Path, tyro.conf.Positional], output: Path | None = None) -> None:
    """Say what receipts of any kind hold, and propose the mapping with which the pipeline reads them.

    Args:
        source: a CSV or Parquet file, or a folder of them.
        output: where to write the proposed mapping, e.g. mapping.yaml.
    """
    alike = files_by_columns(source)
    engine = connect()
    profiles = {name: profile_file(open_file(files[0], engine).drop(ROW, LINE)) for name, files in alike.items()}
    rows = max(profiles, key=lambda name: (*lines_of(profiles[name]), name))
    joins = joins_of(profiles[rows], {name: columns for name, columns in profiles.items() if name != rows})
    beside = [column for name in joins for column in profiles[name] if column.name != joins[name]]
    guesses = guess_roles([*profiles[rows], *beside])
    for name in (rows, *joins):
        more = f", and {len(alike[name]) - 1} files more of these columns" if len(alike[name]) > 1 else ""
        console.out.print(describe(f"{name}, {profiles[name][0].rows:,} rows{more}", profiles[name], guesses))
    if left_out := [name for name in profiles if name != rows and name not in joins]:
        console.out.print(f"not used: {', '.join(left_out)} (no column in which each row differs is also in {rows})")
    if is_published(profiles[rows]):
        console.out.print(
            f"these are the published columns, which need no mapping: retailsim run-pipeline --input {source}"
        )
        return
    known = recognised(source)
    text = known.text if known else as_yaml([file.name for file in alike[rows]], joins, guesses)
    if known:
        console.out.print(f"these are {known.about}: retailsim run-pipeline --input {source} --mapping {known.origin}")
    else:
        missing = [role for role in NEEDED if role not in guesses]
        to_fill = f" (still to be filled in: {', '.join(missing)})" if missing else ""
        console.out.print(f"\nproposed mapping{to_fill}:\n\n{text}")
        if not missing:  # then it can be used as it stands
            read_transactions(source, engine, parse_mapping(text, "the proposed mapping"))
    if output:
        with atomic(output) as temporary:
            temporary.write_text(text, encoding="utf-8")
        console.out.print(
            f'{output} written: look through it, then "retailsim run-pipeline --input {source} --mapping {output}"'
        )


def files_by_columns(source: Path) -> dict[str, list[Path]]:
    """The data files of `source`, those with the same columns together, by the name of the first of them."""
    if not source.exists():
        raise UserError(f"{source} does not exist: name a CSV or Parquet file, or a folder of them")
    files = [source] if source.is_file() else data_files(source)
    if not files or not suffix_of(files[0]):
        raise UserError(f"{source} is or holds no {', '.join(SUFFIXES)} file: name another file or folder")
    engine = connect()
    found: dict[tuple[str, ...], list[Path]] = {}
    for file in files:
        refuse_empty(file)
        found.setdefault(tuple(open_file(file, engine).columns), []).append(file)
    return {alike[0].name: alike for alike in found.values()}


def lines_of(columns: Sequence[Profile]) -> tuple[int, int, int]:
    """How much a file looks like lines of receipts: basket and product, other roles, rows."""
    roles = guess_roles(columns)
    return len({"basket_id", "product_id"} & set(roles)), len(roles), columns[0].rows


def is_published(columns: Sequence[Profile]) -> bool:
    """Whether these are the columns that need no mapping."""
    names = {column.name.upper() for column in columns}
    return all(names & {spelling.upper() for spelling in spellings} for spellings in SPELLINGS.values())


def recognised(source: Path) -> Mapping | None:
    """The shipped mapping that can read `source`; None where there is none."""
    for name in shipped():
        mapping = load_mapping(name)
        try:
            read_transactions(source, connect(), mapping)
        except UserError:
            continue
        return mapping
    return None


def describe(title: str, columns: Sequence[Profile], guesses: dict[str, Guess]) -> Grid:
    """The columns of one file as a table."""
    grid = Grid("column", "looks like", "filled", "distinct", "examples", "taken for", title=title)
    for column in columns:
        roles = [(role, guess.sure) for role, guess in guesses.items() if guess.column is column]
        role = f"{roles[0][0]} ({roles[0][1]})" if roles else "–"
        kind = f"time {column.formats[0]}" if column.formats else column.kind
        examples = " · ".join(example[:24] for example in column.examples)
        grid.add_row(column.name, kind, f"{column.filled:.0%}", f"{column.distinct:,}", examples, role)
    return grid


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(inspect, argv)


if __name__ == "__main__":
    sys.exit(main())
