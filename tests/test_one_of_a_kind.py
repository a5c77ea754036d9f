"""C4: one customer, one store, one product, one week walk the whole road, or a sentence says what is missing.

Their codes are hostile, too: quotes, SQL, path parts, line breaks and emoji go from the receipts to the evaluation.
"""

import csv
import json
from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from retailsim.artifacts import SAMPLE_TABLES, TRANSACTIONS
from tests import recipe
from tests.sources.conftest import PUBLISHED

CODE = '\'; DROP TABLE receipts; -- "../../x" 🧺\n'
TRAINING = ["--preset", "tiny", "--epochs", "2", "--warmup-epochs", "1", "--finetune-epochs", "0", "--batch-size", "16"]


def write_receipts(path: Path, customers: int = 6, stores: int = 2, products: int = 8, weeks: int = 8) -> None:
    """Six baskets a week of up to four products."""
    path.parent.mkdir()
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, PUBLISHED, lineterminator="\n")
        writer.writeheader()
        for basket in range(6 * weeks):
            week, place = divmod(basket, 6)
            day = date(2006, 4, 10) + timedelta(weeks=week, days=(place + week) % 7)
            shared = {
                "SHOP_WEEK": f"2006{7 + week:02}", "SHOP_DATE": f"{day:%Y%m%d}", "SHOP_HOUR": f"{8 + place * week % 12}",
                "CUST_CODE": f"{CODE}C{place % customers}", "STORE_CODE": f"{CODE}S{place % stores}",
                "BASKET_ID": f"{CODE}B{basket:03}",
            }  # fmt: skip
            for product in sorted({(place + 3 * week + k * k) % products for k in range(4)}):
                price = f"{1 + product % 5}.{10 + (7 * product + week) % 90}"
                kind = {"PROD_CODE": f"{CODE}P{product}", "PROD_CODE_10": f"{CODE}{product % 3}", "SPEND": price}
                writer.writerow({**PUBLISHED, **shared, **kind})


@pytest.fixture
def walk(tmp_path):
    """Makes receipts with so many customers, stores, products and weeks, and walks the road up to a command."""

    def walked(last: str, **sizes: int) -> tuple[recipe.Shop, int]:
        shop = recipe.Shop(tmp_path / "raw", tmp_path / "data", tmp_path / "checkpoints")
        write_receipts(shop.raw / "transactions.csv", **sizes)
        best = shop.checkpoints / "best_model.pt"
        commands = (
            ("data_pipeline.run_pipeline", ["--input", "RAW", "--train-weeks", "4", "--val-weeks", "6"]),
            *recipe.PREPARATION[1:],
            ("training.train", [*TRAINING, "--checkpoint-dir", shop.checkpoints]),
            ("training.evaluate", [best, "--detailed", "--json", tmp_path / "evaluation.json"]),
        )
        for module, flags in commands:
            code = recipe.call(module, [*flags, "--data-dir", shop.data], shop)
            if module == last:
                return shop, code
            assert code == 0, module
        raise KeyError(last)

    return walked


@pytest.mark.slow
@pytest.mark.parametrize("one", ["customer", "store"])
def test_one_customer_or_store_is_evaluated(one, walk, tmp_path):
    shop, code = walk("training.evaluate", **{f"{one}s": 1})
    assert code == 0
    used = pq.read_table(TRANSACTIONS.at(shop.data))
    assert len(set(used[f"{one}_id"].to_pylist())) == 1 and used["basket_id"][0].as_py().startswith(CODE)
    fresh = json.loads((tmp_path / "evaluation.json").read_text())["views"]["fresh"]["trip_unknown"]
    assert fresh["n"] > 5 and 0 < fresh["mrr"] <= 1


@pytest.mark.slow
def test_one_product_can_be_learned_but_not_hidden(walk, capsys):
    _, code = walk("training.evaluate", products=1)
    assert code == 2
    assert "split test has no basket with two products, so nothing can be hidden" in capsys.readouterr().err


@pytest.mark.slow
def test_one_week_cannot_be_split(walk, capsys):
    shop, code = walk("training.prepare_samples", weeks=1)
    assert code == 2 and not any((shop.data / table.path).exists() for table in SAMPLE_TABLES.values())
    assert "split val (weeks 5–6) has no basket: the data covers weeks 1–1" in capsys.readouterr().err
