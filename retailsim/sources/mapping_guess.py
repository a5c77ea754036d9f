"""Which raw column plays which role: the mapping that `inspect` proposes, from names and profiles of the columns.

A role is given to the column whose name says it and whose values can be it; the first rule that finds one decides. "sure" is
a name that is nothing else, "likely" a name that is often something else too.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from retailsim.sources.profile import HOURS, Profile

NUMBERS = ("whole number", "number")
IDS = ("whole number", "text", "time")  # eight digits may look like a day
ANY = (*IDS, "number")
# role, name of the column in small letters, kinds that it may have, how sure a match is; the first match of a role counts
RULES: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("basket_id", r"(basket|receipt|invoice|ticket|bill|cheque|bon)[ _]?(id|no|nr|num|number|key|code)?", IDS, "sure"),
    ("basket_id", r"(order|transaction|trans|trip|check|sale|visit)[ _]?(id|no|nr|num|number|key|code)", IDS, "likely"),
    ("product_id", r"(product|prod|item|article|sku|upc|ean|gtin|plu|stock)[ _]?(id|no|nr|num|number|key|code)", ANY, "sure"),
    ("product_id", r"sku|upc|ean|gtin|plu|barcode|product|item|article", ANY, "likely"),
    ("customer_id", r"(customer|cust|household|member|loyalty|shopper|client)[ _]?(id|no|nr|num|number|key|code)", ANY, "sure"),
    ("customer_id", r"(user|card|buyer|person)[ _]?(id|no|nr|num|number|key|code)?|customer|household|member", ANY, "likely"),
    ("store_id", r"(store|shop|branch|outlet|market)[ _]?(id|no|nr|num|number|key|code)?", ANY, "sure"),
    ("store_id", r"(location|site|warehouse)[ _]?(id|no|nr|num|number|key|code)?", ANY, "likely"),
    ("date", r".*(date|datetime|timestamp|_dt|_at|time|day)", ("time",), "sure"),
    ("date", r".*", ("time",), "likely"),
    ("hour", r"(shop[ _]?)?hour([ _]of[ _]day)?|.*hour.*", ("whole number", "time"), "sure"),
    ("hour", r"(.*[ _])?(time|clock)([ _]of[ _](day|sale|purchase))?", ("time",), "sure"),
    ("hour", r".*", ("time",), "likely"),
    ("quantity", r"quantity|qty|units|pieces|.*[ _](qty|quantity|units)", NUMBERS, "sure"),
    ("quantity", r"amount|count|number|items", ("whole number",), "likely"),
    ("spend", r"spend|spent|paid|sales[ _]?(value|amount|price)|turnover|revenue|line[ _]?total|total[ _]?(price|amount)?", NUMBERS, "sure"),
    ("spend", r"amount|value|net[ _]?(amount|value|sales)|sales|total.*", NUMBERS, "likely"),
    ("unit_price", r"(unit|item)?[ _]?price", NUMBERS, "likely"),
    ("hierarchy_10", r"sub[ _]?(category|commodity|class|department|group).*|.*[ _]sub(category|commodity|class)", ANY, "sure"),
    ("hierarchy_10", r"aisle([ _]id)?|product[ _]?type", ANY, "likely"),
    ("hierarchy_20", r"(product[ _]?)?(category|commodity|class)([ _](id|desc|name|code))?", ANY, "sure"),
    ("hierarchy_30", r"(department|dept|section|group|division)([ _](id|desc|name|code))?", ANY, "sure"),
    ("lifestage", r"life[ _]?stage|age([ _](group|desc|band|range))?|household[ _]comp.*|hh[ _]comp.*", ANY, "likely"),
    ("price_segment", r"price[ _]?(segment|sensitivity)|segment|income([ _](group|desc|band))?", ANY, "likely"),
    ("store_format", r"(store|shop)[ _]?(format|type|size)", ANY, "sure"),
    ("store_region", r"(store[ _])?(region|country|state|city|area)", ANY, "likely"),
)  # fmt: skip
HAVE_FEW = {"lifestage": 60, "price_segment": 60, "store_format": 60, "store_region": 1000}  # most distinct values
MIDNIGHT = r"[ T](0?0:00|12:00(:00)? ?[Aa][Mm])"
NEEDED = ("basket_id", "product_id", "date", "quantity")


@dataclass(frozen=True)
class Guess:
    """A raw column taken for a role."""

    column: Profile
    sure: str


def guess_roles(columns: Sequence[Profile]) -> dict[str, Guess]:
    """The column that each role is given to, by role; no column has two roles, and some roles may have none."""
    taken: dict[str, Guess] = {}
    for role, pattern, kinds, sure in RULES:
        free = [c for c in columns if all(c is not guess.column for guess in taken.values())]
        named = [c for c in free if c.kind in kinds and re.fullmatch(pattern, plain(c.name)) and _can_be(role, c)]
        if named and role not in taken:
            taken[role] = Guess(named[0], sure)
    if "spend" in taken:
        taken.pop("unit_price", None)
    if "date" in taken and _tells_hours(taken["date"].column):
        taken.pop("hour", None)
    return taken


def plain(name: str) -> str:
    """A column's name in small letters, words apart.

    >>> plain("InvoiceNo"), plain("SALES_VALUE")
    ('invoice_no', 'sales_value')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip()).lower().replace("-", "_").replace(".", "_")


def _can_be(role: str, column: Profile) -> bool:
    if role == "hour":
        return column.formats[0] in HOURS if column.formats else column.largest is not None and column.largest < 24
    if role == "date":
        return column.formats[0] not in HOURS
    if role in HAVE_FEW:
        return column.distinct <= HAVE_FEW[role]
    return True


def _tells_hours(day: Profile) -> bool:
    """Whether a column of days says at which hour, too, and not midnight throughout."""
    return "%M" in day.formats[0] and not all(re.search(MIDNIGHT, example) for example in day.examples)


def joins_of(rows: Sequence[Profile], others: dict[str, list[Profile]]) -> dict[str, str]:
    """File → key, for the files of `others` that have a column of the rows' in which every row has a value of its own."""
    names = {column.name for column in rows}
    keys = {file: [c.name for c in columns if c.is_key and c.name in names] for file, columns in others.items()}
    return {file: found[0] for file, found in keys.items() if found}


def as_yaml(files: Sequence[str], joins: dict[str, str], guesses: dict[str, Guess]) -> str:
    """The mapping as YAML: what was found, with what to look at beside it, and what is missing as comments."""
    lines = ["about: proposed by retailsim inspect; look at every line", f"files: [{', '.join(map(_quoted, files))}]"]
    if joins:
        lines.append("joins:")
        for name, key in joins.items():
            lines += [f"  - file: {_quoted(name)}", f"    key: {_quoted(key)}", "    optional: true"]
    lines.append("columns:")
    for role, guess in guesses.items():
        if role != "unit_price":
            lines.append(f"  {_entry(role, guess, has_hour='hour' in guesses)}")
    if "unit_price" in guesses and "quantity" in guesses:
        price, quantity = guesses["unit_price"].column.name, guesses["quantity"].column.name
        lines.append(
            f"  spend: {{times: [{_quoted(quantity)}, {_quoted(price)}]}} # likely: {price} may be of the row already"
        )
    for role in NEEDED:
        if role not in guesses:
            rule = " {value: 1}, if every row is one item" if role == "quantity" else " which column says it?"
            lines.append(f"  # {role}:{rule}")
    return "\n".join(lines) + "\n"


def _entry(role: str, guess: Guess, has_hour: bool) -> str:
    column, name = guess.column, _quoted(guess.column.name)
    doubt = [] if guess.sure == "sure" else [guess.sure]
    if role not in ("date", "hour") or not column.formats:
        return f"{role}: {name}" + "".join(f" # {what}" for what in doubt)
    best = column.formats[0]
    if role == "date":
        role = "timestamp" if "%M" in best and not has_hour else "date"
        others = [form for form in column.formats[1:] if len(form) == len(best)]
        doubt = [f"{' or '.join(others)} fits as well"] if others else []
    return f'{role}: {{column: {name}, format: "{best}"}}' + "".join(f" # {what}" for what in doubt)


def _quoted(text: str) -> str:
    return (
        text if re.fullmatch(r"[A-Za-z_][\w.*-]*", text) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )
