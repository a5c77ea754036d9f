"""Checkpoints: written atomically, read without executing anything, complete or refused (SPEC C28).

A checkpoint holds the configuration, the model's weights, the optimiser's state, the epoch, the best validation loss and
the digest of the vocabulary, so that evaluation rebuilds the model without guessing.
"""

import hashlib
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from retailsim.errors import UserError
from retailsim.storage import atomic
from retailsim.vocab import Vocabulary

FORMAT = 1
FIELDS = ("format", "config", "model", "optimizer", "epoch", "best_val_loss", "vocabulary")


def vocabulary_digest(vocabulary: Vocabulary) -> dict[str, Any]:
    """What a checkpoint keeps of the vocabulary: sizes and a digest of the ids in order."""
    digest = hashlib.blake2b("\n".join(vocabulary.ids).encode(), digest_size=16).hexdigest()
    return {"size": vocabulary.size, "rows": len(vocabulary), "digest": digest}


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state`, whose keys are FIELDS, to `path`."""
    assert set(state) == set(FIELDS), set(state) ^ set(FIELDS)
    # Given a path, torch.save would write its name, here with the number of the process, into the file (C40).
    with atomic(path) as temporary, open(temporary, "wb") as file:
        torch.save(state, file)


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
    if not isinstance(state, dict) or set(state) != set(FIELDS) or state["format"] != FORMAT:
        raise UserError(f"{path} is no checkpoint of this program's format {FORMAT}: name another, or train again")
    here, there = vocabulary_digest(vocabulary), state["vocabulary"]
    if here != there:
        raise UserError(
            f"{path} was trained on another vocabulary ({there['size']} tokens, digest {there['digest'][:8]}) than the "
            f"data's ({here['size']} tokens, digest {here['digest'][:8]}): name the --data-dir it was trained on, or "
            f'train again with "python -m src.training.train"'
        )
    return state


def _is_whole(path: Path) -> bool:
    """Whether the file is an archive all of whose parts have the checksums that they were written with.

    torch.load reads a flipped bit in the weights as another weight.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError):
        return False
