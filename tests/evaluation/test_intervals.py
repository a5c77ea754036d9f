import numpy as np
import pytest

from retailsim.evaluation.intervals import REPLICATES, intervals, replicate_means, share_intervals, units_of
from retailsim.evaluation.metrics import VALUES

MISS = 100.0


def _shop(generator, customers, baskets=20, truth=0.3):
    """Ranks of `customers` who are each easy or hard: hits cluster by customer."""
    ease = generator.beta(truth * 4, (1 - truth) * 4, customers)
    units = np.repeat(np.arange(customers), baskets)
    return np.where(generator.random(len(units)) < ease[units], 1.0, MISS), units


def interval(ranks, units, metric, seed, replicates=REPLICATES):
    return intervals({metric: VALUES[metric](ranks)}, units, seed, replicates)[metric]


def test_units_are_customers_and_single_anonymous_baskets():  # C32
    customer = np.array([7, -1, 7, -1, -1, 3])
    basket = np.array([0, 1, 2, 7, 7, 3])
    units = units_of(customer, basket)
    assert units[0] == units[2] and units[3] == units[4]
    assert len({units[0], units[1], units[3], units[5]}) == 4 == units.max() + 1


def test_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        low, high = interval(*_shop(generator, 150), "top1", seed, replicates=300)
        covered += low <= 0.3 <= high
    assert 0.89 <= covered / 200 <= 0.99


def test_drawing_hidden_products_instead_of_customers_is_too_sure():
    ranks, units = _shop(np.random.default_rng(1), 150)
    by_customer = interval(ranks, units, "top1", seed=0)
    by_product = interval(ranks, np.arange(len(ranks)), "top1", seed=0)
    assert np.diff(by_customer)[0] > 1.5 * np.diff(by_product)[0]


def test_interval_shrinks_with_the_root_of_n():
    generator = np.random.default_rng(2)
    small, large = (np.diff(interval(*_shop(generator, n), "mrr", seed=0))[0] for n in (200, 3200))
    assert small / large == pytest.approx(4, rel=0.25)


def test_same_seed_same_interval():  # C40
    ranks, units = _shop(np.random.default_rng(3), 50)
    assert interval(ranks, units, "ndcg10", seed=5) == interval(ranks, units, "ndcg10", seed=5)
    assert interval(ranks, units, "ndcg10", seed=5) != interval(ranks, units, "ndcg10", seed=6)


def test_a_constant_has_no_width_and_nobody_has_no_interval():
    units = np.array([0, 0, 2])
    assert interval(np.array([2.0, 2.0, 2.0]), units, "mrr", seed=0) == (0.5, 0.5)
    with pytest.raises(ValueError, match="no hidden products"):
        interval(np.array([]), np.array([], dtype=int), "mrr", seed=0)


def test_replicates_average_to_the_mean():
    ranks, units = _shop(np.random.default_rng(4), 400)
    columns = np.stack([1 / ranks, ranks == 1], axis=1)
    means = replicate_means(columns, units, np.random.default_rng(0), 2000)
    assert means.mean(0) == pytest.approx(columns.mean(0), rel=0.01)


def test_intervals_of_several_metrics_are_those_of_each():
    ranks, units = _shop(np.random.default_rng(4), 400)
    together = intervals({metric: of(ranks) for metric, of in VALUES.items()}, units, seed=0)
    for metric, ends in together.items():
        assert ends == pytest.approx(interval(ranks, units, metric, seed=0))


def test_a_paired_difference_is_seen_where_two_intervals_overlap():
    generator = np.random.default_rng(5)
    ranks, units = _shop(generator, 150)
    others = np.where((ranks == 1) & (generator.random(len(ranks)) < 0.1), MISS, ranks)  # loses a tenth of the hits
    assert interval(others, units, "top1", seed=0)[1] > interval(ranks, units, "top1", seed=0)[0]
    gaps = {"to others": (ranks == 1.0) * 1.0 - (others == 1), "to itself": np.zeros(len(ranks))}
    found = intervals(gaps, units, seed=0)
    assert found["to others"][0] > 0 and found["to itself"] == (0, 0)


def test_a_share_that_is_the_same_for_everybody_is_certain():
    """Half of every basket's figure is lost: how high the figure is varies with the customers, the share does not."""
    ranks, units = _shop(np.random.default_rng(4), 60)
    whole = VALUES["mrr"](ranks)
    (low, high), lost = share_intervals({"a": whole / 2}, {"a": whole}, units, seed=0)["a"], whole / 2
    assert low == pytest.approx(0.5) == high
    assert np.diff(intervals({"a": lost / whole.mean()}, units, seed=0)["a"])[0] > 0.05
    assert share_intervals({"a": 0 * whole}, {"a": 0 * whole}, units, seed=0) == {"a": (0.0, 0.0)}
