"""What raw rows must be before anything is built on them: parsed, keyed, in range (SPEC C4).

A row that cannot be used is set aside with its reason, and the account "rows in = rows used + rows set aside" is kept.
Damage to the whole (a file that cannot be read, a column that is broken in more than a tenth of a file) stops the run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ibis
import ibis.expr.types as ir

from retailsim.errors import UserError
from retailsim.sources.faults import (
    DIFFERS,
    EMPTY,
    FAR,
    KEY,
    LABEL,
    NO_ERA,
    ROUNDED,
    TREE,
    UNPARSABLE,
    WIDTH,
    plan,
)  # fmt: skip
from retailsim.sources.raw_tables import unreadable
from retailsim.sources.schema import PUBLISHED, Schema
from retailsim.storage import engine_errors

MOST_BROKEN = 0.1  # share of a file's rows with one and the same fault above which the file is refused …
LEAST_BROKEN = 10  # … if they are so many
MOST_NAMED = 3  # files that a sentence names
MOST_SHOWN = 80  # letters of a value that a sentence shows
ROUNDED_MEND = "export the column as text, so that no spreadsheet rounds it"
MEND = {  # reason → what to do about a file that is full of it; other reasons never stop a run
    WIDTH: "take delimiters behind the last value out, and put values that hold a delimiter in quotes",
    EMPTY: "fill the column",
    **dict.fromkeys(UNPARSABLE.values(), "write the column that way"),
    ROUNDED: ROUNDED_MEND,
    NO_ERA: "write the days on which was bought, or mend the mapping's format",
    FAR: "take the other period out, or give the two their own runs",
    LABEL: "mend the label or the date",
    TREE: "give every code one parent",
    DIFFERS: f"one basket is one customer, store, date and hour; where BASKET_ID was rounded, {ROUNDED_MEND}",
}


@dataclass(frozen=True)
class Verdict:
    """All rows of a source as values, and what is wrong with some of them; both on the engine, keyed by file and row."""

    rows: ir.Table
    faults: ir.Table

    @property
    def used(self) -> ir.Table:
        """The rows without a fault."""
        return self.rows.anti_join(self.faults, KEY)

    @property
    def aside(self) -> ir.Table:
        """The faults, each with the basket, product, customer and store of its row."""
        who = self.rows.select(*KEY, "basket_id", "product_id", "customer_id", "store_id")
        return self.faults.inner_join(who, KEY)

    def of(self, part: ir.Table) -> "Verdict":
        """The verdict on the rows that are in `part` too."""
        return Verdict(self.rows.semi_join(part, KEY), self.faults.semi_join(part, KEY))

    def never_known(self, names: Sequence[str]) -> list[str]:
        """Those of the columns `names` that are null in every row used."""
        used = self.used
        found = used.aggregate(**{name: used[name].count() for name in names}).to_pyarrow().to_pylist()[0]
        return [name for name, n in found.items() if not n]

    def account(self) -> list[dict]:
        """Rows set aside as `column`, `reason` and `n`, the most frequent first."""
        counts = self.faults.group_by("column", "reason").agg(n=self.faults.count())
        return counts.order_by(counts.n.desc(), "column", "reason").to_pyarrow().to_pylist()


def judge(text: ir.Table, stored: Mapping[str, int], engine: ibis.BaseBackend, schema: Schema = PUBLISHED) -> Verdict:
    """Read every row once and say which cannot be used; a UserError where the whole cannot be trusted.

    Args:
        text: rows as read by `read.read_transactions`.
        stored: rows that stand in each file, counted without the engine (`stored.stored_rows`).
        engine: where the rows are kept while the run lasts.
        schema: which columns the source has, under which names.
    """
    engine.create_view("text", text)
    tables = plan(schema, engine.name)
    try:
        _store("receipts", tables["receipts"], engine)  # reads the files; the rest reads what is kept
    except engine_errors(engine) as error:
        raise unreadable(error) from error
    _refuse_lost_rows(engine.table("receipts"), stored)
    for name, sql in tables.items():
        if name != "receipts":
            _store(name, sql, engine)
    verdict = Verdict(engine.table("receipts"), engine.table("faults"))
    _refuse_broken_files(verdict.faults, stored)
    return verdict


def _store(name: str, sql: str, engine: ibis.BaseBackend) -> None:
    kind = "TABLE" if engine.name == "duckdb" else "VIEW"
    engine.raw_sql(f"CREATE TEMPORARY {kind} {name} AS {sql}")


def usable_account(verdict: Verdict, source: Path) -> list[dict]:
    """The account of what is set aside of `source`; a UserError where nothing is left."""
    account = verdict.account()
    if sum(entry["n"] for entry in account) == verdict.rows.count().execute():
        why = f"most because {account[0]['column']} {account[0]['reason']}" if account else "it holds none"
        raise UserError(f"{source} has no usable row ({why}): check that its columns hold what their names say")
    return account


def _refuse_lost_rows(rows: ir.Table, stored: Mapping[str, int]) -> None:
    """A UserError when the engine has read another number of rows than stand in a file."""
    if not sum(stored.values()):
        few = [*list(stored)[:MOST_NAMED], *(["…"] if len(stored) > MOST_NAMED else [])]
        raise UserError(f"{', '.join(few)} holds no row: fetch it again, or name another source with --input")
    counts = {row["file"]: row["n"] for row in rows.group_by("file").agg(n=rows.count()).to_pyarrow().to_pylist()}
    for file, n in stored.items():
        if counts.get(file, 0) != n:
            raise UserError(
                f"{file} holds {n:,} rows, of which {counts.get(file, 0):,} can be told apart: a quote inside a value is "
                f"not doubled, or the file is damaged; export it again"
            )


def _refuse_broken_files(faults: ir.Table, stored: Mapping[str, int]) -> None:
    """A UserError for a file that ends in half a row, or of which one fault spoils more than MOST_BROKEN."""
    first = faults.group_by("file", "column", "reason").agg(
        n=faults.count(), row=faults.row.min(), last=faults.row.max(), value=faults.value.argmin(faults.row)
    )
    for fault in first.order_by(first.n.desc(), "file", "column", "reason").to_pyarrow().to_pylist():
        file, n, rows = fault["file"], fault["n"], stored[fault["file"]]
        if fault["reason"] in MEND and n >= LEAST_BROKEN and n > MOST_BROKEN * rows:
            raise UserError(
                f"{file}: {fault['column']} {fault['reason']} in {n:,} of {rows:,} rows, "
                f"as {_shown(fault['value'])} in row {fault['row']:,}: {MEND[fault['reason']]}"
            )
        if fault["reason"] == WIDTH and fault["last"] == rows:
            raise UserError(
                f"{file} ends in a row that {WIDTH}: it is cut off; fetch it again, or take the row out if it is a remark"
            )


def _shown(value: str | None) -> str:
    """A value as a sentence shows it: quoted, on one line, not at length."""
    return repr(value if value is None or len(value) <= MOST_SHOWN else value[:MOST_SHOWN] + "…")
