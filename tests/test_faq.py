"""docs/faq.md: each symptom of the founding document's troubleshooting is brought about, and the program says what the page says."""

import json
import os
import re
import shutil

import numpy as np
import pytest
import torch

from retailsim import artifacts, cli
from retailsim.reading import load_vocabulary
from retailsim.training import loop
from tests.pages import FENCE, FOUNDING, ROOT

PAGE = (ROOT / "docs/faq.md").read_text(encoding="utf-8")
TRAIN = ["--preset", "tiny", "--warmup-epochs", "0", "--finetune-epochs", "0", "--threads", "1", "--precision", "32"]


@pytest.fixture
def at(shop, tmp_path, monkeypatch):
    """A working folder with the small retailer's data, as the page's sentences name them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw_data").symlink_to(shop.raw)
    shutil.copytree(shop.data, "data", copy_function=lambda file, to: os.link(file, to))
    return tmp_path


@pytest.fixture
def say(capsys):
    """What a command says, on both channels, and its exit code."""

    def called(*words):
        code = cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out + err

    return called


def shown(title):
    """The lines that the page shows under a title, as patterns: any number, any device, "…" for anything."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
    lines = [line for language, text in FENCE.findall(section) if language == "text" for line in text.splitlines()]
    anything = [re.sub(r"\\?…", ".*", re.escape(line)) for line in lines]
    return [re.sub(r"\d+(?:,\d+)*", r"\\d+", line).replace(r"cuda:\d+", r"(?:cpu|cuda:\d+)") for line in anything]


def assert_said(pattern, text):
    assert re.search(f"^{pattern}$", text, flags=re.MULTILINE), f"{pattern}\nis not in\n{text}"


def test_every_issue_of_the_document_has_a_section():
    issues = re.findall(r"^ISSUE: (.*)$", FOUNDING.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = dict(zip(issues, re.findall(r"^## (.*)$", PAGE, flags=re.MULTILINE), strict=False))
    assert sections == {
        "Out of Memory (OOM)": "Out of memory",
        "Slow Training": "Training is slow",
        "Loss Not Decreasing": "The loss does not fall",
        "NaN Loss": "The loss becomes NaN",
    }


def test_out_of_memory(at, say, monkeypatch):
    """The step really asks for more than there is."""
    monkeypatch.setattr(loop, "backward", lambda *_: torch.empty(1 << 60))
    code, text = say("train", *TRAIN, "--epochs", "1", "--batch-size", "256")
    (sentence,) = shown("Out of memory")
    assert_said(sentence, text)
    assert code == 2 and not list(at.glob("checkpoints/*.pt"))


def test_slow_training(at, say, monkeypatch):
    first_line, no_gpu = shown("Training is slow")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, text = say("train", *TRAIN, "--epochs", "1", "--device", "cuda")
    assert code == 2
    assert_said(no_gpu, text)
    monkeypatch.setattr(loop, "backward", lambda *_: torch.empty(1 << 60))  # the first line is enough
    assert_said(first_line, say("train", *TRAIN, "--epochs", "1")[1])


def test_a_rate_that_is_too_high_shows(at, say):
    """In the first epochs' losses, beside what guessing gives."""
    guessing = np.log(load_vocabulary(at / "data").size)
    losses = {}
    for rate in ("1.0", "3e-3"):
        code, _ = say("train", *TRAIN, "--epochs", "2", "--learning-rate", rate, "--checkpoint-dir", rate)
        assert code == 0
        *_, last = (at / rate / "metrics.jsonl").read_text().splitlines()
        losses[rate] = json.loads(last)["val_loss"]
    assert losses["1.0"] > 2 * guessing > guessing > losses["3e-3"]


def test_damaged_data_are_named(at, say):
    (sentence,) = shown("The loss does not fall")
    path = at / "data" / artifacts.SAMPLE_TABLES["train"].path
    damaged = bytearray(path.read_bytes())
    damaged[2000] ^= 0xFF
    path.unlink()  # a link to the shop's own
    path.write_bytes(damaged)
    code, text = say("train", *TRAIN, "--epochs", "1")
    assert code == 2
    assert_said(sentence, text)
    code, text = say("validate-data")
    assert code == 1 and "begin with: python -m src.training.prepare_samples" in text


def test_a_nan_stops_before_it_does_harm(at, say):
    code, text = say("train", *TRAIN, "--epochs", "1", "--batch-size", "64", "--learning-rate", "1e30")
    (sentence,) = shown("The loss becomes NaN")
    assert_said(sentence, text)
    assert code == 2 and [path.name[:9] for path in at.glob("checkpoints/*.pt")] == ["nan_batch"]


def test_a_killed_training_goes_on(at, say, trained):
    going_on, complete = shown("It was killed")
    shutil.copytree(trained, "checkpoints", ignore=shutil.ignore_patterns("tensorboard"))
    code, text = say("train", "--resume", "auto")
    assert code == 2
    assert_said(going_on, text)
    assert_said(complete, text)


def test_what_is_stale_is_said(at, say):
    path = at / "data" / artifacts.PRICES.path
    changed = path.read_bytes() + b" "
    path.unlink()
    path.write_bytes(changed)
    code, text = say("status", "--input", "raw_data")  # the shop's own was given by another path
    assert code == 1
    for line in shown("Something is stale"):
        assert_said(line, text)
