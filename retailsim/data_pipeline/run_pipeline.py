"""Raw transactions become unit prices, a product graph, customer-store affinity and shopping missions.

Reads the raw source (--input). Writes data/processed/ (transactions, calendar, prices_derived, product_graph,
customer_store_affinity, customer_mission_patterns) and, where rows cannot be used, data/quarantine/rows.parquet.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path

import ibis.expr.types as ir

from retailsim import console
from retailsim.artifacts import (
    AFFINITY,
    CALENDAR,
    MISSIONS,
    PIPELINE,
    PRICES,
    PRODUCT_GRAPH,
    QUARANTINE,
    TRANSACTIONS,
)
from retailsim.data_pipeline.missions import measure_missions
from retailsim.data_pipeline.product_graph import build_graph
from retailsim.data_pipeline.store_affinity import measure_affinity
from retailsim.data_pipeline.transactions import build_transactions, calendar_of
from retailsim.data_pipeline.unit_prices import price_parts
from retailsim.errors import UserError
from retailsim.manifest import Manifest
from retailsim.reading import load_calendar
from retailsim.sources.mapping import Mapping, load_mapping, shipped
from retailsim.sources.read import read_transactions, side_files, source_files
from retailsim.sources.sample import sample_customers
from retailsim.sources.schema import PUBLISHED, Schema
from retailsim.sources.stored import stored_rows
from retailsim.sources.validate import Verdict, judge, usable_account
from retailsim.storage import EngineName, connect, flag_of

OUTPUTS = (TRANSACTIONS, CALENDAR, PRICES, PRODUCT_GRAPH, AFFINITY, MISSIONS)
MOST_EMPTY_WEEKS = 8  # on end, that are taken as they are


def run_pipeline(
    input: Path = Path("raw_data"),
    nrows: int | None = None,
    mapping: str | None = None,
    data_dir: Path = Path("data"),
    train_weeks: int | None = None,
    val_weeks: int | None = None,
    engine: EngineName = "duckdb",
) -> None:
    """Raw transactions → data/processed/: prices, product graph, store affinity, missions.

    Args:
        input: a CSV or Parquet file, or a folder of weekly transactions*.csv[.gz|.zst] or .parquet files.
        nrows: take about this many rows, as whole customers over all weeks; all rows when left out.
        mapping: a YAML file or the name of a shipped one (see docs/mapping.md) that says what other columns than the
            published ones mean.
        data_dir: root of everything written.
        train_weeks: last week of the training split (80; of data that end before week 96, about two thirds of their weeks).
        val_weeks: last week of the validation split (95, or about four fifths); later weeks are the test split.
        engine: what computes the tables: duckdb, inside this process, or spark (docs/large_data.md); the same results. DuckDB
            reads and checks the receipts in any case.
    """
    split = split_of_flags(train_weeks, val_weeks)
    if nrows is not None and nrows < 1:
        raise UserError(
            f"--nrows {nrows} takes no rows: give a number of at least 1, or leave --nrows out for all rows"
        )
    columns = load_mapping(mapping) if mapping else None
    settings = {
        "nrows": nrows,
        "train_weeks": train_weeks,
        "val_weeks": val_weeks,
        "mapping": columns.text if columns else None,
    }
    files = source_files(input, columns) + (side_files(input, columns) if columns else [])
    flags = {
        "--input": input.absolute(),  # so that `status` finds it from another folder
        "--nrows": nrows,
        "--mapping": mapping if mapping is None or mapping in shipped() else Path(mapping).absolute(),
        "--train-weeks": train_weeks,
        "--val-weeks": val_weeks,
        "--engine": flag_of(engine),
    }
    manifest = Manifest(PIPELINE, data_dir, files, settings, OUTPUTS, command=flags)
    if manifest.is_current():
        manifest.keep_command()
        console.out.print(f"{data_dir / 'processed'} is current: nothing to do")
        return
    tables = connect(engine)  # not the one that reads the raw rows: their memory is free again by then
    prepare_transactions(input, nrows, data_dir, split, columns)
    train_end = load_calendar(data_dir).train_end
    transactions = TRANSACTIONS.read(data_dir, tables)
    steps = (
        (PRICES, PRICES.write_parts, lambda: price_parts(transactions), ["product_id", "store_id", "week"]),
        (
            PRODUCT_GRAPH,
            PRODUCT_GRAPH.write,
            lambda: build_graph(transactions, train_end),
            ["edge_type", "source_level", "source", "target"],
        ),
        (AFFINITY, AFFINITY.write, lambda: measure_affinity(transactions), ["customer_id", "week"]),
        (MISSIONS, MISSIONS.write, lambda: measure_missions(transactions), ["customer_id", "week"]),
    )
    with console.stages(len(steps)) as advance:
        for artifact, write, make, order in steps:
            advance(artifact.path)
            write(data_dir, make(), tables, order)
    here = connect()
    for artifact, *_ in steps:
        rows = artifact.read(data_dir, here).count().execute()
        console.out.print(f"  {artifact.path}: {rows:,} rows ({artifact.about})")
    manifest.write()


def split_of_flags(train_weeks: int | None, val_weeks: int | None) -> tuple[int, int] | None:
    """What --train-weeks and --val-weeks say; None where they were left out, and the usual split is meant."""
    if train_weeks is None and val_weeks is None:
        return None
    if train_weeks is None or val_weeks is None:
        raise UserError("--train-weeks and --val-weeks make one split: give both, or neither")
    if not 0 < train_weeks < val_weeks:
        raise UserError(f"--train-weeks {train_weeks} and --val-weeks {val_weeks} must rise from 1")
    return train_weeks, val_weeks


def prepare_transactions(
    source: Path, nrows: int | None, root: Path, split: tuple[int, int] | None, mapping: Mapping | None = None
) -> None:
    """Read, check, sample and write the transactions; print the account of rows and the split's weeks."""
    engine = connect()
    schema = mapping.schema if mapping else PUBLISHED
    stored = stored_rows(source_files(source, mapping))
    verdict = judge(read_transactions(source, engine, mapping), stored, engine, schema)
    account = usable_account(verdict, source)
    calendar = calendar_of(verdict.used, split, schema.names["date"])
    if mapping:
        calendar = replace(calendar, dates_known=mapping.dates_known, hours_known="hour" not in mapping.unknown)
    if nrows is not None:
        sample = engine.create_table("sample", sample_customers(verdict.rows, nrows).select("file", "row"), temp=True)
        verdict = verdict.of(sample)
        account = usable_account(verdict, source)
    rows, aside = verdict.rows.count().execute(), sum(entry["n"] for entry in account)
    TRANSACTIONS.write(root, build_transactions(verdict.used, calendar), engine, ["week", "basket_id", "product_id"])
    CALENDAR.write(root, calendar.to_json())
    if aside:
        QUARANTINE.write(root, verdict.aside, engine, ["file", "row"])
    else:
        (root / QUARANTINE.path).unlink(missing_ok=True)
    if mapping:
        unknown = [*mapping.unknown, *(() if calendar.dates_known else ("the season",))]
        if unknown:
            console.out.print(f"not in the source, so unknown: {', '.join(unknown)}")
    written = TRANSACTIONS.read(root, engine)
    n = written.count().execute()
    console.out.print(
        f"{rows:,} rows in = {rows - aside:,} used + {aside:,} set aside{' in ' + QUARANTINE.path if aside else ''}; "
        f"{n:,} basket × product rows ({rows - aside - n:,} added to others) over {calendar.last_week} weeks"
    )
    for entry in account:
        console.out.print(f"  {entry['n']:,} set aside: {entry['column']} {entry['reason']}")
    for doubt in doubts_about(verdict, written if nrows is None else None, schema, mapping):
        console.out.print(f"  warning: {doubt}")
    fault = calendar.split_fault()
    console.out.print(f"  warning: {fault}" if fault else f"  {calendar.split_line()}")
    if calendar.dates_known and (last := calendar.monday_of(calendar.last_week)) > date.today():
        console.out.print(
            f"  warning: the last week begins on {last}, after today: are {schema.names['date']} and its format right?"
        )


def doubts_about(
    verdict: Verdict, transactions: ir.Table | None, schema: Schema, mapping: Mapping | None
) -> Iterator[str]:
    """What was used, but may not be meant: mapped columns without a value, and weeks without a receipt.

    Args:
        verdict: on the rows used.
        transactions: all of them; None for a sample, in which weeks are empty by chance.
        schema: what the source calls our columns.
        mapping: by which they were read, if by one.
    """
    optional = [name for name in mapping.columns if name not in schema.required] if mapping else []
    for name in verdict.never_known(optional) if optional else []:
        yield (
            f"{name} is unknown in every row used: {schema.names[name]} is empty, stands in no file that is there, "
            f"or holds no value that is known"
        )
    if transactions is not None and (gap := longest_gap(transactions)):
        yield f"weeks {gap[0]}–{gap[1]} have no receipt: are the dates before and behind them right?"


def longest_gap(transactions: ir.Table) -> tuple[int, int] | None:
    """The first and last of the most weeks on end without a row; None where they are no more than MOST_EMPTY_WEEKS."""
    weeks = sorted(transactions.select("week").distinct().to_pyarrow()["week"].to_pylist())
    gaps = [(after - before - 1, before + 1, after - 1) for before, after in pairwise(weeks)]
    empty, first, last = max(gaps, default=(0, 0, 0))
    return (first, last) if empty > MOST_EMPTY_WEEKS else None


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(run_pipeline, argv)


if __name__ == "__main__":
    sys.exit(main())
