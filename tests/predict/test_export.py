"""C36, interchange: what is exported computes what the model computes."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from retailsim import cli
from retailsim.config import ModelConfig
from retailsim.errors import UserError
from retailsim.model.basket_model import BasketModel
from retailsim.model.next_product import OUTPUTS, NextProduct, shown_to
from retailsim.predict import Request
from retailsim.predict.export import as_program, examples, load_exported, quiet
from retailsim.training.tables import load_tables

ROOT = Path(__file__).parents[2]
LIMIT = 1e-4


@pytest.fixture(scope="module")
def requests(predictor):
    return examples(predictor)


@pytest.fixture(scope="module")
def document_model(shop, predictor):
    """A small model of the document's kind: without purchase histories."""
    torch.manual_seed(0)
    shape = ModelConfig(
        width=64, encoder_layers=1, decoder_layers=1, encoder_head_width=32, state_size=8, attention_heads=2
    )
    return BasketModel(shape, load_tables(shop.data), predictor.vocabulary.size).eval()


@pytest.mark.parametrize("kind", ["histories", "document"])
def test_the_function_of_rows_is_the_model(predictor, document_model, requests, kind):
    """Given rows instead of row numbers, the same numbers come out, bit for bit."""
    model = predictor.model if kind == "histories" else document_model
    batch = predictor._batch([predictor.look_up(request) for request in requests], trip_is_open=False)
    batch = replace(batch, hide_trip=torch.tensor([True, False, True, False]))
    first = batch.ids.shape[1] * torch.arange(len(requests))
    batch = replace(batch, ids=torch.cat([torch.full_like(batch.ids[:, :1], 1), batch.ids[:, 1:]], dim=1), places=first)
    program = NextProduct(model)
    assert [of.name for of in program.inputs] == list(shown_to(model, batch))
    with torch.no_grad():
        found, expected = program(**shown_to(model, batch)), model(batch)
    assert torch.equal(found[0], expected.product_logits)
    for label, logits in zip(OUTPUTS[1:], found[1:], strict=True):
        assert torch.equal(logits, expected.trip_logits[label])


def test_arrays_of_a_request_give_the_predictors_answer(predictor):
    """An empty basket has one place, so the order of places cannot differ."""
    monday = predictor.calendar.monday_of(predictor.calendar.last_week + 1)
    request = Request(
        datetime.combine(monday, datetime.min.time()) + timedelta(hours=9), customer=predictor.customers[0]
    )
    arrays = predictor.arrays([request])
    assert {name: array.dtype.name for name, array in arrays.items()} == {
        of.name: of.dtype for of in NextProduct(predictor.model).inputs
    }
    with torch.no_grad():
        logits = NextProduct(predictor.model)(**{name: torch.from_numpy(a) for name, a in arrays.items()})[0][0]
    best = predictor.predict(request, top=5)
    logits[:3] = -torch.inf
    top = logits.softmax(0).topk(5)
    assert [predictor.vocabulary.ids[row] for row in top.indices] == [s.product for s in best.suggestions]
    assert top.values.tolist() == pytest.approx([s.probability for s in best.suggestions], rel=1e-5)


def test_weights_come_back_bit_for_bit(predictor, shop, trained, tmp_path):
    folder = tmp_path / "exported"
    command = ["export", str(trained / "best_model.pt"), "--output", str(folder), "--data-dir", str(shop.data)]
    assert cli.main([*command, "--formats", "safetensors"]) == 0
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]
    ours, theirs = predictor.model.state_dict(), load_exported(folder, shop.data).state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    record = json.loads((folder / "config.json").read_text())
    assert record["vocabulary"] == list(predictor.vocabulary.ids) and record["temperatures"] is None
    assert record["inputs"][0] | {"meaning": ""} == {
        "name": "t1",
        "shape": ["B", 192],
        "dtype": "float32",
        "meaning": "",
    }


def test_what_cannot_be_exported_is_refused(shop, trained, tmp_path, capsys, monkeypatch):
    command = ["export", str(trained / "best_model.pt"), "--data-dir", str(shop.data), "--output", str(tmp_path)]
    assert cli.main(command) == 2
    assert "exists: name another folder, or delete it" in capsys.readouterr().err
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "safetensors.torch", None)
        assert cli.main(command[:-1] + [str(tmp_path / "x")]) == 2
    assert 'pip install "retailsim[export]"' in capsys.readouterr().err.replace("\n", " ")
    with pytest.raises(UserError, match="write the folder with retailsim export"):
        load_exported(tmp_path, shop.data)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def exported(shop, trained, tmp_path_factory):
    """A working folder as the documentation assumes it, with everything exported by the command."""
    folder = tmp_path_factory.mktemp("exporting")
    (folder / "data").symlink_to(shop.data)
    (folder / "checkpoints").symlink_to(trained)
    command = [sys.executable, "-m", "retailsim.predict.export", "checkpoints/best_model.pt", "--quiet"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=_own_code())
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.mark.slow
def test_programs_give_the_models_logits(exported, predictor, requests):
    """On the example beside them, and on more and fewer baskets, places and earlier products."""
    session = onnxruntime.InferenceSession(exported / "exported/model.onnx")
    program = torch.export.load(exported / "exported/program.pt2").module()
    example = dict(np.load(exported / "exported/example.npz"))
    names = [of.name for of in session.get_inputs()]
    for output, found in zip(OUTPUTS, session.run(None, {name: example[name] for name in names}), strict=True):
        assert np.abs(found - example[output]).max() < LIMIT
    long = replace(requests[0], basket=tuple(predictor.vocabulary.ids[3:40]))
    model = NextProduct(predictor.model)
    for asked in ([replace(requests[0], customer=None, basket=())], requests[:1], [long] * 9):
        arrays = predictor.arrays(asked)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        with torch.no_grad():
            expected, other = model(**tensors), program(*tensors.values())
        for ours, torchs, onnxs in zip(expected, other, session.run(None, arrays), strict=True):
            assert (ours - torchs).abs().max() < LIMIT
            assert np.abs(ours.numpy() - onnxs).max() < LIMIT


@pytest.mark.slow
def test_a_model_without_histories_is_a_program_too(document_model, predictor, requests, tmp_path):
    names = [of.name for of in NextProduct(document_model).inputs]
    arrays = {name: predictor.arrays(requests)[name] for name in names}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    model = NextProduct(document_model).eval()
    with torch.no_grad():
        program = as_program(model, tensors)
        with quiet():
            onnx = torch.onnx.export(program, input_names=names, output_names=list(OUTPUTS), verbose=False)
        onnx.save(tmp_path / "model.onnx")
        expected = model(**tensors)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for ours, onnxs in zip(expected, session.run(None, arrays), strict=True):
        assert np.abs(ours.numpy() - onnxs).max() < LIMIT


@pytest.mark.slow
def test_the_documents_example_runs(exported, predictor):
    text = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=exported, capture_output=True, text=True, env=_own_code())
    assert done.returncode == 0, done.stderr
    products = done.stdout.split()
    assert len(set(products)) == 5 and set(products) <= set(predictor.vocabulary.ids[3:])


def _own_code():
    return {**os.environ, "PYTHONPATH": str(ROOT)}
