"""The published columns of raw transactions (SPEC C1) and what each becomes in `artifacts.TRANSACTIONS`.

Everything is first read as text, so that a basket id keeps its digits and a number that cannot be parsed can be named.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from retailsim.labels import RAW_LABELS, TRIP_LABELS

# transactions column → raw spellings, the first that a source has is taken
SPELLINGS: dict[str, tuple[str, ...]] = {
    "basket_id": ("BASKET_ID",),
    "shop_week": ("SHOP_WEEK",),
    "date": ("SHOP_DATE",),
    "hour": ("SHOP_HOUR",),
    "product_id": ("PROD_CODE",),
    "hierarchy_10": ("PROD_CODE_10",),
    "hierarchy_20": ("PROD_CODE_20",),
    "hierarchy_30": ("PROD_CODE_30",),
    "hierarchy_40": ("PROD_CODE_40",),
    "customer_id": ("CUST_CODE",),
    "price_segment": ("CUST_PRICE_SENSITIVITY", "seg_1"),
    "lifestage": ("CUST_LIFESTAGE", "seg_2"),
    "store_id": ("STORE_CODE",),
    "store_format": ("STORE_FORMAT",),
    "store_region": ("STORE_REGION",),
    "quantity": ("QUANTITY",),
    "spend": ("SPEND",),
    "mission_type": ("BASKET_TYPE",),
    "mission_focus": ("BASKET_DOMINANT_MISSION",),
    "price_sensitivity": ("BASKET_PRICE_SENSITIVITY",),
    "basket_size": ("BASKET_SIZE",),
}
NUMBERS = {"shop_week": "int32", "hour": "int32", "quantity": "int64", "spend": "decimal(18, 2)"}
CODES = tuple(name for name in SPELLINGS if name not in NUMBERS and name not in TRIP_LABELS)  # ids, segments, the date
OPTIONAL_VALUES = ("customer_id", "price_segment", "lifestage", *TRIP_LABELS)  # columns that may be empty in a row
BASKET_COLUMNS = ("customer_id", "store_id", "date", "hour")  # one value per basket (SPEC C4)
HIERARCHY = (
    "product_id",
    "hierarchy_10",
    "hierarchy_20",
    "hierarchy_30",
    "hierarchy_40",
)  # a tree: each has one parent
ROW, LINE = "__row", "__line"  # beside a file's own columns: number of the row, text of a row of another width
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
WHOLE_NUMBER = r"^[+-]?[0-9]+(\.0*)?$"  # a CSV written from floats says 3.0
EXACT = {2: 2**11, 4: 2**24, 8: 2**53}  # bytes of a float → up to where it holds every whole number


@dataclass(frozen=True)
class Schema:
    """What a source has: how it calls our columns, and which of them no row may leave empty."""

    names: Mapping[str, str]  # column of ours → its raw name, for messages; its own where it is unknown
    required: tuple[str, ...]


PUBLISHED = Schema(
    {name: "/".join(spellings) for name, spellings in SPELLINGS.items()},
    tuple(name for name in SPELLINGS if name not in OPTIONAL_VALUES),
)


def as_text(column: ir.Value) -> ir.StringValue:
    """`column` as text. Whole floats are written as whole numbers: an id is 10045 in a file with empty values, too.

    NaN is null: it stands where floats have nothing.
    """
    text = column.cast("string")
    if not column.type().is_floating():
        return text
    # DuckDB 2 compares by the least and most that Parquet keeps of a column, which leave NaN out: isnan and = find none.
    text = text.re_search("^(nan|NaN)$").ifelse(ibis.null("string"), text)
    whole = column.try_cast("int64")
    is_whole = (column.abs() < EXACT[column.type().nbytes]) & (whole.cast("float64") == column.cast("float64"))
    return is_whole.ifelse(whole.cast("string"), text)


def to_date(text: ir.StringValue) -> ir.DateValue:
    """The day of `yyyymmdd` or `yyyy-mm-dd`; null where the text is neither."""
    digits = text.left(10).replace("-", "")
    iso = digits.substr(0, 4) + "-" + digits.substr(4, 2) + "-" + digits.substr(6)
    return (digits.length() == 8).ifelse(iso, ibis.null("string")).try_cast("date")


def to_label(text: ir.StringValue, label: str) -> ir.StringValue:
    """The class of trip label `label` that a raw code stands for; null where there is none."""
    renamed = text
    for raw, name in RAW_LABELS.get(label, {}).items():
        renamed = (renamed == raw).ifelse(name, renamed)
    return renamed.isin(TRIP_LABELS[label]).ifelse(renamed, ibis.null("string"))


def parsed(text: ir.Table, name: str) -> ir.Value:
    """Column `name` of `text` as a number or day; null where its text is neither."""
    if name == "date":
        return to_date(text[name])
    # Casts alone would take 1.5 items for 2 and 0x10 for 16, each engine in its own way.
    is_whole = not NUMBERS[name].startswith("decimal")
    digits = text[name].re_replace(r"\.0*$", "") if is_whole else text[name]
    is_number = text[name].re_search(WHOLE_NUMBER if is_whole else NUMBER)
    return is_number.ifelse(digits, ibis.null("string")).try_cast(NUMBERS[name])


def values(text: ir.Table) -> dict[str, ir.Value]:
    """The columns of `text` as values, under the same names; what cannot be parsed becomes null."""
    columns: dict[str, ir.Value] = {}
    for name in SPELLINGS:
        if name in NUMBERS or name == "date":
            columns[name] = parsed(text, name)
        elif name in TRIP_LABELS:
            columns[name] = to_label(text[name], name)
        elif name in ("price_segment", "lifestage"):
            columns[name] = text[name].nullif("XX")
        else:
            columns[name] = text[name]
    return columns
