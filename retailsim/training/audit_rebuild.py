"""A part of the user's receipts, run through commands 1–5 again: as they are, in another order, with another future.

The part is whole customers over all weeks (SPEC C5), one of the first week among them, so that weeks keep their
numbers. The commands are those that the user calls, in this process, each with a data root of its own, so whatever they do to
the data is under audit.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from retailsim import console
from retailsim.atomic import atomic
from retailsim.cli import VERBS
from retailsim.errors import UserError
from retailsim.labels import TRIP_LABELS
from retailsim.reading import load_calendar
from retailsim.sources.mapping import Mapping, parse_mapping, plain_mapping
from retailsim.sources.read import read_transactions, unreadable
from retailsim.sources.sample import sample_customers
from retailsim.sources.schema import SPELLINGS, parsed
from retailsim.storage import engine_errors, held, write_parquet
from retailsim.weeks import Calendar

ROAD = ("run-pipeline", "run-feature-engineering", "run-tensor-preparation", "prepare-samples", "prepare-tensor-cache")
PRODUCT = ("product_id", "hierarchy_10", "hierarchy_20", "hierarchy_30", "hierarchy_40")
CUSTOMER = ("customer_id", "price_segment", "lifestage")
STORE = ("store_id", "store_format", "store_region")
NEW = "-new"  # ends the id of a product that a changed future introduces
KEPT_DIGITS = "01234567"  # a basket of the changed week stays as it is where the md5 of its id begins with one of these


@dataclass(frozen=True)
class Shop:
    """Raw receipts (one Parquet file of text), the data root made of them, and what their columns mean."""

    raw: Path
    root: Path
    mapping: Path | None = None  # None: the published columns


def mappings(text: str | None, folder: Path) -> tuple[Mapping | None, Path | None]:
    """The mapping that the pipeline ran with (YAML `text`), and a file in `folder` for rows that it has put under our names."""
    if not text:
        return None, None
    mapping, plain = parse_mapping(text, "the mapping of the last run of the pipeline"), folder / "mapping.yaml"
    plain.write_text(plain_mapping(mapping), encoding="utf-8")
    return mapping, plain


def take_receipts(
    source: Path, nrows: int, engine: ibis.BaseBackend, calendar: Calendar, mapping: Mapping | None = None
) -> ir.Table:
    """About `nrows` raw rows of `source` as text under our names, as whole customers, kept on `engine`.

    Where none of them shops in week 1 of `calendar`, one who does is added: weeks are counted from the first one.
    """
    try:
        rows = read_transactions(source, engine, mapping).select(*SPELLINGS)
        taken = engine.create_table("receipts", sample_customers(rows, nrows), temp=True)
        if taken.filter(week_of(taken, calendar) == 1).count().execute():
            return taken
        first = rows.filter(week_of(rows, calendar) == 1)
        known = rows.semi_join(first.filter(first.customer_id.notnull()), "customer_id")
        more = sample_customers(first.union(known), 1).anti_join(taken, "basket_id")
        both = taken.union(rows.semi_join(more, "basket_id"))
        return engine.create_table("receipts_from_week_1", both, temp=True)
    except engine_errors(engine) as error:
        raise unreadable(error, str(source)) from error


def week_of(rows: ir.Table, calendar: Calendar) -> ir.IntegerValue:
    """The week of text rows; 0 where the date cannot be read."""
    first_monday = ibis.date(calendar.first_monday.isoformat())
    return (parsed(rows, "date").delta(first_monday, unit="day") // 7 + 1).fill_null(0)


def write_raw(
    rows: ir.Table, path: Path, engine: ibis.BaseBackend, salt: str = "", names: Mapping | None = None
) -> None:
    """Write text rows in the order of their keys, or with `salt` in a shuffled one.

    Columns are the published ones; of rows that came through mapping `names` those that it has, under our names.
    """
    keys = [rows.basket_id.fill_null(""), rows.product_id.fill_null(""), rows.quantity, rows.spend]
    order = [(keys[0] + ":" + keys[1] + salt).hexdigest("md5"), *keys] if salt else keys
    spelled = {name: name for name in names.columns} if names else {name: s[0] for name, s in SPELLINGS.items()}
    columns = {spelling: rows[name] for name, spelling in spelled.items()}
    with atomic(path) as temporary:
        write_parquet(rows.order_by(order).select(**columns), temporary, engine)


def rebuild(shop: Shop, calendar: Calendar, seed: int) -> Shop:
    """Run commands 1–5 on `shop.raw`, with the split weeks of `calendar` and the features' `seed`."""
    flags: dict[str, dict[str, Any]] = {
        "run-pipeline": {
            "input": shop.raw,
            "mapping": str(shop.mapping) if shop.mapping else None,
            "train_weeks": calendar.train_end,
            "val_weeks": calendar.val_end,
        },
        "run-feature-engineering": {"seed": seed},
    }
    with console.silence():
        for verb in ROAD:
            module = importlib.import_module(f"retailsim.{VERBS[verb][0]}")
            getattr(module, verb.replace("-", "_"))(**flags.get(verb, {}), data_dir=shop.root)
            refuse_other_weeks(load_calendar(shop.root), calendar)
    return shop


def refuse_other_weeks(sample: Calendar, whole: Calendar) -> None:
    """A UserError where the calendar of a sample counts other weeks than the `whole` data's, or has no week to test."""
    if sample.first_monday != whole.first_monday or sample.last_week <= whole.val_end:
        begin = (sample.first_monday - whole.first_monday).days // 7 + 1
        raise UserError(
            f"--nrows takes receipts of weeks {begin}–{begin + sample.last_week - 1} only, and the data's are 1–{whole.last_week}: "
            f"give a larger --nrows, so that a customer of week 1 and one of the test weeks are among them"
        )


def with_another_future(rows: ir.Table, week: int, calendar: Calendar, is_new: bool) -> ir.Table:
    """`rows` with everything of weeks ≥ `week` changed, but for the baskets of `week` that `is_kept` keeps.

    Products change places, prices, quantities, hours and trip labels are others; after `week` customers and stores change
    places too. With `is_new` a sixteenth of the later products are ones that were never seen before.
    """
    dated = rows.mutate(week=week_of(rows, calendar))
    stays = (dated.week < week) | ((dated.week == week) & is_kept(dated.basket_id))
    lines = ibis.row_number().over(order_by=[*rows.columns])
    marked = held(dated.mutate(stays=stays, line=lines.cast("string")))  # so that a row keeps its number
    moving = marked.filter(~marked.stays)
    now, later = moving.filter(moving.week == week), moving.filter(moving.week > week)
    later = _swapped(_swapped(later, "basket_id", CUSTOMER), "basket_id", STORE)
    moved = _swapped(now.union(later.select(now.columns)), "line", PRODUCT)
    if is_new:
        renamed = (moved.week > week) & (moved.product_id.hexdigest("md5")[0] == "0")
        moved = moved.mutate(product_id=renamed.ifelse(moved.product_id + NEW, moved.product_id))
    hour = moved.hour.try_cast("int32")
    dearer = (moved.spend.try_cast("decimal(18, 2)").cast("float64") * 1.7 + 0.01).cast("decimal(18, 2)")
    moved = moved.mutate(
        hour=ibis.coalesce((8 + (hour * 5 + 3) % 14).cast("string"), moved.hour),
        quantity=ibis.coalesce((moved.quantity.try_cast("int64") + 1).cast("string"), moved.quantity),
        spend=ibis.coalesce(dearer.cast("string"), moved.spend),
        **{name: _turned(moved, name) for name in TRIP_LABELS},
    )
    kept = marked.filter(marked.stays).select(rows.columns)
    return kept.union(moved.select(rows.columns))


def is_kept(basket_id: ir.StringValue) -> ir.BooleanValue:
    """Whether a basket of the changed week itself stays as it is; about half of them do."""
    return basket_id.fill_null("").hexdigest("md5")[0].isin(list(KEPT_DIGITS))


def _swapped(rows: ir.Table, key: str, columns: tuple[str, ...]) -> ir.Table:
    """`rows` in which the units named by column `key` have exchanged their `columns`."""
    units = rows.group_by(key).agg(**{name: rows[name].min() for name in columns})
    takers = units.select(key, place=ibis.row_number().over(order_by=units[key]))
    order = [(units[key] + columns[0]).hexdigest("md5"), units[key]]
    givers = units.select(*columns, place=ibis.row_number().over(order_by=order))
    given = takers.join(givers, "place").drop("place")
    return rows.drop(*columns).join(given, key)


def _turned(rows: ir.Table, name: str) -> ir.StringValue:
    """Trip label `name`, each class replaced by the next of those that occur."""
    values = sorted(rows.filter(rows[name].notnull()).select(name).distinct().execute()[name])
    cases = [
        (rows[name] == value, follower) for value, follower in zip(values, [*values[1:], *values[:1]], strict=True)
    ]
    return ibis.cases(*cases) if cases else rows[name]
