"""Product embeddings: GraphSAGE trained by link prediction on the product graph (SPEC C8.3; document: "GraphSAGE").

Reads transactions, PRODUCT_GRAPH and PSEUDO_BRANDS; gives PRODUCT_EMBEDDINGS, one row per product, 256 numbers laid out
as T2. Every slice is trained to tell its own kind of edge from pairs that are none, and scaled to length 8, so that its
numbers have a root mean square of 1:

    slice              edges that it predicts                   hard negatives
    hierarchy     64   product → sub-category → … (40)          codes under the same parent
    co_purchase   64   bought together beyond chance            products as often as they have such edges
    substitution  64   substitutes                              other products of the sub-category
    brand         64   same pseudo-brand; and, by a linear      other tiers of the sub-category
                       readout, log price and relative price

A tenth of the edges of each type is held out in training and measured afterwards; the embeddings themselves are made
with messages along all edges.

Inductive: a product enters by its attributes and neighbours alone. Each epoch a tenth of the products is shown as if it
were new: its sub-category's mean attributes, and no edge but the one to its sub-category. This is how a late product
enters in the end. Its sales and prices are not looked at, since a basket of its first week must not see them (C19).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import torch

from retailsim.feature_engineering import product_attributes
from retailsim.feature_engineering.graph_training import LearningGraph, held_out_auc, train
from retailsim.feature_engineering.graphsage import GraphSage
from retailsim.feature_engineering.link_prediction import Links, Pool, hold_out
from retailsim.feature_engineering.product_nodes import Edges, ProductNodes, number_nodes, same_brand_pairs
from retailsim.feature_engineering.pseudo_brands import known_products
from retailsim.layout import T2
from retailsim.weeks import Calendar

HIDDEN = 64
HELD_OUT = 0.1
EPOCHS = 200
MESSAGES = ("co_purchase", "substitution", "from_parent", "from_child")


def embed_products(
    transactions: ir.Table,
    graph: ir.Table,
    brands: ir.Table,
    calendar: Calendar,
    engine: ibis.BaseBackend,
    seed: int,
    epochs: int = EPOCHS,
    on_epoch: Callable[[int, float], None] = lambda epoch, loss: None,
) -> tuple[ir.Table, dict[str, Any]]:
    """Train GraphSAGE on the training weeks and embed every product.

    Args:
        transactions, graph, brands: the artifacts of these names, as expressions on `engine`.
        calendar: says where the training weeks end.
        seed: of weights, held-out edges and negatives; the same inputs and seed give the same bytes.
        epochs: full batches; 0 leaves the weights as drawn (for comparison).
        on_epoch: told the number of each epoch, from 1, and its loss.

    Returns:
        The columns of PRODUCT_EMBEDDINGS sorted by product_id, as an in-memory table, and the EMBEDDING_REPORT.

    Raises:
        ValueError: `graph` has a product that the training weeks do not have.
    """
    train_end = calendar.train_end
    products = engine.to_pyarrow(known_products(transactions, train_end))
    nodes = number_nodes(products, engine.to_pyarrow(graph))
    values = product_attributes.open_values(transactions, train_end, engine)
    counts = engine.to_pyarrow(product_attributes.sales_counts(transactions, train_end, values))
    tiers = engine.to_pyarrow(brands).sort_by("product_id")
    described = product_attributes.describe_products(
        counts.sort_by("product_id"), tiers, train_end, nodes.sub_category, [*nodes.fitted, *nodes.late]
    )
    generator = torch.Generator().manual_seed(seed)
    learning = _learning_graph(nodes, described, tiers, generator)
    model = GraphSage(len(described.names), len(nodes.codes), MESSAGES, T2.widths, HIDDEN).initialise(generator)
    with one_thread():
        losses = train(model, learning, epochs, generator, on_epoch)
        measured = held_out_auc(model, learning, generator)
        embedding = _embed(model, learning)
    report = {
        "seed": seed,
        "epochs": epochs,
        "products": len(nodes.fitted),
        "late_products": len(nodes.late),
        "hierarchy_codes": len(nodes.codes),
        "attributes": len(described.names),
        "loss_first": losses[0] if losses else None,
        "loss_last": losses[-1] if losses else None,
        "edge_types": measured,
    }
    return _table(nodes, embedding), report


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread, so that the bytes do not depend on the number of cores (SPEC C40).

    Matrices of this size gain little from a second one, and lose much where other programs share the cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _learning_graph(
    nodes: ProductNodes, described: product_attributes.Attributes, tiers: pa.Table, generator: torch.Generator
) -> LearningGraph:
    """The graph as tensors, with edges held out."""
    n_fitted = len(nodes.fitted)
    values = described.values
    newcomer = product_attributes.group_means(
        values[:n_fitted], nodes.sub_category[:n_fitted], nodes.sub_category[:n_fitted]
    ).astype(np.float32)
    price = values[:n_fitted, [described.names.index(name) for name in ("log price", "log relative price")]]
    # numbered among the fitted products alone: late ones must not decide the order of the edges (C19)
    names = tiers["brand"].take(np.searchsorted(tiers["product_id"].to_numpy(), nodes.fitted)).combine_chunks()
    brand = names.dictionary_encode().indices.fill_null(-1).to_numpy().astype(np.int64)
    edges = {**nodes.edges, "brand": same_brand_pairs(brand)}
    links = {name: _links(name, edges[name], nodes, generator) for name in T2.widths}
    return LearningGraph(
        attributes=torch.from_numpy(values[:n_fitted]),
        newcomer=torch.from_numpy(newcomer),
        price=torch.from_numpy(price),
        links=links,
        n_nodes=nodes.n_learned,
        late=torch.from_numpy(values[n_fitted:]),
        late_child=torch.from_numpy(nodes.late_edges.source),
        late_parent=torch.from_numpy(nodes.late_edges.target),
    )


def _links(name: str, edges: Edges, nodes: ProductNodes, generator: torch.Generator) -> Links:
    n_fitted, n = len(nodes.fitted), nodes.n_learned
    a, b, strength = map(torch.from_numpy, (edges.source, edges.target, edges.weight))
    held_out = hold_out(len(edges), HELD_OUT, generator)
    level, parent = torch.from_numpy(nodes.level), torch.from_numpy(nodes.parent)
    products, codes = torch.arange(n_fitted), torch.arange(n_fitted, n)
    sub_category = torch.zeros(n, dtype=torch.int64)
    sub_category[:n_fitted] = torch.from_numpy(nodes.sub_category[:n_fitted])
    if name == "hierarchy":
        easy, hard = Pool(codes, level), Pool(codes, level * n + parent)
    elif name == "co_purchase":
        ends = torch.cat([a[~held_out], b[~held_out]])
        easy, hard = Pool(products, level), Pool(ends, level)
    else:
        easy, hard = Pool(products, level), Pool(products, sub_category)
    return Links(a, b, strength, held_out, easy, hard, n)


@torch.no_grad()
def _embed(model: GraphSage, graph: LearningGraph) -> np.ndarray:
    """Embeddings of fitted and late products, float32 [P + Q, 256], each slice of length √64.

    Fitted products are embedded without the late ones at hand, so that not a bit of theirs depends on them.
    """
    n_fitted = len(graph.attributes)
    everything = {name: torch.ones(len(links.a), dtype=torch.bool) for name, links in graph.links.items()}
    rows = []
    for late, chosen in ((graph.late[:0], slice(0, n_fitted)), (graph.late, slice(graph.n_nodes, None))):
        edges = graph.message_edges(with_late=len(late) > 0)
        nobody = torch.zeros(graph.n_nodes + len(late), dtype=torch.bool)
        slices = model(graph.attributes, graph.neighbours(edges, everything, nobody), late)
        rows.append(torch.cat([slices[name][chosen] * width**0.5 for name, width in T2.widths.items()], dim=1))
    return torch.cat(rows).numpy()


def _table(nodes: ProductNodes, embedding: np.ndarray) -> ir.Table:
    ends = np.arange(len(embedding) + 1, dtype=np.int32) * T2.width
    columns = {
        "product_id": pa.array([*nodes.fitted, *nodes.late], pa.string()),
        "is_fitted": pa.array(np.arange(len(embedding)) < len(nodes.fitted)),
        "embedding": pa.ListArray.from_arrays(pa.array(ends), pa.array(embedding.ravel(), pa.float32())),
    }
    return ibis.memtable(pa.table(columns).sort_by("product_id"))
