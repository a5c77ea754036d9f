"""Top-1/5/10, MRR and NDCG@10 from ranks, over all hidden products and by slice (SPEC C32).

Shares are 0–1. Every hidden product counts once; there are no sampled negatives and no means of batch means.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np

# What a hidden product of rank r adds to each metric; the metric is the mean over hidden products.
VALUES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "top1": lambda ranks: (ranks <= 1).astype(np.float64),
    "top5": lambda ranks: (ranks <= 5).astype(np.float64),
    "top10": lambda ranks: (ranks <= 10).astype(np.float64),
    "mrr": lambda ranks: 1 / ranks,
    "ndcg10": lambda ranks: np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0),
}

# Slices and their names in order; `slice_codes` gives positions in these tuples.
SLICES: dict[str, tuple[str, ...]] = {
    "weekday": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "basket_size": ("1-5", "6-15", "16+"),  # distinct products
    "customer_history": ("anonymous", "<5", "5-19", "20+"),  # the customer's baskets in earlier weeks
    "bought_before": ("anonymous", "first time", "repeated"),  # by this customer, in an earlier week
    "product_history": ("<10", "10-99", "100+"),  # baskets of the training weeks with the hidden product
}
SIZE_EDGES = (6, 16)
HISTORY_EDGES = (0, 5, 20)
PRODUCT_EDGES = (10, 100)


@dataclass(frozen=True)
class Metrics:
    """How well hidden products were ranked. Without a hidden product (n = 0) the metrics are NaN, null in JSON."""

    n: int  # hidden products
    top1: float  # share 0–1 of rank 1
    top5: float
    top10: float
    mrr: float  # mean of 1 / rank
    ndcg10: float  # mean of 1 / log2(1 + rank), 0 beyond rank 10

    @classmethod
    def from_ranks(cls, ranks: np.ndarray) -> "Metrics":
        """The metrics of `ranks` [M] (see `evaluation.ranking`); an infinite rank is a miss that counts."""
        if not len(ranks):
            return cls(0, **{name: float("nan") for name in VALUES})
        return cls(len(ranks), **{name: float(value(ranks).mean()) for name, value in VALUES.items()})

    def to_json(self) -> dict[str, int | float | None]:
        """`{"n", "top1", "top5", "top10", "mrr", "ndcg10"}`."""
        return {name: value if self.n or name == "n" else None for name, value in asdict(self).items()}


def slice_codes(
    weekday: np.ndarray, n_products: np.ndarray, trips: np.ndarray, is_repeat: np.ndarray, product_baskets: np.ndarray
) -> dict[str, np.ndarray]:
    """Positions in SLICES of each hidden product.

    Args:
        weekday: int [M], 1 Monday … 7 Sunday.
        n_products: int [M], distinct products of its basket, hidden ones included.
        trips: int [M], the customer's baskets in earlier weeks; −1 anonymous.
        is_repeat: int [M], whether the customer bought it in an earlier week: 1, 0; −1 anonymous.
        product_baskets: int [M], baskets of the training weeks that held it.
    """
    return {
        "weekday": weekday - 1,
        "basket_size": np.digitize(n_products, SIZE_EDGES),
        "customer_history": np.digitize(trips, HISTORY_EDGES),
        "bought_before": is_repeat + 1,
        "product_history": np.digitize(product_baskets, PRODUCT_EDGES),
    }


def sliced(ranks: np.ndarray, codes: Mapping[str, np.ndarray]) -> dict[str, dict[str, Metrics]]:
    """Metrics of each slice, `{slice: {name: Metrics}}` in the order of SLICES.

    A name without a hidden product is left out.

    Args:
        ranks: [M].
        codes: `slice_codes`, each [M].
    """
    return {
        key: {
            name: Metrics.from_ranks(ranks[codes[key] == code])
            for code, name in enumerate(SLICES[key])
            if (codes[key] == code).any()
        }
        for key in codes
    }
