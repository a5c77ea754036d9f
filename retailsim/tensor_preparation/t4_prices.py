"""T4: the price features by vocabulary row and week (SPEC §4; columns as in `feature_engineering.fourier_prices`).

| slice | columns | meaning |
|---|---|---|
| position 16 | 0–15 | last known price against twelve references; 12–13 filled in at look-up; rank; length |
| volatility 16 | 16–31 | how the price moves |
| promotion 16 | 32–47 | promotions and Fourier cycles of the price |
| context 16 | 48–63 | prices of the sub-category and the shop; the last eight filled in at look-up from the basket |

All numbers lie within ±5 and are unitless.
"""

from pathlib import Path

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from retailsim.artifacts import PRICE_FEATURES
from retailsim.layout import T4
from retailsim.vocab import Vocabulary
from retailsim.weeks import Calendar


def build(
    price_features: ir.Table, vocabulary: Vocabulary, calendar: Calendar, engine: ibis.BaseBackend, root: Path
) -> tuple[np.ndarray, np.ndarray]:
    """T4 float32 [rows, last week + 1, 64] and the last known prices in £ float32 [rows, last week + 1].

    Column W − 1 describes week W. Special tokens and weeks in which nothing is known of a product have features 0 and
    price NaN. A product that the vocabulary lacks, or a row of another width or week, is a UserError that names the command
    which writes the rows under data root `root`.
    """
    rows = engine.to_pyarrow(price_features.order_by("product_id", "week"))
    weeks = calendar.last_week + 1
    week = rows["week"].to_numpy()
    flat = rows["features"].combine_chunks()
    widths = flat.value_lengths().to_numpy()
    if (widths != T4.width).any() or (week < 1).any() or (week > weeks).any():
        raise PRICE_FEATURES.damaged(root, f"holds a row of other than {T4.width} numbers or outside weeks 1–{weeks}")
    names = rows["product_id"].combine_chunks().dictionary_encode()
    row = vocabulary.rows(names.dictionary.to_pylist())[names.indices.to_numpy()]
    features = np.zeros((len(vocabulary), weeks, T4.width), np.float32)
    features[row, week - 1] = _values(flat).reshape(-1, T4.width)
    last_prices = np.full((len(vocabulary), weeks), np.nan, np.float32)
    last_prices[row, week - 1] = rows["last_price"].to_numpy()
    return features, last_prices


def _values(lists: pa.ListArray) -> np.ndarray:
    return lists.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
