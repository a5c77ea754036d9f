"""Mistakes end in one sentence on standard error, exit code 2, and nothing half-written (C4, C5, C39)."""

import os
import resource
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from retailsim.artifacts import (
    AFFINITY,
    CALENDAR,
    CHAIN_POPULARITY,
    CUSTOMER_CACHE,
    CUSTOMER_EMBEDDINGS,
    CUSTOMER_PURCHASES,
    PRICE_CACHE,
    PRICE_FEATURES,
    PRICES,
    PRODUCT_EMBEDDINGS,
    PRODUCT_GRAPH,
    SAMPLE_TABLES,
    SCALERS,
    STORE_FEATURES,
    STORE_HISTORIES,
    TRANSACTIONS,
    VOCABULARY,
)
from retailsim.errors import UserError
from retailsim.manifest import again
from retailsim.predict.lookup import People, Places
from retailsim.reading import load_calendar, load_vocabulary
from retailsim.training import prepare_samples
from retailsim.training.audit_receipts import receipt_rules
from retailsim.training.protocol import load_protocol
from retailsim.training.purchases import load_purchase_histories
from retailsim.training.samples import load_baskets
from retailsim.training.tables import FILES, load_tables
from tests import recipe

NOBODY = 65534  # the user id without rights


def refused(capsys, shop, module, *flags) -> str:
    """The one line that the command says; its exit code must be 2."""
    assert recipe.call(module, list(flags), shop) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and "Traceback" not in said.err
    return said.err


def files(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file()}


class TestTheFirstStage:
    """`run_pipeline` on sources that cannot be used."""

    def refused(self, capsys, shop, tmp_path, source, *flags) -> str:
        said = refused(
            capsys, shop, "data_pipeline.run_pipeline", "--input", source, "--data-dir", tmp_path / "data", *flags
        )
        assert not files(tmp_path / "data")
        return said

    def test_missing_file(self, capsys, shop, tmp_path):
        said = self.refused(capsys, shop, tmp_path, tmp_path / "nowhere.csv")
        assert "nowhere.csv does not exist" in said and "--input" in said

    def test_a_loop_of_links(self, capsys, shop, tmp_path):
        (tmp_path / "a.csv").symlink_to(tmp_path / "b.csv")
        (tmp_path / "b.csv").symlink_to(tmp_path / "a.csv")
        assert "a.csv does not exist" in self.refused(capsys, shop, tmp_path, tmp_path / "a.csv")

    def test_a_full_disk(self, capsys, shop, tmp_path):  # C29
        """No file may grow beyond 20,000 bytes: what a full disk does to a write, without filling one."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        try:
            said = self.refused(capsys, shop, tmp_path, shop.raw)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "transactions.parquet cannot be used (File too large)" in said

    def test_folder_without_transactions(self, capsys, shop, tmp_path):
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw" / "time.csv").write_text("shop_week,date_from,date_to\n")
        assert "holds no transactions" in self.refused(capsys, shop, tmp_path, tmp_path / "raw")

    def test_missing_column(self, capsys, shop, tmp_path):
        source = self.changed(shop, tmp_path, lambda header, row: (header.replace("STORE_CODE", "SHOP"), row))
        said = self.refused(capsys, shop, tmp_path, source)
        assert "STORE_CODE" in said and source.name in said

    def test_a_column_without_numbers(self, capsys, shop, tmp_path):
        def break_spend(header, row):
            values = row.split(",")
            values[header.split(",").index("SPEND")] = "one pound"
            return header, ",".join(values)

        source = self.changed(shop, tmp_path, break_spend)
        said = self.refused(capsys, shop, tmp_path, source)
        assert "SPEND" in said and "one pound" in said and source.name in said

    @pytest.mark.parametrize(
        "flags, named",
        [
            (["--nrows", "0"], "--nrows"),
            (["--train-weeks", "9", "--val-weeks", "9"], "--val-weeks"),
            (["--train-weeks", "9"], "give both, or neither"),
        ],
    )
    def test_flags_that_contradict(self, capsys, shop, tmp_path, flags, named):
        assert named in self.refused(capsys, shop, tmp_path, shop.raw, *flags)

    def changed(self, shop, tmp_path, change) -> Path:
        header, row, *rows = sorted(shop.raw.glob("*.csv"))[0].read_text().splitlines()
        source = tmp_path / "transactions_200607.csv"
        header_again, row = change(header, row)
        source.write_text("\n".join([header_again, row, *(change(header, other)[1] for other in rows)]) + "\n")
        return source


@pytest.mark.parametrize(
    "module, needed",
    [
        ("feature_engineering.run_feature_engineering", "src.data_pipeline.run_pipeline"),
        ("tensor_preparation.run_tensor_preparation", "src.data_pipeline.run_pipeline"),
        ("training.prepare_samples", "src.data_pipeline.run_pipeline"),
        ("training.prepare_tensor_cache", "src.data_pipeline.run_pipeline"),
        ("training.train", "src.tensor_preparation.run_tensor_preparation"),
    ],
)
def test_a_stage_before_the_one_it_needs(capsys, shop, tmp_path, module, needed):
    assert f"python -m {needed}" in refused(capsys, shop, module, "--data-dir", tmp_path)
    assert not files(tmp_path)


def test_another_number_of_rows_than_the_pipeline_took(capsys, shop):
    said = refused(
        capsys, shop, "feature_engineering.run_feature_engineering", "--nrows", "77", "--data-dir", shop.data
    )
    assert "--nrows 77" in said and "all rows" in said


READERS = [  # artifact → a command that reads it
    (TRANSACTIONS, "feature_engineering.run_feature_engineering"),
    (PRODUCT_GRAPH, "feature_engineering.run_feature_engineering"),
    (AFFINITY, "tensor_preparation.run_tensor_preparation"),
    (PRODUCT_EMBEDDINGS, "training.prepare_tensor_cache"),
    (PRICE_FEATURES, "training.prepare_tensor_cache"),
    (VOCABULARY, "training.prepare_samples"),
    (SAMPLE_TABLES["train"], "training.prepare_tensor_cache"),
    (CALENDAR, "training.prepare_samples"),
    (SCALERS, "training.prepare_tensor_cache"),
]


@pytest.mark.parametrize("part", ["first page", "middle", "end"])
@pytest.mark.parametrize("artifact, module", READERS, ids=lambda of: of if isinstance(of, str) else Path(of.path).stem)
def test_a_damaged_artifact_is_named_with_the_command_that_mends_it(
    capsys, shop, tmp_path, artifact, module, part
):  # C4
    """Damage in the middle may leave numbers that can be read and are others."""
    data = tmp_path / "data"
    shutil.copytree(shop.data, data)
    path = data / artifact.path
    content = path.read_bytes()
    at = {"first page": 4, "middle": len(content) // 3, "end": len(content) - 30}[part]
    damaged = content[:at] + b"\xff" * min(2_000, len(content) // 3) + content[at + min(2_000, len(content) // 3) :]
    path.write_bytes(content[:at] if part == "end" else damaged)
    said = refused(capsys, shop, module, "--data-dir", data)
    assert str(path) in said and f'run "{again(artifact.written_by, data)}" again' in said


@pytest.mark.parametrize("cut", [True, False], ids=["cut off", "other bytes"])
def test_a_damaged_array_is_named_with_the_command_that_mends_it(capsys, shop, trained, tmp_path, cut):  # C4
    data = tmp_path / "data"
    shutil.copytree(shop.data, data)
    path = data / PRICE_CACHE.path
    content = path.read_bytes()
    path.write_bytes(content[:-100] if cut else b"\xff" * 100 + content[100:])
    flags = [trained / "best_model.pt", "--split", "val", "--data-dir", data]
    said = refused(capsys, shop, "training.evaluate", *flags)
    assert str(path) in said and f'run "python -m src.training.prepare_tensor_cache --data-dir {data}" again' in said


@pytest.mark.parametrize("table", [SAMPLE_TABLES["val"], TRANSACTIONS], ids=["samples", "transactions"])
def test_damaged_pages_are_named_with_the_command_that_mends_them(capsys, shop, trained, tmp_path, table):  # C4
    """The footer is whole, so that the damage shows late: when the rows are read."""
    data = tmp_path / "data"
    shutil.copytree(shop.data, data)
    path = data / table.path
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * 3_000 + content[3_100:])
    flags = [trained / "best_model.pt", "--split", "val", "--data-dir", data]
    said = refused(capsys, shop, "training.evaluate", *flags)
    assert str(path) in said and f'run "{again(table.written_by, data)}" again' in said


LOADED = [  # artifact → what loads it for training, evaluation, predictions and the audit
    (CALENDAR, load_calendar),
    (VOCABULARY, load_vocabulary),
    *[(array, load_tables) for array in FILES],
    *[(array, lambda root: load_purchase_histories(root, 1)) for array in (CUSTOMER_PURCHASES, STORE_HISTORIES)],
    (SAMPLE_TABLES["val"], lambda root: load_baskets(root, "val")),
    (TRANSACTIONS, lambda root: load_protocol(root, "val", load_vocabulary(root))),
    (TRANSACTIONS, lambda root: receipt_rules(root, load_calendar(root))),
    (CUSTOMER_EMBEDDINGS, People),
    (STORE_FEATURES, lambda root: Places(root, np.zeros((0, 96)))),
]


@pytest.mark.parametrize(
    "artifact, load", LOADED, ids=[f"{i}-{Path(of.path).stem}" for i, (of, _) in enumerate(LOADED)]
)
def test_one_other_byte_is_refused_by_whoever_reads_it(shop, tmp_path, artifact, load):  # C4
    """Most of it could be read, and would be other figures and answers without a word."""
    path = shutil.copytree(shop.data, tmp_path / "data") / artifact.path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load(tmp_path / "data")
    command = again(artifact.written_by, tmp_path / "data")
    assert str(caught.value) == f'{path} is not the file that its stage wrote: run "{command}" again'


@pytest.mark.parametrize("module", ["predict.predict", "report.report"])
def test_rows_that_are_missing_are_a_sentence(capsys, shop, trained, tmp_path, module):  # C4, C39
    data = shutil.copytree(shop.data, tmp_path / "data")
    path = data / (CHAIN_POPULARITY if module == "predict.predict" else PRICES).path
    if path.suffix == ".npy":
        np.save(path, np.load(path)[:3])
    else:
        pq.write_table(pq.read_table(path).slice(0, 3), path)
    flags = {"predict.predict": ["--when", "2006-11-06T10:00"], "report.report": ["--output", tmp_path / "r.html"]}[
        module
    ]
    said = refused(capsys, shop, module, trained / "best_model.pt", *flags, "--data-dir", data)
    assert f"{path} is not the file that its stage wrote" in said and not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"checkpoint": "x"', '{"temperature": 1}'])
def test_damaged_temperatures_are_named(capsys, shop, trained, tmp_path, text):
    shutil.copy(trained / "best_model.pt", tmp_path)
    (tmp_path / "best_model.temperature.json").write_text(text)
    flags = [tmp_path / "best_model.pt", "--when", "2006-11-06T10:00", "--data-dir", shop.data]
    assert "best_model.temperature.json is damaged: delete it" in refused(capsys, shop, "predict.predict", *flags)


def test_damaged_curves_are_named(capsys, shop, trained, tmp_path):
    shutil.copy(trained / "best_model.pt", tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1\n')
    flags = [tmp_path / "best_model.pt", "--output", tmp_path / "report.html", "--data-dir", shop.data]
    assert "metrics.jsonl is damaged" in refused(capsys, shop, "report.report", *flags)
    assert not (tmp_path / "report.html").exists()


class TestPermissions:
    """What this user may not read or write; root may everything, so it lends its rights away."""

    @pytest.fixture
    def folder(self):
        """A folder that everybody can reach, which pytest's are not."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o777)
            yield folder

    def refused(self, capsys, shop, source, data) -> str:
        own = os.geteuid()
        if own == 0:
            os.seteuid(NOBODY)
        try:
            return refused(capsys, shop, "data_pipeline.run_pipeline", "--input", source, "--data-dir", data)
        finally:
            os.seteuid(own)

    @pytest.mark.parametrize("name", ["receipts.csv", "receipts.csv.gz", "receipts.csv.zst", "receipts.parquet"])
    def test_a_source_that_may_not_be_read(self, capsys, shop, folder, name):  # C4
        source = folder / name
        shutil.copy(sorted(shop.raw.glob("transactions_*.csv"))[0], source)
        source.chmod(0o000)
        said = self.refused(capsys, shop, source, folder / "data")
        assert f"{source} cannot be used (Permission denied)" in said
        assert not files(folder / "data")

    def test_a_folder_that_may_not_be_looked_into(self, capsys, shop, folder):  # C4
        (folder / "raw").mkdir(mode=0o000)
        said = self.refused(capsys, shop, folder / "raw", folder / "data")
        assert f"{folder / 'raw'} cannot be used (Permission denied)" in said

    def test_a_folder_that_may_not_be_written(self, capsys, shop, folder):  # C39
        source = folder / "receipts.csv"
        shutil.copy(sorted(shop.raw.glob("transactions_*.csv"))[0], source)
        source.chmod(0o644)
        (folder / "data").mkdir(mode=0o555)
        said = self.refused(capsys, shop, source, folder / "data")
        assert str(folder / "data") in said and "Permission denied" in said


def test_a_full_disk_at_the_cache(capsys, shop, tmp_path):  # C29
    """Arrays are written by NumPy, which says "204672 requested and 43 written" of it."""
    data = tmp_path / "data"
    shutil.copytree(shop.data, data)
    (data / CUSTOMER_CACHE.path).unlink()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        said = refused(capsys, shop, "training.prepare_tensor_cache", "--data-dir", data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"{data / CUSTOMER_CACHE.path} cannot be used (No space left on device)" in said


def test_unknown_split(capsys, shop, trained):
    assert (
        recipe.call(
            "training.evaluate", [trained / "best_model.pt", "--split", "tomorrow", "--data-dir", shop.data], shop
        )
        == 2
    )
    assert "--split" in capsys.readouterr().err


def test_a_split_that_the_data_do_not_reach_is_warned_of(capsys, shop, tmp_path):
    flags = ["--input", shop.raw, "--train-weeks", "40", "--val-weeks", "60", "--data-dir", tmp_path]
    assert recipe.call("data_pipeline.run_pipeline", flags, shop) == 0
    weeks = load_calendar(tmp_path).last_week
    warning = f"warning: --train-weeks 40 --val-weeks 60 leave no week of {weeks} for the test: choose for example --train-weeks"
    assert warning in capsys.readouterr().out


def test_a_split_without_baskets(capsys, shop, tmp_path, monkeypatch):
    late = replace(load_calendar(shop.data), train_end=40, val_end=60)
    monkeypatch.setattr(prepare_samples, "load_calendar", lambda root: late)
    for name in ("processed", "features", "tensors"):
        (tmp_path / name).symlink_to(shop.data / name)
    said = refused(capsys, shop, "training.prepare_samples", "--data-dir", tmp_path)
    assert "split val" in said and "--train-weeks" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features", "processed", "tensors"]


def test_missing_checkpoint(capsys, shop, tmp_path):
    said = refused(capsys, shop, "training.evaluate", tmp_path / "best_model.pt", "--data-dir", shop.data)
    assert "best_model.pt is missing" in said and "src.training.train" in said


def test_a_checkpoint_of_another_vocabulary(capsys, shop, trained, tmp_path):
    table, learned = pq.read_table(VOCABULARY.at(shop.data)), load_vocabulary(shop.data).size
    (tmp_path / VOCABULARY.path).parent.mkdir(parents=True)
    pq.write_table(table.slice(0, learned - 1), tmp_path / VOCABULARY.path)
    said = refused(capsys, shop, "training.evaluate", trained / "best_model.pt", "--data-dir", tmp_path)
    assert "another vocabulary" in said


def test_a_resumed_run_refuses_other_numbers(capsys, shop, trained, tmp_path):
    flags = [
        "--resume",
        trained / "epoch_2.pt",
        "--batch-size",
        "32",
        "--data-dir",
        shop.data,
        "--checkpoint-dir",
        tmp_path,
    ]
    assert "--batch-size 32 contradicts" in refused(capsys, shop, "training.train", *flags)


def test_a_resumed_run_keeps_its_preset(capsys, shop, trained, tmp_path):
    flags = ["--resume", trained / "epoch_2.pt", "--preset", "small", "--data-dir", shop.data]
    said = refused(capsys, shop, "training.train", *flags, "--checkpoint-dir", tmp_path)
    assert "--preset small contradicts the checkpoint's tiny" in said


@pytest.mark.parametrize(
    "module, flag, value",
    [
        ("training.train", "--epochs", "0"),
        ("training.train", "--batch-size", "0"),
        ("training.train", "--accumulate", "-1"),
        ("training.train", "--threads", "0"),
        ("training.train", "--num-workers", "-1"),
        ("training.train", "--warmup-epochs", "-1"),
        ("training.train", "--seed", "-1"),
        ("training.train", "--learning-rate", "nan"),
        ("training.evaluate", "--batch-size", "0"),
        ("training.ablate", "--batch-size", "-4"),
        ("run", "--epochs", "0"),
    ],
)
def test_numbers_that_make_no_sense(capsys, shop, trained, tmp_path, module, flag, value):
    checkpoint = [trained / "best_model.pt"] if module.endswith(("evaluate", "ablate")) else []
    folder = [] if module.endswith("evaluate") else ["--checkpoint-dir", tmp_path]
    said = refused(capsys, shop, module, *checkpoint, flag, value, "--data-dir", shop.data, *folder)
    assert flag in said and value in said and files(tmp_path) == set()


def test_phases_that_do_not_fit(capsys, shop):
    said = refused(capsys, shop, "training.train", "--epochs", "2", "--data-dir", shop.data)
    assert "--epochs" in said
