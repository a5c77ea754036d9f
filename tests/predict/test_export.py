"""C36, interchange: what is exported computes what the model computes."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from retailsim import cli
from retailsim.config import ModelConfig
from retailsim.errors import UserError
from retailsim.layout import MAX_PLACES
from retailsim.manifest import fingerprint
from retailsim.model.basket_model import BasketModel
from retailsim.model.batch import HABITS
from retailsim.model.history import EXCLUDED
from retailsim.model.next_product import OF_ALL, OF_HISTORIES, OUTPUTS, NextProduct, shown_to
from retailsim.predict import Predictor, Request
from retailsim.predict.export import load_exported
from retailsim.predict.programs import as_program, example, examples, write_onnx, write_program
from retailsim.training import histories, tables
from retailsim.training.tables import load_tables
from retailsim.vocab import EOS, PAD

ROOT = Path(__file__).parents[2]
LIMIT = 1e-4
ENDS = [(1, 1, 1), (2, 1, 3), (1, MAX_PLACES, histories.MAX_ENTRIES), (33, 7, 2)]  # B, S, K


def of_shape(shop, predictor, is_documents):
    """A small model: of the document's kind, or with purchase histories and trip evidence."""
    torch.manual_seed(0)
    shape = ModelConfig(
        width=32, encoder_layers=1, encoder_head_width=16, state_size=8, decoder_layers=1, attention_heads=2,
        feed_forward=32, history=not is_documents, history_width=16, trip_evidence=not is_documents,
    )  # fmt: skip
    model = BasketModel(shape, load_tables(shop.data), predictor.vocabulary.size).eval()
    with torch.no_grad():  # what starts at zero would hide an input that is not used
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def models(shop, predictor):
    return {
        "trained": predictor.model,
        "histories": of_shape(shop, predictor, False),
        "document": of_shape(shop, predictor, True),
    }


def random_inputs(model, baskets, places, entries):
    """Inputs of these sizes, a different number of places of each basket filled, the hidden one anywhere among them."""
    rng = np.random.default_rng(baskets + places + entries)
    sizes = {"B": baskets, "S": places, "K": entries, "V": model.model.vocab_size}
    arrays = {
        of.name: rng.uniform(0, 2, [sizes.get(axis, axis) for axis in of.shape]).astype(np.float32)
        for of in model.inputs
    }
    ids = rng.integers(3, sizes["V"], (baskets, places))
    filled = rng.integers(1, places + 1, baskets)
    ids[np.arange(places) >= filled[:, None]] = PAD
    ids[np.arange(baskets), rng.integers(0, filled)] = EOS
    arrays |= {"ids": ids, "trip": rng.integers(-1, 4, (baskets, 4)), "trip_is_open": rng.random(baskets) < 0.5}
    arrays["paid"][(ids <= EOS) | (rng.random(ids.shape) < 0.2)] = np.nan
    if "bought" in arrays:
        arrays["bought"] = np.where(
            rng.random((baskets, entries)) < 0.1, PAD, rng.integers(3, sizes["V"], (1, entries))
        )
        arrays["bought"][:, 0] = PAD
    return arrays


def tensors(arrays):
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@torch.no_grad()
def assert_agree(model, arrays, *programs):
    """Within LIMIT; a product of the basket has a logit of about -10,000, whose last digit is a thousandth."""
    expected = model(**tensors(arrays))
    for program in programs:
        for ours, theirs in zip(expected, program(arrays), strict=True):
            off = np.abs(ours.numpy() - np.asarray(theirs))
            assert off.shape == ours.shape and off[ours > EXCLUDED / 2].max(initial=0) < LIMIT
            assert off.max() <= 2 * np.spacing(np.float32(-EXCLUDED))


def torchs(path):
    """A torch.export program as a function of arrays by name."""
    program = torch.export.load(path).module()
    return lambda arrays: program(*tensors(arrays).values())


def onnxs(path):
    """An ONNX model likewise."""
    session = onnxruntime.InferenceSession(path)
    return lambda arrays: session.run(list(OUTPUTS), arrays)


@pytest.mark.parametrize("kind", ["trained", "histories", "document"])
def test_the_function_of_rows_is_the_model(predictor, models, kind):
    """Given rows instead of row numbers, the same numbers come out, bit for bit."""
    model, seats = models[kind], [predictor.look_up(request) for request in examples(predictor)]
    batch = predictor._batch(seats)
    assert batch.hide_trip.tolist() == [True, False, True, False]
    program = NextProduct(model)
    assert [of.name for of in program.inputs] == list(shown_to(model, batch))
    with torch.no_grad():
        found, expected = program(**shown_to(model, batch)), model(batch)
    assert torch.equal(found[0], expected.product_logits)
    for label, logits in zip(OUTPUTS[1:], found[1:], strict=True):
        assert torch.equal(logits, expected.trip_logits[label])
    assert [of.shape[1] for of in program.outputs] == [logits.shape[1] for logits in found]


def test_arrays_of_requests_give_the_predictors_answers(predictor):
    requests = [*examples(predictor), replace(examples(predictor)[0], basket=())]
    arrays = predictor.arrays(requests)
    assert {name: array.dtype.name for name, array in arrays.items()} == {
        of.name: of.dtype for of in NextProduct(predictor.model).inputs
    }
    with torch.no_grad():
        logits = NextProduct(predictor.model)(**tensors(arrays))[0]
    logits[:, :3] = -torch.inf
    logits.scatter_(1, torch.from_numpy(arrays["ids"]), -torch.inf)
    for answer, chances in zip(predictor.predict_many(requests, top=5), logits.softmax(1), strict=True):
        top = chances.topk(5)
        assert [predictor.vocabulary.ids[row] for row in top.indices] == [s.product for s in answer.suggestions]
        assert top.values.tolist() == pytest.approx([s.probability for s in answer.suggestions], rel=1e-4)


def test_a_model_without_histories_is_given_none(shop, predictor, models):
    """They are most of the work of a batch, and its answers are the same without."""
    histories, model = predictor._histories, models["document"]
    documents = Predictor(
        model, predictor.vocabulary, predictor.calendar, predictor._people, predictor._places, histories
    )
    requests = [*examples(predictor), replace(examples(predictor)[0], novel=True)]
    seats = [documents.look_up(request) for request in requests]
    batch, whole = documents._batch(seats), predictor._batch(seats)
    assert batch.bought.shape[1] == batch.store_counts.shape[1] == 1 < whole.bought.shape[1]
    with torch.no_grad():
        assert torch.equal(model(batch).product_logits, model(whole).product_logits)
    plain, novel = (documents.predict(requests[i], top=10_000).suggestions for i in (0, -1))
    assert 0 < len(novel) < len(plain)  # what was bought is still known where it is left out


@pytest.fixture
def command(shop, trained, tmp_path):
    """The command without its format, and the folder that it writes."""
    folder = tmp_path / "exported"
    flags = ["export", str(trained / "best_model.pt"), "--output", str(folder), "--data-dir", str(shop.data)]
    return [*flags, "--format"], folder


def test_the_model_comes_back_bit_for_bit(predictor, shop, command):
    flags, folder = command
    assert cli.main([*flags, "safetensors"]) == 0
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]
    theirs = load_exported(folder, shop.data)
    weights = predictor.model.state_dict()
    assert list(weights) == list(theirs.state_dict())
    assert all(torch.equal(weights[name], weight) for name, weight in theirs.state_dict().items())
    batch = predictor._batch([predictor.look_up(request) for request in examples(predictor)])
    with torch.no_grad():
        ours, found = predictor.model(batch), theirs(batch)
    assert torch.equal(ours.product_logits, found.product_logits) and torch.equal(ours.context, found.context)


def test_the_description_is_complete(predictor, shop, trained, command):
    flags, folder = command
    assert cli.main([*flags, "safetensors"]) == 0
    record = json.loads((folder / "config.json").read_text())
    assert record["vocabulary"] == list(predictor.vocabulary.ids) and record["temperatures"] is None
    assert record["vocabulary_size"] == predictor.vocabulary.size
    assert record["layouts"]["T1 customer"] == {"segment": [0, 64], "history": [64, 160], "affinity": [160, 192]}
    assert record["fingerprints"]["checkpoint"] == fingerprint(trained / "best_model.pt")
    assert record["fingerprints"]["files"] == {"model.safetensors": fingerprint(folder / "model.safetensors")}
    for path, found in record["fingerprints"]["tables"].items():
        assert fingerprint(shop.data / path) == found
    assert len(record["trips_learned"]) == 15 and list(record["trip_labels"]) in record["trips_learned"]
    assert record["versions"]["torch"] == torch.__version__
    assert record["config"]["model"]["history"] is True
    assert [of["name"] for of in record["inputs"]] == [of.name for of in (*OF_ALL, *OF_HISTORIES)]
    assert record["inputs"][-3]["shape"] == ["B", "K", HABITS]
    assert record["outputs"][0]["shape"] == ["B", predictor.vocabulary.size]


def test_an_earlier_export_is_replaced_and_nothing_else(command, tmp_path, capsys):
    flags, folder = command
    assert cli.main([*flags, "safetensors"]) == 0
    assert cli.main([*flags, "safetensors"]) == 2
    assert capsys.readouterr().err == f"error: {folder} exists: name another folder, or say --overwrite\n"
    (folder / "model.onnx").write_text("of an earlier export")
    assert cli.main([*flags, "safetensors", "--overwrite"]) == 0
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]
    (folder / "notes.txt").write_text("mine")
    assert cli.main([*flags, "safetensors", "--overwrite"]) == 2
    assert "holds notes.txt, which no export wrote: name another folder" in capsys.readouterr().err
    assert (folder / "notes.txt").read_text() == "mine"
    (tmp_path / "file").touch()
    flags[flags.index(str(folder))] = str(tmp_path / "file")
    assert cli.main([*flags, "safetensors", "--overwrite"]) == 2
    assert "file is no folder: name another folder" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exported", "file"]


def test_a_wrong_checkpoint_leaves_the_folder_as_it_was(command, tmp_path, capsys):
    flags, folder = command
    assert cli.main([*flags, "safetensors"]) == 0
    before = fingerprint(folder)
    (tmp_path / "other.pt").write_bytes(b"no checkpoint")
    flags[1] = str(tmp_path / "other.pt")
    assert cli.main([*flags, "all", "--overwrite"]) == 2
    assert "other.pt is damaged, or no checkpoint of this program" in capsys.readouterr().err
    assert fingerprint(folder) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exported", "other.pt"]


@pytest.mark.parametrize(
    "missing, format", [("safetensors.torch", "safetensors"), ("onnx", "onnx"), ("onnxscript", "all")]
)
def test_a_missing_extra_is_one_sentence(command, capsys, monkeypatch, missing, format):
    flags, folder = command
    monkeypatch.setitem(sys.modules, missing, None)
    assert cli.main([*flags, format]) == 2
    assert (
        capsys.readouterr().err
        == f'error: exporting needs {missing}: install it with pip install "retailsim[export]"\n'
    )
    assert not folder.exists()


@pytest.mark.slow
def test_other_commands_do_without_the_extra():
    code = "import sys, retailsim.predict.export; print({'onnx', 'onnxscript', 'safetensors'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=_own_code())
    assert done.stdout == "set()\n", done.stderr


def test_what_cannot_be_loaded_is_refused(shop, command):
    flags, folder = command
    with pytest.raises(UserError, match=r"config.json is missing: write it with retailsim export --format safetensors"):
        load_exported(folder, shop.data)
    assert cli.main([*flags, "safetensors"]) == 0
    weights, config = folder / "model.safetensors", folder / "config.json"
    data, record = weights.read_bytes(), json.loads(config.read_text())
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(UserError, match=r"model.safetensors is not the file that config.json describes"):
        load_exported(folder, shop.data)
    weights.write_bytes(data)
    record["fingerprints"]["vocabulary"]["digest"] = "0"
    config.write_text(json.dumps(record))
    with pytest.raises(UserError, match="trained on another vocabulary"):
        load_exported(folder, shop.data)
    for text, why in (("{", "is not JSON"), ('{"format": 1}', "is not of format 2"), ("[]", "is not of format 2")):
        config.write_text(text)
        with pytest.raises(UserError, match=f"config.json {why}"):
            load_exported(folder, shop.data)
    weights.unlink()
    with pytest.raises(UserError, match=r"model.safetensors is missing"):
        load_exported(folder, shop.data)


def test_other_product_embeddings_are_refused(shop, command, monkeypatch):
    """With the same products in other rows of T2 the answers would be wrong without a word."""
    flags, folder = command
    assert cli.main([*flags, "safetensors"]) == 0
    here = load_tables(shop.data)
    anew = replace(here, product=here.product.roll(1, dims=1))
    monkeypatch.setattr(tables, "load_tables", lambda root: anew)
    with pytest.raises(UserError, match="exported was trained on other product embeddings than the data's"):
        load_exported(folder, shop.data)


def assert_agree_at_every_size(model, folder):
    program, onnx = torchs(folder / "model.pt2"), onnxs(folder / "model.onnx")
    for sizes in ENDS:
        assert_agree(model, random_inputs(model, *sizes), program, onnx)
    with pytest.raises(AssertionError, match=rf"ids.size\(\)\[1\] <= {MAX_PLACES}"):
        program(random_inputs(model, 2, MAX_PLACES + 1, 2))


@pytest.mark.slow
def test_programs_of_the_documents_model_compute_it_at_every_size(models, predictor, tmp_path):
    model = NextProduct(models["document"]).eval()
    inputs, _ = example(predictor, NextProduct(predictor.model))
    program = as_program(model, {of.name: inputs[of.name] for of in model.inputs})
    write_program(program, tmp_path / "model.pt2")
    write_onnx(program, [of.name for of in model.inputs], tmp_path / "model.onnx")
    assert_agree_at_every_size(model, tmp_path)


@pytest.fixture(scope="module")
def exported(shop, trained, tmp_path_factory):
    """A working folder as the documentation assumes it, with everything exported by the command."""
    folder = tmp_path_factory.mktemp("exporting")
    (folder / "data").symlink_to(shop.data)
    (folder / "checkpoints").symlink_to(trained)
    command = [sys.executable, "-m", "src.predict.export", "checkpoints/best_model.pt", "--quiet"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=_own_code())
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.mark.slow
def test_the_command_writes_what_the_model_computes(exported, predictor):
    folder, model = exported / "exported", NextProduct(predictor.model)
    assert {file.name for file in folder.iterdir()} == {
        "config.json", "model.safetensors", "model.pt2", "model.onnx", "example.npz",
    }  # fmt: skip
    programs = torchs(folder / "model.pt2"), onnxs(folder / "model.onnx")
    stored = dict(np.load(folder / "example.npz"))
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    record = json.loads((folder / "config.json").read_text())
    assert [of.name for of in session.get_inputs()] == [of["name"] for of in record["inputs"]]
    assert [of.name for of in session.get_outputs()] == [of["name"] for of in record["outputs"]]
    inputs = {of.name: stored[of.name] for of in model.inputs}
    assert_agree(model, inputs, *programs, lambda arrays: [stored[name] for name in OUTPUTS])
    when = datetime.combine(predictor.calendar.monday_of(predictor.calendar.last_week + 1), time(9))
    long = Request(when, customer=predictor.customers[0], basket=tuple(predictor.vocabulary.ids[3:40]))
    for asked in ([Request(when)], [replace(long, basket=())], [long] * 9):
        assert_agree(model, predictor.arrays(asked), *programs)
    assert_agree_at_every_size(model, folder)


@pytest.mark.slow
def test_the_documents_example_runs(exported, predictor):
    (code,) = re.findall(r"^```python\n(.*?)^```", _page(), flags=re.MULTILINE | re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=exported, capture_output=True, text=True, env=_own_code())
    assert done.returncode == 0, done.stderr
    request = Request(
        datetime(2006, 10, 2, 18), customer=predictor.customers[0], basket=(predictor.vocabulary.ids[10],)
    )
    assert done.stdout.split() == [of.product for of in predictor.predict(request, top=5).suggestions]


def test_the_document_lists_every_input():
    rows = re.findall(r"^\| `(.*?)` \| (.*?) \| (\w+) \| (.*) \|$", _page(), flags=re.MULTILINE)
    assert rows == [(of.name, " × ".join(map(str, of.shape)), of.dtype, of.meaning) for of in (*OF_ALL, *OF_HISTORIES)]


def test_the_document_lists_every_habit():
    habits = re.findall(r"^\| \d.* \|$", str(histories.__doc__), flags=re.MULTILINE)
    assert len(habits) == 14 and all(row in _page().splitlines() for row in habits)


def _page():
    return (ROOT / "docs/export.md").read_text(encoding="utf-8")


def _own_code():
    return {**os.environ, "PYTHONPATH": str(ROOT)}
