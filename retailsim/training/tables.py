"""The cached tensors, as the model needs them."""

from pathlib import Path

import numpy as np
import torch

from retailsim.artifacts import (
    CHAIN_POPULARITY,
    COMPANION_IDS,
    COMPANION_WEIGHTS,
    CUSTOMER_CACHE,
    LAST_PRICE_CACHE,
    PRICE_CACHE,
    PRODUCT_CACHE,
    PRODUCT_GROUPS,
    STORE_CACHE,
    SUCCESSOR_IDS,
    SUCCESSOR_WEIGHTS,
)
from retailsim.manifest import refuse_changed
from retailsim.model.lookup import Tables
from retailsim.reading import load_calendar
from retailsim.storage import Array
from retailsim.tensor_preparation.t3_time import day_table, hour_table, recency_table
from retailsim.tensor_preparation.t6_trip import trip_tables

FILES = (
    CUSTOMER_CACHE, STORE_CACHE, PRODUCT_CACHE, PRICE_CACHE, LAST_PRICE_CACHE,
    CHAIN_POPULARITY, COMPANION_IDS, COMPANION_WEIGHTS, SUCCESSOR_IDS, SUCCESSOR_WEIGHTS, PRODUCT_GROUPS,
)  # fmt: skip


def load_tables(root: Path) -> Tables:
    """The six tensors' tables under data root `root`, in memory."""
    refuse_changed(root, *FILES)

    def tensor(array: Array) -> torch.Tensor:
        return torch.from_numpy(np.array(array.read(root)))

    return Tables(
        customer=tensor(CUSTOMER_CACHE),
        store=tensor(STORE_CACHE),
        product=tensor(PRODUCT_CACHE),
        price=tensor(PRICE_CACHE),
        last_price=tensor(LAST_PRICE_CACHE),
        popularity=tensor(CHAIN_POPULARITY),
        companions=tensor(COMPANION_IDS).long(),
        companion_weights=tensor(COMPANION_WEIGHTS),
        successors=tensor(SUCCESSOR_IDS).long(),
        successor_weights=tensor(SUCCESSOR_WEIGHTS),
        day=torch.from_numpy(day_table(load_calendar(root))),
        hour=torch.from_numpy(hour_table()),
        recency=torch.from_numpy(recency_table()),
        trip=tuple(torch.from_numpy(table) for table in trip_tables()),
        group=tensor(PRODUCT_GROUPS),
    )
