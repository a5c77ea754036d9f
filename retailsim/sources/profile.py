"""What the columns of a raw file look like: the profile from which `inspect` guesses their roles.

Counts are over all rows; kinds and examples over the first `LOOKED_AT`.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import ibis.expr.types as ir

from retailsim.sources.raw_values import HALF_OF_DAY
from retailsim.sources.schema import NUMBER, WHOLE_NUMBER, as_text

LOOKED_AT = 1_000
ALMOST_ALL = 0.98  # share of a column's values that must be of a kind
EXAMPLES = 3
DAYS = {  # formats of days → what a text of it looks like
    "%Y-%m-%d": r"\d{4}-\d{1,2}-\d{1,2}",
    "%m/%d/%Y": r"\d{1,2}/\d{1,2}/\d{4}",
    "%d/%m/%Y": r"\d{1,2}/\d{1,2}/\d{4}",
    "%d.%m.%Y": r"\d{1,2}\.\d{1,2}\.\d{4}",
    "%d-%b-%Y": r"\d{1,2}-[A-Za-z]{3}-\d{4}",
}
HOURS = {
    "%I:%M %p": r"\d{1,2}:\d{2} [AaPp][Mm]",
    "%I:%M%p": r"\d{1,2}:\d{2}[AaPp][Mm]",
    "%I:%M:%S %p": r"\d{1,2}:\d{2}:\d{2} [AaPp][Mm]",
    "%H:%M": r"\d{1,2}:\d{2}",
}
STAMPS = {f"{day} {hour}": f"{of_day} {of_hour}" for day, of_day in DAYS.items() for hour, of_hour in HOURS.items()}
ISO_STAMP = {"%Y-%m-%dT%H:%M": r"\d{4}-\d{1,2}-\d{1,2}T\d{1,2}:\d{2}"}
TIMES = STAMPS | ISO_STAMP | DAYS | {"%Y%m%d": r"(19|20)\d{6}"} | HOURS  # in the order in which they are tried


@dataclass(frozen=True)
class Profile:
    """One raw column."""

    name: str
    kind: str  # empty, whole number, number, time or text
    formats: tuple[str, ...]  # of a time: all that read it
    rows: int
    filled: float  # share 0–1 of the rows
    distinct: int
    largest: float | None  # of numbers
    examples: tuple[str, ...]

    @property
    def is_key(self) -> bool:
        """Whether every row has a value of its own."""
        return self.distinct == self.rows > 0


def profile_file(raw: ir.Table) -> list[Profile]:
    """The profiles of the columns of `raw`, the rows of one file, in their order."""
    text = raw.select(**{name: as_text(raw[name]).strip().nullif("") for name in raw.columns})
    counts = {"rows": text.count()}
    for i, name in enumerate(text.columns):
        counts |= {f"filled_{i}": text[name].count(), f"distinct_{i}": text[name].nunique()}
    found = text.aggregate(**counts).to_pyarrow().to_pylist()[0]
    head = text.limit(LOOKED_AT).to_pyarrow()
    profiles = []
    for i, name in enumerate(text.columns):
        seen = Counter(value for value in head[name].to_pylist() if value is not None)
        kind, formats = kind_of(seen)
        largest = max(map(float, filter(_is_number, seen))) if kind.endswith("number") else None
        examples = tuple(sorted(seen, key=lambda value: (-seen[value], value))[:EXAMPLES])
        filled = found[f"filled_{i}"] / max(found["rows"], 1)
        profiles.append(Profile(name, kind, formats, found["rows"], filled, found[f"distinct_{i}"], largest, examples))
    return profiles


def kind_of(seen: Counter[str]) -> tuple[str, tuple[str, ...]]:
    """What nearly all of the values `seen` are, and of times the formats that read them.

    >>> kind_of(Counter(["11/1/2000", "11/30/2000"]))
    ('time', ('%m/%d/%Y',))
    """
    if not seen:
        return "empty", ()
    formats = tuple(form for form, look in TIMES.items() if _share(seen, lambda value: _reads(value, form, look)))  # noqa: B023
    if formats:
        return "time", formats
    if _share(seen, lambda value: re.search(WHOLE_NUMBER, value) is not None):
        return "whole number", ()
    return ("number" if _share(seen, _is_number) else "text"), ()


def _share(seen: Counter[str], is_kind: Callable[[str], bool]) -> bool:
    return sum(n for value, n in seen.items() if is_kind(value)) >= ALMOST_ALL * seen.total()


def _is_number(value: str) -> bool:
    return re.search(NUMBER, value) is not None


def _reads(value: str, form: str, look: str) -> bool:
    """Whether `value` begins with a time of this format, as `raw_values` reads it."""
    found = re.match(look + r"(?=$|[ T.:])", value)
    if "%H" in form and re.search(HALF_OF_DAY, value):
        return False
    try:
        return found is not None and datetime.strptime(found.group(), form) is not None
    except ValueError:
        return False
