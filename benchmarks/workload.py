"""Baskets and tables to measure with: prepared data, or random ones of the same sizes and the same lengths."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from retailsim import layout
from retailsim.model.lookup import Tables
from retailsim.reading import load_vocabulary
from retailsim.training.companion_weights import COMPANIONS, FOLDS
from retailsim.training.samples import Samples, load_samples
from retailsim.training.tables import load_tables
from tests.small_world import SPECIALS, make_samples, make_tables

PRODUCTS, GROUPS = 5000, 32
# Products of a real basket: length and the share of 191,052 training baskets that are no longer (median 4, mean 6.5).
LENGTHS = (0, 1, 2, 3, 4, 6, 8, 10, 14, 16, 20, 26, 30, 38, 50)
NO_LONGER = (0, 0.189, 0.343, 0.458, 0.542, 0.662, 0.741, 0.799, 0.880, 0.909, 0.950, 0.981, 0.991, 0.998, 1.0)


def workload(data_dir: Path | None, baskets: int) -> tuple[Samples, Tables, int]:
    """Training samples, tables and the vocabulary's size: of `data_dir`, or `baskets` random ones."""
    if data_dir:
        return load_samples(data_dir, "train"), load_tables(data_dir), load_vocabulary(data_dir).size
    rng = np.random.default_rng(0)
    lengths = np.ceil(np.interp(rng.random(baskets), NO_LONGER, LENGTHS)).astype(np.int64)
    samples, tables = make_samples(lengths), make_tables()
    weeks = tables.price.shape[1]
    histories = replace(samples.histories, vocab_size=PRODUCTS)
    samples = replace(samples, products=rng.integers(SPECIALS, PRODUCTS, len(samples.products)), histories=histories)
    tables = replace(
        tables,
        product=torch.randn(PRODUCTS, layout.T2.width),
        price=torch.randn(PRODUCTS, weeks, layout.T4.width),
        last_price=torch.rand(PRODUCTS, weeks) + 0.5,
        popularity=torch.rand(weeks, 3, PRODUCTS) + 1e-4,
        companions=torch.randint(SPECIALS, PRODUCTS, (FOLDS, PRODUCTS, COMPANIONS)),
        companion_weights=0.01 * torch.randn(FOLDS, PRODUCTS, COMPANIONS),
        successors=torch.randint(SPECIALS, PRODUCTS, (FOLDS, PRODUCTS, COMPANIONS)),
        successor_weights=0.01 * torch.randn(FOLDS, PRODUCTS, COMPANIONS),
        group=torch.randint(GROUPS, (PRODUCTS,)),
    )
    return samples, tables, PRODUCTS
