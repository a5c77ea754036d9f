"""Fit the vocabulary and the scalers of the six tensors, build each tensor once and check it (SPEC C9, C12, C13).

Reads data/processed/ and data/features/. Writes data/tensors/ (vocabulary, scalers); prints the table of the tensors.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import ibis
import ibis.expr.types as ir
import numpy as np
from rich.table import Table as Grid

from retailsim import console, layout
from retailsim.artifacts import (
    AFFINITY,
    CALENDAR,
    CUSTOMER_EMBEDDINGS,
    FEATURES,
    MISSIONS,
    PRICE_FEATURES,
    PRODUCT_EMBEDDINGS,
    SCALERS,
    STORE_FEATURES,
    TENSORS,
    TRANSACTIONS,
    VOCABULARY,
)
from retailsim.errors import UserError
from retailsim.manifest import Manifest, again
from retailsim.reading import load_calendar, load_vocabulary
from retailsim.storage import connect
from retailsim.tensor_preparation import t1_customer, t2_products, t3_time, t4_prices, t5_store, t6_trip
from retailsim.vocab import SPECIAL_TOKENS
from retailsim.weeks import Calendar

INPUTS = (
    TRANSACTIONS, CALENDAR, AFFINITY, MISSIONS, CUSTOMER_EMBEDDINGS, STORE_FEATURES, PRODUCT_EMBEDDINGS, PRICE_FEATURES,
)  # fmt: skip
OUTPUTS = (VOCABULARY, SCALERS)
LIMIT = 10.0  # no number of a tensor may lie beyond it


def run_tensor_preparation(data_dir: Path = Path("data")) -> None:
    """Check that the six tensors can be built: every width, every range, no NaN.

    Args:
        data_dir: root of everything written.
    """
    inputs = [artifact.at(data_dir) for artifact in INPUTS]
    manifest = Manifest(TENSORS, data_dir, inputs, {}, OUTPUTS)
    if manifest.is_current():
        console.out.print(f"{data_dir / 'tensors'} is current: nothing to do")
        return
    engine = connect()
    calendar = load_calendar(data_dir)
    VOCABULARY.write(data_dir, list_products(TRANSACTIONS.read(data_dir, engine), calendar), engine, ["row"])
    customers, affinity, missions = (a.read(data_dir, engine) for a in (CUSTOMER_EMBEDDINGS, AFFINITY, MISSIONS))
    stores = STORE_FEATURES.read(data_dir, engine)
    scalers = {
        "t1": t1_customer.fit(customers, affinity, missions, calendar, engine),
        "t5": t5_store.fit(stores, calendar, engine),
    }
    SCALERS.write(data_dir, scalers)
    vocabulary = load_vocabulary(data_dir)
    prices, _ = t4_prices.build(PRICE_FEATURES.read(data_dir, engine), vocabulary, calendar, engine, data_dir)
    tensors = {
        layout.T1: t1_customer.build(customers, affinity, missions, scalers["t1"], engine),
        layout.T2: t2_products.build(PRODUCT_EMBEDDINGS.read(data_dir, engine), vocabulary, engine),
        layout.T3: np.concatenate([t3_time.day_table(calendar), t3_time.hour_table(), t3_time.recency_table()]),
        layout.T4: prices.reshape(-1, layout.T4.width),
        layout.T5: t5_store.build(stores, scalers["t5"], engine),
        layout.T6: np.concatenate(t6_trip.trip_tables()),
    }
    console.out.print(describe(tensors, data_dir))
    manifest.write()


def list_products(transactions: ir.Table, calendar: Calendar) -> ir.Table:
    """VOCABULARY: special tokens, the products of the training weeks, then late ones, each part in the order of ids."""
    first = transactions.group_by("product_id").agg(first_week=transactions.week.min())
    products = first.mutate(kind=(first.first_week <= calendar.train_end).ifelse("product", "late"))
    number = ibis.row_number().over(order_by=[products.kind == "late", products.product_id])
    rows = products.select("product_id", "kind", row=number + len(SPECIAL_TOKENS))
    if named := sorted(products.filter(products.product_id.isin(SPECIAL_TOKENS)).product_id.to_pyarrow().to_pylist()):
        raise UserError(f"the product {named[0]!r} is called as a special token of the vocabulary: give it another id")
    special = [{"product_id": token, "kind": "special", "row": row} for row, token in enumerate(SPECIAL_TOKENS)]
    return rows.union(ibis.memtable(special, schema={"product_id": "string", "kind": "string", "row": "int64"}))


def describe(tensors: dict[layout.Layout, np.ndarray], root: Path) -> Grid:
    """The table of SPEC §4 with what was found; a UserError names the first tensor and slice that is unsound."""
    grid = Grid("tensor", "width", "slices", "rows", "min", "max", "mean", "deviation")
    for kind, rows in tensors.items():
        if rows.ndim != 2 or rows.shape[1] != kind.width:
            raise UserError(
                f'{kind.name} has shape {list(rows.shape)}, not [rows, {kind.width}]: run "{again(FEATURES, root)}" again'
            )
        for name in kind.widths:
            part = rows[:, kind[name]]
            if not np.isfinite(part).all() or np.abs(part).max(initial=0) > LIMIT:
                raise UserError(
                    f"{kind.name}, slice {name}, holds a number that is not finite or beyond ±{LIMIT:g}: "
                    f'run "{again(FEATURES, root)}" again'
                )
        slices = " · ".join(f"{name} {width}" for name, width in kind.widths.items())
        figures = (rows.min(), rows.max(), rows.mean(dtype=np.float64), rows.std(dtype=np.float64))
        grid.add_row(kind.name, str(kind.width), slices, f"{len(rows):,}", *[f"{figure:.2f}" for figure in figures])
    return grid


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(run_tensor_preparation, argv)


if __name__ == "__main__":
    sys.exit(main())
