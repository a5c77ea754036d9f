"""C38: the commands write with `--engine spark` what they write with DuckDB, table by table."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pytest

from retailsim import artifacts, spark
from retailsim.errors import UserError
from retailsim.manifest import command_of
from retailsim.storage import Table, held
from tests import recipe

pytestmark = [
    pytest.mark.spark,
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),  # Ibis, of pandas
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # sockets between Python and Java that PySpark leaves open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ON_SPARK = ("data_pipeline.run_pipeline", "feature_engineering.run_feature_engineering", "training.prepare_samples")
COMPARED = (
    artifacts.TRANSACTIONS,
    artifacts.PRICES,
    artifacts.PRODUCT_GRAPH,
    artifacts.AFFINITY,
    artifacts.MISSIONS,
    artifacts.PSEUDO_BRANDS,
    artifacts.PRICE_FEATURES,
    artifacts.PRODUCT_EMBEDDINGS,
    artifacts.CUSTOMER_EMBEDDINGS,
    artifacts.STORE_FEATURES,
    artifacts.TEMPORAL_METADATA,
    *artifacts.SAMPLE_TABLES.values(),
)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ibis.BaseBackend]:
    """A session for small tables; `--engine spark` takes the one that is there."""
    sql = pytest.importorskip("pyspark.sql")
    settings = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        # Few rows: planning, compiling and optimising take longer than computing.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
    }
    sql.SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    engine = spark.connect()
    yield engine
    engine.disconnect()


@pytest.fixture(scope="module")
def spark_shop(shop: recipe.Shop, session: ibis.BaseBackend, tmp_path_factory: pytest.TempPathFactory) -> recipe.Shop:
    """The shop, prepared anew by the same commands with Spark, but for the tensor cache."""
    made = recipe.Shop(shop.raw, tmp_path_factory.mktemp("spark") / "data", shop.checkpoints)
    commands = [(stage, [*flags, *["--engine", "spark"] * (stage in ON_SPARK)]) for stage, flags in recipe.PREPARATION]
    recipe.prepare(made, commands[:-1])
    return made


@pytest.mark.parametrize("table", COMPARED, ids=lambda table: table.path)
def test_the_tables_are_those_of_duckdb(table: Table, shop: recipe.Shop, spark_shop: recipe.Shop) -> None:
    ours, theirs = (table.load(root.data) for root in (shop, spark_shop))
    assert (theirs.schema.names, theirs.schema.types) == (ours.schema.names, ours.schema.types)
    assert len(theirs) == len(ours) > 10
    for name in ours.column_names:
        here, there = (_flat(rows[name]) for rows in (ours, theirs))
        if pa.types.is_floating(here.type):
            assert there.is_null().equals(here.is_null()), name
            np.testing.assert_allclose(
                there.to_numpy(zero_copy_only=False),
                here.to_numpy(zero_copy_only=False),
                rtol=1e-9,
                atol=1e-12,
                err_msg=name,
            )
        else:
            assert there.equals(here), name


def _flat(column: pa.ChunkedArray) -> pa.Array:
    """The values of a column; of lists, one after the other."""
    values = column.combine_chunks()
    return values.flatten() if pa.types.is_list(values.type) else values


def test_the_engine_is_remembered_and_nothing_is_left_behind(spark_shop: recipe.Shop) -> None:
    for stage, first in zip(
        ON_SPARK, (artifacts.TRANSACTIONS, artifacts.PSEUDO_BRANDS, artifacts.SAMPLE_TABLES["train"]), strict=True
    ):
        assert command_of(first, stage, spark_shop.data)["--engine"] == "spark"
    assert not [path for path in spark_shop.data.rglob("*") if path.name.startswith(".")]


def test_what_is_held_is_not_computed_again(session: ibis.BaseBackend, tmp_path: Path) -> None:
    table = ibis.memtable({"week": [1, 2, 3]})
    session.to_parquet(table, tmp_path / "weeks")
    kept = held(session.read_parquet(tmp_path / "weeks").mutate(next=ibis._.week + 1))
    shutil.rmtree(tmp_path / "weeks")
    assert session.to_pyarrow(kept.next.sum()).as_py() == 9


def test_a_table_without_rows_is_written(session: ibis.BaseBackend, tmp_path: Path) -> None:
    table = Table(
        "none.parquet", "data_pipeline.run_pipeline", "", {"week": ("int32", ""), "parts": ("array<float64>", "")}
    )
    rows = session.create_view("weeks", ibis.memtable({"week": [1], "parts": [[0.5]]}))
    table.write(tmp_path, rows.filter(rows.week > 1), session, ["week"])
    assert table.load(tmp_path).num_rows == 0 and [path.name for path in tmp_path.iterdir()] == ["none.parquet"]


def test_without_java_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="needs Java 17 or newer"):
        spark.connect()
