"""Another retailer's columns as ours: what a mapping says (SPEC C2; docs/mapping.md has the language).

A mapping is a small YAML file: which files hold the rows, which others are joined to them, and of which raw columns each
of ours is made. A column of ours that it does not name is unknown in all rows.
"""

import re
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

from retailsim.errors import UserError
from retailsim.labels import TRIP_LABELS
from retailsim.sources.mapping_fields import Field, read_fields
from retailsim.sources.raw_values import ISO_TIMES, directives_of
from retailsim.sources.schema import SPELLINGS, Schema

SHIPPED = Path(__file__).parent / "mappings"
NEEDED = ("basket_id", "product_id", "date", "quantity")
EVERY_ROW = ("basket_id", "product_id", "date", "hour", "store_id", "quantity", "spend")  # where named, never empty
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
TOP = ("about", "files", "missing", "dates", "joins", "columns")
DATES = ("known", "unknown")
JOIN = ("file", "key", "key_there", "optional", "count_back")
COUNT_BACK = ("as", "customer", "order", "gap", "weekday", "weekday_0", "last_day")
COLUMN = ("column", "columns", "times", "value", "values", "format", "day_one")


@dataclass(frozen=True)
class CountBack:
    """Days that are only known as gaps between a customer's orders, counted back from the last order of each.

    Everybody's last order falls on `last_day`; each order is then moved to the nearest day of its weekday.
    """

    name: str  # of the column that it makes, yyyy-mm-dd
    customer: str
    order: str  # rising numbers of a customer's orders
    gap: str  # days since the order before
    last_day: str
    weekday: str | None = None  # 0–6, 0 is `weekday_0`
    weekday_0: str = "monday"


@dataclass(frozen=True)
class Join:
    """A file beside the rows, looked up by a key that is unique in it."""

    file: str
    key: str
    key_there: str
    optional: bool = False
    count_back: CountBack | None = None


@dataclass(frozen=True)
class Column:
    """How one of our columns is made: raw columns (several are joined by "/", or multiplied), or one value for all rows."""

    sources: tuple[str, ...] = ()
    is_product: bool = False
    value: str | None = None
    values: tuple[tuple[str, str], ...] = ()  # raw code → ours; a code that is not here is unknown
    formats: tuple[str, ...] = ()
    day_one: str | None = None  # the source is a day number


@dataclass(frozen=True)
class Mapping:
    """A checked mapping. `text` is the YAML that it was read from."""

    origin: str
    text: str
    about: str
    files: tuple[str, ...]
    missing: tuple[str, ...]
    joins: tuple[Join, ...]
    columns: dict[str, Column]
    dates_known: bool = True  # False: they were counted back from a day that was chosen

    @cached_property
    def schema(self) -> Schema:
        """The raw names of our columns, and which of them no row may leave empty."""
        made = {name: "/".join(c.sources) or f"the value {c.value!r}" for name, c in self.columns.items()}
        return Schema(
            {name: name for name in SPELLINGS} | made, tuple(name for name in EVERY_ROW if name in self.columns)
        )

    @property
    def unknown(self) -> list[str]:
        """Our columns that the source does not have."""
        return [name for name in SPELLINGS if name not in self.columns]

    @property
    def raw_columns(self) -> set[str]:
        """Every raw column that is read, those that `count_back` makes left out."""
        made = {join.count_back.name for join in self.joins if join.count_back}
        return {source for column in self.columns.values() for source in column.sources} - made


def shipped() -> list[str]:
    """Names of the mappings that come with RetailSim."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load_mapping(name: str) -> Mapping:
    """The mapping of file `name`, or the shipped one of that name; a UserError where there is none or it is wrong."""
    path = SHIPPED / f"{name}.yaml" if name in shipped() else Path(name)
    if not path.is_file():
        raise UserError(
            f"--mapping {name} is no file, and none of the shipped mappings {', '.join(shipped())}: name one of them, or "
            f'let "retailsim inspect FILE --output {name if name.endswith(".yaml") else "mapping.yaml"}" write one'
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: save it as UTF-8") from error
    return parse_mapping(text, path.stem if path.parent == SHIPPED else str(path))


def parse_mapping(text: str, origin: str) -> Mapping:
    """The mapping that YAML `text` holds; `origin` names it in messages. A UserError names line and key of a mistake."""
    top = read_fields(text, origin).section(TOP, ["columns"])
    joins = top["joins"].value if "joins" in top else []
    if not isinstance(joins, list):
        raise top["joins"].wrong('expected a list: begin each join with "- file: NAME"')
    given = top["columns"].section(("timestamp", *SPELLINGS))
    columns: dict[str, Column] = {}
    for name, field in given.items():
        if name == "timestamp":
            if "date" in given or "hour" in given:
                raise field.wrong("timestamp makes date and hour: take it out, or take those out")
            column = _column(name, field)
            columns |= {"date": column, "hour": column}
        else:
            columns[name] = _column(name, field)
    for name in NEEDED:
        if name not in columns:
            also = " (or timestamp)" if name == "date" else ""
            raise top["columns"].wrong(f"the key {name!r}{also} is missing: say which raw column holds it")
    files = top["files"].texts() if "files" in top else ()
    missing = top["missing"].texts() if "missing" in top else ()
    about = top["about"].text() if "about" in top else origin
    made = tuple(_join(join) for join in joins)
    dates = top["dates"].text() if "dates" in top else DATES[0]
    if dates not in DATES:
        raise top["dates"].wrong(f"{dates!r} is none of {', '.join(DATES)}: write unknown where the days were invented")
    dates_known = dates == DATES[0] and not any(join.count_back for join in made)
    return Mapping(origin, text, about, files, missing, made, columns, dates_known)


def plain_mapping(mapping: Mapping) -> str:
    """YAML for rows that `mapping` has already put under our names: each column is itself, the others are unknown.

    >>> print(plain_mapping(parse_mapping("columns: {basket_id: a, product_id: b, date: c, quantity: d}", "till.yaml")))
    about: receipts under our names
    dates: known
    columns:
      basket_id: basket_id
      product_id: product_id
      date: date
      quantity: quantity
    """
    dates = DATES[0] if mapping.dates_known else DATES[1]
    head = ["about: receipts under our names", f"dates: {dates}", "columns:"]
    return "\n".join([*head, *(f"  {name}: {name}" for name in mapping.columns)])


def _column(name: str, field: Field) -> Column:
    if not isinstance(field.value, dict):
        field = Field({"columns": field}, field.where)
    parts = field.section(COLUMN)
    given = [key for key in ("column", "columns", "times", "value") if key in parts]
    if len(given) != 1:
        raise field.wrong("give one of column, columns, times and value: raw columns, or one value for all rows")
    if "value" in parts:
        return Column(value=parts["value"].text())
    sources = parts[given[0]].texts()
    if given == ["times"]:
        if name != "spend" or len(sources) != 2:
            raise parts["times"].wrong("only spend is a product, of two columns: times: [QUANTITY, UNIT_PRICE]")
        return Column(sources, is_product=True)
    values = parts["values"].section() if "values" in parts else {}
    classes = TRIP_LABELS.get(name)
    for code in values.values():
        if classes and code.text() not in classes:
            raise code.wrong(f"{code.text()!r} is none of {', '.join(classes)}: take one of them")
    formats = parts["format"].texts() if "format" in parts else ISO_TIMES if name == "timestamp" else ()
    for form in formats:
        _check_format(name, form, parts.get("format", field))
    if "day_one" in parts and (name != "date" or formats):
        raise parts["day_one"].wrong("only date can be a day number, and then it has no format: take one of them out")
    day_one = _day(parts["day_one"]) if "day_one" in parts else None
    codes = tuple((raw, code.text()) for raw, code in values.items())
    return Column(sources, values=codes, formats=formats, day_one=day_one)


def _check_format(name: str, form: str, field: Field) -> None:
    if name not in ("date", "hour", "timestamp"):
        raise field.wrong(f"{name} is no time: take its format out")
    try:
        found = set(directives_of(form))
    except ValueError as error:
        raise field.wrong(f"{form!r}: {error}; known are %Y %y %m %b %d %H %I %p %M %S") from error
    day = {"d"} <= found and found & {"Y", "y"} and found & {"m", "b"}
    hour = "H" in found or {"I", "p"} <= found
    if (name != "hour" and not day) or (name != "date" and not hour):
        needs = {
            "date": "a year, month and day",
            "hour": "an hour (%H, or %I with %p)",
            "timestamp": "a day and an hour",
        }
        raise field.wrong(f"{form!r} does not hold {needs[name]}: add what is missing")


def _join(field: Field) -> Join:
    parts = field.section(JOIN, ["file", "key"])
    key = parts["key"].text()
    optional = parts["optional"].text() if "optional" in parts else "false"
    if optional not in ("true", "false"):
        raise parts["optional"].wrong(f"{optional!r} is neither true nor false: write one of them")
    back = parts.get("count_back")
    there = parts["key_there"].text() if "key_there" in parts else key
    return Join(parts["file"].text(), key, there, optional == "true", _count_back(back) if back else None)


def _count_back(field: Field) -> CountBack:
    parts = field.section(COUNT_BACK, ["as", "customer", "order", "gap", "last_day"])
    first = parts["weekday_0"].text().lower() if "weekday_0" in parts else WEEKDAYS[0]
    if first not in WEEKDAYS:
        raise parts["weekday_0"].wrong(f"{first!r} is no weekday: take one of {', '.join(WEEKDAYS)}")
    name, customer, order, gap = (parts[key].text() for key in ("as", "customer", "order", "gap"))
    weekday = parts["weekday"].text() if "weekday" in parts else None
    return CountBack(name, customer, order, gap, _day(parts["last_day"]), weekday, first)


def _day(field: Field) -> str:
    text = field.text()
    try:
        return date.fromisoformat(text).isoformat() if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else _no_day(field)
    except ValueError:
        return _no_day(field)


def _no_day(field: Field) -> str:
    raise field.wrong(f"{field.text()!r} is no day: write it as 2016-03-23")
