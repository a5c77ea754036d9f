"""A stage is skipped only when inputs, settings, code and outputs are those that its manifest names."""

import json
import os

import pytest

from retailsim import manifest
from retailsim.errors import UserError
from retailsim.manifest import Manifest, code_fingerprint, fingerprint, refuse_changed, settings_of
from retailsim.storage import Record

STAGE = "data_pipeline.run_pipeline"
OUTPUTS = (Record("processed/a.json", STAGE, "a"), Record("processed/b.json", STAGE, "b"))


@pytest.fixture
def written(tmp_path):
    """A data root in which the stage has run, and the function that makes its manifest as a rerun would."""
    source, root = tmp_path / "raw.csv", tmp_path / "data"
    source.write_text("SHOP_WEEK\n200607\n")

    def now(**settings):
        return Manifest(STAGE, root, [source], {"nrows": None, **settings}, OUTPUTS)

    assert not now().is_current()  # nothing has run
    for output in OUTPUTS:
        output.write(root, {"rows": 1})
    assert not now().is_current()  # killed before the manifest was written
    now().write()
    assert now().is_current()
    return source, root, now


def test_changed_input_is_stale(written):
    source, _, now = written
    source.write_text("SHOP_WEEK\n200608\n")  # as long as before
    assert not now().is_current()


def test_an_input_that_is_not_what_its_stage_wrote_is_refused(written):  # C4
    """One byte of a number is another: no reader would see it."""
    _, root, _ = written
    later, made = Record("features/c.json", "feature_engineering.run_feature_engineering", "c"), OUTPUTS[0].at(root)
    assert Manifest(later.written_by, root, [made], {}, [later]).record["inputs"] == {"a.json": fingerprint(made)}
    made.write_text(made.read_text().replace("1", "7"))
    with pytest.raises(UserError) as caught:
        Manifest(later.written_by, root, [made], {}, [later])
    assert str(caught.value) == f'{made} is not the file that its stage wrote: run "python -m src.{STAGE}" again'
    (root / "processed" / "run_pipeline.manifest.json").unlink()  # nobody knows what it should be
    assert Manifest(later.written_by, root, [made], {}, [later]).record["inputs"] == {"a.json": fingerprint(made)}


def test_a_stage_may_read_what_it_has_just_written_anew(written):
    """The manifest beside it still knows the bytes of the last time."""
    _, root, _ = written
    OUTPUTS[0].write(root, {"rows": 2})
    refuse_changed(root, OUTPUTS[0])
    OUTPUTS[0].at(root).write_text('{"rows": 3}')  # somebody else
    with pytest.raises(UserError, match="a.json is not the file that its stage wrote"):
        refuse_changed(root, OUTPUTS[0])


def test_an_input_made_of_another_file_than_that_beside_it_is_refused(written):  # C4
    """A later stage reads a.json and what was made of it: when a.json is new, that is of yesterday."""
    source, root, now = written
    middle, last = (Record(f"{name}/c.json", f"{name}.run_{name}", "c") for name in ("features", "tensors"))
    middle.write(root, {"rows": 1})
    Manifest(middle.written_by, root, [OUTPUTS[0].at(root)], {}, [middle]).write()

    def read_both():
        return Manifest(last.written_by, root, [OUTPUTS[0].at(root), middle.at(root)], {}, [last])

    read_both()
    OUTPUTS[0].write(root, {"rows": 2})
    now().write()
    with pytest.raises(UserError) as caught:
        read_both()
    assert str(caught.value) == (
        f'{middle.at(root)} was made from another a.json than there is now: run "python -m src.features.run_features" again'
    )


def test_a_source_may_be_called_as_what_is_made_of_it(tmp_path):
    root, made = tmp_path / "data", Record("processed/a.json", STAGE, "a")
    (tmp_path / "a.json").write_text("raw")
    stage = Manifest(STAGE, root, [tmp_path / "a.json"], {}, [made])
    made.write(root, {"rows": 1})
    stage.write()
    assert Manifest("features.run", root, [made.at(root)], {}, [made]).record["inputs"]


@pytest.mark.parametrize("changed", ["an input", "an output"])
def test_what_another_process_changed_meanwhile_is_not_said_to_be_ours(written, changed):
    source, root, now = written
    manifest, output = now(nrows=5), OUTPUTS[1].at(root)
    for made in OUTPUTS:
        made.write(root, {"rows": 5})
    path = source if changed == "an input" else output
    other = path.with_suffix(".other")
    other.write_text(path.read_text())
    os.replace(other, path)  # what another process does, be it with the same bytes
    with pytest.raises(UserError, match=f"{path} was changed by another process meanwhile"):
        manifest.write()
    assert not now(nrows=5).is_current()


def test_changed_settings_are_stale(written):
    _, _, now = written
    assert not now(nrows=10).is_current()


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_changed_output_is_stale(written, damage):
    _, root, now = written
    path = root / OUTPUTS[1].path
    path.write_text("{}") if damage == "changed" else path.unlink()
    assert not now().is_current()


def test_changed_code_is_stale(written, monkeypatch):
    _, _, now = written
    monkeypatch.setattr(manifest, "code_fingerprint", lambda parts: "other code")
    assert not now().is_current()


def test_changed_versions_are_stale(written, monkeypatch):
    _, _, now = written
    monkeypatch.setattr(manifest.importlib.metadata, "version", lambda name: "0.0")
    assert not now().is_current()


def test_an_unreadable_manifest_is_stale(written):
    _, root, now = written
    path = root / "processed" / "run_pipeline.manifest.json"
    path.write_text(path.read_text()[:20])
    assert not now().is_current()


def test_code_is_that_of_the_whole_package(tmp_path, monkeypatch):
    package = tmp_path / "retailsim"
    for name in ("__init__.py", "weeks.py", "stage/step.py"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("x = 1\n")
    monkeypatch.setattr(manifest.retailsim, "__file__", str(package / "__init__.py"))
    before = code_fingerprint()
    assert code_fingerprint() == before
    for name in ("stage/step.py", "weeks.py"):
        (package / name).write_text(f"x = {name!r}\n")
        assert code_fingerprint() != before
        before = code_fingerprint()


def test_the_manifest_says_what_the_outputs_were_made_from(written):
    source, root, _ = written
    record = json.loads((root / "processed" / "run_pipeline.manifest.json").read_text())
    assert record["inputs"] == {"raw.csv": fingerprint(source)}
    assert record["settings"] == {"nrows": None} and record["stage"] == STAGE
    assert set(record["outputs"]) == {"a.json", "b.json"}


def test_fingerprints_of_folders_see_names_and_contents(tmp_path):
    folder = tmp_path / "weeks"
    folder.mkdir()
    (folder / "1.csv").write_text("a")
    (folder / "2.csv").write_text("b")
    prints = [fingerprint(folder)]
    (folder / "2.csv").rename(folder / "3.csv")
    prints.append(fingerprint(folder))
    (folder / "3.csv").write_text("c")
    prints.append(fingerprint(folder))
    assert len(set(prints)) == 3


def test_settings_of_a_stage_that_ended(written):
    _, root, _ = written
    assert settings_of(OUTPUTS[0], STAGE, root) == {"nrows": None}


def test_a_stage_that_did_not_end_is_named(tmp_path):  # C39
    with pytest.raises(UserError, match='run_pipeline.manifest.json is missing.*: run "python -m src.data_pipeline'):
        settings_of(OUTPUTS[0], STAGE, tmp_path)
