"""Which files of the road are current, stale, unfinished or missing, and the command that comes next.

Reads the manifests, everything they name, and the checkpoints. Writes nothing.
"""

import importlib
import shlex
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from retailsim import artifacts, console
from retailsim.errors import UserError
from retailsim.manifest import (
    code_fingerprint,
    command_of,
    fingerprint,
    flags_again,
    from_here,
    manifest_path,
    read_manifest,
    versions,
)
from retailsim.reading import load_vocabulary
from retailsim.run import BEST, EVALUATION, STARTED, TRAIN, rivals

ROAD = (artifacts.PIPELINE, artifacts.FEATURES, artifacts.TENSORS, artifacts.SAMPLES, artifacts.CACHE)


def status(input: Path | None = None, data_dir: Path = Path("data"), checkpoint_dir: Path = Path("checkpoints")) -> int:
    """Say of every stage whether what it wrote is current, stale (and why), unfinished or missing, and which command comes next.

    Exit code 0 when everything up to a trained model is current, else 1.

    Args:
        input: the raw source; left out: the one that the pipeline was last given (before that: raw_data).
        data_dir: root of what the stages wrote.
        checkpoint_dir: folder of the checkpoints.
    """
    source, next_command = source_of(data_dir, input), ""
    for stage in ROAD:
        why = "an earlier stage is not current" if next_command else reason(stage, source, data_dir)
        state = "current" if why is None else "missing" if why.endswith("is missing") else "stale"
        say(verb_of(stage), state, why)
        if why is not None and not next_command:
            next_command = command_again(stage, source, data_dir)
    best = checkpoint_dir / BEST.path
    if not next_command:
        state, why, flags = training_state(checkpoint_dir, data_dir)
    elif best.exists():
        state, why, flags = "stale", "an earlier stage is not current", []
    else:
        state, why, flags = "missing", f"{best} is missing", []
    say("train", state, why)
    if why is None and (best.parent / EVALUATION.path).exists():
        stale = figures_reason(best, data_dir)
        say("evaluate", "stale" if stale else "current", stale)
    then = after_training(best, data_dir) if why is None else ["train", *flags, "--checkpoint-dir", str(checkpoint_dir)]
    command = next_command or shlex.join(then)
    console.out.print(f"next: retailsim {command} --data-dir {shlex.quote(str(data_dir))}")
    return 0 if why is None else 1


def source_of(root: Path, given: Path | None = None) -> Path:
    """The raw source: that which is `given`, else the one that the pipeline was last given."""
    return given or from_here(command_of(artifacts.TRANSACTIONS, artifacts.PIPELINE, root).get("--input", "raw_data"))


def command_again(stage: str, source: Path, root: Path) -> str:
    """The command that runs `stage` as it last ran, on `source`."""
    changed = {"--input": source} if stage == artifacts.PIPELINE else None
    return shlex.join([verb_of(stage), *flags_again(stage, root, changed)])


def after_training(best: Path, root: Path) -> list[str]:
    """The command that comes next: evaluate, and once `run` has evaluated this model beside these baselines, report."""
    figures = best.parent / EVALUATION.path
    if not figures.exists():
        return ["evaluate", str(best)]
    if figures_reason(best, root):
        return ["evaluate", str(best), "--detailed", "--json", str(figures)]
    return ["report", str(best)]


def figures_reason(best: Path, root: Path) -> str | None:
    """Why the figures beside `best` are not of this model and of today's baselines, as far as dates tell; None where they are."""
    figures = best.parent / EVALUATION.path
    later = (path for path in (best, *rivals(root)) if is_older(figures, path))
    return next((f"{figures} is older than {path}" for path in later), None)


def warn_of_stale(data_dir: Path) -> None:
    """One line to standard error where prepared data are not what today's program would make of the same files.

    The raw source is not looked at: whoever trains or evaluates need not have it.
    """
    _print_of.cache_clear()
    for stage in ROAD[1:]:
        why = reason(stage, Path(), data_dir)
        if why is not None:
            console.err.print(
                f'warning: {verb_of(stage)} is not current ({why}); "retailsim status --data-dir {shlex.quote(str(data_dir))}" names the command'
            )
            return


def say(verb: str, state: str, why: str | None) -> None:
    """One line, so that no path is broken."""
    console.out.print(f"{verb:<25}{state:<11}{why or ''}".rstrip())


def reason(stage: str, source: Path, root: Path) -> str | None:
    """Why the outputs of `stage` are not what running it now would write; None where they are."""
    outputs = [artifact for artifact in artifacts.ALL if artifact.written_by == stage]
    for artifact in outputs:
        if not (root / artifact.path).exists():
            return f"{root / artifact.path} is missing"
    path = manifest_path(outputs[0], stage, root)
    record = read_manifest(path)
    if record is None:
        return f"{path} is missing"
    if record["code"] != code_fingerprint():
        return "the program has changed"
    if record["versions"] != versions():
        return "a library has changed"
    if stage == artifacts.PIPELINE:
        changed = changed_source(record, source)
    else:
        changed = changed_input(record["inputs"], [root / artifact.path for artifact in artifacts.ALL], root)
    if changed:
        return changed
    for artifact in outputs:
        if record["outputs"].get(artifact.path.split("/")[-1]) != _print_of(root / artifact.path):
            return f"{root / artifact.path} has changed since it was written"
    return None


def changed_source(record: dict[str, Any], source: Path) -> str | None:
    """What the pipeline, called on `source` as its manifest `record` says, would read otherwise than then, by name."""
    # Called as `run` calls the stages: a root module imports none.
    read, mappings = (importlib.import_module(f"retailsim.sources.{name}") for name in ("read", "mapping"))
    name = record.get("command", {}).get("--mapping")
    try:
        mapping = mappings.load_mapping(name) if name else None
        files = read.source_files(source, mapping) + (read.side_files(source, mapping) if mapping else [])
    except UserError as error:
        return str(error)
    if mapping and mapping.text != record["settings"]["mapping"]:
        return f"the mapping {mapping.origin} has changed"
    for file in files:
        if file.name not in record["inputs"]:
            return f"{file} is new"
    return changed_input(record["inputs"], files, source if source.is_dir() else source.parent)


def changed_input(inputs: dict[str, str], files: Sequence[Path], folder: Path) -> str | None:
    """What has changed of the files that a stage read, by name; they are among `files` and lay in `folder`."""
    places = {file.name: file for file in files}
    for name, digest in inputs.items():
        if name not in places or not places[name].exists():
            return f"{folder / name} was read and is gone"
        if _print_of(places[name]) != digest:
            return f"{places[name]} has changed"
    return None


def training_state(folder: Path, root: Path) -> tuple[str, str | None, list[str]]:
    """Whether the training in `folder` is current, stale, unfinished or missing, why, and the flags that train or go on."""
    best, started = folder / BEST.path, folder / STARTED
    flags = kept_flags(manifest_path(BEST, TRAIN, folder))
    if is_older(best, manifest_path(artifacts.CUSTOMER_CACHE, artifacts.CACHE, root)):
        return "stale", f"{best} is older than the tensors", flags
    saved, path = None, folder
    try:
        if any(folder.glob("epoch_*.pt")):  # else there is nothing to load PyTorch for, which takes seconds
            checkpoints = importlib.import_module("retailsim.training.checkpoint")
            saved, path, _ = checkpoints.find(folder, load_vocabulary(root))
    except UserError as error:
        return "stale", str(error), flags
    if started.exists() and (saved is None or is_older(path, started)):
        return "unfinished", f"{started} is of a training that has not saved anything yet", kept_flags(started)
    if saved and saved["epoch"] < saved["config"]["train"]["epochs"]:
        epochs, resume = str(saved["config"]["train"]["epochs"]), ["--resume", "auto"]
        why = f"{path} is the newest checkpoint: {saved['epoch']} of {epochs} epochs are done"
        return "unfinished", why, ["--preset", saved["config"]["preset"], "--epochs", epochs, *resume]
    return ("current", None, flags) if best.exists() else ("missing", f"{best} is missing", flags)


def kept_flags(path: Path) -> list[str]:
    """The flags of `train` in the manifest that `run` wrote to `path`; none where there is none."""
    record = read_manifest(path)
    return record["settings"]["flags"] if record else []


def is_older(path: Path, other: Path) -> bool:
    """Whether both files are there and `path` was written before `other`."""
    return path.exists() and other.exists() and path.stat().st_mtime < other.stat().st_mtime


def verb_of(stage: str) -> str:
    """The verb of a stage's command.

    >>> verb_of("training.prepare_samples")
    'prepare-samples'
    """
    return stage.split(".")[-1].replace("_", "-")


@cache
def _print_of(path: Path) -> str:
    return fingerprint(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    _print_of.cache_clear()
    return console.run(status, argv)


if __name__ == "__main__":
    sys.exit(main())
