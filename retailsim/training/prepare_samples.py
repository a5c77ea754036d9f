"""Transactions become samples: one row per basket, as row numbers and codes, split by week (SPEC C10, C21).

Reads data/processed/, data/features/, data/tensors/. Writes data/training/samples_{train,val,test}.parquet and
temporal_metadata.parquet. The order of a basket's products is that of md5(basket id:product id), so it tells nothing
about the product, and the first products of the list are the ones that every evaluation hides.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import ibis
import ibis.expr.types as ir

from retailsim import console
from retailsim.artifacts import (
    CALENDAR,
    CUSTOMER_EMBEDDINGS,
    PIPELINE,
    SAMPLE_TABLES,
    SAMPLES,
    STORE_FEATURES,
    TEMPORAL_METADATA,
    TRANSACTIONS,
    VOCABULARY,
)
from retailsim.errors import UserError
from retailsim.labels import TRIP_LABELS, UNKNOWN
from retailsim.layout import MAX_PLACES
from retailsim.manifest import Manifest, again
from retailsim.reading import load_calendar
from retailsim.storage import EngineName, connect, flag_of, held
from retailsim.training.replays import REPLAY_LIMIT, is_replay, replay_report, replays_by_week
from retailsim.training.trip_kinds import label_codes
from retailsim.weeks import SPLITS, Calendar

INPUTS = (TRANSACTIONS, CALENDAR, CUSTOMER_EMBEDDINGS, STORE_FEATURES, VOCABULARY)
OUTPUTS = (*SAMPLE_TABLES.values(), TEMPORAL_METADATA)


def prepare_samples(data_dir: Path = Path("data"), engine: EngineName = "duckdb") -> None:
    """Transactions → data/training/: one sample per basket for train, val and test.

    Args:
        data_dir: root of everything written.
        engine: what computes the tables: duckdb, inside this process, or spark (docs/large_data.md); the same results.
    """
    inputs = [artifact.at(data_dir) for artifact in INPUTS]
    manifest = Manifest(SAMPLES, data_dir, inputs, {}, OUTPUTS, command={"--engine": flag_of(engine)})
    if manifest.is_current():
        manifest.keep_command()
        console.out.print(f"{data_dir / 'training'} is current: nothing to do")
        return
    tables = connect(engine)
    calendar = load_calendar(data_dir)
    transactions = TRANSACTIONS.read(data_dir, tables)
    built = build_samples(
        transactions,
        CUSTOMER_EMBEDDINGS.read(data_dir, tables),
        STORE_FEATURES.read(data_dir, tables),
        VOCABULARY.read(data_dir, tables),
        calendar,
    )
    samples = held(built)
    refuse_empty_splits(samples, calendar, data_dir)
    for split, table in SAMPLE_TABLES.items():
        first, last = calendar.weeks_in(split)
        rows = samples.filter(samples.week.between(first, last))
        numbered = rows.mutate(sample=ibis.row_number().over(order_by=["week", "basket_id"]))
        table.write(data_dir, numbered, tables, ["sample"])
        counts = rows.aggregate(n=rows.count(), replays=rows.is_replay.sum()).execute().iloc[0]
        n = int(counts["replays"])
        console.out.print(
            f"  {table.path}: {counts['n']:,} baskets of weeks {first}–{last}, {n:,} replay{'s' * (n != 1)}"
        )
    weeks = replays_by_week(samples)
    warning = "warning: " if any(w.share > REPLAY_LIMIT for w in weeks) else ""
    console.out.print(f"  {warning}{replay_report(weeks)}")
    TEMPORAL_METADATA.write(data_dir, temporal_metadata(transactions, calendar), tables, ["basket_id"])
    manifest.write()


def build_samples(
    transactions: ir.Table, customers: ir.Table, stores: ir.Table, vocabulary: ir.Table, calendar: Calendar
) -> ir.Table:
    """One row per basket with the columns of SAMPLE_TABLES but `sample`.

    Args:
        transactions: artifacts.TRANSACTIONS.
        customers: `customer_id`, `week`, `row`, `trips`, `weeks_since_last` of artifacts.CUSTOMER_EMBEDDINGS.
        stores: `store_id`, `week`, `row` of artifacts.STORE_FEATURES.
        vocabulary: artifacts.VOCABULARY.
        calendar: the data's weeks.
    """
    baskets = _baskets(transactions, vocabulary)
    baskets = baskets.mutate(is_replay=is_replay(baskets))
    customers = customers.select("customer_id", "week", "trips", "weeks_since_last", customer_row="row")
    joined = baskets.left_join(customers, ["customer_id", "week"]).drop("customer_id_right", "week_right")
    joined = joined.left_join(stores.select("store_id", "week", store_row="row"), ["store_id", "week"])
    day = joined.date.delta(ibis.date(calendar.first_monday.isoformat()), unit="day")
    return joined.select(
        "basket_id",
        "customer_id",
        "week",
        "n_products",
        "is_replay",
        *TRIP_LABELS,
        day=day,
        hour=joined.hour.fill_null(UNKNOWN),
        customer_row=joined.customer_row.fill_null(0),
        store_row=joined.store_row.fill_null(0),
        recency=joined.weeks_since_last.fill_null(-1),
        trips=joined.trips.fill_null(-1),
        products=joined.items[:MAX_PLACES].map(lambda item: item["row"]),
        prices=joined.items[:MAX_PLACES].map(lambda item: item["price"]),
        quantities=joined.items[:MAX_PLACES].map(lambda item: item["quantity"]),
    )


def _baskets(transactions: ir.Table, vocabulary: ir.Table) -> ir.Table:
    rows = transactions.join(vocabulary.select("product_id", "row"), "product_id")
    is_usable = (rows.quantity > 0) & (rows.spend > 0)
    price = is_usable.ifelse(rows.spend.cast("float64") / rows.quantity, ibis.null("float64")).cast("float32")
    quantity = (rows.quantity > 0).ifelse(rows.quantity, ibis.null("int64")).cast("float32")
    key = (rows.basket_id + ":" + rows.product_id).hexdigest("md5")
    # The struct's first field sorts the basket; the copy's mark is what two baskets must share to be the same.
    item = ibis.struct({"key": key, "row": rows.row, "price": price, "quantity": quantity})
    mark = rows.row.cast("string") + ":" + rows.quantity.cast("string") + ":" + rows.spend.cast("string").fill_null("?")
    shared = ("customer_id", "store_id", "week", "date", "hour")
    return (
        rows.group_by("basket_id")
        .agg(
            **{name: rows[name].min() for name in shared},
            **label_codes(rows),
            n_products=rows.row.count(),
            items=item.collect(),
            marks=mark.collect(),
        )
        .mutate(items=lambda t: t.items.sort(), marks=lambda t: t.marks.sort().join(","))
    )


def temporal_metadata(transactions: ir.Table, calendar: Calendar) -> ir.Table:
    """When each basket was bought and which split it belongs to, as TEMPORAL_METADATA."""
    names = ("week", "shop_week", "date", "weekday", "hour")
    baskets = transactions.group_by("basket_id").agg(**{name: transactions[name].min() for name in names})
    bounds = {split: calendar.weeks_in(split) for split in SPLITS}
    return baskets.mutate(split=ibis.cases(*[(baskets.week.between(*bounds[split]), split) for split in SPLITS]))


def refuse_empty_splits(samples: ir.Table, calendar: Calendar, root: Path) -> None:
    """Raise a UserError that names the first split without a basket."""
    weeks = set(samples.select("week").distinct().execute()["week"])
    for split in SPLITS:
        first, last = calendar.weeks_in(split)
        if not weeks & set(range(first, last + 1)):
            command = again(PIPELINE, root, {"--train-weeks": None, "--val-weeks": None})
            raise UserError(
                f"split {split} (weeks {first}–{last}) has no basket: the data covers weeks 1–{calendar.last_week}; "
                f'{calendar.fitting_split()} (flags of "{command}"), or add data'
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(prepare_samples, argv)


if __name__ == "__main__":
    sys.exit(main())
