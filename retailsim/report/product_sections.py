"""A map of the products, and price histories with the promotions found in them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from retailsim.artifacts import PRICES, PRODUCT_CACHE, PSEUDO_BRANDS, TRANSACTIONS
from retailsim.report.page import COLOURS, Figure, Section, paragraph
from retailsim.storage import connect
from retailsim.vocab import Vocabulary

DEPARTMENTS = len(COLOURS) - 1  # largest ones, each with its colour; the rest share the last
NEIGHBOURS = 3
PRICE_EXAMPLES = 3


def product_map(root: Path, vocabulary: Vocabulary, names: Mapping[str, str]) -> Section:
    """The products' embeddings (T2) on their two first principal axes; hover says what a product is and what is near it."""
    engine = connect()
    described = _described(root, engine)
    rows = vocabulary.rows(described["product_id"].to_pylist())
    vectors = np.array(PRODUCT_CACHE.read(root)[rows], dtype=np.float64)
    places, share = project(vectors)
    near = nearest(vectors, NEIGHBOURS)
    labels = [_label(row, names) for row in described.to_pylist()]
    ids = described["product_id"].to_pylist()
    texts = [f"{labels[i]}<br>near: {', '.join(names.get(ids[j], ids[j]) for j in near[i])}" for i in range(len(ids))]
    kinds = described["hierarchy_40"].fill_null("unknown")
    counts = kinds.value_counts()
    largest = [row["values"] for row in sorted(counts.to_pylist(), key=lambda row: (-row["counts"], row["values"]))][
        :DEPARTMENTS
    ]
    codes = np.array([largest.index(kind) if kind in largest else DEPARTMENTS for kind in kinds.to_pylist()])
    traces = [
        _cloud(name, places[codes == i], [texts[j] for j in np.flatnonzero(codes == i)], i)
        for i, name in enumerate([*largest, "others"])
        if (codes == i).any()
    ]
    reading = (
        "Products near each other share shelves, baskets, substitutes or price tiers; the axes have no unit. Colours: departments. "
        "A point says under the pointer which product it is, its price tier and its nearest neighbours."
    )
    text = (
        f"{len(ids):,} products where the graph network puts them, on the two directions that tell most of them apart "
        f"({100 * share:.0f} % of the variance)."
    )
    axis: dict[str, Any] = {"showticklabels": False, "zeroline": False}
    figure = Figure(traces, {"xaxis": axis, "yaxis": axis}, height=36)
    return Section("Map of the products", reading, [paragraph(text, is_soft=True), figure])


def project(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """Places on the two first principal axes, float64 [n, 2], and the share 0–1 of the variance that they hold."""
    centred = vectors - vectors.mean(axis=0)
    values, axes = np.linalg.eigh(centred.T @ centred)
    first = axes[:, ::-1][:, :2]
    first = first * np.sign(first[np.abs(first).argmax(axis=0), [0, 1]])  # an axis has no direction: take one
    return centred @ first, float(values[-2:].sum() / max(values.sum(), 1e-12))


def nearest(vectors: np.ndarray, k: int) -> np.ndarray:
    """Rows of the k nearest others by cosine, nearest first: int64 [n, k]; in blocks, so that 20,000 products fit."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    found = []
    for start in range(0, len(unit), 1024):
        likeness = unit[start : start + 1024] @ unit.T
        likeness[np.arange(len(likeness)), start + np.arange(len(likeness))] = -np.inf
        found.append(np.argsort(-likeness, axis=1, kind="stable")[:, :k])
    return np.concatenate(found)


def price_examples(root: Path, names: Mapping[str, str]) -> Section:
    """The price histories of the products with most promotions found: paid, base price, promotions."""
    engine = connect()
    prices = PRICES.read(root, engine)
    sold = prices.filter(prices.imputed_from == "product-store-week")
    weekly = sold.group_by("product_id", "week").agg(
        paid=sold.actual_price.median(),
        base=sold.base_price.median(),
        promoted=sold.is_promotion.cast("float64").mean(),
        stores=sold.count(),
    )
    marked = weekly.mutate(is_promotion=weekly.promoted > 0)
    counts = marked.group_by("product_id").agg(n=marked.is_promotion.cast("int64").sum(), sales=marked.stores.sum())
    chosen = engine.to_pyarrow(
        counts.filter(counts.n > 0).order_by(ibis.desc("n"), ibis.desc("sales"), "product_id").limit(PRICE_EXAMPLES)
    )
    title = "Prices and promotions"
    reading = (
        "£ per item by week: what was paid, the base price that the program derives from the receipts, and the weeks with a promotion, "
        "a price of a tenth or more under the store's base price. Are these the promotions that you know of?"
    )
    if not len(chosen):
        return Section(title, reading, [paragraph("No promotion was found in these receipts.", is_soft=True)])
    parts: list[str | Figure] = [
        paragraph(
            "The products with most weeks on promotion in some store. Prices are medians over the stores that sold the product.",
            is_soft=True,
        )
    ]
    for product in chosen["product_id"].to_pylist():
        rows = engine.to_pyarrow(marked.filter(marked.product_id == product).order_by("week")).to_pydict()
        parts.append(
            Figure(
                _price_lines(rows),
                {
                    "title": {"text": names.get(product, product)},
                    "xaxis": {"title": {"text": "week"}},
                    "yaxis": {"tickprefix": "£", "rangemode": "tozero"},
                },
            )
        )
    return Section(title, reading, parts)


def _described(root: Path, engine: ibis.BaseBackend) -> pa.Table:
    """One row per product: product_id, hierarchy_10, hierarchy_40, price_tier, tier_price, baskets."""
    sales: ir.Table = TRANSACTIONS.read(root, engine)
    products = sales.group_by("product_id").agg(
        hierarchy_10=sales.hierarchy_10.max(), hierarchy_40=sales.hierarchy_40.max(), baskets=sales.count()
    )
    brands = PSEUDO_BRANDS.read(root, engine).select("product_id", "price_tier", "tier_price")
    joined = products.left_join(brands, "product_id").drop("product_id_right")
    return engine.to_pyarrow(joined.order_by("product_id")).combine_chunks()


def _label(row: Mapping[str, Any], names: Mapping[str, str]) -> str:
    name = names.get(row["product_id"])
    price = "" if row["tier_price"] is None else f", £{row['tier_price']:.2f}, price tier {row['price_tier']} of 0–4"
    own = f"<b>{row['product_id']}</b>" + (f" {name}" if name else "")
    return f"{own}<br>{row['hierarchy_10'] or '–'} in {row['hierarchy_40'] or '–'}{price}<br>{row['baskets']:,} baskets"


def _cloud(name: str, places: np.ndarray, texts: list[str], colour: int) -> dict[str, Any]:
    return {
        "type": "scattergl" if len(places) > 20_000 else "scatter", "mode": "markers", "name": name,
        "x": np.round(places[:, 0], 4).tolist(), "y": np.round(places[:, 1], 4).tolist(), "text": texts,
        "hovertemplate": "%{text}<extra></extra>", "marker": {"size": 5, "opacity": 0.7, "color": COLOURS[colour]},
    }  # fmt: skip


def _price_lines(rows: Mapping[str, list]) -> list[dict[str, Any]]:
    on = [i for i, is_promotion in enumerate(rows["is_promotion"]) if is_promotion]
    return [
        {"type": "scatter", "mode": "lines", "name": "base price", "x": rows["week"], "y": rows["base"], "line": {"color": COLOURS[7], "dash": "dot"}},
        {"type": "scatter", "mode": "lines", "name": "paid", "x": rows["week"], "y": rows["paid"], "line": {"color": COLOURS[0]}},
        {
            "type": "scatter", "mode": "markers", "name": "promotion", "x": [rows["week"][i] for i in on],
            "y": [rows["paid"][i] for i in on], "marker": {"color": COLOURS[1], "size": 9},
        },
    ]  # fmt: skip
