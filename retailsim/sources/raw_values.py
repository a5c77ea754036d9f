"""Days, hours and amounts out of text in any format, as text that `schema.values` reads: yyyy-mm-dd, 0–23, 12.50.

Formats are written as for `strptime`, of these directives. Text that does not fit its format is given back as it stands,
so that the check of the source can name it.
"""

import re

import ibis
import ibis.expr.types as ir

from retailsim.sources.schema import NUMBER

DIRECTIVES = {  # directive → digits or letters it stands for; one-digit days and months are read too
    "Y": r"[0-9]{4}",
    "y": r"[0-9]{2}",
    "m": r"[0-9]{1,2}",
    "d": r"[0-9]{1,2}",
    "H": r"[0-9]{1,2}",
    "I": r"[0-9]{1,2}",
    "M": r"[0-9]{1,2}",
    "S": r"[0-9]{1,2}",
    "b": r"[A-Za-z]{3}",
    "p": r"[AaPp][Mm]",
}
WIDTHS = {"Y": 4, "y": 2, "b": 3, "p": 2}  # the others: 2
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
PIVOT = 69  # two-digit years before it belong to this century, as in POSIX
ISO_TIMES = ("%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M")
HALF_OF_DAY = r"(?i)(^|[^a-z])[ap]\.?m\.?$"  # AM, p.m.: such an hour is none of 0–23
DAYS_APART = 100_000  # a day number beyond it is no day number


def directives_of(form: str) -> list[str]:
    """The directives of a format, in order. A ValueError for one that is not known.

    >>> directives_of("%m/%d/%Y")
    ['m', 'd', 'Y']
    """
    found = re.findall(r"%(.?)", form)
    for directive in found:
        if directive not in DIRECTIVES:
            raise ValueError(f"%{directive} is not known")
    return found


def day_text(text: ir.StringValue, formats: tuple[str, ...]) -> ir.StringValue:
    """yyyy-mm-dd of `text` in the first format that fits; `text` itself where none does."""
    days = []
    for form in formats:
        fits, parts = _parts(text, form)
        year = parts["Y"] if "Y" in parts else _full_year(parts["y"])
        month = parts["m"].lpad(2, "0") if "m" in parts else _month_number(parts["b"])
        days.append(ibis.ifelse(fits, year + "-" + month + "-" + parts["d"].lpad(2, "0"), ibis.null("string")))
    return ibis.coalesce(*days, text)


def hour_text(text: ir.StringValue, formats: tuple[str, ...]) -> ir.StringValue:
    """0–23 of `text` in the first format that fits; `text` itself where none does."""
    hours = []
    for form in formats:
        fits, parts = _parts(text, form)
        hour = parts["H"] if "H" in parts else _of_24(parts["I"], parts["p"])
        hours.append(ibis.ifelse(fits, hour, ibis.null("string")))
    return ibis.coalesce(*hours, text)


def numbered_day_text(text: ir.StringValue, day_one: str) -> ir.StringValue:
    """yyyy-mm-dd of a day number, day 1 being `day_one`; `text` itself where it is no day number."""
    number = whole_number(text)
    return ibis.coalesce(shifted(day_one, number - 1).cast("string").left(10), text)


def product_text(left: ir.StringValue, right: ir.StringValue) -> ir.StringValue:
    """The product of two amounts, in hundredths; the text that is no amount where one is none, both where it is too large."""
    amounts = [
        ibis.ifelse(text.re_search(NUMBER), text, ibis.null("string")).try_cast("decimal(18, 4)")
        for text in (left, right)
    ]
    product = (amounts[0].cast("float64") * amounts[1].cast("float64")).round(2)
    text = product.try_cast("decimal(18, 2)").cast("string")
    wrong = ibis.cases((amounts[0].isnull(), left), (amounts[1].isnull(), right), else_=left + " × " + right)
    return ibis.ifelse(left.isnull() | right.isnull(), ibis.null("string"), ibis.coalesce(text, wrong))


def whole_number(text: ir.StringValue) -> ir.IntegerValue:
    """Text such as 30, -1 or 30.0 as a whole number up to `DAYS_APART`; null where it is none."""
    digits = text.re_replace(r"\.0*$", "")
    return ibis.ifelse(digits.re_search(r"^-?[0-9]{1,5}$"), digits, ibis.null("string")).try_cast("int64")


def shifted(day: str, days: ir.IntegerValue) -> ir.DateValue:
    """The day that lies `days` after `day` (yyyy-mm-dd)."""
    return ibis.date(day) + days.cast("int32").as_interval("D")


def _parts(text: ir.StringValue, form: str) -> tuple[ir.BooleanValue, dict[str, ir.StringValue]]:
    """Whether `text` begins with what `form` says, and the text of each directive.

    A format without separators, such as %H%M, may lack zeros in front: 930 is 0930. What follows a space, a T or a
    point behind the format is left alone, but for AM or PM behind an hour that would be read as one of 0–23.
    """
    found = directives_of(form)
    if "".join(f"%{directive}" for directive in found) == form:
        width = sum(WIDTHS.get(directive, 2) for directive in found)
        text = ibis.ifelse(text.length() < width, text.lpad(width, "0"), text)
        pattern = "".join(f"({DIRECTIVES[d].replace('{1,2}', '{2}')})" for d in found)
    else:
        pieces = re.split(r"%(.)", form)
        pattern = "".join(f"({DIRECTIVES[p]})" if i % 2 else re.escape(p) for i, p in enumerate(pieces))
    pattern = f"^{pattern}" + r"(?:[ T.:].*)?$"
    fits = text.re_search(pattern)
    if "H" in found:
        fits &= ~text.re_search(HALF_OF_DAY)
    return fits, {d: text.re_extract(pattern, i) for i, d in enumerate(found, 1)}


def _full_year(two: ir.StringValue) -> ir.StringValue:
    return ibis.ifelse(two < str(PIVOT), "20" + two, "19" + two)


def _month_number(name: ir.StringValue) -> ir.StringValue:
    return ibis.cases(*[(name.lower() == month, f"{i:02d}") for i, month in enumerate(MONTHS, 1)])


def _of_24(hour: ir.StringValue, half: ir.StringValue) -> ir.StringValue:
    of_12 = hour.try_cast("int64") % 12
    return (of_12 + ibis.ifelse(half.lower() == "pm", 12, 0)).cast("string")
