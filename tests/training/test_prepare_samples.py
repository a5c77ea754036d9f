"""C10, C21: transactions become samples, on a shop typed by hand."""

from datetime import date
from hashlib import md5
from pathlib import Path

import ibis
import pytest

from retailsim.artifacts import SAMPLE_TABLES, TEMPORAL_METADATA
from retailsim.errors import UserError
from retailsim.storage import connect
from retailsim.training.prepare_samples import build_samples, main, refuse_empty_splits, temporal_metadata
from tests.small_shop import CALENDAR_OF_FOUR, MILK_TEA, PRODUCTS, ROW, basket, tables, written


def sampled(*baskets):
    table = build_samples(*tables(baskets), CALENDAR_OF_FOUR)
    return {row["basket_id"]: row for row in table.order_by("basket_id").to_pyarrow().to_pylist()}


def test_one_row_per_basket_exactly():
    found = sampled(
        basket("B1", 1, MILK_TEA, weekday=7, hour=20, basket_size="L", price_sensitivity="UM"),
        basket("B2", 2, {"P02": (1, "1.25")}, customer=None, mission_type=None, mission_focus="Fresh"),
    )
    order = sorted(["P00", "P01"], key=lambda product: md5(f"B1:{product}".encode()).hexdigest())
    assert found["B1"] == {
        "basket_id": "B1", "customer_id": "C1", "week": 1, "day": 6, "hour": 20, "customer_row": 1, "store_row": 1,
        "recency": -1, "trips": 10, "n_products": 2, "is_replay": False,
        "mission_type": 1, "mission_focus": 5, "price_sensitivity": 2, "basket_size": 2,
        "products": [ROW[product] for product in order],
        "prices": [{"P00": 0.5, "P01": 1.5}[product] for product in order],
        "quantities": [{"P00": 1, "P01": 2}[product] for product in order],
    }  # fmt: skip
    assert found["B2"] == {
        "basket_id": "B2", "customer_id": None, "week": 2, "day": 7, "hour": 10, "customer_row": 0, "store_row": 2,
        "recency": -1, "trips": -1, "n_products": 1, "is_replay": False,
        "mission_type": -1, "mission_focus": 0, "price_sensitivity": -1, "basket_size": 0,
        "products": [ROW["P02"]], "prices": [1.25], "quantities": [1],
    }  # fmt: skip


def test_a_price_that_nobody_paid_is_none_and_a_number_that_nobody_took():
    found = sampled(basket("B1", 1, {"P00": (3, "0.00"), "P01": (3, "0.10"), "P02": (0, "1.00"), "P03": (-1, "-1.00")}))
    numbers = dict(zip(found["B1"]["products"], found["B1"]["quantities"], strict=True))
    assert numbers == {ROW["P00"]: 3, ROW["P01"]: 3, ROW["P02"]: None, ROW["P03"]: None}
    prices = dict(zip(found["B1"]["products"], found["B1"]["prices"], strict=True))
    assert prices[ROW["P00"]] is prices[ROW["P02"]] is prices[ROW["P03"]] is None and prices[
        ROW["P01"]
    ] == pytest.approx(0.1 / 3)


def test_products_stand_in_the_order_of_md5_and_are_cut_at_50():  # C12, C21
    everything = {product: (1, f"{i + 1}.00") for i, product in enumerate(PRODUCTS)}
    row = sampled(basket("B7", 1, everything))["B7"]
    order = sorted(PRODUCTS, key=lambda product: md5(f"B7:{product}".encode()).hexdigest())[:50]
    assert row["products"] == [ROW[product] for product in order]
    assert row["prices"] == [float(everything[product][1]) for product in order]
    assert row["n_products"] == 60


def test_a_replay_is_the_same_customers_same_basket_later():
    found = sampled(
        basket("B1", 1, MILK_TEA),
        basket("B2", 2, MILK_TEA, hour=20),
        basket("B3", 2, {**MILK_TEA, "P01": (1, "3.00")}),  # another quantity
        basket("B4", 2, {**MILK_TEA, "P01": (2, "2.98")}),  # another spend
        basket("B5", 2, {**MILK_TEA, "P02": (1, "1.00")}),  # a product more
        basket("B6", 3, MILK_TEA, customer="C2"),
        basket("B7", 3, MILK_TEA, customer=None),
        basket("B8", 4, MILK_TEA, customer=None),
    )
    assert [name for name, row in found.items() if row["is_replay"]] == ["B2"]


def test_of_two_equal_baskets_the_earlier_one_is_fresh():
    same_day = sampled(basket("B9", 2, MILK_TEA, hour=8), basket("B1", 2, MILK_TEA, hour=9))
    assert [name for name, row in same_day.items() if row["is_replay"]] == ["B1"]
    same_hour = sampled(basket("B2", 2, MILK_TEA), basket("B1", 2, MILK_TEA), basket("B3", 2, MILK_TEA))
    assert [name for name, row in same_hour.items() if row["is_replay"]] == ["B2", "B3"]


def test_history_is_that_of_the_baskets_own_week():  # C19
    """The rows joined are those as of the basket's week, so that they hold weeks ≤ W − 1."""
    found = sampled(
        *[basket(f"B{w}", w, MILK_TEA) for w in (1, 2, 4)],
        basket("B5", 3, MILK_TEA, customer="C2"),
        basket("B6", 4, MILK_TEA, customer="C2", store_id="S2"),
    )
    known = {name: (r["customer_row"], r["trips"], r["recency"], r["store_row"]) for name, r in found.items()}
    # Customer rows: C1 in weeks 1, 2, 4, then C2 in 3, 4. Store rows: S1 in weeks 1–4, then S2 in 4.
    assert known == {
        "B1": (1, 10, -1, 1), "B2": (2, 20, 2, 2), "B4": (3, 40, 2, 4), "B5": (4, 30, 2, 3), "B6": (5, 40, 2, 5),
    }  # fmt: skip


def test_later_baskets_change_no_earlier_sample():  # C19
    past = [basket("B1", 1, MILK_TEA), basket("B2", 2, {"P05": (1, "1.00")}), basket("B3", 2, MILK_TEA, customer=None)]
    future = [basket("B0", 3, MILK_TEA), basket("B4", 3, {"P06": (4, "9.99")}, customer="C2", hour=8)]
    joined = tables([*past, *future])  # the same rows of T1 and T5 for both
    alone = tables(past)[0]
    both = build_samples(joined[0], *joined[1:], CALENDAR_OF_FOUR).filter(lambda t: t.week <= 2)
    only = build_samples(alone, *joined[1:], CALENDAR_OF_FOUR)
    assert both.order_by("basket_id").to_pyarrow().equals(only.order_by("basket_id").to_pyarrow())


def test_it_compiles_for_spark():  # C38
    pytest.importorskip("pyspark")
    given = tables([basket("B1", 1, MILK_TEA)])
    assert ibis.pyspark
    for table in (build_samples(*given, CALENDAR_OF_FOUR), temporal_metadata(given[0], CALENDAR_OF_FOUR)):
        assert ibis.to_sql(table, dialect="pyspark")


def test_when_a_basket_was_bought_and_its_split():
    transactions = tables([basket(f"B{w}", w, MILK_TEA, weekday=w) for w in (1, 2, 3, 4)])[0]
    table = temporal_metadata(transactions, CALENDAR_OF_FOUR).order_by("basket_id").to_pyarrow()
    assert table["split"].to_pylist() == ["train", "train", "val", "test"]
    assert table.to_pylist()[1] == {
        "basket_id": "B2", "week": 2, "shop_week": 200602, "date": date(2006, 4, 18), "weekday": 2, "hour": 10,
        "split": "train",
    }  # fmt: skip


@pytest.mark.parametrize(
    "weeks, split, bounds", [((1, 2, 4), "val", "3–3"), ((3, 4), "train", "1–2"), ((1, 3), "test", "4–4")]
)
def test_an_empty_split_is_refused(weeks, split, bounds):  # C39
    samples = build_samples(*tables([basket(f"B{w}", w, MILK_TEA) for w in weeks]), CALENDAR_OF_FOUR)
    with pytest.raises(
        UserError,
        match=rf"split {split} \(weeks {bounds}\) has no basket.*--train-weeks.*run_pipeline --data-dir till/",
    ):
        refuse_empty_splits(samples, CALENDAR_OF_FOUR, Path("till/data"))


@pytest.fixture
def shop():
    return [basket(f"B{w}{i}", w, MILK_TEA, customer=f"C{i}") for w in (1, 2, 3, 4) for i in range(3)]


def test_the_command_writes_a_partition_of_the_baskets(shop, tmp_path, capsys):
    assert written(tmp_path, shop) == 0
    engine = connect()
    splits = {name: table.read(tmp_path, engine).to_pyarrow() for name, table in SAMPLE_TABLES.items()}
    assert {name: table["basket_id"].to_pylist() for name, table in splits.items()} == {
        "train": ["B10", "B11", "B12", "B20", "B21", "B22"], "val": ["B30", "B31", "B32"], "test": ["B40", "B41", "B42"],
    }  # fmt: skip
    assert splits["train"]["sample"].to_pylist() == [0, 1, 2, 3, 4, 5]
    assert splits["test"]["sample"].to_pylist() == [0, 1, 2]
    assert TEMPORAL_METADATA.read(tmp_path, engine).count().execute() == 12
    assert "samples_val.parquet: 3 baskets of weeks 3–3, 3 replays" in capsys.readouterr().out
    assert main(["--data-dir", str(tmp_path)]) == 0 and "is current" in capsys.readouterr().out


def test_the_order_of_the_rows_does_not_change_a_byte(shop, tmp_path):  # C21, C40
    written(tmp_path / "a", shop)
    written(tmp_path / "b", [rows[::-1] for rows in shop[::-1]])
    for artifact in (*SAMPLE_TABLES.values(), TEMPORAL_METADATA):
        assert (tmp_path / "a" / artifact.path).read_bytes() == (tmp_path / "b" / artifact.path).read_bytes()


def test_an_empty_split_ends_the_command_and_writes_nothing(shop, tmp_path, capsys):  # C39
    assert written(tmp_path, shop[:9]) == 2
    assert "split test (weeks 4–4) has no basket" in capsys.readouterr().err
    assert not list((tmp_path / "training").glob("*"))
