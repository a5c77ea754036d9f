"""C5: --nrows takes whole baskets of whole customers, the same ones every time, over all weeks."""

from hashlib import md5

import ibis
import numpy as np
import pytest

from retailsim.errors import UserError
from retailsim.sources.sample import sample_customers


def shop(customers: int = 60, weeks: int = 117, seed: int = 0):
    """(customer, basket, week, product): shoppers of very different diligence, a fifth of the baskets anonymous."""
    rng = np.random.default_rng(seed)
    rows = []
    for week in range(1, weeks + 1):
        for customer in range(customers):
            if rng.random() < 0.1 + 0.01 * customer:
                basket = f"B{week:03d}{customer:03d}"
                owner = None if rng.random() < 0.2 else f"C{customer:03d}"
                rows += [(owner, basket, week, f"P{p}") for p in range(rng.integers(1, 9))]
    return rows


def table(rows):
    names = ("customer_id", "basket_id", "week", "product_id")
    schema = dict(zip(names, ("string", "string", "int32", "string"), strict=True))
    return ibis.memtable([dict(zip(names, row, strict=True)) for row in rows], schema=schema)


def taken(rows, n):
    return {tuple(row.values()) for row in sample_customers(table(rows), n).to_pyarrow().to_pylist()}


def test_the_customers_are_those_first_by_md5_until_enough():
    rows = [("A", "1", 1, "P1"), ("A", "2", 9, "P1"), ("A", "2", 9, "P2"), ("B", "3", 1, "P1"), (None, "4", 5, "P1")]
    order = sorted(["c:A", "c:B", "b:4"], key=lambda unit: md5(unit.encode()).hexdigest())
    assert order == ["c:B", "c:A", "b:4"]
    assert taken(rows, 1) == {rows[3]}
    assert taken(rows, 2) == taken(rows, 4) == set(rows[:4])
    assert taken(rows, 5) == taken(rows, 1000) == set(rows)


def test_customers_are_whole_and_their_number_is_about_n():
    rows = shop()
    sample = taken(rows, 3000)
    customers = {row[0] for row in sample} - {None}
    assert 5 < len(customers) < 60
    assert {row for row in rows if row[0] in customers} == {row for row in sample if row[0]}
    baskets = {row[1] for row in sample}
    assert {row for row in rows if row[1] in baskets} == sample
    largest = max(sum(row[0] == customer for row in rows) for customer in customers)
    assert 3000 <= len(sample) < 3000 + largest


def test_anonymous_baskets_come_in_the_share_they_have():  # C3
    rows = shop()
    share = np.mean([row[0] is None for row in rows])
    assert np.mean([row[0] is None for row in taken(rows, 4000)]) == pytest.approx(share, abs=0.06)


def test_every_split_is_filled():
    weeks = {row[2] for row in taken(shop(), 1000)}
    for first, last in ((1, 80), (81, 95), (96, 117)):
        assert len(weeks & set(range(first, last + 1))) > (last - first) / 2


def test_a_larger_sample_holds_the_smaller():
    rows = shop()
    samples = [taken(rows, n) for n in (1, 100, 1000, 3000, 10**9)]
    assert all(small < large for small, large in zip(samples, samples[1:], strict=False))
    assert samples[-1] == set(rows)


def test_the_order_of_the_rows_does_not_matter():  # C21, C40
    rows = shop()
    assert taken(rows, 2000) == taken(rows[::-1], 2000) == taken(sorted(rows, key=str), 2000)


def test_a_basket_that_customers_share_comes_whole():
    """Half of it would pass the check of keys that the whole fails (C4)."""
    for n in (1, 2, 3):
        rows = [("A", "1", 1, "P1"), ("B", "1", 1, "P2"), (None, "1", 1, "P3"), ("B", "2", 1, "P1")]
        assert {row for row in taken(rows, n) if row[1] == "1"} in (set(), set(rows[:3]))


def test_rows_without_a_basket_are_in_no_sample():
    assert taken([("A", "1", 1, "P1"), ("A", None, 1, "P2"), (None, None, 1, "P2")], 100) == {("A", "1", 1, "P1")}


@pytest.mark.parametrize("n", [0, -5])
def test_no_rows_is_a_mistake(n):  # C39
    with pytest.raises(UserError, match=f"--nrows {n} takes no rows: give a number of at least 1"):
        sample_customers(table(shop(3)), n)


def test_the_sample_compiles_for_spark():  # C38
    pytest.importorskip("pyspark")
    assert ibis.pyspark and ibis.to_sql(sample_customers(table(shop(3)), 10), dialect="pyspark")
