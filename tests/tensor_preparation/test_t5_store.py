from datetime import date

import ibis
import numpy as np
import pyarrow as pa
import pytest

from retailsim.artifacts import STORE_DIRECTIONS, STORE_FEATURES
from retailsim.layout import T5
from retailsim.storage import connect
from retailsim.tensor_preparation import t5_store
from retailsim.weeks import Calendar

CALENDAR = Calendar(date(2006, 4, 10), last_week=9, train_end=4, val_end=6)


def stores():
    draw = np.random.default_rng(0)
    kinds = [
        ("S1", 1, "LS", "E01"),
        ("S1", 2, "LS", "E01"),
        ("S1", 7, "LS", "E01"),
        ("S2", 3, "SS", None),
        ("S2", 6, "XL", "E02"),
    ]
    sizes = [0.0, 7.0, 10000.0, 63.0, None]
    rows = [
        dict.fromkeys(STORE_FEATURES.columns)
        | {"row": i, "store_id": s, "week": w, "store_format": f, "store_region": r, "range_size": size}
        | {"price_segments": [0.125] * 8, "lifestages": [0.125] * 8}
        | {"directions": draw.normal(size=STORE_DIRECTIONS).tolist()}
        for i, ((s, w, f, r), size) in enumerate(zip(kinds, sizes, strict=True), start=1)
    ]
    return ibis.memtable(pa.Table.from_pylist(rows, schema=STORE_FEATURES.schema.to_pyarrow()))


@pytest.fixture(scope="module")
def t5():
    engine = connect()
    scalers = t5_store.fit(stores(), CALENDAR, engine)
    return t5_store.build(stores(), scalers, engine), scalers


def test_shape_range_and_the_unknown_store(t5):  # C9, C12
    t5, _ = t5
    assert t5.shape == (6, T5.width) and t5.dtype == np.float32
    assert np.isfinite(t5).all() and np.abs(t5).max() <= 5
    assert np.flatnonzero(t5[0]).tolist() == [7, 20]  # format and region unknown, the rest average


def test_kinds_are_classes_of_the_training_weeks_sorted(t5):
    t5, scalers = t5
    assert scalers["classes"] == {"store_format": ["LS", "SS"], "store_region": ["E01"]}
    assert t5[1:, :8].argmax(axis=1).tolist() == [0, 0, 0, 1, 7]
    assert t5[1:, 8:21].argmax(axis=1).tolist() == [0, 0, 0, 12, 12]
    assert t5[1:, 23].tolist() == [0, 1, 1, 1, 0]  # has sold before


def test_numbers_are_standardised_over_the_training_weeks_and_cut(t5):
    t5, scalers = t5
    logged = np.log([1, 8, 64])  # range of the three training rows
    assert scalers["mean"][21] == pytest.approx(logged.mean())
    assert t5[1:, 21] == pytest.approx(
        [-(1.5**0.5), 0, (np.log(10001) - np.log(8)) / logged.std(), 1.5**0.5, 0], abs=1e-6
    )
    np.testing.assert_allclose(t5[[1, 2, 4]][:, T5["assortment"]].astype(np.float64).mean(axis=0), 0, atol=1e-6)
    assert not t5[1:, 24:40].any()  # the same everywhere


def test_scalers_do_not_see_later_weeks(t5):  # C19
    table = stores()
    assert t5_store.fit(table.filter(table.week <= 4), CALENDAR, connect()) == t5[1]
