"""C2: receipts in other retailers' files walk the whole road, from raw files to an evaluation; what they lack is masked.

The synthetic retailer's receipts, written as each data set is published (tests/retailers.py). Nothing is trained well here.
"""

import json
from contextlib import nullcontext
from datetime import datetime, time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from retailsim import layout
from retailsim.artifacts import CUSTOMER_EMBEDDINGS, PRICE_CACHE, PRODUCT_CACHE, PRODUCT_GROUPS, TRANSACTIONS
from retailsim.data_pipeline.run_pipeline import prepare_transactions
from retailsim.predict import Predictor, Request
from retailsim.reading import load_calendar
from retailsim.sources import make_data
from retailsim.sources.mapping import load_mapping
from retailsim.training import audit, audit_rebuild, purchases
from retailsim.training.audit_future import future_rule
from tests import recipe, retailers

SIX = """columns:
  basket_id: receipt
  product_id: sku
  store_id: branch
  timestamp: sold_at
  quantity: pieces
  spend: paid
"""
ROADS = {  # writer in tests/retailers.py → the shipped mapping
    "six_columns": None,
    "complete_journey": "complete-journey",
    "instacart": "instacart",
    "ta_feng": "ta-feng",
}
TRAINING = ["--preset", "tiny", "--epochs", "2", "--warmup-epochs", "1", "--finetune-epochs", "0", "--batch-size", "64"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("receipts")
    sizes = ["--customers", "40", "--products", "48", "--stores", "3", "--weeks", "20"]
    assert make_data.main(["--output", str(folder), *sizes]) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name, mapping", ROADS.items())
def test_from_raw_files_to_an_evaluation(raw, tmp_path, name, mapping, capsys, monkeypatch):
    shop = recipe.Shop(tmp_path / "raw", tmp_path / "data", tmp_path / "checkpoints")
    getattr(retailers, name)(raw, shop.raw)
    if mapping is None:
        (tmp_path / "six.yaml").write_text(SIX)
    flags = [
        "--input",
        "RAW",
        "--mapping",
        mapping or tmp_path / "six.yaml",
        "--train-weeks",
        "14",
        "--val-weeks",
        "17",
    ]
    for module, more in (("data_pipeline.run_pipeline", flags), *recipe.PREPARATION[1:]):
        assert recipe.call(module, [*more, "--data-dir", shop.data], shop) == 0, module
    paths = ["--data-dir", shop.data, "--checkpoint-dir", shop.checkpoints]
    assert recipe.call("training.train", [*TRAINING, *paths], shop) == 0
    report = tmp_path / "evaluation.json"
    flags = [shop.checkpoints / "best_model.pt", "--json", report, "--detailed", "--data-dir", shop.data]
    assert recipe.call("training.evaluate", flags, shop) == 0
    fresh = json.loads(report.read_text())["views"]["fresh"]["trip_unknown"]
    assert fresh["n"] > 30 and 0 < fresh["mrr"] < 1
    assert recipe.call("training.validate_data", ["--input", "RAW", *paths], shop) == 0  # the mapping is remembered
    said = capsys.readouterr().out
    assert "fault" not in said
    assert ("no product's group is known" in said) == (not PRODUCT_GROUPS.read(shop.data).any())
    check_masks(name, shop)
    check_answers(name, shop, tmp_path / "report.html")
    if name == "instacart":  # the one that lacks most
        check_audit(shop, tmp_path / "audit", monkeypatch)


def check_audit(shop: recipe.Shop, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C24: the rules that walk the road again do so on mapped receipts, and pass; with a leak put back they do not.

    The leak: a week's popularity of products counts the week itself. The end of the road alone is walked again with it.
    """
    folder.mkdir()
    monkeypatch.setattr(audit.tempfile, "TemporaryDirectory", lambda prefix: nullcontext(folder))
    path = folder / "audit.json"
    flags = ["--input", "RAW", "--nrows", "1500", "--data-dir", shop.data, "--json", path]
    assert recipe.call("training.audit", flags, shop) == 0
    rules = {rule["rule"]: rule["state"] for rule in json.loads(path.read_text())["rules"]}
    (future,) = [rule for rule in rules if rule.startswith("future-shuffle")]
    assert [rules[rule] for rule in ("order-blind", "fit-on-train", future)] == ["pass"] * 3

    honest, week = purchases.chain_popularity, int(future.split()[-1])
    monkeypatch.setattr(purchases, "chain_popularity", lambda *of: np.roll(honest(*of), -1, axis=0))
    monkeypatch.setattr(audit_rebuild, "ROAD", audit_rebuild.ROAD[4:])
    roots = [folder / name / "data" for name in ("as it is", f"from week {week}")]
    for root in roots:
        (root / "training" / "cache" / "prepare_tensor_cache.manifest.json").unlink()  # so that the stage runs again
        audit_rebuild.rebuild(audit_rebuild.Shop(shop.raw, root), load_calendar(root), 0)
    finding = future_rule(*roots, week)
    assert finding.state == "fail" and all(example.startswith("basket ") for example in finding.examples)


def check_answers(name: str, shop: recipe.Shop, page: Path) -> None:
    """C36, C35: a model of what a source has answers requests and is reported on; an hour that no basket has says nothing."""
    best = shop.checkpoints / "best_model.pt"
    predictor = Predictor.load(best, shop.data)
    monday = datetime.combine(predictor.calendar.monday_of(predictor.calendar.last_week + 1), time())
    customer = [*predictor.customers, None][0]
    early, late = predictor.predict_many([Request(monday.replace(hour=h), customer=customer) for h in (9, 20)], top=5)
    says_nothing = "the data has no hours: that of the trip says nothing"
    assert (says_nothing in early.notes) == (early.suggestions == late.suggestions) == (name == "ta_feng")
    assert recipe.call("report.report", [best, "--output", page, "--data-dir", shop.data], shop) == 0
    html = page.read_text(encoding="utf-8")
    assert ("What was paid is not known." in html) == ("days that were invented" in html) == (name == "instacart")
    assert ("All baskets are anonymous." in html) == (customer is None) and "None" not in html.split("<script>")[0]


def check_masks(name: str, shop: recipe.Shop) -> None:
    """What the data set does not have says so in the tensors of every test basket, and what it has does not."""
    found = [tensors for _, tensors in recipe.tensors(shop, "test").values()]
    six = {t: np.concatenate([tensors[t].reshape(-1, tensors[t].shape[-1]) for tensors in found]) for t in found[0]}
    assert all(np.isfinite(values).all() for values in six.values())
    is_anonymous = name == "six_columns"
    has_hour, has_store, has_price = name != "ta_feng", name in ("six_columns", "complete_journey"), name != "instacart"
    assert (six["t3"][:, layout.T3["hour"]].any(axis=1) == has_hour).all()
    of_year = [layout.T3[name] for name in ("week", "holiday", "season")]
    assert all((six["t3"][:, part].any() == (name != "instacart")) for part in of_year)
    assert six["t3"][:, layout.T3["weekday"]].any(axis=1).all()
    seasons = pq.read_table(CUSTOMER_EMBEDDINGS.at(shop.data))["spring"]
    assert is_anonymous or (seasons.null_count == len(seasons)) == (name == "instacart")
    seen = PRICE_CACHE.read(shop.data)
    assert seen.any() == has_price
    masks = six["t4"][:, [layout.T4_PAID_KNOWN, layout.T4_BASKET.stop - 1]]
    assert masks.any() == has_price
    no_store = six["t5"][:, [7, 20]]  # format and region unknown
    assert no_store.all() and (six["t5"][:, 23].any() == has_store)
    assert (six["t1"][:, 27].any() == (not is_anonymous)) and six["t1"][:, 8].any()
    assert not six["t6"].any()  # none of them has trip labels
    products = PRODUCT_CACHE.read(shop.data)
    assert np.isfinite(products).all() and products.any()
    # this small retailer has one group of products: its share is 1 where groups are known (in T1 then 0, as for all)
    shares = {row[0] for row in pq.read_table(CUSTOMER_EMBEDDINGS.at(shop.data))["groups"].to_pylist()} - {None}
    assert shares == ({1.0} if name in ("complete_journey", "instacart") else set())


def test_complete_journey_gives_the_receipts_that_were_written(shop, tmp_path):
    """The mapped transactions are those of the published columns, under other names."""
    written = recipe.Shop(tmp_path / "raw", tmp_path / "data", tmp_path)
    retailers.complete_journey(shop.raw, written.raw)
    prepare_transactions(written.raw, None, written.data, (20, 24), load_mapping("complete-journey"))
    mapped, published = (pq.read_table(TRANSACTIONS.at(root)).to_pylist() for root in (written.data, shop.data))
    published = [row for row in published if row["customer_id"] is not None]
    names = ("week", "weekday", "hour", "quantity", "spend")
    assert sorted(tuple(row[name] for name in names) for row in mapped) == sorted(
        tuple(row[name] for name in names) for row in published
    )
    sizes = [
        sorted(map(len, _grouped(rows, "basket_id"))) + sorted(map(len, _grouped(rows, "store_id")))
        for rows in (mapped, published)
    ]
    assert sizes[0] == sizes[1]
    absent = {row["product_id"] for row in mapped if row["hierarchy_10"] is None}
    assert len(absent) == 1  # the product that product.csv lacks
    assert {row["hierarchy_10"] for row in mapped} - {None} <= {
        "/".join(row[f"hierarchy_{level}"] for level in (30, 20, 10)) for row in published
    }


def _grouped(rows: list[dict], name: str) -> list[list[dict]]:
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(row[name], []).append(row)
    return list(groups.values())
