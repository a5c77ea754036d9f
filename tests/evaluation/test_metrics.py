import json
import math

import numpy as np
import pytest

from retailsim.evaluation.metrics import Metrics, slice_codes, sliced


def test_metrics_by_hand():  # C32
    metrics = Metrics.from_ranks(np.array([1, 2, 10, 11, np.inf]))
    assert metrics.n == 5
    assert (metrics.top1, metrics.top5, metrics.top10) == pytest.approx((0.2, 0.4, 0.6))
    assert metrics.mrr == pytest.approx((1 + 1 / 2 + 1 / 10 + 1 / 11) / 5)
    assert metrics.ndcg10 == pytest.approx((1 + 1 / math.log2(3) + 1 / math.log2(11)) / 5)


def test_half_ranks_count_where_they_are_within_k():
    metrics = Metrics.from_ranks(np.array([1.5, 5.5, 10.5]))
    assert (metrics.top1, metrics.top5, metrics.top10) == pytest.approx((0, 1 / 3, 2 / 3))


def test_json_is_the_specified_record():  # C32
    record = json.loads(json.dumps(Metrics.from_ranks(np.array([1.0])).to_json(), allow_nan=False))
    assert record == {"n": 1, "top1": 1, "top5": 1, "top10": 1, "mrr": 1, "ndcg10": 1}
    empty = json.loads(json.dumps(Metrics.from_ranks(np.array([])).to_json(), allow_nan=False))
    assert empty == {"n": 0, "top1": None, "top5": None, "top10": None, "mrr": None, "ndcg10": None}


def test_slices_at_their_edges():
    codes = slice_codes(
        weekday=np.array([1, 7, 2, 1, 1, 1]),
        n_products=np.array([2, 5, 6, 15, 16, 87]),
        trips=np.array([-1, 0, 4, 5, 19, 20]),
        is_repeat=np.array([-1, 0, 0, 1, 1, 1]),
        product_baskets=np.array([0, 9, 10, 99, 100, 5000]),
    )
    found = sliced(np.array([1, 2, 3, 4, 5, 6.0]), codes)
    counts = {key: {name: metrics.n for name, metrics in names.items()} for key, names in found.items()}
    assert counts == {
        "weekday": {"Monday": 4, "Tuesday": 1, "Sunday": 1},
        "basket_size": {"1-5": 2, "6-15": 2, "16+": 2},
        "customer_history": {"anonymous": 1, "<5": 2, "5-19": 2, "20+": 1},
        "bought_before": {"anonymous": 1, "first time": 2, "repeated": 3},
        "product_history": {"<10": 2, "10-99": 2, "100+": 2},
    }
    assert found["customer_history"]["<5"].mrr == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_slices_are_a_partition():
    generator = np.random.default_rng(0)
    ranks = generator.integers(1, 50, 500).astype(float)
    ranges = ((1, 8), (2, 40), (-1, 40), (-1, 2), (0, 300))
    codes = slice_codes(*(generator.integers(low, high, 500) for low, high in ranges))
    whole = Metrics.from_ranks(ranks)
    for names in sliced(ranks, codes).values():
        assert sum(m.n for m in names.values()) == whole.n
        assert sum(m.n * m.mrr for m in names.values()) == pytest.approx(whole.n * whole.mrr)
