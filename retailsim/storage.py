"""How files between stages are kept: tables, arrays and records, checked when read and written atomically."""

import errno
import glob
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import duckdb
import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retailsim import spark
from retailsim.atomic import atomic, scratch
from retailsim.errors import UserError

EngineName = Literal["duckdb", "spark"]


def connect(engine: EngineName = "duckdb") -> ibis.BaseBackend:
    """What computes tables: DuckDB inside this process, of which nothing is kept between two connections, or Spark."""
    return spark.connect() if engine == "spark" else ibis.duckdb.connect()


def flag_of(engine: EngineName) -> str | None:
    """What is said of a command's `--engine`, in its manifest and by `run`: nothing where it is the default one."""
    return None if engine == "duckdb" else engine


def held(table: ir.Table) -> ir.Table:
    """`table`, computed now and held by its engine: what uses its columns many times over is planned from there."""
    engine = ibis.get_backend(table)
    if engine.name == "pyspark":  # has no temporary tables
        return spark.held(table, engine)
    # `.cache()` would fail when it is dropped (Ibis 12, DuckDB 2).
    return engine.create_table(ibis.util.gen_name("held"), table, temp=True)


def _first_line(error: Exception) -> str:
    return "".join(letter for letter in str(error).split("\n")[0] if letter.isprintable())


def engine_errors(engine: ibis.BaseBackend) -> tuple[type[Exception], ...]:
    """What `engine` raises for a file that it cannot read."""
    return (*(spark.errors() if engine.name == "pyspark" else (duckdb.Error,)), OSError)


def read_parquet(path: Path, engine: ibis.BaseBackend, **options: Any) -> ir.Table:
    """The file at `path` and no other: DuckDB takes [ ] * ? in a name for a pattern, and a folder a=1 for a column."""
    if engine.name != "duckdb":
        return engine.read_parquet(path)
    return engine.read_parquet(glob.escape(str(path)), hive_partitioning=False, **options)


def write_parquet(table: ir.Table, path: Path, engine: ibis.BaseBackend, **options: Any) -> None:
    """Write `table` to `path` with `options` of the engine; an OSError where the disk does not take it."""
    try:
        engine.to_parquet(table, path, **options)
    except duckdb.IOException as error:
        if number := re.search(r'"errno":"(\d+)"', str(error)):  # DuckDB tells a full disk in words only
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
        raise


@dataclass(frozen=True)
class Artifact:
    """A file that one stage writes and later ones read. `path` is relative to the data root."""

    path: str
    written_by: str  # module whose command writes it
    about: str  # one row per …

    def at(self, root: Path) -> Path:
        """Where the file lies under data root `root`; a UserError names the command to run when it is missing."""
        path = root / self.path
        if not path.exists():
            raise UserError(f'{path} is missing: run "{self._again(root)}" first')
        return path

    def damaged(self, root: Path, what: str) -> UserError:
        """The error for a file that is there but cannot be trusted."""
        return UserError(f'{root / self.path} {what}: run "{self._again(root)}" again')

    def _again(self, root: Path) -> str:
        from retailsim.manifest import again  # which is about files that are declared here

        return again(self.written_by, root)


@dataclass(frozen=True)
class Table(Artifact):
    """A Parquet table. `columns`: name → (Ibis dtype, unit or meaning)."""

    columns: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def schema(self) -> ibis.Schema:
        """Names and dtypes of the columns, in order."""
        return ibis.schema({name: dtype for name, (dtype, _) in self.columns.items()})

    def read(self, root: Path, engine: ibis.BaseBackend) -> ir.Table:
        """The table as an Ibis expression on `engine`, its columns and dtypes checked."""
        path = self.at(root)
        try:
            table = read_parquet(path, engine)
        except engine_errors(engine) as error:
            raise self.damaged(root, f"cannot be read ({_first_line(error)})") from error
        for name, (dtype, _) in self.columns.items():
            if name not in table.columns:
                raise self.damaged(root, f"has no column {name}")
            found = table.schema()[name]
            if found.copy(nullable=True) != ibis.dtype(dtype).copy(nullable=True):
                raise self.damaged(root, f"has column {name} as {found}, not {dtype}")
        return table.select(*self.columns)

    def load(self, root: Path, columns: Sequence[str] | None = None, **options: Any) -> pa.Table:
        """The table in memory, or some columns of it, as they are stored; `options` are pyarrow's."""
        try:
            return pq.read_table(self.at(root), columns=columns, **options)
        except (pa.ArrowException, OSError) as error:
            raise self.damaged(root, f"cannot be read ({_first_line(error)})") from error

    def write(self, root: Path, table: ir.Table, engine: ibis.BaseBackend, order_by: list[str]) -> None:
        """Cast `table` to the declared columns, sort it by `order_by` (which must identify a row) and write it."""
        if engine.name == "pyspark":  # which writes a folder of files
            return self.write_parts(root, [table], engine, order_by)
        with atomic(root / self.path) as temporary:
            write_parquet(self._typed(table).order_by(order_by), temporary, engine, compression="zstd")

    def write_parts(self, root: Path, parts: Iterable[ir.Table], engine: ibis.BaseBackend, order_by: list[str]) -> None:
        """As `write`, of a table that `engine` computes in parts, one after the other; DuckDB puts their rows in order."""
        with scratch(root / self.path) as folder:
            folder.mkdir(parents=True)
            for i, part in enumerate(parts):
                write_parquet(self._typed(part), folder / f"{i:05}.parquet", engine)
            together = connect() if engine.name == "pyspark" else engine
            rows = together.read_parquet(f"{glob.escape(str(folder))}/**/*.parquet", hive_partitioning=False)
            self.write(root, rows, together, order_by)

    def _typed(self, table: ir.Table) -> ir.Table:
        # `.cast` drops casts that Ibis believes needless, but an engine's sums and dates can be wider than it believes.
        return table.select(
            **{name: ops.Cast(table[name], to=dtype).to_expr() for name, (dtype, _) in self.columns.items()}
        )


@dataclass(frozen=True)
class Array(Artifact):
    """A NumPy array, memory-mapped when read. `shape` in letters, e.g. "rows 192"."""

    dtype: str = "float32"
    shape: str = ""

    def read(self, root: Path) -> np.ndarray:
        """The array, memory-mapped and read-only, its dtype and shape checked."""
        try:
            array = np.load(self.at(root), mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise self.damaged(root, f"cannot be read ({error})") from error
        expected = self.shape.split()
        fits = array.ndim == len(expected) and all(
            letter == str(size) for letter, size in zip(expected, array.shape, strict=True) if letter.isdigit()
        )
        if array.dtype != np.dtype(self.dtype) or not fits:
            raise self.damaged(root, f"holds {array.dtype} {array.shape}, not {self.dtype} [{self.shape}]")
        return array

    def write(self, root: Path, array: np.ndarray) -> None:
        """Write `array` as the declared dtype."""
        with atomic(root / self.path) as temporary, open(temporary, "wb") as file:
            try:
                np.save(file, np.ascontiguousarray(array, dtype=self.dtype), allow_pickle=False)
            except OSError as error:
                if error.errno is not None:
                    raise
                raise OSError(
                    errno.ENOSPC, os.strerror(errno.ENOSPC)
                ) from error  # NumPy says "10 requested, 3 written"


@dataclass(frozen=True)
class Record(Artifact):
    """A JSON object."""

    def read(self, root: Path) -> dict[str, Any]:
        """The object."""
        try:
            record = json.loads(self.at(root).read_text(encoding="utf-8"))
        except ValueError as error:
            raise self.damaged(root, f"is not JSON ({error})") from error
        if not isinstance(record, dict):
            raise self.damaged(root, "is not a JSON object")
        return record

    def write(self, root: Path, record: Mapping[str, Any]) -> None:
        """Write `record` with sorted keys, so that equal records are equal bytes."""
        with atomic(root / self.path) as temporary:
            temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
