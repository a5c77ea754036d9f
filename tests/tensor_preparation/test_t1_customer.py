from datetime import date

import ibis
import numpy as np
import pyarrow as pa
import pytest

from retailsim.artifacts import AFFINITY, CUSTOMER_EMBEDDINGS, DIRECTIONS, GROUPS, MISSIONS
from retailsim.layout import T1
from retailsim.storage import connect
from retailsim.tensor_preparation import t1_customer
from retailsim.tensor_preparation.t1_customer import CLASSES, MISSION_SHARES, TRIPS_OF_SEGMENT
from retailsim.weeks import Calendar

CALENDAR = Calendar(date(2006, 4, 10), last_week=9, train_end=4, val_end=6)
FIRST_MISSION = T1["segment"].start + 28
MISSIONS_KNOWN = 47


def table_of(artifact, rows):
    full = [dict.fromkeys(artifact.columns) | row for row in rows]
    return ibis.memtable(pa.Table.from_pylist(full, schema=artifact.schema.to_pyarrow()))


def histories(rows):
    """`CUSTOMER_EMBEDDINGS` of (customer, week, price segment, trips, what else is known)."""
    draw = np.random.default_rng(0)
    return table_of(
        CUSTOMER_EMBEDDINGS,
        [
            {"row": i, "customer_id": c, "week": w, "price_segment": s, "lifestage": "YA", "trips": n}
            | {"directions": draw.normal(size=DIRECTIONS).tolist(), "groups": draw.random(GROUPS).tolist()}
            | more
            for i, (c, w, s, n, more) in enumerate(rows, start=1)
        ],
    )


ROWS = [
    ("c1", 1, "BG", 0, {}),
    ("c1", 2, "BG", 1, {"products_per_trip": 3.0}),
    ("c1", 8, "BG", 6, {"products_per_trip": 3000.0}),
    ("c2", 3, "AZ", 3, {"products_per_trip": 15.0}),
    ("c2", 7, "LATE", 9, {}),
]
TOP_UP = MISSION_SHARES.index("mission_type_top_up")


def tables():
    missions = [
        {"customer_id": c, "week": w, "trips": n, "mission_type_top_up": share}
        for c, w, n, share in (
            ("c1", 1, 0, None),
            ("c1", 2, 1, 1.0),
            ("c1", 8, 6, 1.0),
            ("c2", 3, 3, 0.0),
            ("c2", 7, 9, None),
        )
    ]
    stores = {"concentration": 1.0, "n_stores": 1, "loyalty": 1.0}
    affinity = [{"customer_id": "c1", "week": 2, "trips": 1, "primary_share": 1.0, **stores}]
    return histories(ROWS), table_of(AFFINITY, affinity), table_of(MISSIONS, missions)


@pytest.fixture(scope="module")
def t1():
    engine = connect()
    scalers = t1_customer.fit(*tables(), CALENDAR, engine)
    return t1_customer.build(*tables(), scalers, engine), scalers


def test_shape_range_and_the_unknown_customer(t1):  # C9, C12
    t1, _ = t1
    assert t1.shape == (1 + len(ROWS), T1.width) and t1.dtype == np.float32
    assert np.isfinite(t1).all() and np.abs(t1).max() <= 5
    assert np.flatnonzero(t1[0]).tolist() == [CLASSES, 2 * CLASSES + 1]  # two segments unknown, the rest average


def test_segments_are_classes_of_the_training_weeks_sorted(t1):
    t1, scalers = t1
    assert scalers["classes"] == {"price_segment": ["AZ", "BG"], "lifestage": ["YA"]}
    assert t1[:, : CLASSES + 1].argmax(axis=1).tolist() == [8, 1, 1, 1, 0, 8]  # "LATE" is unknown
    assert t1[1:, CLASSES + 1].tolist() == [1] * 5  # life stage YA


def test_numbers_are_standardised_over_the_training_weeks_and_cut(t1):
    t1, scalers = t1
    column = T1["history"].start + 90  # products per trip: known are 3 and 15 in training weeks, so 4 and 16 logged
    assert scalers["mean"][column] == pytest.approx(np.log([4, 16]).mean())
    assert t1[1:, column] == pytest.approx([0, -1, 5, 1, 0])  # not known · known · cut · known · not known
    trained = t1[[1, 2, 4]][:, T1["history"]][:, :80].astype(np.float64)
    np.testing.assert_allclose(trained.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(trained.std(axis=0), 1, atol=1e-6)


def test_mission_shares_lean_on_the_price_segment(t1):  # C13
    t1, scalers = t1
    column = FIRST_MISSION + TOP_UP
    shares = t1[1:, column] * scalers["deviation"][column] + scalers["mean"][column]
    means = np.array(scalers["missions"])[:, TOP_UP]
    assert means[[0, 1, 2]] == pytest.approx([3 * 0.5 / 4, (1 + 3 * 0.5) / 4, 0.5])  # AZ, BG and one never seen
    assert shares[0] == pytest.approx(means[1])  # first trip: the segment's
    assert shares[2] == pytest.approx((6 * 1.0 + TRIPS_OF_SEGMENT * means[1]) / (6 + TRIPS_OF_SEGMENT))
    assert t1[1:, MISSIONS_KNOWN].tolist() == [0, 1, 1, 1, 0]


def test_flags_say_what_is_known(t1):
    t1, _ = t1
    assert t1[:, 27].tolist() == [0, 0, 1, 1, 1, 1]  # has come before
    assert t1[:, T1.width - 1].tolist() == [0, 0, 1, 0, 0, 0]  # stores known


def test_scalers_do_not_see_later_weeks(t1):  # C19
    customers, affinity, missions = tables()
    engine = connect()
    early = t1_customer.fit(customers.filter(customers.week <= 4), affinity, missions, CALENDAR, engine)
    assert early == t1[1]
