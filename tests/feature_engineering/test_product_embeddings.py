"""Product embeddings on a planted shop: training finds its complements, substitutes and tiers (SPEC C8.3, C19, C40).

Ten sub-categories of eight products. Sub-categories 0–4 are bought together, and so are 5–9 (complements: nearly every
pair of a half). Four products of a sub-category cost £1, four £3; those of one price are
substitutes and one brand.
"""

from datetime import date, timedelta

import ibis
import numpy as np
import pyarrow as pa
import pytest
import torch

from retailsim import artifacts
from retailsim.feature_engineering.product_attributes import sales_counts
from retailsim.feature_engineering.product_embeddings import embed_products
from retailsim.feature_engineering.pseudo_brands import derive_brands
from retailsim.layout import T2
from retailsim.storage import connect
from retailsim.weeks import Calendar

PRODUCTS = 80
EPOCHS = 120
FEW_EPOCHS = 10
CALENDAR = Calendar(date(2006, 4, 10), last_week=117)
FORMATS = np.array(["LS", "MS", "XLS", "SS"])


def product_id(k: int) -> str:
    return f"p{k:02d}"


def sub_category(k: int) -> str:
    return f"s{k // 8}"


def shop(late_price: str | None = "2.00", late_weeks: tuple[int, ...] = (90, 91), seed: int = 0) -> ibis.Table:
    """Thirty rows of every product in the training weeks, ten later; and a late product `p99` of sub-category 3."""
    draw = np.random.default_rng(seed)
    product = np.repeat(np.arange(PRODUCTS), 40)
    week = np.concatenate(
        [draw.integers(1, 81, (PRODUCTS, 30)), draw.integers(81, 118, (PRODUCTS, 10))], axis=1
    ).ravel()
    quantity = draw.integers(1, 4, len(product))
    price = 1.0 + 2 * (product % 8 // 4)
    ids = [product_id(k) for k in product]
    codes = [sub_category(k) for k in product]
    if late_price is not None:
        n = len(late_weeks)
        week, quantity = np.append(week, late_weeks), np.append(quantity, np.ones(n, int))
        price = np.append(price, np.full(n, float(late_price)))
        ids, codes = ids + ["p99"] * n, codes + ["s3"] * n
    rows = len(ids)
    days = draw.integers(0, 7, rows)
    table = pa.table(
        {
            "basket_id": [f"b{k}" for k in draw.integers(0, 400, rows)],
            "week": pa.array(week, pa.int32()),
            "date": [CALENDAR.monday_of(int(w)) + timedelta(days=int(d)) for w, d in zip(week, days, strict=True)],
            "weekday": pa.array(days + 1, pa.int32()),
            "hour": pa.array(draw.integers(8, 22, rows), pa.int32()),
            "product_id": ids,
            "hierarchy_10": codes,
            "hierarchy_20": [f"c{int(code[1]) // 2}" for code in codes],
            "hierarchy_30": ["g0"] * rows,
            "hierarchy_40": ["d0"] * rows,
            "customer_id": [f"k{k}" if k else None for k in draw.integers(0, 30, rows)],
            "price_segment": ["LA"] * rows,
            "lifestage": ["YF"] * rows,
            "store_format": FORMATS[draw.integers(0, 4, rows)],
            "store_region": ["N01"] * rows,
            "quantity": quantity,
            "spend": quantity * price,
            "mission_type": ["Top Up"] * rows,
            "mission_focus": ["Fresh"] * rows,
            "price_sensitivity": ["MM"] * rows,
            "basket_size": ["S"] * rows,
        }
    )
    table = ibis.memtable(table)
    return table.mutate(spend=table.spend.cast("decimal(18, 2)"))


def planted_graph() -> ibis.Table:
    draw = np.random.default_rng(1)
    pairs = [(a, b) for a in range(PRODUCTS) for b in range(a + 1, PRODUCTS)]
    complements = [(a, b) for a, b in pairs if a // 40 == b // 40 and draw.random() < 0.95]
    substitutes = [(a, b) for a, b in pairs if a // 4 == b // 4]
    rows = [("co_purchase", product_id(a), product_id(b), 0, 0) for a, b in complements]
    rows += [("substitution", product_id(a), product_id(b), 0, 0) for a, b in substitutes]
    rows += [("hierarchy", product_id(k), sub_category(k), 0, 10) for k in range(PRODUCTS)]
    rows += [("hierarchy", f"s{k}", f"c{k // 2}", 10, 20) for k in range(10)]
    rows += [("hierarchy", f"c{k}", "g0", 20, 30) for k in range(5)] + [("hierarchy", "g0", "d0", 30, 40)]
    names = ("edge_type", "source", "target", "source_level", "target_level")
    return ibis.memtable([dict(zip(names, row, strict=True)) | {"weight": 0.5} for row in rows])


def embed(
    transactions: ibis.Table, epochs: int = EPOCHS, seed: int = 0, **options
) -> tuple[dict[str, np.ndarray], dict]:
    engine = connect()
    brands = derive_brands(transactions, CALENDAR.train_end)
    table, report = embed_products(
        transactions, planted_graph(), brands, CALENDAR, engine, seed, epochs=epochs, **options
    )
    found = engine.to_pyarrow(table.order_by("product_id"))
    return {row["product_id"]: np.float32(row["embedding"]) for row in found.to_pylist()}, report


@pytest.fixture(scope="module")
def trained() -> tuple[dict[str, np.ndarray], dict]:
    return embed(shop())


@pytest.fixture(scope="module")
def begun() -> tuple[dict[str, np.ndarray], dict]:
    return embed(shop(), FEW_EPOCHS)


def nearest(embedding: dict[str, np.ndarray], name: str, k: int, slice_: str) -> list[int]:
    """The k fitted products whose `slice_` is most like that of product `name`, nearest first."""
    others = [product_id(j) for j in range(PRODUCTS) if product_id(j) != name]
    likeness = [float(embedding[other][T2[slice_]] @ embedding[name][T2[slice_]]) for other in others]
    return [int(others[j][1:]) for j in np.argsort(likeness)[::-1][:k]]


def test_nearest_neighbours_are_the_planted_ones(trained):  # C8.3
    embedding, _ = trained
    companions = [(k, other) for k in range(PRODUCTS) for other in nearest(embedding, product_id(k), 5, "co_purchase")]
    assert np.mean([k // 40 == other // 40 for k, other in companions]) > 0.98
    for slice_ in ("substitution", "brand"):
        alike = [(k, other) for k in range(PRODUCTS) for other in nearest(embedding, product_id(k), 3, slice_)]
        assert np.mean([k // 4 == other // 4 for k, other in alike]) > 0.95  # by chance: 3 in 79
    siblings = [(k, other) for k in range(PRODUCTS) for other in nearest(embedding, product_id(k), 5, "hierarchy")]
    assert np.mean([k // 8 == other // 8 for k, other in siblings]) > 0.95


def test_training_is_what_predicts_held_out_edges(trained):  # C8.3
    _, report = trained
    _, untrained = embed(shop(), epochs=0)
    after, before = report["edge_types"], untrained["edge_types"]
    assert after["co_purchase"]["auc"] > 0.9
    assert after["hierarchy"]["auc"] > 0.9
    assert after["substitution"]["auc"] > 0.9
    assert after["brand"]["auc"] > 0.9
    for name in ("co_purchase", "hierarchy"):
        assert before[name]["auc"] < after[name]["auc"] - 0.1
    for name in ("substitution", "brand"):
        assert before[name]["auc_hard"] < after[name]["auc_hard"] - 0.1
    assert report["loss_last"] < report["loss_first"] / 2
    assert untrained["loss_first"] is None


def test_report_counts_edges_and_nodes(trained):
    _, report = trained
    assert (report["products"], report["late_products"], report["hierarchy_codes"]) == (80, 1, 17)
    assert report["edge_types"]["hierarchy"]["edges"] == 96
    assert report["edge_types"]["hierarchy"]["held_out"] == 10
    assert report["edge_types"]["substitution"]["held_out"] == 12


def test_new_product_is_embedded_near_its_sub_category(trained):  # C8.3, inductive
    embedding, _ = trained
    assert {other // 8 for other in nearest(embedding, "p99", 8, "hierarchy")} == {3}
    assert {other // 40 for other in nearest(embedding, "p99", 8, "co_purchase")} == {0}


def test_every_slice_has_unit_scale(trained):
    embedding, _ = trained
    rows = np.stack(list(embedding.values()))
    assert rows.shape == (81, T2.width)
    for name in T2.widths:
        np.testing.assert_allclose((rows[:, T2[name]] ** 2).mean(axis=1), 1, rtol=1e-5)


def test_later_weeks_change_no_fitted_product(begun):  # C19
    now, later = shop(), shop(late_price=None, seed=5)
    changed = now.filter(now.week <= 80).union(later.filter(later.week > 100))
    embedding, report = embed(changed, FEW_EPOCHS)
    assert report["late_products"] == 0
    assert len(embedding) == PRODUCTS
    for name, row in embedding.items():
        np.testing.assert_array_equal(row, begun[0][name])


def test_sales_of_a_late_product_do_not_change_its_embedding(begun):  # C19: a basket of its first week may show it
    dearer = shop(late_price="50.00", late_weeks=(90, 95))
    dearer = dearer.filter((dearer.product_id == "p99") | (dearer.week <= 80))
    np.testing.assert_array_equal(embed(dearer, FEW_EPOCHS)[0]["p99"], begun[0]["p99"])


def test_sales_in_the_training_weeks_do_matter(begun):
    now = shop()
    cheap = now.filter((now.week > 10) | (now.product_id != "p00"))
    assert not np.array_equal(embed(cheap, FEW_EPOCHS)[0]["p00"], begun[0]["p00"])


def test_same_seed_same_bytes_and_another_seed_others(begun):  # C40
    again, report = embed(shop(), FEW_EPOCHS)
    assert report == begun[1]
    assert all(np.array_equal(again[name], begun[0][name]) for name in begun[0])
    other, _ = embed(shop(), FEW_EPOCHS, seed=1)
    assert not np.allclose(other["p00"], begun[0]["p00"], atol=0.1)


def test_bytes_do_not_depend_on_the_threads(begun):  # C40
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    again, _ = embed(shop(), FEW_EPOCHS)
    assert torch.get_num_threads() == 3
    torch.set_num_threads(threads)
    assert all(np.array_equal(again[name], begun[0][name]) for name in begun[0])


def test_every_epoch_is_told():
    told = []
    _, report = embed(shop(), epochs=3, on_epoch=lambda epoch, loss: told.append((epoch, loss)))
    assert [epoch for epoch, _ in told] == [1, 2, 3]
    assert (told[0][1], told[-1][1]) == (report["loss_first"], report["loss_last"])


def test_a_graph_of_other_products_is_refused():
    transactions = shop()
    few = transactions.filter(transactions.product_id != "p07")
    with pytest.raises(ValueError, match="'p07', which is no product of the training weeks"):
        embed(few, epochs=0)


def test_table_has_the_artifacts_columns(tmp_path):
    engine, transactions = connect(), shop()
    brands = derive_brands(transactions, CALENDAR.train_end)
    table, report = embed_products(transactions, planted_graph(), brands, CALENDAR, engine, seed=0, epochs=1)
    artifacts.PRODUCT_EMBEDDINGS.write(tmp_path, table, engine, ["product_id"])
    artifacts.EMBEDDING_REPORT.write(tmp_path, report)
    written = artifacts.PRODUCT_EMBEDDINGS.read(tmp_path, engine)
    assert engine.to_pyarrow(written.filter(~written.is_fitted))["product_id"].to_pylist() == ["p99"]


def test_counts_by_hand():
    transactions = shop()
    mine = transactions.filter(transactions.product_id == "p03").execute()
    mine = mine[mine.week <= 80]
    counts = connect().to_pyarrow(sales_counts(transactions, 80, {"store_format": ["LS", "SS"]}))
    row = next(row for row in counts.to_pylist() if row["product_id"] == "p03")
    assert row["rows"] == 30
    assert row["items"] == mine.quantity.sum()
    assert row["weekday=7"] == (mine.weekday == 7).sum()
    assert row["hour=12-14"] == mine.hour.isin([12, 13]).sum()
    assert row["month=5"] == sum(day.month == 5 for day in mine.date)
    assert row["store_format=SS"] == (mine.store_format == "SS").sum()
    assert row["shopper=anonymous"] == mine.customer_id.isna().sum()
    assert row["basket_size=S"] == 30
    assert row["basket_size=L"] == 0


def test_counts_compile_for_spark():  # C38
    pytest.importorskip("pyspark")
    table = ibis.table(artifacts.TRANSACTIONS.schema, name="transactions")
    sql = ibis.pyspark.compile(sales_counts(table, 80, {"store_format": ["LS"]}))
    assert "`store_format=LS`" in sql
