from datetime import date

import ibis
import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from retailsim.feature_engineering.product_projection import UNIT, fit_projection, leading_directions, weekly_purchases
from retailsim.storage import connect
from retailsim.weeks import Calendar

CALENDAR = Calendar(date(2006, 4, 10), last_week=9, train_end=6, val_end=7)


def bought(rows):
    names = ("customer_id", "week", "product_id")
    return ibis.memtable(pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows]))


def test_directions_are_the_singular_vectors_of_damped_counts_over_the_training_weeks():
    table = bought([("a", w, "P1") for w in (1, 2)] + [("b", 1, "P2"), ("b", 7, "P3"), (None, 1, "P2"), ("a", 8, "P2")])
    loadings = fit_projection(table, "customer_id", 3, CALENDAR, connect())
    assert loadings.to_pydict() == {
        "product_id": ["P1", "P2"],  # P3 is sold late
        "direction_0": [UNIT, 0],  # 2^0.75 against 1
        "direction_1": [0, UNIT],
        "direction_2": [0, 0],
    }


def test_large_and_small_matrices_give_the_same_directions_with_positive_largest_loading():
    draw = np.random.default_rng(0)
    matrix = csr_matrix(draw.poisson(1.0, size=(40, 30)).astype(float))
    few, many = leading_directions(matrix, 5), leading_directions(matrix, 29)
    np.testing.assert_allclose(few, many[:, :5], atol=1e-8)
    assert (many.max(axis=0) == np.abs(many).max(axis=0)).all()
    np.testing.assert_array_equal(few, leading_directions(matrix, 5))  # C40


def test_weekly_purchases_add_up_loadings_and_marks():
    loadings = fit_projection(
        bought([("a", 1, "P1"), ("a", 2, "P1"), ("b", 1, "P2")]), "customer_id", 2, CALENDAR, connect()
    )
    table = bought([("a", 1, "P1"), ("a", 1, "P2"), ("a", 1, "P1"), ("b", 2, "LATE"), ("a", 3, "P2")])
    found = weekly_purchases(table, "customer_id", loadings, {"second": table.product_id == "P2"})
    rows = found.order_by("customer_id", "week").to_pyarrow().to_pylist()
    assert rows == [
        {"customer_id": "a", "week": 1, "purchases": 3, "second": 1, "direction_0": 2.0, "direction_1": 1.0},
        {"customer_id": "a", "week": 3, "purchases": 1, "second": 1, "direction_0": 0.0, "direction_1": 1.0},
        {"customer_id": "b", "week": 2, "purchases": 1, "second": 0, "direction_0": 0.0, "direction_1": 0.0},
    ]


def test_planted_habits_are_read_back_from_the_place_along_the_directions():
    draw = np.random.default_rng(1)
    habits = {f"c{c:02}": draw.choice(60, size=4, replace=False) for c in range(50)}
    rows = [
        (c, w, f"P{p:02}") for c, own in habits.items() for w in range(1, 7) for p in (*own, *draw.integers(0, 60, 1))
    ]
    loadings = fit_projection(bought(rows), "customer_id", 24, CALENDAR, connect())
    vectors = np.stack([loadings[name].to_numpy() for name in loadings.column_names[1:]], axis=1) / UNIT
    weekly = weekly_purchases(bought(rows), "customer_id", loadings, {})
    totals = weekly.group_by("customer_id").agg(**{name: weekly[name].sum() for name in loadings.column_names[1:]})
    found = totals.order_by("customer_id").to_pyarrow()
    places = np.stack([found[name].to_numpy() for name in loadings.column_names[1:]], axis=1)
    scores = places @ vectors.T / np.linalg.norm(vectors, axis=1)
    products = loadings["product_id"].to_pylist()
    hits = [
        len({products[i] for i in np.argsort(-row)[:4]} & {f"P{p:02}" for p in habits[customer]}) / 4
        for customer, row in zip(found["customer_id"].to_pylist(), scores, strict=True)
    ]
    assert np.mean(hits) > 0.75  # by chance 4 / 60


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_directions_that_the_data_does_not_have_are_zero(rank):
    directions = leading_directions(csr_matrix(np.array([[2.0, 0, 2], [1, 0, 1]])), rank)
    np.testing.assert_allclose(directions[:, 0], [2**-0.5, 0, 2**-0.5], atol=1e-12)
    assert not directions[:, 1:].any()
