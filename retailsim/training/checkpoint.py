"""Checkpoints: written atomically, read without executing anything, complete or refused (SPEC C28).

A checkpoint holds the configuration, the model's weights, the optimiser's state, the digest of the vocabulary, what it keeps of
its data (`made_from`), the weeks that it knows, the number of threads, and how far the training had come (`progress.Progress`), so that evaluation
rebuilds the model without guessing and a resumed run ends as if it had never stopped. The file is a ZIP archive whose
comment is the digest of all before it.
epoch_N.pt follows epoch N; epoch_N_step_S.pt stands inside epoch N, after S steps.
"""

import hashlib
import io
import os
import pickle
import re
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

import torch

from retailsim.atomic import atomic, is_running
from retailsim.errors import UserError
from retailsim.vocab import Vocabulary

FORMAT = 15
FIELDS = (
    "format", "config", "model", "optimizer", "vocabulary", "products", "baskets", "threads",
    "epoch", "step", "sums", "best_val_loss", "reports",
)  # fmt: skip
WEEKS = ("train_end", "val_end")  # last ones trained on and chosen on; a checkpoint of an earlier version says neither
BEST = "best_model.pt"
PARTIAL = re.compile(r"epoch_(\d+)_step_(\d+)\.pt")  # inside an epoch
KEPT = 2  # checkpoints inside epochs
DIGEST = 32  # bytes
COMMENT_LENGTH = struct.Struct("<H")  # the last field of a ZIP archive's last record, in front of the comment


def vocabulary_digest(vocabulary: Vocabulary, rows: int | None = None) -> dict[str, Any]:
    """What a checkpoint keeps of the vocabulary: its size, and a digest of the ids of its first `rows` rows in order.

    They are those that the model learns. Products that are first sold afterwards have rows behind them and change nothing.
    """
    rows = rows or vocabulary.size
    digest = hashlib.blake2b("\n".join(vocabulary.ids[:rows]).encode(), digest_size=16).hexdigest()
    return {"size": vocabulary.size, "rows": rows, "digest": digest}


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state`, whose keys are FIELDS and, if they are known, WEEKS, to `path`."""
    assert _is_complete(state), set(state) ^ set(FIELDS)
    data = sealed(state)
    with atomic(path) as temporary, open(temporary, "wb") as file:
        file.write(data)


def sealed(state: Any) -> bytes:
    """`state` as torch.save writes it, with a digest of all of it as the archive's comment."""
    # Given a path, torch.save would write its name, here with the number of the process, into the file (C40); given a file,
    # it hides a full disk behind an error of its own.
    buffer = io.BytesIO()
    torch.save(_plain(state), buffer)
    return _seal(buffer.getvalue())


def load(path: Path, vocabulary: Vocabulary) -> dict[str, Any]:
    """The state at `path`, on the CPU; a UserError says why it cannot be used with this vocabulary."""
    if not path.exists():
        raise UserError(
            f'{path} is missing: train a model with "python -m src.training.train", or name another checkpoint'
        )
    if not _is_whole(path):
        raise UserError(f"{path} is damaged, or no checkpoint of this program: name another, or train again")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, pickle.UnpicklingError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise UserError(f"{path} is no checkpoint of this program ({reason}): name another") from error
    if not isinstance(state, dict) or not _is_complete(state) or state["format"] != FORMAT:
        raise UserError(f"{path} is no checkpoint of this program's format {FORMAT}: name another, or train again")
    there = state["vocabulary"]
    here = vocabulary_digest(vocabulary, there["rows"])
    if here != there:
        raise UserError(
            f"{path} was trained on another vocabulary ({there['size']} tokens, digest {there['digest'][:8]}) than the "
            f"data's ({here['size']} tokens, digest {here['digest'][:8]}): name the --data-dir it was trained on, or "
            f'train again with "python -m src.training.train"'
        )
    return state


def _is_complete(state: dict[str, Any]) -> bool:
    return set(state) - set(WEEKS) == set(FIELDS) and len(set(state) & set(WEEKS)) in (0, len(WEEKS))


def _plain(value: Any) -> Any:
    """`value` with containers of its own and every string once: pickle writes equal objects and the same object differently."""
    if isinstance(value, dict):
        return {_plain(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(part) for part in value)
    return sys.intern(value) if isinstance(value, str) else value


def tidy(folder: Path) -> None:
    """Delete what a killed process left half-written in `folder`; another training may be writing there."""
    for path in folder.glob(".*.tmp"):
        pid = path.name.split(".")[-2]
        if pid == str(os.getpid()) or not is_running(pid):  # in a container the process before has the same number
            path.unlink(missing_ok=True)


def newest(folder: Path) -> Path | None:
    """The newest checkpoint of an epoch, or inside one, that is whole."""
    return next((path for path in _newest_first(folder) if _is_whole(path)), None)


def prune(folder: Path, keep: int = KEPT) -> None:
    """Delete all but the newest `keep` checkpoints inside epochs."""
    partial = [path for path in folder.glob("epoch_*_step_*.pt") if PARTIAL.fullmatch(path.name)]
    for path in sorted(partial, key=_age)[: max(len(partial) - keep, 0)]:
        path.unlink()


def find(resume: Path, vocabulary: Vocabulary) -> tuple[dict[str, Any] | None, Path, list[str]]:
    """The state to go on from, where it was found, and a sentence on each file that was passed over.

    A folder stands for its newest checkpoint that is whole and fits the vocabulary; None where it holds no checkpoint at all.
    A damaged file stands for the newest such one beside it that is older. A UserError where there is none, or where a file is
    named that is missing or foreign.
    """
    if resume.is_dir():
        candidates = _newest_first(resume)
    else:
        candidates = [resume]
        if resume.exists() and not _is_whole(resume):
            candidates += [path for path in _newest_first(resume.parent) if _age(path) < _age(resume)]
    refusals: list[str] = []
    for path in candidates:
        try:
            return load(path, vocabulary), path, refusals
        except UserError as refusal:
            refusals.append(str(refusal))
    if refusals:
        raise UserError(refusals[0])
    return None, resume, refusals


def find_best(folder: Path, path: Path, state: dict[str, Any], vocabulary: Vocabulary) -> Path | None:
    """The best epoch of a training that goes on in `folder` from `state`, found at `path`: None where it has none, or it is lost.

    A file of that name may be of another branch: going on from an earlier epoch writes other epochs over the later ones, and
    what was the best then is none of this training's.
    """
    epoch = best_epoch(state)
    if not epoch:
        return None
    for candidate in (folder / BEST, path.parent / f"epoch_{epoch}.pt", path.parent / BEST, path):
        try:
            found = load(candidate, vocabulary)
        except UserError:
            continue
        if found["step"] == 0 and found["reports"] == state["reports"][:epoch]:
            return candidate
    return None


def best_epoch(state: dict[str, Any]) -> int:
    """The number of the best of the epochs done, 0 where none is."""
    return max((report["epoch"] for report in state["reports"] if report["is_best"]), default=0)


def keep_as_best(path: Path, folder: Path) -> None:
    """Let the best model of `folder` be the checkpoint at `path`."""
    if path.resolve() != (folder / BEST).resolve():
        with atomic(folder / BEST) as temporary:
            shutil.copyfile(path, temporary)


def _newest_first(folder: Path) -> list[Path]:
    names = (path for path in folder.glob("epoch_*.pt") if re.fullmatch(r"epoch_\d+(_step_\d+)?\.pt", path.name))
    return sorted(names, key=_age, reverse=True)


def _age(path: Path) -> int:
    """Greater is younger. By time, not by name: an earlier, longer run in the same folder may have left its last epochs."""
    return path.stat().st_mtime_ns


def _is_whole(path: Path) -> bool:
    """Whether every byte is the one that was written: the archive's comment is a digest of all before it.

    torch.load reads a flipped bit in the weights, or in the archive's directory, as another weight.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return False
    body = data[: -DIGEST - COMMENT_LENGTH.size] + COMMENT_LENGTH.pack(0)  # as torch.save wrote it: without a comment
    return len(data) > DIGEST and data == _seal(body)


def _seal(body: bytes) -> bytes:
    digest = hashlib.blake2b(body, digest_size=DIGEST).digest()
    return body[: -COMMENT_LENGTH.size] + COMMENT_LENGTH.pack(DIGEST) + digest
