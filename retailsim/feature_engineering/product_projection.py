"""Purchases of thousands of products as a few dozen numbers: the leading directions of who buys what.

A truncated singular value decomposition of the matrix of damped purchase counts, customers (or stores) × products,
over the training weeks (Deerwester et al. 1990, "Indexing by latent semantic analysis", §4). Its right singular vectors
are the directions; a shopper's place along them is a *linear* function of the purchases, so it can be added up week by
week and decayed like any count. The number of directions decides how well products can be read back, not how counts
are damped or how fast they decay (measured: docs/experiments.md).
"""

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from retailsim.weeks import Calendar

DAMPING = 0.75  # a product bought n times by one customer weighs n^0.75
UNIT = 2**16  # loadings are kept as integers of 1 / UNIT, so that sums over receipts do not depend on their order
NEGLIGIBLE = 1e-9  # singular values below this share of the largest are rounding noise


def directions(rank: int) -> list[str]:
    """Column names of `rank` directions."""
    return [f"direction_{i}" for i in range(rank)]


def fit_projection(
    transactions: ir.Table, entity: str, rank: int, calendar: Calendar, engine: ibis.BaseBackend
) -> pa.Table:
    """Loadings of every product of the training weeks on the leading `rank` directions.

    Args:
        transactions: `artifacts.TRANSACTIONS`.
        entity: column whose purchases are told apart, e.g. "customer_id"; rows without one are left out.
        rank: number of directions; those that the data does not have are zero.
        calendar: whose training weeks count.
        engine: where the counting runs.

    Returns:
        product_id (sorted) and `directions(rank)`: int32, loading × UNIT; each direction has unit length and its
        largest loading is positive.
    """
    seen = transactions.filter((transactions.week <= calendar.train_end) & transactions[entity].notnull())
    counts = seen.group_by(entity, "product_id").agg(n=seen.count()).order_by(entity, "product_id")
    found = engine.to_pyarrow(counts)
    products = pc.unique(found["product_id"]).sort()
    columns = pc.index_in(found["product_id"], value_set=products).to_numpy()
    entities = found[entity].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    damped = found["n"].to_numpy().astype(np.float64) ** DAMPING
    shape = (int(entities.max(initial=-1)) + 1, len(products))
    loadings = leading_directions(csr_matrix((damped, (entities, columns)), shape), rank)
    whole = np.rint(loadings * UNIT).astype(np.int32)
    return pa.table({"product_id": products, **{name: whole[:, i] for i, name in enumerate(directions(rank))}})


def leading_directions(matrix: csr_matrix, rank: int) -> np.ndarray:
    """The first `rank` right singular vectors as columns [products, rank], strongest first; missing ones are zero."""
    if min(matrix.shape) == 0:  # nobody is known who buys
        return np.zeros((matrix.shape[1], rank))
    if min(matrix.shape) <= rank + 1:
        _, strength, vectors = np.linalg.svd(matrix.toarray(), full_matrices=False)
    else:
        start = np.full(min(matrix.shape), min(matrix.shape) ** -0.5)
        _, strength, vectors = svds(matrix, k=rank, v0=start)  # a fixed start: the same bytes every time
    order = np.argsort(-strength, kind="stable")[:rank]
    order = order[strength[order] > NEGLIGIBLE * strength.max()]
    kept = vectors[order]
    largest = kept[np.arange(len(kept)), np.abs(kept).argmax(axis=1)]
    padded = np.zeros((rank, matrix.shape[1]))
    padded[: len(kept)] = kept * np.sign(largest)[:, None]
    return padded.T


def weekly_purchases(
    transactions: ir.Table,
    entity: str,
    loadings: pa.Table,
    marks: Mapping[str, ir.BooleanValue],
) -> ir.Table:
    """What each `entity` bought in each week: its place along the directions and the purchases with each mark.

    Args:
        transactions: rows with `entity` known.
        entity: key column, e.g. "customer_id".
        loadings: from `fit_projection`; a product without loadings moves no direction.
        marks: column name → a condition on `transactions`; null counts as false.

    Returns:
        One row per entity and week: `entity`, week, purchases (rows), one count per mark and the directions;
        all exact, in whatever order the rows come.
    """
    names = [name for name in loadings.column_names if name != "product_id"]
    marked = transactions.select(
        entity, "week", "product_id", **{name: mark.fill_null(False).cast("int32") for name, mark in marks.items()}
    )
    rows = marked.left_join(ibis.memtable(loadings), "product_id")
    sums = rows.group_by(entity, "week").agg(
        purchases=rows.count(),
        **{name: rows[name].sum() for name in marks},
        **{name: (rows[name].sum().fill_null(0) / UNIT) for name in names},
    )
    return sums
