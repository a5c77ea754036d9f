"""The declared files: each once, written by a command that exists, and docs/artifacts.md equal to the declarations."""

import importlib.util
from pathlib import Path

import pytest

from retailsim import artifact_docs, artifacts
from retailsim.layout import T1, T2, T4, T5
from retailsim.storage import Artifact

DECLARED = [value for value in vars(artifacts).values() if isinstance(value, Artifact)]
FILES = (*artifacts.ALL, *artifacts.ASIDE)


def test_docs_say_what_the_module_declares(capsys):
    page = Path(__file__).parent.parent / "docs" / "artifacts.md"
    assert artifact_docs.main() == 0
    assert capsys.readouterr().out == page.read_text(encoding="utf-8"), "run `make docs`"


def test_a_page_shows_path_rows_columns_and_arrays():
    page = artifact_docs.markdown((artifacts.CALENDAR, artifacts.STORE_CACHE, artifacts.VOCABULARY))
    for text in (
        "## `python -m src.data_pipeline.run_pipeline`\n\n### `processed/calendar.json`",
        "float32 [rows, 96]",
        "| `kind` | string | special, product or late |",
    ):
        assert text in page


def test_all_names_every_declared_file_once():
    assert {id(file) for file in DECLARED} <= {id(file) for file in FILES}
    assert len({file.path for file in FILES}) == len(FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.path)
def test_every_file_is_written_by_a_command(file):
    assert importlib.util.find_spec(f"retailsim.{file.written_by}"), file.written_by


def test_stems_are_the_founding_documents_and_none_is_a_pickle():  # C11
    names = {Path(file.path).name.split(".")[0] for file in FILES}
    document = {
        "prices_derived", "product_graph", "customer_store_affinity", "customer_mission_patterns", "pseudo_brands",
        "price_features", "product_embeddings", "customer_embeddings", "store_features", "samples_train", "samples_val",
        "samples_test", "temporal_metadata", "store_embeddings", "index_mappings",
    }  # fmt: skip
    assert document <= names
    assert {Path(file.path).suffix for file in FILES} == {".parquet", ".npy", ".json"}


def test_widths_of_cached_rows_are_those_of_the_layouts():  # C10, C12
    cached = (artifacts.CUSTOMER_CACHE, artifacts.PRODUCT_CACHE, artifacts.PRICE_CACHE, artifacts.STORE_CACHE)
    assert [int(array.shape.split()[-1]) for array in cached] == [T1.width, T2.width, T4.width, T5.width]
