"""A stage is skipped only when inputs, settings, code and outputs are those that its manifest names."""

import json
import os
from pathlib import Path

import pytest

from retailsim import manifest
from retailsim.artifacts import CALENDAR, CUSTOMER_CACHE
from retailsim.errors import UserError
from retailsim.manifest import (
    Manifest,
    again,
    code_fingerprint,
    fingerprint,
    refuse_changed,
    refuse_remade,
    settings_of,
)
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
    command = f"python -m src.{STAGE} --data-dir {root}"
    assert str(caught.value) == f'{made} is not the file that its stage wrote: run "{command}" again'
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
    with pytest.raises(
        UserError, match='run_pipeline.manifest.json is missing.*: run "python -m src.data_pipeline.*--data-dir'
    ):
        settings_of(OUTPUTS[0], STAGE, tmp_path)


@pytest.fixture
def till(tmp_path, monkeypatch):
    """A data root `d 0` that the stage has made of a till's receipts, and the command that makes it so; the folder is the working one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my till.csv").write_text("receipt\n1\n")
    root, source = Path("d 0"), Path("my till.csv")
    flags = {
        "--input": source.absolute(),
        "--mapping": "ta-feng",
        "--nrows": None,
        "--train-weeks": 15,
        "--val-weeks": 20,
    }
    stage = Manifest(STAGE, root, [source], {}, [CALENDAR], command=flags)
    CALENDAR.write(root, {"last_week": 25})
    stage.write()
    said = f"python -m src.{STAGE} --input 'my till.csv' --mapping ta-feng --train-weeks 15 --val-weeks 20"
    return root, source, said


def damage(path):
    path.write_text(path.read_text().replace("25", "26"))


def test_the_command_is_that_of_the_last_time(till):  # C39
    root, _, said = till
    command = f"{said} --data-dir 'd 0'"
    assert again(STAGE, root) == command
    assert str(CALENDAR.damaged(root, "is odd")) == f'{root / CALENDAR.path} is odd: run "{command}" again'
    damage(root / CALENDAR.path)
    sentence = f'{root / CALENDAR.path} is not the file that its stage wrote: run "{command}" again'
    later = Record("tensors/c.json", "tensor_preparation.run_tensor_preparation", "c")
    for read in (
        lambda: refuse_changed(root, CALENDAR),
        lambda: Manifest(later.written_by, root, [CALENDAR.at(root)], {}, [later]),
    ):
        with pytest.raises(UserError) as caught:
            read()
        assert str(caught.value) == sentence
    (root / CALENDAR.path).unlink()
    with pytest.raises(UserError) as caught:
        CALENDAR.at(root)
    assert str(caught.value) == f'{root / CALENDAR.path} is missing: run "{command}" first'


def test_flags_of_the_last_time_may_be_others(till):
    root, _, said = till
    assert again(STAGE, root, {"--nrows": 500}) == f"{said} --nrows 500 --data-dir 'd 0'"
    split = {"--train-weeks": None, "--val-weeks": None}
    assert (
        again(STAGE, root, split) == f"python -m src.{STAGE} --input 'my till.csv' --mapping ta-feng --data-dir 'd 0'"
    )


def test_the_usual_data_root_is_not_named(till):
    root, _, said = till
    root.rename("data")
    damage(Path("data") / CALENDAR.path)
    with pytest.raises(UserError) as caught:
        refuse_changed(Path("data"), CALENDAR)
    assert str(caught.value) == f'data/{CALENDAR.path} is not the file that its stage wrote: run "{said}" again'


def test_two_generations_name_the_older_ones_command(till):
    root, source, said = till
    later = Record("processed/c.json", STAGE, "c")
    source.write_text("receipt\n2\n")
    with pytest.raises(UserError) as caught:
        Manifest(STAGE, root, [source, CALENDAR.at(root)], {}, [later])
    assert str(caught.value).endswith(f"""run "{said} --data-dir 'd 0'" again""")


def test_a_cache_of_other_features_is_made_again_in_its_data_root(till):
    root, *_ = till
    with pytest.raises(UserError) as caught:
        refuse_remade(CUSTOMER_CACHE, CUSTOMER_CACHE.written_by, root, CALENDAR)
    assert str(caught.value).endswith(f"""run "python -m src.{CUSTOMER_CACHE.written_by} --data-dir 'd 0'" again""")


@pytest.mark.parametrize("here", [".", "d 0/processed"])
def test_a_source_that_is_of_another_data_root_is_mended_there(till, here, tmp_path, monkeypatch):
    """Its command, on the data root that is being written, would put that shop's receipts there."""
    root, _, said = till
    damage(root / CALENDAR.path)
    monkeypatch.chdir(here)
    source = (root / CALENDAR.path) if here == "." else Path("calendar.json")
    with pytest.raises(UserError) as caught:
        Manifest(STAGE, Path("d1"), [source], {}, OUTPUTS)
    where = ("'my till.csv'", "'d 0'") if here == "." else (f"'{tmp_path}/my till.csv'", "..")
    command = said.replace("'my till.csv'", where[0]) + f" --data-dir {where[1]}"
    assert str(caught.value) == f'{source} is not the file that its stage wrote: run "{command}" again'
