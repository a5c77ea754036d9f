"""C38: Spark makes of a shop's receipts what DuckDB makes of them, table by table.

Customers' and stores' features are left to the tests that compile them: Spark takes minutes to plan either.
"""

from collections.abc import Callable, Iterator

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pytest

from retailsim.artifacts import TRANSACTIONS
from retailsim.data_pipeline.missions import measure_missions
from retailsim.data_pipeline.product_graph import build_graph
from retailsim.data_pipeline.store_affinity import measure_affinity
from retailsim.data_pipeline.unit_prices import derive_prices
from retailsim.feature_engineering.pseudo_brands import derive_brands
from retailsim.storage import connect

pytestmark = [
    pytest.mark.spark,
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),  # Ibis, of pandas
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # sockets between Python and Java that PySpark leaves open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TRAIN_END = 20


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ibis.BaseBackend]:
    sql = pytest.importorskip("pyspark.sql")
    settings = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
    }
    session = sql.SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield ibis.pyspark.connect(session)
    session.stop()


STAGES: dict[str, tuple[list[str], Callable[[ir.Table], ir.Table]]] = {
    "prices": (["product_id", "store_id", "week"], derive_prices),
    "graph": (["edge_type", "source_level", "source", "target"], lambda sales: build_graph(sales, TRAIN_END)),
    "affinity": (["customer_id", "week"], measure_affinity),
    "missions": (["customer_id", "week"], measure_missions),
    "brands": (["product_id"], lambda sales: derive_brands(sales, TRAIN_END)),
}


@pytest.mark.parametrize("stage", STAGES)
def test_the_tables_are_those_of_duckdb(shop, spark, stage):
    keys, make = STAGES[stage]
    ours, theirs = (rows_of(make(TRANSACTIONS.read(shop.data, of)), of, keys) for of in (connect(), spark))
    assert theirs.column_names == ours.column_names and len(theirs) == len(ours) > 10
    for name in ours.column_names:
        here, there = ours[name].to_pylist(), theirs[name].to_pylist()
        if pa.types.is_floating(ours[name].type):
            np.testing.assert_allclose(
                np.array(there, dtype=float), np.array(here, dtype=float), rtol=1e-9, atol=1e-12, err_msg=name
            )
        else:
            assert there == here, name


def rows_of(table: ir.Table, engine: ibis.BaseBackend, keys: list[str]) -> pa.Table:
    """The rows of `table`, in the order of their `keys` as Python sorts them."""
    rows = engine.to_pyarrow(table)
    places = sorted(range(len(rows)), key=lambda i: tuple(str(rows[key][i].as_py()).zfill(12) for key in keys))
    return rows.take(places)
