"""What raw rows must be before anything is built on them: parsed, keyed, in range (SPEC C4).

A file that cannot be read or a value that cannot be parsed stops the run. A row that contradicts its basket or its
range is set aside with a reason, and the account "rows in = rows used + rows set aside" is kept.
"""

import ibis
import ibis.expr.types as ir

from retailsim.errors import UserError
from retailsim.sources.read import unreadable
from retailsim.sources.schema import BASKET_COLUMNS, NUMBERS, PUBLISHED, SPELLINGS, Schema, parsed
from retailsim.storage import engine_errors

PARSED = (*NUMBERS, "date")
ROUNDED_ID = r"^[0-9][.,]?[0-9]*[eE][+]?[0-9]+$"  # 9.94101E+14: what a spreadsheet makes of a long number
WRONG = {
    **{name: "no whole number" for name in NUMBERS},
    "spend": "no number",
    "date": "no date yyyymmdd",
    "basket_id": "a number that a spreadsheet has rounded (save the column as text)",
}


def refuse_unparsable(text: ir.Table, schema: Schema = PUBLISHED) -> None:
    """Read every row once; raise a UserError for a file that cannot be read, or a text that is not what it should be.

    The sentence names file, column and value of the first text that should be a number or date and is not, and of a
    basket id that a spreadsheet has rounded.

    Args:
        text: rows as read by `read.read_transactions`.
        schema: how the source calls its columns.
    """
    broken = {name: text[name].notnull() & parsed(text, name).isnull() for name in PARSED}
    broken["basket_id"] = text.basket_id.re_search(ROUNDED_ID)
    # The longest text of every column makes the engine decode all of a file, not the checked columns only.
    longest = {f"longest_{name}": text[name].length().max() for name in SPELLINGS}
    try:
        counts = text.aggregate(rows=text.count(), **{n: broken[n].sum() for n in broken}, **longest).execute().iloc[0]
    except engine_errors(ibis.get_backend(text)) as error:
        raise unreadable(error) from error
    if counts["rows"] == 0:
        raise UserError("the source holds no row: fetch its files again, or name another source with --input")
    for name in broken:
        if counts[name] > 0:
            found = text.filter(broken[name]).select("file", value=name).order_by("file", "value").limit(1)
            first = found.execute().iloc[0]
            raise UserError(
                f"{first.file}: column {schema.names.get(name, name)} holds {first.value!r}, which is {WRONG[name]} "
                f"({int(counts[name])} such rows): mend the file, then run again"
            )


def with_reasons(rows: ir.Table, schema: Schema = PUBLISHED) -> ir.Table:
    """`rows` with `column` and `reason` of the first rule that each row breaks; null where it breaks none.

    Args:
        rows: as made by `schema.typed`.
        schema: which columns the source has, under which names.
    """
    baskets = rows.group_by("basket_id").agg(
        **{f"n_{name}": rows[name].nunique() + rows[name].isnull().any().cast("int64") for name in BASKET_COLUMNS}
    )
    joined = rows.left_join(baskets, "basket_id").select(rows, *[f"n_{name}" for name in BASKET_COLUMNS])
    rules: list[tuple[str, str, ir.BooleanValue]] = [
        (name, "is empty", joined[name].isnull()) for name in schema.required
    ]
    rules += [
        ("hour", "is not within 0–23", ~joined.hour.between(0, 23)),
        ("quantity", "is not positive", joined.quantity <= 0),
        ("spend", "is negative", joined.spend < 0),
    ]
    rules += [(name, "differs within the basket", joined[f"n_{name}"] > 1) for name in BASKET_COLUMNS]
    found = [(broken.fill_null(False), column, reason) for column, reason, broken in rules]
    return joined.select(
        *rows.columns,
        column=ibis.cases(*[(broken, schema.names.get(column, column)) for broken, column, _ in found]),
        reason=ibis.cases(*[(broken, reason) for broken, _, reason in found]),
    )
