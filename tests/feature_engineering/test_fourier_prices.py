"""Price features on hand-typed prices, on planted cycles and promotions, and as of the week before (SPEC C8.2, C19)."""

from datetime import date

import ibis
import numpy as np
import pyarrow as pa
import pytest

from retailsim.artifacts import PRICE_FEATURES, PRICES, PSEUDO_BRANDS
from retailsim.feature_engineering.fourier_prices import BOUND, HALF_LIFE, PERIODS, REFERENCES, cycle, price_features
from retailsim.feature_engineering.price_history import (
    group_mean,
    group_median,
    group_sum,
    last_known,
    mean,
    median_and_rank,
    place_in_group,
    total,
    weekly_chain_prices,
    weeks_since,
)
from retailsim.layout import T4, T4_BASKET, T4_PAID_KNOWN, T4_RELATIVE, T4_SHIFT
from retailsim.storage import connect
from retailsim.weeks import Calendar

MONDAY = date(2006, 4, 10)
SUB_CATEGORY = {"A": "CL1", "B": "CL1", "C": "CL2"}
NAN = float("nan")


def price_row(product, store, week, actual, base, is_promotion=False, imputed_from="product-store-week"):
    return {
        "product_id": product,
        "store_id": store,
        "week": week,
        "actual_price": actual,
        "base_price": base,
        "discount": max(1 - actual / base, 0.0),
        "is_promotion": is_promotion,
        "imputed_from": imputed_from,
        "quality": "good",
        "n_sales": 3,
    }


def described(rows, last_week):
    """Product and week → (last price, 64 numbers), from rows of PRICES."""
    engine = connect()
    prices = ibis.memtable(pa.Table.from_pylist(rows, schema=PRICES.schema.to_pyarrow()))
    ids = sorted({row["product_id"] for row in rows})
    categories = [SUB_CATEGORY.get(product, "CL3") for product in ids]
    products = ibis.memtable({"product_id": ids + ids, "hierarchy_10": categories + categories})
    brands = ibis.memtable(
        [
            dict.fromkeys(PSEUDO_BRANDS.columns) | {"product_id": product, "brand": f"{category} {product < 'B'}"}
            for product, category in zip(ids, categories, strict=True)
        ],
        schema=PSEUDO_BRANDS.schema,
    )
    table = price_features(prices, brands, products, Calendar(MONDAY, last_week), engine)
    assert table.schema() == PRICE_FEATURES.schema
    found = engine.to_pyarrow(table).to_pylist()
    return {
        (row["product_id"], row["week"]): (row["last_price"], np.array(row["features"], np.float32)) for row in found
    }


def series(product, prices, base=None, promoted=()):
    """Rows of one store, from the price of weeks 1, 2, …; None in a week without a sale."""
    return [
        price_row(product, "S1", week, price, base or price, week in promoted)
        for week, price in enumerate(prices, start=1)
        if price is not None
    ]


HAND = [
    *series("A", [2.0, 2.0, None, 1.0], base=2.0, promoted=(4,)),
    *series("B", [4.0, 4.0, 4.0, 4.0]),
    price_row("A", "S2", 4, 1.0, 2.0),  # another store at the same price, without a promotion
    price_row("A", "S2", 3, 99.0, 99.0, imputed_from="product-chain"),  # nobody paid this
]


def test_every_number_of_a_small_history():
    last, features = described(HAND, last_week=4)["A", 5]
    half, log = np.log(0.5), np.log
    assert last == 1.0
    # Sold in weeks 1, 2 and 4 at £2, £2, £1; B costs £4.
    assert features[:T4_RELATIVE] == pytest.approx(
        [half, log(1 / (5 / 3)), half, 0, half]  # base, mean, median, lowest, highest
        + [log(1 / (5 / 3))] * 4  # means of 4, 13, 26, 52 weeks
        + [log(1 / 2.5), 0, half],  # sub-category, brand (alone), price before the change
        abs=1e-6,
    )
    assert features[12:16] == pytest.approx([0, 0, 1 / 6, log(4) / 5], abs=1e-6)
    deviation = 10 * log(2) * np.sqrt(1 / 3 - 1 / 9)
    assert features[T4["volatility"]] == pytest.approx(
        [min(deviation, 5)] * 5
        + [10 * log(2) / 2, 0, BOUND]  # changes 0 and −log 2, whose tenfold is bounded
        + [1 / 2, 1 / 2, 1]  # changed in one of two, this last week
        + [1 / 3, 1 / 3]  # below base
        + [0, 0, 3 / 4],  # no spread; sold in three weeks of four
        abs=1e-6,
    )
    promotion = features[T4["promotion"]]
    assert promotion[:6] == pytest.approx([1 / 2, 1 / 3, 1 / 3, BOUND, 1, 1 / 4], abs=1e-6)
    context = features[T4["context"]]
    level = 10 * log(1 / (5 / 3)) / 2  # A stands 40 % under its mean, B at its mean; summed in millionths
    assert context[:8] == pytest.approx([level, 0, 0, 1 / 2, 1 / 7, 0, log(3) / 5, level], abs=1e-5)
    assert (context[8:] == 0).all()


def test_rows_run_from_the_week_after_the_first_sale_to_the_week_after_the_last():  # C8
    rows = [*HAND, price_row("C", "S1", 3, 5.0, 5.0)]
    found = described(rows, last_week=4)
    weeks = {product: sorted(week for name, week in found if name == product) for product in "ABC"}
    assert weeks == {"A": [2, 3, 4, 5], "B": [2, 3, 4, 5], "C": [4, 5]}
    assert [found["A", week][0] for week in (2, 3, 4, 5)] == [2, 2, 2, 1]
    assert len(REFERENCES) == T4_RELATIVE


def test_first_week_of_a_product_has_no_movement():
    _, features = described(series("C", [3.0]), last_week=1)["C", 2]
    named = {14: 0.5, 15: np.log(2) / 5, 31: 1, 53: 0.5, 54: np.log(2) / 5}
    expected = [named.get(column, 0) for column in range(T4.width)]
    assert features == pytest.approx(expected, abs=1e-6)


def random_rows(products, weeks, seed):
    """Two stores with gaps, moving prices and promotions."""
    rng = np.random.default_rng(seed)
    return [
        price_row(product, store, week, float(rng.uniform(1, 2)), 1.6, bool(rng.random() < 0.3))
        for product in products
        for store in ("S1", "S2")
        for week in range(1, weeks + 1)
        if rng.random() < 0.6
    ]


def test_the_columns_of_the_look_up_are_zero_and_all_others_say_something():  # layout.T4_PAID_KNOWN, T4_SHIFT, T4_BASKET
    found = described(random_rows("DEF", weeks=60, seed=0), 60)
    features = np.array([numbers for _, numbers in found.values()])
    left = [T4_PAID_KNOWN, T4_SHIFT, *range(T4_BASKET.start, T4_BASKET.stop)]
    assert (features[:, left] == 0).all()
    assert np.delete(features, left, axis=1).std(axis=0).min() > 0.01


def test_relative_columns_move_with_the_price_by_its_log():  # layout.T4_RELATIVE
    cheap = described([*series("A", [2.0, 2.2, 1.9, 2.0])], 4)["A", 5]
    for scale in (0.5, 3.0):
        other = described([*series("A", [2.0 * scale, 2.2 * scale, 1.9 * scale, 2.0 * scale])], 4)["A", 5]
        assert other[1] == pytest.approx(cheap[1], abs=1e-5)  # the currency does not matter
        references = np.exp(np.log(other[0]) - other[1][:T4_RELATIVE])
        assert references == pytest.approx(scale * np.exp(np.log(cheap[0]) - cheap[1][:T4_RELATIVE]), rel=1e-5)


@pytest.mark.parametrize("period", PERIODS)
def test_a_planted_wave_is_found_at_its_period(period: int):
    weeks = np.arange(1, 157)
    prices = 2 * np.exp(0.1 * np.cos(2 * np.pi * (weeks - 3) / period))
    found = described(series("A", prices), 156)
    first = T4["promotion"].start + 6
    amplitudes = np.array([found["A", 157][1][first + 2 * place] for place in range(len(PERIODS))])
    assert PERIODS[amplitudes.argmax()] == period
    n = sum(2 ** (-age / HALF_LIFE) for age in range(1, 157))
    here = PERIODS.index(period)
    assert amplitudes[here] == pytest.approx(10 * 0.1 * n / (n + period), rel=0.05)
    said = np.array([found["A", week][1][first + 2 * here + 1] for week in range(105, 157)])
    assert np.corrcoef(said, np.log(prices[104:]))[0, 1] > 0.99  # what the cycle says of a week not yet seen


def test_a_cycle_of_promotions_is_expected_before_it_comes():
    promoted = [week for week in range(1, 105) if week % 8 in (1, 2, 3)]
    prices = [1.5 if week in promoted else 2.0 for week in range(1, 105)]
    found = described(series("A", prices, base=2.0, promoted=promoted), 104)
    first, here = T4["promotion"].start + 6, PERIODS.index(8)
    amplitudes = [found["A", 105][1][first + 2 * place] for place in range(len(PERIODS))]
    assert np.argmax(amplitudes) == here
    said = {week: found["A", week][1][first + 2 * here + 1] for week in range(60, 105)}
    assert max(said[week] for week in said if week % 8 == 2) < 0 < min(said[week] for week in said if week % 8 == 6)
    frequency, depth = found["A", 105][1][[33, 35]]
    assert frequency == pytest.approx(3 / 8)
    assert depth == pytest.approx(10 * np.log(2 / 1.5), abs=1e-5)
    assert [found["A", week][1][37] for week in (98, 99, 100, 101)] == pytest.approx([0.25, 0.5, 0.75, 0])


def test_weeks_to_come_move_nothing():  # C19
    rows = random_rows("ABCD", weeks=30, seed=1)
    before = described(rows, 30)
    for cut in (5, 18, 30):
        changed = [row for row in rows if row["week"] < cut]
        changed += [row | {"actual_price": row["actual_price"] * 3} for row in rows if row["week"] > cut]
        changed += [price_row(name, "S3", week, 9.0, 9.5, True) for name in ("A", "AA", "Z") for week in range(cut, 31)]
        after = described(changed, 30)
        past = [key for key in before if key[1] <= cut]
        assert past == [key for key in after if key[1] <= cut]
        for key in past:
            assert before[key][0] == after[key][0]
            assert before[key][1].tobytes() == after[key][1].tobytes()
        assert any((before["A", week][1] != after["A", week][1]).any() for week in range(cut + 1, 32))


def test_numbers_stay_finite_and_bounded_for_wild_prices():
    wild = [0.001, 900.0, None, 0.002, 1e5, None, None, 0.01] * 8
    found = described(series("A", wild) + series("B", [None] * 30 + [1.0]), len(wild))
    features = np.array([numbers for _, numbers in found.values()])
    assert np.isfinite(features).all()
    assert np.abs(features).max() == BOUND


def test_a_product_without_category_or_brand_stands_alone():
    engine = connect()
    prices = ibis.memtable(pa.Table.from_pylist(HAND, schema=PRICES.schema.to_pyarrow()))
    products = ibis.memtable({"product_id": ["B"], "hierarchy_10": ["CL1"]})
    brands = ibis.memtable([], schema=PSEUDO_BRANDS.schema)
    rows = engine.to_pyarrow(price_features(prices, brands, products, Calendar(MONDAY, 4), engine)).to_pylist()
    features = next(row["features"] for row in rows if row["product_id"] == "A" and row["week"] == 5)
    assert features[9:11] == [0, 0]
    assert features[48:55] == pytest.approx([0, 0, 0, 0, 0, 0.5, 0])
    assert features[0] == pytest.approx(np.log(0.5))


def test_weekly_chain_prices_and_their_spark_form():
    prices = ibis.memtable(pa.Table.from_pylist(HAND, schema=PRICES.schema.to_pyarrow()))
    rows = weekly_chain_prices(prices).order_by("product_id", "week").to_pyarrow().to_pylist()
    assert rows[2] == {
        "product_id": "A", "week": 4, "price": 1.0, "base": 2.0, "lowest": 1.0, "highest": 1.0, "stores": 2, "promoted": 1,
    }  # fmt: skip
    ibis.pyspark  # noqa: B018  # loads the compiler's options
    unbound = ibis.table(PRICES.schema, name="prices")
    assert "GROUP BY" in ibis.to_sql(weekly_chain_prices(unbound), dialect="pyspark")


def test_as_of_functions_by_hand():
    values = np.array([[NAN, 3.0, NAN, 1.0, 1.0]])
    np.testing.assert_array_equal(last_known(values), [[NAN, NAN, 3, 3, 1, 1]])
    np.testing.assert_array_equal(total(values, 2), [[0, 0, 3, 3, 1, 2]])
    np.testing.assert_array_equal(mean(values), [[NAN, NAN, 3, 3, 2, 5 / 3]])
    np.testing.assert_array_equal(mean(values, 1), [[NAN, NAN, 3, NAN, 1, 1]])
    np.testing.assert_array_equal(weeks_since(values == 3), [[np.inf, np.inf, 1, 2, 3, 4]])
    median, rank = median_and_rank(values)
    np.testing.assert_array_equal(median, [[NAN, NAN, 3, 3, 2, 1]])
    np.testing.assert_allclose(rank, [[NAN, NAN, 0.5, 0.5, 0.25, 1 / 3]])


def test_group_functions_by_hand():
    values, group = np.array([[1.0], [3.0], [NAN], [3.0], [7.0], [5.0]]), np.array([0, 0, 0, 0, -1, 1])
    np.testing.assert_array_equal(group_median(values, group)[:, 0], [3, 3, 3, 3, NAN, 5])
    np.testing.assert_array_equal(group_sum(values, group)[:, 0], [7, 7, 7, 7, 0, 5])
    np.testing.assert_allclose(group_mean(values, group)[:, 0], [7 / 3, 7 / 3, 7 / 3, 7 / 3, NAN, 5])
    np.testing.assert_array_equal(place_in_group(values, group)[:, 0], [0, 0.75, 0.5, 0.75, 0.5, 0.5])


def test_cycle_agrees_with_the_sum_written_out():
    rng = np.random.default_rng(2)
    log = np.where(rng.random((1, 40)) < 0.7, rng.normal(0, 0.2, (1, 40)), NAN)
    amplitude, now = cycle(log, period=13)
    week, seen = 31, ~np.isnan(log[0, :30])
    v = np.arange(1, 31)[seen]
    weight = 2.0 ** (-(week - v) / HALF_LIFE)
    d = log[0, :30][seen] - np.sum(weight * log[0, :30][seen]) / weight.sum()
    c = 2 * np.sum(weight * d * np.exp(-2j * np.pi * v / 13)) / (weight.sum() + 13)
    assert amplitude[0, week - 1] == pytest.approx(abs(c))
    assert now[0, week - 1] == pytest.approx((c * np.exp(2j * np.pi * week / 13)).real)
