"""Prices, graph and histories become features: pseudo-brands, price features, product and customer embeddings, stores.

Reads data/processed/. Writes data/features/ (pseudo_brands, price_features, product_embeddings with its report,
customer_embeddings, store_features).
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import ibis

from retailsim import console
from retailsim.artifacts import (
    CALENDAR,
    CUSTOMER_EMBEDDINGS,
    EMBEDDING_REPORT,
    FEATURES,
    PIPELINE,
    PRICE_FEATURES,
    PRICES,
    PRODUCT_EMBEDDINGS,
    PRODUCT_GRAPH,
    PSEUDO_BRANDS,
    STORE_FEATURES,
    TRANSACTIONS,
)
from retailsim.errors import UserError
from retailsim.feature_engineering.customer_histories import describe_customers
from retailsim.feature_engineering.fourier_prices import price_features
from retailsim.feature_engineering.product_embeddings import embed_products
from retailsim.feature_engineering.pseudo_brands import derive_brands
from retailsim.feature_engineering.store_features import describe_stores
from retailsim.manifest import Manifest, again, settings_of
from retailsim.reading import load_calendar
from retailsim.storage import EngineName, connect, flag_of

INPUTS = (TRANSACTIONS, CALENDAR, PRICES, PRODUCT_GRAPH)
OUTPUTS = (
    PSEUDO_BRANDS, PRICE_FEATURES, PRODUCT_EMBEDDINGS, EMBEDDING_REPORT, CUSTOMER_EMBEDDINGS, STORE_FEATURES,
)  # fmt: skip


def run_feature_engineering(
    nrows: int | None = None, data_dir: Path = Path("data"), seed: int = 0, engine: EngineName = "duckdb"
) -> None:
    """data/processed/ → data/features/: brands, price features, product, customer and store embeddings.

    Args:
        nrows: the number of rows that the data pipeline took; may be left out.
        data_dir: root of everything written.
        seed: seed of the product embeddings' training.
        engine: what computes the tables: duckdb, inside this process, or spark (docs/large_data.md); the same results. What is
            trained or transformed is so in this process in any case.
    """
    inputs = [artifact.at(data_dir) for artifact in INPUTS]
    taken = settings_of(TRANSACTIONS, PIPELINE, data_dir)["nrows"]
    if nrows is not None and nrows != taken:
        raise UserError(
            f"--nrows {nrows} differs from the data pipeline's ({'all rows' if taken is None else taken}): leave it out, "
            f'or run "{again(PIPELINE, data_dir, {"--nrows": nrows})}" first'
        )
    command = {"--seed": seed, "--engine": flag_of(engine)}
    manifest = Manifest(FEATURES, data_dir, inputs, {"seed": seed}, OUTPUTS, command=command)
    if manifest.is_current():
        manifest.keep_command()
        console.out.print(f"{data_dir / 'features'} is current: nothing to do")
        return
    with console.stages(5) as advance:
        build_features(data_dir, seed, connect(engine), advance)
    for name, measured in EMBEDDING_REPORT.read(data_dir)["edge_types"].items():
        if measured["auc"] is not None:
            console.out.print(f"  product embeddings: AUC {measured['auc']:.3f} on held-out {name} edges")
    here = connect()
    for artifact in (PSEUDO_BRANDS, PRICE_FEATURES, PRODUCT_EMBEDDINGS, CUSTOMER_EMBEDDINGS, STORE_FEATURES):
        rows = artifact.read(data_dir, here).count().execute()
        console.out.print(f"  {artifact.path}: {rows:,} rows ({artifact.about})")
    manifest.write()


def build_features(root: Path, seed: int, engine: ibis.BaseBackend, advance: console.Advance) -> None:
    """Write the five layers under data root `root`, calling `advance` with the name of each as it begins."""
    calendar, here = load_calendar(root), connect()  # for tables that come from NumPy
    transactions = TRANSACTIONS.read(root, engine)
    advance(PSEUDO_BRANDS.path)
    PSEUDO_BRANDS.write(root, derive_brands(transactions, calendar.train_end), engine, ["product_id"])
    brands = PSEUDO_BRANDS.read(root, engine)
    advance(PRICE_FEATURES.path)
    prices = price_features(PRICES.read(root, engine), brands, transactions, calendar, engine)
    PRICE_FEATURES.write(root, prices, here, ["product_id", "week"])
    advance(PRODUCT_EMBEDDINGS.path)
    embeddings, report = embed_products(transactions, PRODUCT_GRAPH.read(root, engine), brands, calendar, engine, seed)
    PRODUCT_EMBEDDINGS.write(root, embeddings, here, ["product_id"])
    EMBEDDING_REPORT.write(root, report)
    advance(CUSTOMER_EMBEDDINGS.path)
    customers = describe_customers(transactions, brands, calendar, engine)
    CUSTOMER_EMBEDDINGS.write(root, customers, engine, ["row"])
    advance(STORE_FEATURES.path)
    STORE_FEATURES.write(root, describe_stores(transactions, calendar, engine), engine, ["row"])


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(run_feature_engineering, argv)


if __name__ == "__main__":
    sys.exit(main())
