"""T4 and last prices stand at their product's row and their week (SPEC C9, C12)."""

from datetime import date
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pytest

from retailsim.artifacts import PRICE_FEATURES
from retailsim.errors import UserError
from retailsim.layout import T4
from retailsim.storage import connect
from retailsim.tensor_preparation.t4_prices import build
from retailsim.vocab import SPECIAL_TOKENS, Vocabulary
from retailsim.weeks import Calendar

ROOT = Path("till/data")
CALENDAR = Calendar(date(2006, 4, 10), last_week=3)
VOCABULARY = Vocabulary(["P2", "P1"], late=["P0"])  # rows 3 P1, 4 P2, 5 P0


def table(rows, width=T4.width):
    records = [
        {"product_id": product, "week": week, "last_price": price, "features": [float(first)] + [0.5] * (width - 1)}
        for product, week, price, first in rows
    ]
    return ibis.memtable(pa.Table.from_pylist(records, schema=PRICE_FEATURES.schema.to_pyarrow()))


def test_rows_stand_at_their_product_and_week():  # C9, C12
    rows = [("P2", 4, 2.5, 7), ("P0", 3, 9.0, 1), ("P1", 2, 1.25, 3), ("P1", 3, 1.5, -4)]
    features, last_prices = build(table(rows), VOCABULARY, CALENDAR, connect(), ROOT)
    assert features.shape == (6, 4, 64) and features.dtype == np.float32
    nan = np.nan
    special = [[nan] * 4] * len(SPECIAL_TOKENS)
    np.testing.assert_array_equal(
        last_prices, np.array([*special, [nan, 1.25, 1.5, nan], [nan, nan, nan, 2.5], [nan, nan, 9, nan]], np.float32)
    )
    expected = np.zeros((6, 4, 64), np.float32)
    for row, column, first in ((4, 3, 7), (5, 2, 1), (3, 1, 3), (3, 2, -4)):
        expected[row, column] = [first] + [0.5] * 63
    np.testing.assert_array_equal(features, expected)


def test_a_product_that_the_vocabulary_lacks_is_named():  # C39
    with pytest.raises(UserError, match="unknown product 'P7'"):
        build(table([("P7", 2, 1.0, 0)]), VOCABULARY, CALENDAR, connect(), ROOT)


@pytest.mark.parametrize(
    "rows, width", [([("P1", 2, 1.0, 0)], 63), ([("P1", 5, 1.0, 0)], 64), ([("P1", 0, 1.0, 0)], 64)]
)
def test_features_of_another_width_or_week_are_refused(rows, width):  # C9, C39
    with pytest.raises(UserError, match="price_features.parquet.*run_feature_engineering --data-dir till/data"):
        build(table(rows, width), VOCABULARY, CALENDAR, connect(), ROOT)


def test_no_rows_leave_zeros():
    features, last_prices = build(table([]), VOCABULARY, CALENDAR, connect(), ROOT)
    assert not features.any() and np.isnan(last_prices).all()
