"""What the pipeline finds again of the truths that the synthetic retailer planted: promotions, substitutes, complements.

Usage: python benchmarks/planted_truths.py [RAW DATA]    (a folder of `retailsim make-data` and the data root made from it;
without them: makes both, 200 customers, 300 products, 8 stores, 117 weeks, seed 0)

Precision: of what was found, the share that was planted. Recall: of what was planted, the share that was found.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from retailsim.artifacts import PRICES, PRODUCT_EMBEDDINGS, PRODUCT_GRAPH
from retailsim.data_pipeline import run_pipeline
from retailsim.feature_engineering import run_feature_engineering
from retailsim.layout import T2
from retailsim.sources import make_data

SIZES = ["--customers", "200", "--products", "300", "--stores", "8", "--weeks", "117", "--seed", "0"]
NEIGHBOURS = 10


def promotions(raw: Path, root: Path) -> dict[str, float]:
    """Product-weeks flagged by stage 1 in most stores that sold the product, against planted ones of at least a tenth."""
    planted = {
        (p["product_id"], week)
        for p in pq.read_table(raw / "truth/promotions.parquet").to_pylist()
        if p["depth"] >= 0.1
        for week in range(p["first_week"], p["last_week"] + 1)
    }
    prices = pq.read_table(PRICES.at(root), columns=["product_id", "week", "is_promotion"]).to_pandas()
    share = prices.groupby(["product_id", "week"])["is_promotion"].mean()
    sold = set(share.index)
    return precision_recall(set(share[share > 0.5].index), planted & sold)


def substitutes(raw: Path, root: Path) -> dict[str, float]:
    """Substitution edges of stage 2 against planted pairs."""
    graph = pq.read_table(PRODUCT_GRAPH.at(root)).to_pandas()
    edges = graph[graph.edge_type == "substitution"]
    return precision_recall(
        set(zip(edges.source, edges.target, strict=True)), _pairs(raw / "truth/substitutes.parquet")
    )


def complements(raw: Path, root: Path) -> dict[str, float]:
    """How often a planted complement is among the nearest neighbours (cosine) of its partner in T2's co-purchase slice."""
    table = pq.read_table(PRODUCT_EMBEDDINGS.at(root))
    ids = {product: row for row, product in enumerate(table["product_id"].to_pylist())}
    vectors = np.stack(table["embedding"].to_pylist())[:, T2["co_purchase"]]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -np.inf)
    ranks = []
    for a, b in sorted(_pairs(raw / "truth/complements.parquet")):
        for one, other in ((ids[a], ids[b]), (ids[b], ids[a])):
            ranks.append(1 + (likeness[one] > likeness[one, other]).sum())
    return {
        "among_nearest": float(np.mean(np.array(ranks) <= NEIGHBOURS)),
        "by_chance": NEIGHBOURS / (len(ids) - 1),
        "median_rank": float(np.median(ranks)),
        "planted": len(ranks) // 2,
    }


def precision_recall(found: set, planted: set) -> dict[str, float]:
    """Precision and recall of `found`, and how many there are of each."""
    hits = len(found & planted)
    return {
        "precision": hits / max(len(found), 1),
        "recall": hits / max(len(planted), 1),
        "found": len(found),
        "planted": len(planted),
    }


def make(folder: Path) -> tuple[Path, Path]:
    """A synthetic retailer under `folder`, with data pipeline and features: its raw folder and its data root."""
    raw, root = folder / "raw_data", folder / "data"
    for code in (
        make_data.main(["--output", str(raw), *SIZES]),
        run_pipeline.main(["--input", str(raw), "--data-dir", str(root)]),
        run_feature_engineering.main(["--data-dir", str(root)]),
    ):
        assert code == 0
    return raw, root


def _pairs(path: Path) -> set[tuple[str, str]]:
    return {tuple(sorted((p["product_a"], p["product_b"]))) for p in pq.read_table(path).to_pylist()}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        raw, root = map(Path, sys.argv[1:3]) if len(sys.argv) > 2 else make(Path(folder))
        for measure in (promotions, substitutes, complements):
            figures = "  ".join(f"{name} {value:.3g}" for name, value in measure(raw, root).items())
            print(f"{measure.__name__:12s} {figures}")


if __name__ == "__main__":
    main()
