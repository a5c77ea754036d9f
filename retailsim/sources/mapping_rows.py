"""Rows of another retailer under our column names, as text: what a mapping says, done to the files (SPEC C2).

Reads the files that a `mapping.Mapping` names; side files are joined by their keys. Nothing is dropped: a row whose key is
in no side file keeps its place, with nothing known of what that file would say.
"""

from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import ibis
import ibis.expr.types as ir

from retailsim.errors import UserError
from retailsim.sources.mapping import EVERY_ROW, WEEKDAYS, Column, CountBack, Join, Mapping
from retailsim.sources.raw_values import day_text, hour_text, numbered_day_text, product_text, shifted, whole_number
from retailsim.sources.schema import CODES, HIERARCHY, LINE, ROW, SPELLINGS, as_text

JOINT = "/"  # between the parts of a value that is made of several columns
FILE, KEY = "__file", "__key"  # beside a file's own columns, as ROW and LINE
TELLS = {  # what a key of ours stands for → what a file by that key can say; by another key it can say anything
    "product_id": HIERARCHY[1:],
    "customer_id": ("price_segment", "lifestage"),
    "store_id": ("store_format", "store_region"),
}


def code_columns(mapping: Mapping) -> set[str]:
    """The raw columns that hold codes or days, by the small letters of their names: what ours are made of, and the keys."""
    sources = [source for name, column in mapping.columns.items() if name in CODES for source in column.sources]
    keys = [key for join in mapping.joins for key in (join.key, join.key_there)]
    return {name.casefold() for name in (*sources, *keys)}


def mapped_rows(
    files: Sequence[tuple[Path, ir.Table]], sides: Sequence[tuple[Join, Path | None, ir.Table | None]], mapping: Mapping
) -> ir.Table:
    """All rows as text under our column names, with `file`, `row` and `line` of each (see `read.read_transactions`).

    Args:
        files: the files of the rows and their raw tables, with ROW and LINE.
        sides: each join with its file and raw table; None for an optional file that is not there.
        mapping: what is made of which columns.
    """
    tables = [_plain(raw, mapping).mutate(**{FILE: ibis.literal(path.name)}) for path, raw in files]
    names = tables[0].columns
    for (path, _), table in zip(files, tables, strict=True):
        if missing := [name for name in names if name not in table.columns]:
            raise UserError(f"{path} has no column {missing[0]}, which {files[0][0].name} has: add it, or take it out")
    rows = ibis.union(*[table.select(*names) for table in tables]) if len(tables) > 1 else tables[0]
    stands_in = {name.casefold(): files[0][0] for name in rows.columns}
    for join, beside, raw in sides:
        if beside is not None and raw is not None:
            side = _plain(raw, mapping)
            side = _counted_back(side, join.count_back, beside) if join.count_back else side
            _refuse_two_meanings(side, join, beside, stands_in, mapping)
            rows = _joined(rows, side, join, beside)
            stands_in = {name.casefold(): beside for name in side.columns} | stands_in
    may_lack = {name for join, beside, _ in sides if beside is None for name in _told_by(join, mapping)}
    known = {name: _made(column, rows, name, mapping, name in may_lack) for name, column in mapping.columns.items()}
    place = {"file": rows[FILE], "row": rows[ROW], "line": rows[LINE]}
    return rows.select(**place, **{name: known.get(name, ibis.null("string")) for name in SPELLINGS})


def find_column(table: ir.Table, name: str) -> str | None:
    """The column of `table` called `name`, in whatever case if there is no such column; None where there is none."""
    alike = [column for column in table.columns if column.casefold() == name.casefold()]
    return name if name in table.columns else alike[0] if len(alike) == 1 else None


def _plain(raw: ir.Table, mapping: Mapping) -> ir.Table:
    """`raw` as text; null where it is empty or says that a value is missing."""
    columns = {name: raw[name] for name in raw.columns if name in (ROW, LINE)}
    for name in (name for name in raw.columns if name not in columns):
        text = as_text(raw[name]).strip()
        for mark in ("", *mapping.missing):
            text = text.nullif(mark)
        columns[name] = text
    return raw.select(**columns)


def _refuse_two_meanings(side: ir.Table, join: Join, path: Path, stands_in: dict[str, Path], mapping: Mapping) -> None:
    """A UserError where a column that the mapping uses stands in `side` and in a file before it, unless it joins them."""
    sources = [source for column in mapping.columns.values() for source in column.sources]
    used = {name.casefold() for name in (*sources, *(other.key for other in mapping.joins))}
    used -= {join.key.casefold(), join.key_there.casefold()}
    for name in side.columns:
        if name.casefold() in used & set(stands_in):
            other = stands_in[name.casefold()]
            raise UserError(
                f"column {name} stands in {other} and in {path.name}, and {mapping.origin} does not tell which is meant: "
                f"take it out of one of them, or call it otherwise there"
            )


def _joined(rows: ir.Table, side: ir.Table, join: Join, path: Path) -> ir.Table:
    """`rows` with the columns of `side` that they lack; a UserError where a key stands twice in `side`."""
    here, there = _need(rows, join.key, "the rows"), _need(side, join.key_there, str(path))
    repeated = side.filter(side[there].notnull()).group_by(there).agg(n=ibis._.count())
    twice = repeated.filter(repeated.n > 1).order_by(there).limit(1).to_pyarrow().to_pylist()
    if twice:
        raise UserError(
            f"{path}: {there} {twice[0][there]!r} stands in {twice[0]['n']} rows, so a row would count twice: keep one"
        )
    keys = rows.filter(rows[here].notnull()).select(here)
    hits = keys.semi_join(side, [keys[here] == side[there]]).limit(1).count()
    if not hits.execute() and keys.limit(1).count().execute():
        raise UserError(
            f"{path}: no {there} there is a {here} of the rows, so nothing would be known: name the right key in the mapping"
        )
    have = {name.casefold() for name in rows.columns}  # engines do not tell names by their case
    new = [name for name in side.columns if name.casefold() not in have]
    keyed = side.select(**{KEY: side[there]}, **{name: side[name] for name in new})
    joined = rows.left_join(keyed, [rows[here] == keyed[KEY]])
    return joined.select(*rows.columns, *new)


def _counted_back(side: ir.Table, back: CountBack, path: Path) -> ir.Table:
    """`side` with the day of each order (see `CountBack`)."""
    customer, order, gap = (_need(side, name, str(path)) for name in (back.customer, back.order, back.gap))
    numbered = side.mutate(_order=whole_number(side[order]), _gap=whole_number(side[gap]))
    later = ibis.window(group_by=customer, order_by="_order", following=(1, None))
    days = numbered._gap.sum().over(later).fill_null(0)
    if back.weekday:
        weekday = whole_number(numbered[_need(side, back.weekday, str(path))])
        wanted = (weekday + WEEKDAYS.index(back.weekday_0)) % 7
        there = shifted(back.last_day, -days).day_of_week.index().cast("int64")
        nearest = (wanted - there + 10) % 7 - 3  # 3 days back … 3 days on
        days = days - nearest.fill_null(0)
    return numbered.mutate(**{back.name: shifted(back.last_day, -days).cast("string").left(10)}).drop("_order", "_gap")


def _told_by(join: Join, mapping: Mapping) -> set[str]:
    """Our columns that the file of `join` may say, as far as its key tells; none of those that no row may lack."""
    key = join.key.casefold()
    own = [name for name in TELLS if name in mapping.columns]
    told = [TELLS[name] for name in own if key in map(str.casefold, mapping.columns[name].sources)]
    return set().union(*told) if told else set(SPELLINGS) - set(EVERY_ROW)


def _made(column: Column, table: ir.Table, name: str, mapping: Mapping, may_lack: bool) -> ir.StringValue:
    """Our column `name` as text; null where it `may_lack` columns, of an optional file that is not there."""
    if column.value is not None:
        return ibis.literal(column.value, "string")
    found = [find_column(table, source) for source in column.sources]
    if may_lack and None in found:
        return ibis.null("string")
    for source, at in zip(column.sources, found, strict=True):
        if at is None:
            raise UserError(
                f"the source has no column {source}, of which {mapping.origin} makes {name}: "
                f'mend the mapping, or let "retailsim inspect" propose one'
            )
    parts = [table[at] for at in found]
    if column.is_product:
        return product_text(*parts)
    text = reduce(lambda left, right: left + JOINT + right, parts)
    if column.day_one:
        return numbered_day_text(text, column.day_one)
    if column.formats:
        return (day_text if name == "date" else hour_text)(text, column.formats)
    if column.values:
        return ibis.cases(*[(text == raw, ours) for raw, ours in column.values])
    return text


def _need(table: ir.Table, name: str, where: str) -> str:
    found = find_column(table, name)
    if found is None:
        raise UserError(f"{where}: there is no column {name}, which the mapping needs: mend the mapping or the file")
    return found
