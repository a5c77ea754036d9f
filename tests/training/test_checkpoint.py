"""C28, C39: a checkpoint is restored as a whole, without executing anything, or refused with a sentence."""

import io
import os
import pickle

import pytest
import torch

from retailsim.config import PRESETS, Config
from retailsim.errors import UserError
from retailsim.training import checkpoint
from retailsim.training.progress import Progress
from retailsim.vocab import Vocabulary

VOCABULARY = Vocabulary(["P1", "P2"], late=["P3"])


def state(vocabulary=VOCABULARY):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Linear(8, 8)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(8)).sum().backward()
    optimizer.step()
    return {
        "format": checkpoint.FORMAT,
        "config": PRESETS["tiny"].to_json(),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "threads": 1,
        **Progress(epoch=3, best_val_loss=5.25).state(),
        "vocabulary": checkpoint.vocabulary_digest(vocabulary),
        "products": torch.ones(5),
        "baskets": "digest",
    }


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b


def test_what_is_saved_is_what_is_loaded(tmp_path):
    saved = state()
    checkpoint.save(tmp_path / "epoch_3.pt", saved)
    loaded = checkpoint.load(tmp_path / "epoch_3.pt", VOCABULARY)
    assert same(loaded, saved)
    assert Config.from_json(loaded["config"]) == PRESETS["tiny"]
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_3.pt"]


def test_equal_states_are_equal_bytes(tmp_path, monkeypatch):  # C29, C40
    checkpoint.save(tmp_path / "epoch_3.pt", state())
    monkeypatch.setattr(os, "getpid", lambda: 12345)  # another process
    checkpoint.save(tmp_path / "best_model.pt", state())
    assert (tmp_path / "epoch_3.pt").read_bytes() == (tmp_path / "best_model.pt").read_bytes()


def test_a_state_with_a_missing_or_foreign_field_is_not_written(tmp_path):
    incomplete = {name: value for name, value in state().items() if name != "optimizer"}
    for wrong in (incomplete, {**state(), "note": 1}):
        with pytest.raises(AssertionError):
            checkpoint.save(tmp_path / "a.pt", wrong)
    assert not list(tmp_path.iterdir())


def refusal(path, vocabulary=VOCABULARY):
    with pytest.raises(UserError) as caught:
        checkpoint.load(path, vocabulary)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def test_a_missing_checkpoint_names_the_command(tmp_path):
    assert "python -m src.training.train" in refusal(tmp_path / "best_model.pt")


@pytest.mark.parametrize(
    "other", [Vocabulary(["P1", "P4"], late=["P3"]), Vocabulary(["P1", "P2", "P3"]), Vocabulary(["P1"], late=["P2"])]
)
def test_a_foreign_vocabulary_is_refused(tmp_path, other):
    checkpoint.save(tmp_path / "a.pt", state())
    message = refusal(tmp_path / "a.pt", other)
    assert "another vocabulary (5 tokens" in message and "--data-dir" in message


@pytest.mark.parametrize("late", [[], ["P0"], ["P3", "P4"]])
def test_late_products_leave_a_checkpoint_usable(tmp_path, late):
    checkpoint.save(tmp_path / "a.pt", state())
    assert checkpoint.load(tmp_path / "a.pt", Vocabulary(["P1", "P2"], late))["epoch"] == 3


def test_a_digest_of_late_products_too_holds_as_far_as_it_goes(tmp_path):
    """As checkpoints were written at first."""
    checkpoint.save(tmp_path / "a.pt", {**state(), "vocabulary": checkpoint.vocabulary_digest(VOCABULARY, rows=6)})
    for late in (["P3"], ["P3", "P4"]):
        assert checkpoint.load(tmp_path / "a.pt", Vocabulary(["P1", "P2"], late))["epoch"] == 3
    for late in ([], ["P0", "P3"]):
        assert "another vocabulary" in refusal(tmp_path / "a.pt", Vocabulary(["P1", "P2"], late))


def test_a_torn_file_is_refused(tmp_path):
    checkpoint.save(tmp_path / "a.pt", state())
    whole = (tmp_path / "a.pt").read_bytes()
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 100, len(whole) - 1):
        (tmp_path / "a.pt").write_bytes(whole[:size])
        assert "damaged" in refusal(tmp_path / "a.pt")


def test_a_flipped_bit_is_refused_or_touches_nothing(tmp_path):
    """torch.load alone reads a flipped bit in the weights as another weight."""
    saved = state()
    checkpoint.save(tmp_path / "a.pt", saved)
    whole = (tmp_path / "a.pt").read_bytes()
    refused = 0
    for place in range(11, len(whole), 41):
        flipped = bytearray(whole)
        flipped[place] ^= 16
        (tmp_path / "a.pt").write_bytes(flipped)
        try:
            assert same(checkpoint.load(tmp_path / "a.pt", VOCABULARY), saved)
        except UserError:
            refused += 1
    assert refused > 50
    weights = saved["model"]["weight"].numpy().tobytes()
    flipped = bytearray(whole)
    flipped[whole.index(weights) + 7] ^= 1
    (tmp_path / "a.pt").write_bytes(flipped)
    assert "damaged" in refusal(tmp_path / "a.pt")


class Hostile:
    """What unpickles by calling a function of the writer's choice."""

    def __reduce__(self):
        return (open, ("executed", "w"))


@pytest.mark.parametrize("write", [lambda x, f: torch.save(x, f), lambda x, f: pickle.dump(x, f)])
def test_nothing_in_a_file_is_executed(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    for content in (Hostile(), {**state(), "config": Hostile()}):
        buffer = io.BytesIO()
        write(content, buffer)
        (tmp_path / "a.pt").write_bytes(buffer.getvalue())
        assert "no checkpoint of this program" in refusal(tmp_path / "a.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [[1, 2], {"model": {}}, {**state(), "format": 0}])
def test_what_is_no_checkpoint_of_this_format_is_refused(tmp_path, content):
    (tmp_path / "a.pt").write_bytes(checkpoint.sealed(content))
    assert f"format {checkpoint.FORMAT}" in refusal(tmp_path / "a.pt")


def test_a_folder_is_refused(tmp_path):
    assert "no checkpoint" in refusal(tmp_path)
