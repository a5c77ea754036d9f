"""The road on a small synthetic shop, as the tests walk it: raw files, stages, tensors of single baskets."""

import functools
import importlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from retailsim.artifacts import AFFINITY, CUSTOMER_EMBEDDINGS, MISSIONS, PSEUDO_BRANDS, STORE_FEATURES, TRANSACTIONS
from retailsim.as_of import as_of_sums
from retailsim.data_pipeline import missions, store_affinity
from retailsim.feature_engineering import (
    customer_histories,
    product_embeddings,
    run_feature_engineering,
    store_features,
)
from retailsim.model.lookup import Lookup
from retailsim.reading import load_calendar, load_vocabulary
from retailsim.storage import Table, connect
from retailsim.training.dataset import make_batch
from retailsim.training.masking import Masking
from retailsim.training.samples import load_samples
from retailsim.training.tables import load_tables

CHANGED_FROM = 26  # a test week: tests change everything of it and later, but for one basket
SPLIT = ["--train-weeks", "20", "--val-weeks", "24"]
PREPARATION = (
    ("data_pipeline.run_pipeline", ["--input", "RAW", *SPLIT]),
    ("feature_engineering.run_feature_engineering", []),
    ("tensor_preparation.run_tensor_preparation", []),
    ("training.prepare_samples", []),
    ("training.prepare_tensor_cache", []),
)


@dataclass(frozen=True)
class Shop:
    """Where a shop's raw files, data root and checkpoints lie."""

    raw: Path
    data: Path
    checkpoints: Path


def few_epochs() -> AbstractContextManager:
    """Product embeddings learn for 20 epochs: what 200 teach is measured in test_product_embeddings.py and test_planted_truths.py."""
    few = functools.partial(product_embeddings.embed_products, epochs=20)
    return mock.patch.object(run_feature_engineering, "embed_products", few)


def call(module: str, flags: list, shop: Shop) -> int:
    """The exit code of `python -m src.<module>` with `flags`, in this process; RAW stands for the raw folder."""
    argv = [str(shop.raw) if flag == "RAW" else str(flag) for flag in flags]
    with few_epochs():
        return importlib.import_module(f"retailsim.{module}").main(argv)


def prepare(shop: Shop, commands: Sequence[tuple[str, list[str]]] = PREPARATION) -> None:
    """Commands 1–5, or some of them."""
    for module, flags in commands:
        assert call(module, [*flags, "--data-dir", shop.data], shop) == 0, module


def write_again(root: Path, tables: Sequence[Table]) -> None:
    """Those of `tables`, made of earlier weeks, that stages 1 and 2 write under `root`."""
    engine, calendar = connect(), load_calendar(root)
    sales, brands = TRANSACTIONS.read(root, engine), PSEUDO_BRANDS.read(root, engine)
    makers = {
        AFFINITY.path: (lambda: store_affinity.measure_affinity(sales), ["customer_id", "week"]),
        MISSIONS.path: (lambda: missions.measure_missions(sales), ["customer_id", "week"]),
        CUSTOMER_EMBEDDINGS.path: (
            lambda: customer_histories.describe_customers(sales, brands, calendar, engine),
            ["row"],
        ),
        STORE_FEATURES.path: (lambda: store_features.describe_stores(sales, calendar, engine), ["row"]),
    }
    for manifest in root.rglob("run_*.manifest.json"):  # they know of other bytes
        manifest.unlink()
    for table in tables:
        make, order = makers[table.path]
        table.write(root, make(), engine, order)


def train(shop: Shop) -> None:
    """Command 6: four epochs of the tiny preset."""
    flags = [
        "--preset",
        "tiny",
        "--epochs",
        "4",
        "--warmup-epochs",
        "1",
        "--finetune-epochs",
        "1",
        "--batch-size",
        "64",
    ]
    paths = ["--data-dir", shop.data, "--checkpoint-dir", shop.checkpoints]
    assert call("training.train", [*flags, *paths], shop) == 0


def tensors(shop: Shop, split: str) -> dict[str, tuple[int, dict[str, np.ndarray]]]:
    """Week and all six tensors' rows of every basket of `split`, nothing hidden, by basket id; baskets of one length together, so none is padded."""
    vocabulary = load_vocabulary(shop.data)
    lookup = Lookup(load_tables(shop.data)).double()
    samples = load_samples(shop.data, split)
    found = {}
    for length in np.unique(samples.lengths):
        rows = np.flatnonzero(samples.lengths == length)
        batch = make_batch(samples, rows, Masking(vocabulary.size, hide_trip_prob=0.0, is_evaluation=True))
        six = lookup(batch)
        of_all = {name: getattr(six, name).detach().numpy() for name in ("t1", "t2", "t3", "t4", "t5", "t6")}
        for i, row in enumerate(rows):
            of_one = {name: values[i] for name, values in of_all.items()}
            found[samples.columns["basket_id"][row]] = int(samples.columns["week"][row]), of_one
    return found


def give_second_basket(raw: Path, week: int) -> None:
    """Make an anonymous basket of `week` a second one of a customer who shops in its store: generated ones shop once a week."""
    file = sorted(raw.glob("transactions_*.csv"))[week - 1]
    header, *rows = (line.split(",") for line in file.read_text().splitlines())
    basket, store, *customer = (
        header.index(name) for name in ("BASKET_ID", "STORE_CODE", "CUST_CODE", "seg_1", "seg_2")
    )
    is_known = {row[basket]: bool(row[customer[0]].strip('"')) for row in rows}
    nobody = {row[store]: row[basket] for row in rows if not is_known[row[basket]]}
    known = next(row for row in rows if is_known[row[basket]] and row[store] in nobody)
    anonymous = nobody[known[store]]
    for row in rows:
        if row[basket] == anonymous:
            for column in customer:
                row[column] = known[column]
    file.write_text("".join(",".join(row) + "\n" for row in [header, *rows]))


def kept_basket(shop: Shop, week: int) -> str:
    """The basket of the changed week that stays as it is: of a customer with a history and another basket in that week."""
    columns = load_samples(shop.data, "test").columns
    is_known = (columns["week"] == week) & (columns["trips"] > 3)
    customers, counts = np.unique(columns["customer_id"][is_known].astype(str), return_counts=True)
    chosen = is_known & (columns["customer_id"] == customers[counts > 1][0])
    return columns["basket_id"][chosen][0]


def change_future(shop: Shop, week: int, folder: Path) -> Path:
    """A copy of the raw files in which products, prices, stores and trip labels of weeks ≥ `week` are others.

    One basket of `week` (see `kept_basket`) stays whole.
    """
    calendar, kept = load_calendar(shop.data), kept_basket(shop, week)
    first_day = int(calendar.monday_of(week).strftime("%Y%m%d"))
    text = {"column_types": {name: pa.string() for name in ("BASKET_ID", "CUST_CODE", "seg_1", "seg_2")}}
    for file in sorted(shop.raw.glob("transactions_*.csv")):
        rows = csv.read_csv(file, convert_options=csv.ConvertOptions(**text))
        is_future = np.array(rows["SHOP_DATE"].to_pylist()) >= first_day
        if is_future.any():
            assert is_future.all()
            rows = _permuted(rows, pc.equal(rows["BASKET_ID"], kept).to_numpy())
        csv.write_csv(rows, folder / file.name)
    return folder


def _permuted(rows: pa.Table, is_kept: np.ndarray) -> pa.Table:
    stay, move = rows.filter(pa.array(is_kept)), rows.filter(pa.array(~is_kept))
    names = ["PROD_CODE", "PROD_CODE_10", "PROD_CODE_20", "PROD_CODE_30", "PROD_CODE_40"]
    order = np.random.default_rng(1).permutation(len(move))
    for name in names:
        move = move.set_column(move.column_names.index(name), name, move[name].take(order))
    spend = pc.round(pc.multiply(pc.cast(move["SPEND"], pa.float64()), 1.7), 2)
    move = move.set_column(move.column_names.index("SPEND"), "SPEND", spend)
    labels = {  # classes that generated receipts never have
        "BASKET_TYPE": "Emergency", "BASKET_DOMINANT_MISSION": "General", "BASKET_SIZE": "XL",
        "BASKET_PRICE_SENSITIVITY": "Premium",
    }  # fmt: skip
    for name, label in labels.items():
        move = move.set_column(move.column_names.index(name), name, pa.array([label] * len(move)))
    stores = rows.group_by(["STORE_CODE", "STORE_FORMAT", "STORE_REGION"]).aggregate([]).sort_by("STORE_CODE")
    other = pc.add(pc.index_in(move["STORE_CODE"], stores["STORE_CODE"].combine_chunks()), 1)
    other = pc.if_else(pc.equal(other, len(stores)), 0, other)
    for name in stores.column_names:
        move = move.set_column(move.column_names.index(name), name, stores[name].take(other))
    keep_first = pa.array(~_is_repeated(move))
    return pa.concat_tables([stay, move.filter(keep_first)], promote_options="permissive")


def _is_repeated(rows: pa.Table) -> np.ndarray:
    keys = np.array(
        [f"{b}:{p}" for b, p in zip(rows["BASKET_ID"].to_pylist(), rows["PROD_CODE"].to_pylist(), strict=True)]
    )
    first = np.zeros(len(keys), dtype=bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return ~first


def leaky_sums(weekly, entity, columns, half_life=None):
    """`as_of_sums` with the current week inside its frame: the leak that C19 forbids."""
    before, now = as_of_sums(weekly, entity, columns, half_life), weekly.select(*entity, "week", *columns)
    both = before.inner_join(now, [*entity, "week"], rname="{name}_now")
    return both.select(*entity, "week", **{name: both[name] + both[f"{name}_now"] for name in columns})
