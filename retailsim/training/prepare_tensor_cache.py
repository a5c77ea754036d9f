"""Build T1, T2, T4, T5 and the purchase histories as memory-mapped arrays, looked up by row during training (SPEC C10).

Reads data/processed/, data/features/, data/tensors/ and data/training/. Writes data/training/cache/. T1 and T5 have one
row per customer or store and week, because what they say holds as of that week; so have the histories.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import ibis
import ibis.expr.types as ir

from retailsim import console
from retailsim.artifacts import (
    AFFINITY,
    CACHE,
    CALENDAR,
    CHAIN_POPULARITY,
    COMPANION_IDS,
    COMPANION_WEIGHTS,
    CUSTOMER_CACHE,
    CUSTOMER_EMBEDDINGS,
    CUSTOMER_HISTORIES,
    CUSTOMER_PURCHASES,
    INDEX_MAPPINGS,
    LAST_PRICE_CACHE,
    MISSIONS,
    PRICE_CACHE,
    PRICE_FEATURES,
    PRODUCT_CACHE,
    PRODUCT_EMBEDDINGS,
    PRODUCT_GROUPS,
    SAMPLE_TABLES,
    SCALERS,
    STORE_CACHE,
    STORE_FEATURES,
    STORE_HISTORIES,
    STORE_PURCHASES,
    SUCCESSOR_IDS,
    SUCCESSOR_WEIGHTS,
    TRANSACTIONS,
    VOCABULARY,
)
from retailsim.manifest import Manifest
from retailsim.reading import load_calendar, load_vocabulary
from retailsim.storage import connect
from retailsim.tensor_preparation import t1_customer, t2_products, t4_prices, t5_store
from retailsim.training.companion_weights import companion_weights, customer_frequencies
from retailsim.training.product_groups import MOST_GROUPS, product_groups
from retailsim.training.purchases import Purchases, purchase_arrays
from retailsim.training.samples import load_baskets

INPUTS = (
    TRANSACTIONS, CALENDAR, AFFINITY, MISSIONS, CUSTOMER_EMBEDDINGS, STORE_FEATURES, PRODUCT_EMBEDDINGS, PRICE_FEATURES, VOCABULARY, SCALERS,
    SAMPLE_TABLES["train"],
)  # fmt: skip
OUTPUTS = (
    CUSTOMER_CACHE, STORE_CACHE, PRODUCT_CACHE, PRICE_CACHE, LAST_PRICE_CACHE,
    CUSTOMER_HISTORIES, CUSTOMER_PURCHASES, STORE_HISTORIES, STORE_PURCHASES, CHAIN_POPULARITY,
    COMPANION_IDS, COMPANION_WEIGHTS, SUCCESSOR_IDS, SUCCESSOR_WEIGHTS, PRODUCT_GROUPS, INDEX_MAPPINGS,
)  # fmt: skip


def prepare_tensor_cache(data_dir: Path = Path("data")) -> None:
    """Build the tensors of all customers, stores and products into data/training/cache/.

    Args:
        data_dir: root of everything written.
    """
    inputs = [artifact.at(data_dir) for artifact in INPUTS]
    manifest = Manifest(CACHE, data_dir, inputs, {}, OUTPUTS)
    if manifest.is_current():
        console.out.print(f"{data_dir / 'training/cache'} is current: nothing to do")
        return
    engine = connect()
    vocabulary, calendar = load_vocabulary(data_dir), load_calendar(data_dir)
    scalers = SCALERS.read(data_dir)
    customers, stores = CUSTOMER_EMBEDDINGS.read(data_dir, engine), STORE_FEATURES.read(data_dir, engine)
    affinity, missions = AFFINITY.read(data_dir, engine), MISSIONS.read(data_dir, engine)
    prices, last_prices = t4_prices.build(PRICE_FEATURES.read(data_dir, engine), vocabulary, calendar, engine, data_dir)
    arrays = {
        CUSTOMER_CACHE: t1_customer.build(customers, affinity, missions, scalers["t1"], engine),
        STORE_CACHE: t5_store.build(stores, scalers["t5"], engine),
        PRODUCT_CACHE: t2_products.build(PRODUCT_EMBEDDINGS.read(data_dir, engine), vocabulary, engine),
        PRICE_CACHE: prices,
        LAST_PRICE_CACHE: last_prices,
    }
    products, transactions = VOCABULARY.read(data_dir, engine), TRANSACTIONS.read(data_dir, engine)
    arrays |= purchase_arrays(transactions, customers, stores, products, calendar)
    arrays[PRODUCT_GROUPS] = product_groups(transactions.filter(transactions.week <= calendar.train_end), vocabulary)
    train = load_baskets(data_dir, "train")
    customers_before = Purchases(arrays[CUSTOMER_HISTORIES], arrays[CUSTOMER_PURCHASES])
    frequencies = customer_frequencies(
        customers_before, train.columns["customer_row"], train.columns["week"], vocabulary.size
    )
    companions, successors = companion_weights(
        train.columns["sample"], train.starts, train.products, frequencies, vocabulary.size
    )
    arrays |= {COMPANION_IDS: companions.ids, COMPANION_WEIGHTS: companions.weights}
    arrays |= {SUCCESSOR_IDS: successors.ids, SUCCESSOR_WEIGHTS: successors.weights}
    for artifact, array in arrays.items():
        artifact.write(data_dir, array)
        shape, size = " × ".join(f"{n:,}" for n in array.shape), console.size(array.nbytes)
        console.out.print(f"  {artifact.path}: {shape}, {size} ({artifact.about})")
    if not arrays[PRODUCT_GROUPS].any():
        console.out.print(
            f"  note: no level of the hierarchy has 2 to {MOST_GROUPS} codes, so no product's group is known"
        )
    INDEX_MAPPINGS.write(data_dir, index_mappings(customers, stores, products), engine, ["kind", "row"])
    manifest.write()


def index_mappings(customers: ir.Table, stores: ir.Table, products: ir.Table) -> ir.Table:
    """Which id (and week) stands in which row of the cached arrays, as INDEX_MAPPINGS."""
    return ibis.union(
        customers.select(kind=ibis.literal("customer"), id="customer_id", week="week", row="row"),
        stores.select(kind=ibis.literal("store"), id="store_id", week="week", row="row"),
        products.select(kind=ibis.literal("product"), id="product_id", week=ibis.null("int32"), row="row"),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(prepare_tensor_cache, argv)


if __name__ == "__main__":
    sys.exit(main())
