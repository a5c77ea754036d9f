"""What is wrong with single rows: one step a rule, each from rows to the rows that are at fault (SPEC C4).

Every step is an Ibis expression with the columns of FAULT. A row that one step sets aside is not seen by the next, so
that one bad cell does not condemn its basket, and one bad basket not its products.
"""

import functools
from collections.abc import Callable

import ibis
import ibis.expr.types as ir

from retailsim.sources.far_days import far_days
from retailsim.sources.schema import BASKET_COLUMNS, HIERARCHY, SPELLINGS, Schema, values

KEY = ("file", "row")
FAULT = (*KEY, "column", "value", "reason")
AS_TEXT = ("date", "hour", "shop_week", "quantity", "spend")  # values whose text is kept, to be shown as it stood

WIDTH = "has more or fewer values than the header"
ROUNDED = "is a number that a spreadsheet has rounded"
EMPTY = "is empty"
UNPARSABLE = {
    "shop_week": "is no whole number such as 200607",
    "hour": "is no whole number such as 14",
    "quantity": "is no whole number such as 2",
    "spend": "is no amount such as 1234.50",
    "date": "is no date yyyymmdd",
}
ERA = ("1970-01-01", "2099-12-31")  # days outside of it are stand-ins, such as 9999-12-31, or broken
NO_ERA = "is not within 1970–2099"
FAR = "is more than a year away from the other dates"
ALONE = "is more than eight weeks away from the other dates and nearly alone"
LABEL = "does not fit the date"
TREE = "is not the parent that most rows give"
DIFFERS = "differs within the basket"
REPEATS = "repeats a basket row by row"

# 9.94101E+14: what a spreadsheet makes of a long number (Java leaves the plus out); 17e62166 is a code of its own
ROUNDED_ID = r"^[0-9]([.,][0-9]+[eE][+]?|[eE][+])[0-9]+$"
HUGE = 100_000  # times the median of its column: far above the largest seen (1,685 items, £2,594.90), in any currency
MOST = 10**12  # where all are huge: sums of what is kept fit their columns


def stripped(text: ir.Table) -> ir.Table:
    """`text` without spaces around its values; null where nothing is left."""
    # Stripping every value would take as long as reading the file.
    has_spaces = {name: (text[name] < "!") | text[name].endswith(" ") | text[name].endswith("\t") for name in SPELLINGS}
    bare = {name: has_spaces[name].ifelse(text[name].strip(), text[name]).nullif("") for name in SPELLINGS}
    return text.select(*KEY, "line", **bare)


def receipts(text: ir.Table, schema: Schema) -> ir.Table:
    """`text` as values, with `column`, `value` and `reason` of the first cell at fault in each row; null where none is.

    Args:
        text: rows as read by `read.read_transactions`.
        schema: which columns the source has, under which names.
    """
    text = stripped(text)
    rows = text.select(*KEY, "line", **values(text), **{f"{name}_text": text[name] for name in UNPARSABLE})
    is_header = rows.basket_id.upper().isin([schema.names["basket_id"].upper(), *SPELLINGS["basket_id"]])
    rules: list[tuple[str | None, str, ir.BooleanValue]] = [
        (None, WIDTH, rows.line.notnull()),
        ("basket_id", "is the header again", is_header),
        *((name, EMPTY, _text(rows, name).isnull()) for name in schema.required),
        *((name, why, _text(rows, name).notnull() & rows[name].isnull()) for name, why in UNPARSABLE.items()),
        ("basket_id", ROUNDED, rows.basket_id.re_search(ROUNDED_ID)),
        ("date", NO_ERA, ~rows.date.between(*[ibis.date(day) for day in ERA])),
        ("hour", "is not within 0–23", ~rows.hour.between(0, 23)),
        ("quantity", "is not positive", rows.quantity <= 0),
        ("spend", "is negative", rows.spend < 0),
        *((name, "is over a million million", rows[name] > MOST) for name in ("quantity", "spend")),
    ]
    found = [(broken.fill_null(False), name, reason) for name, reason, broken in rules]
    return rows.select(
        *KEY,
        *SPELLINGS,
        *[f"{name}_text" for name in AS_TEXT],
        column=ibis.cases(*[(broken, schema.names[name] if name else "the row") for broken, name, _ in found]),
        value=ibis.cases(*[(broken, _text(rows, name) if name else rows.line) for broken, name, _ in found]),
        reason=ibis.cases(*[(broken, reason) for broken, _, reason in found]),
    )


def cell_faults(rows: ir.Table, schema: Schema) -> ir.Table:
    """Rows with a cell that is no value or out of range."""
    return rows.filter(rows.reason.notnull()).select(*FAULT)


def outlier_faults(rows: ir.Table, schema: Schema) -> ir.Table:
    """Rows with an amount or date far from all others: one of them would own a price, or stretch the calendar."""
    middle = rows.aggregate(**{f"most_{n}": ibis.greatest(rows[n].median(), 1) * HUGE for n in ("quantity", "spend")})
    joined = rows.cross_join(middle).left_join(far_days(rows), "date")
    rules = [
        ("date", FAR, joined.is_far),
        ("date", ALONE, joined.is_alone),
        *((n, f"is over {HUGE:,} times the median", joined[n] > joined[f"most_{n}"]) for n in ("quantity", "spend")),
    ]
    return _first_of(joined, rules, schema)


def label_faults(rows: ir.Table, schema: Schema) -> ir.Table:
    """Rows whose week label is one that most rows give to another week, or whose week most rows give another label.

    Weeks of the source may begin on any weekday: the one on which most rows agree is taken.
    """
    labelled = rows.filter(rows.shop_week.notnull())
    days = labelled.group_by("shop_week", "date").agg(n=labelled.count())
    days = days.cross_join(ibis.range(7).unnest().name("shift").as_table())
    day = days.date.delta(ibis.date("1899-01-02"), unit="day")  # a Monday
    days = days.mutate(week=(day + days["shift"]) // 7)
    weeks = days.group_by("shift", "shop_week", "week").agg(n=days.n.sum())
    ranks = {
        by: ibis.row_number().over(group_by=[weeks["shift"], weeks[by]], order_by=[weeks.n.desc(), weeks[other]])
        for by, other in (("shop_week", "week"), ("week", "shop_week"))
    }
    weeks = weeks.mutate(agrees=(ranks["shop_week"] == 0) & (ranks["week"] == 0))
    shifts = weeks.group_by("shift").agg(n=weeks.agrees.ifelse(weeks.n, 0).sum())
    best = shifts.order_by(shifts.n.desc(), shifts["shift"]).limit(1)
    wrong = weeks.filter(~weeks.agrees).semi_join(best, "shift")
    pairs = days.semi_join(wrong, ["shift", "shop_week", "week"]).select(
        "shop_week", "date", is_wrong=ibis.literal(True)
    )
    joined = rows.left_join(pairs, ["shop_week", "date"])
    return _first_of(joined, [("shop_week", LABEL, joined.is_wrong)], schema)


def tree_faults(rows: ir.Table, schema: Schema) -> ir.Table:
    """Rows that put a product, or a group of products, under another parent than most rows do (of equals, the first)."""
    paths = rows.group_by(*HIERARCHY).agg(n=rows.count())
    wrong = {}
    for child, parent in zip(HIERARCHY, HIERARCHY[1:], strict=False):
        paths = paths.mutate(together=paths.n.sum().over(group_by=[paths[child], paths[parent]]))
        paths = paths.mutate(
            most=ibis.coalesce(paths[parent].notnull().ifelse(paths.together, 0), 0).max().over(group_by=paths[child])
        )
        usual = (
            (paths.together == paths.most).ifelse(paths[parent], ibis.null("string")).min().over(group_by=paths[child])
        )
        wrong[parent] = f"wrong_{parent}"
        paths = paths.mutate(**{wrong[parent]: (paths[child].notnull() & (paths[parent] != usual)).fill_null(False)})
    faulty = paths.filter(ibis.or_(*[paths[name] for name in wrong.values()])).select(*HIERARCHY, *wrong.values())
    same = [rows[name].identical_to(faulty[name]) for name in HIERARCHY]
    joined = rows.inner_join(faulty, same).select(rows, *[faulty[name] for name in wrong.values()])
    return _first_of(joined, [(parent, TREE, joined[name]) for parent, name in wrong.items()], schema)


def basket_faults(rows: ir.Table, schema: Schema) -> ir.Table:
    """Rows of baskets with two customers, stores, dates or hours."""
    differs = {name: rows[name].min() != rows[name].max() for name in BASKET_COLUMNS}
    is_mixed = rows.customer_id.count().between(1, rows.count() - 1)  # a basket is anonymous or it is not
    differs["customer_id"] |= is_mixed
    baskets = rows.group_by("basket_id").agg(**{f"differs_{name}": broken for name, broken in differs.items()})
    faulty = baskets.filter(ibis.or_(*[baskets[f"differs_{name}"] for name in BASKET_COLUMNS]))
    joined = rows.inner_join(faulty, "basket_id")
    return _first_of(joined, [(name, DIFFERS, joined[f"differs_{name}"]) for name in BASKET_COLUMNS], schema)


def repeat_faults(rows: ir.Table, schema: Schema) -> ir.Table:
    """Rows of a basket that stands in the source twice or more, but for its first copy: a file or week given twice.

    Every row of such a basket is there equally often, each copy begins behind the one before, and other rows lie between
    the two, or they lie in two files. Copies of which one ends where the next begins are lines of one receipt, as a till
    writes that lists every unit.
    """
    same = ("basket_id", "product_id", "quantity", "spend")
    products = rows.group_by("basket_id", "product_id").agg(n=rows.count())
    suspects = rows.semi_join(products.filter(products.n > 1), "basket_id")
    lines = suspects.group_by(*same).agg(n=suspects.count(), files=suspects.file.nunique())
    baskets = lines.group_by("basket_id").agg(
        lines=lines.count(), least=lines.n.min(), most=lines.n.max(), is_even=lines.files.min() == lines.files.max()
    )
    twice = suspects.inner_join(baskets.filter((baskets.least == baskets.most) & (baskets.least > 1)), "basket_id")
    in_line, in_basket = (ibis.window(group_by=by, order_by=KEY) for by in (same, "basket_id"))
    copies = twice.mutate(
        copy=ibis.row_number().over(in_line),
        place=ibis.row_number().over(in_basket),
        is_elsewhere=twice.file != twice.file.min().over(group_by=same),
        follows=(twice.file == twice.file.lag().over(in_basket)) & (twice.row == twice.row.lag().over(in_basket) + 1),
    )
    begins = (copies.place % copies.lines == 0) & ~copies.follows.fill_null(False)
    so_far = ibis.cumulative_window(group_by="basket_id", order_by=KEY)
    copies = copies.mutate(
        is_mixed=(copies.place // copies.lines != copies["copy"]).cast("int64").max().over(group_by="basket_id") == 1,
        receipt=begins.cast("int64").sum().over(so_far),  # 1, 2, …: copies that follow one another are one
    )
    copies = copies.mutate(size=copies.count().over(group_by=["basket_id", "receipt"]))
    in_all = ibis.window(group_by="basket_id")
    is_whole = copies["size"].min().over(in_all) == copies["size"].max().over(in_all)
    is_again = (copies.receipt > 1) & (is_whole | copies.is_elsewhere)
    is_again = copies.is_mixed.ifelse(copies.is_elsewhere & copies.is_even, is_again)
    return _first_of(copies, [("basket_id", REPEATS, is_again)], schema)


def _first_of(rows: ir.Table, rules: list[tuple[str, str, ir.BooleanValue]], schema: Schema) -> ir.Table:
    """The rows that break a rule, with the first that they break, in the columns of FAULT."""
    found = [(broken.fill_null(False), name, reason) for name, reason, broken in rules]
    judged = rows.select(
        *KEY,
        column=ibis.cases(*[(broken, schema.names.get(name, name)) for broken, name, _ in found]),
        value=ibis.cases(*[(broken, _text(rows, name)) for broken, name, _ in found]),
        reason=ibis.cases(*[(broken, reason) for broken, _, reason in found]),
    )
    return judged.filter(judged.reason.notnull())


def _text(rows: ir.Table, name: str) -> ir.StringValue:
    """Column `name` as it stood in the file, where that is kept."""
    return rows[f"{name}_text" if f"{name}_text" in rows.columns else name].cast("string")


STEPS: tuple[Callable[[ir.Table, Schema], ir.Table], ...] = (
    cell_faults, outlier_faults, label_faults, tree_faults, basket_faults, repeat_faults,
)  # fmt: skip
TEXT = ibis.schema({"file": "string", "row": "int64", "line": "string", **dict.fromkeys(SPELLINGS, "string")})


def plan(schema: Schema, dialect: str) -> dict[str, str]:
    """The rules as SQL: name of a table → what it holds, each from those before it and the first from table `text`.

    The tables are `receipts`, one for every step, and `faults`. They are compiled once: Ibis takes a second for it.
    """
    return _plan(tuple(schema.names.items()), schema.required, dialect)


@functools.cache
def _plan(names: tuple[tuple[str, str], ...], required: tuple[str, ...], dialect: str) -> dict[str, str]:
    schema = Schema(dict(names), required)
    rows = receipts(ibis.table(TEXT, name="text"), schema)
    tables = {"receipts": rows}
    sound = rows = ibis.table(rows.schema(), name="receipts")
    found = []
    for step in STEPS:
        tables[step.__name__] = faults = step(sound, schema)
        found.append(ibis.table(faults.schema(), name=step.__name__))
        sound = sound.anti_join(found[-1], KEY)
    tables["faults"] = ibis.union(*found)
    return {name: ibis.to_sql(table, dialect=dialect) for name, table in tables.items()}
