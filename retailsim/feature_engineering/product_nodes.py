"""The product graph with numbered nodes: fitted products, hierarchy codes, then late products.

Fitted products (sold in the training weeks) and codes come first, so their numbers, and all that is learned on them,
do not depend on what late products there are. A late product hangs on its nearest known hierarchy code only.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

EDGE_TYPES = ("co_purchase", "substitution", "hierarchy")
LEVELS = (10, 20, 30, 40)


@dataclass(frozen=True)
class Edges:
    """Edges of one type: `source` and `target` int64 [E] node numbers, `weight` float32 [E]."""

    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True)
class ProductNodes:
    """P fitted products, C codes, Q late products; nodes 0 … P + C + Q − 1 in this order.

    `sub_category` int64 [P + Q] numbers the sub-category of the products, late ones last. `level` and `parent`, int64
    [P + C], number a code's level (1 … 4; product 0) and its parent code (0: none, and for products).
    """

    fitted: list[str]
    codes: list[str]
    late: list[str]
    sub_category: np.ndarray
    level: np.ndarray
    parent: np.ndarray
    edges: dict[str, Edges]  # by type, between fitted products and codes
    late_edges: Edges  # from late products to codes

    @property
    def n_learned(self) -> int:
        """P + C, the nodes that take part in training."""
        return len(self.fitted) + len(self.codes)


def number_nodes(products: pa.Table, graph: pa.Table) -> ProductNodes:
    """Number the nodes of `graph`.

    Args:
        products: `pseudo_brands.known_products`, any order.
        graph: PRODUCT_GRAPH. Its products are fitted ones; another id is a ValueError.
    """
    products = products.sort_by([("is_fitted", "descending"), ("product_id", "ascending")])
    n_fitted = pc.sum(products["is_fitted"]).as_py() or 0
    ids = products["product_id"].to_pylist()
    graph = graph.sort_by([(name, "ascending") for name in ("edge_type", "source_level", "source", "target")])
    ends = {end: _keys(graph[f"{end}_level"], graph[end]) for end in ("source", "target")}
    is_hierarchy = pc.equal(graph["edge_type"], "hierarchy")
    every = pa.concat_arrays([keys.filter(is_hierarchy.combine_chunks()) for keys in ends.values()])
    codes = pc.unique(every.filter(pc.invert(pc.starts_with(every, "0:")))).sort()
    names = pa.concat_arrays([_keys(pa.array([0] * n_fitted), pa.array(ids[:n_fitted], pa.string())), codes])
    numbers = {end: _numbers(keys, names) for end, keys in ends.items()}
    edges = {name: _edges(graph, numbers, name) for name in EDGE_TYPES}

    level = np.concatenate([np.zeros(n_fitted, np.int64), [LEVELS.index(int(c[:2])) + 1 for c in codes.to_pylist()]])
    parent = np.zeros(len(names), np.int64)
    is_code = edges["hierarchy"].source >= n_fitted
    parent[edges["hierarchy"].source[is_code]] = edges["hierarchy"].target[is_code]
    _, sub_category = np.unique(products["hierarchy_10"].fill_null("").to_numpy(), return_inverse=True)
    late_edges = _late_edges(products.slice(n_fitted), names, n_fitted + len(codes))
    return ProductNodes(
        ids[:n_fitted],
        codes.to_pylist(),
        ids[n_fitted:],
        sub_category,
        level.astype(np.int64),
        parent,
        edges,
        late_edges,
    )


def same_brand_pairs(brand: np.ndarray, reach: int = 8) -> Edges:
    """Pairs of products of one brand, each with the next `reach` of it in the order of `brand` (int64 [P]; −1 unknown)."""
    order = np.argsort(brand, kind="stable")
    steps = [(order[:-k], order[k:]) for k in range(1, min(reach, len(order) - 1) + 1)]
    source, target = (
        np.concatenate([np.empty(0, np.int64), *ends]) for ends in (zip(*steps, strict=True) if steps else ((), ()))
    )
    same = (brand[source] == brand[target]) & (brand[source] >= 0)
    return Edges(source[same], target[same], np.ones(same.sum(), np.float32))


def _keys(level: pa.Array | pa.ChunkedArray, code: pa.Array | pa.ChunkedArray) -> pa.Array:
    keys = pc.binary_join_element_wise(pc.cast(level, pa.string()), code, ":")
    return keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys


def _numbers(keys: pa.Array, names: pa.Array) -> np.ndarray:
    found = pc.index_in(keys, value_set=names)
    if found.null_count:
        missing = keys.filter(pc.is_null(found))[0].as_py().removeprefix("0:")
        raise ValueError(f"the product graph has {missing!r}, which is no product of the training weeks")
    return found.to_numpy().astype(np.int64)


def _edges(graph: pa.Table, numbers: dict[str, np.ndarray], edge_type: str) -> Edges:
    chosen = np.flatnonzero(pc.equal(graph["edge_type"], edge_type).to_numpy())
    weight = graph["weight"].to_numpy()[chosen].astype(np.float32)
    return Edges(numbers["source"][chosen], numbers["target"][chosen], weight)


def _late_edges(late: pa.Table, names: pa.Array, first: int) -> Edges:
    nearest = np.full(len(late), -1, np.int64)
    for level in reversed(LEVELS):
        code = late[f"hierarchy_{level}"].fill_null("")
        found = pc.index_in(_keys(pa.array([level] * len(late), pa.int64()), code.combine_chunks()), value_set=names)
        nearest = np.where(found.is_valid().to_numpy(zero_copy_only=False), found.fill_null(-1).to_numpy(), nearest)
    hung = np.flatnonzero(nearest >= 0)
    return Edges(first + hung, nearest[hung].astype(np.int64), np.ones(len(hung), np.float32))
