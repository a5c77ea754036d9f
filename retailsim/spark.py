"""The second engine: Spark, for receipts that are worked on by more than one machine (SPEC C38).

Which Spark is the surroundings' business: `spark-defaults.conf` in SPARK_CONF_DIR, SPARK_DRIVER_MEMORY and the like; without
them it runs on this machine. PySpark is not imported before `--engine spark` asks for it.
"""

import os
import shutil
from typing import Any

import ibis
import ibis.expr.types as ir

from retailsim.errors import UserError

SETTINGS: dict[str, Any] = {
    "spark.ui.showConsoleProgress": "false",  # we have a bar of our own
    "spark.sql.ansi.enabled": "true",  # an overflow stops the run instead of becoming null
}


def connect() -> ibis.BaseBackend:
    """A Spark session; a UserError where PySpark or Java is missing, or Spark does not start."""
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UserError('--engine spark needs PySpark: pip install "retailsim[spark]"') from error
    if not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        raise UserError("--engine spark needs Java 17 or newer: install it, or set JAVA_HOME")
    try:
        session = SparkSession.builder.appName("retailsim").config(map=SETTINGS).getOrCreate()
    except errors() as error:
        told = str(getattr(error, "java_exception", error)).splitlines()[0]
        raise UserError(f"Spark does not start ({told}): mend its settings, or leave --engine out") from error
    session.sparkContext.setLogLevel("ERROR")
    return ibis.pyspark.connect(session)


def held(table: ir.Table, engine: ibis.BaseBackend) -> ir.Table:
    """`table`, computed now and kept by the executors: what uses its columns many times over is planned from there."""
    name = ibis.util.gen_name("held")
    engine.create_view(name, table)  # makes tables in memory known, too
    engine.raw_sql(f"SELECT * FROM `{name}`").localCheckpoint().createOrReplaceTempView(name)
    return engine.table(name)


def errors() -> tuple[type[Exception], ...]:
    """What Spark raises."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    return (PySparkException, Py4JError)
