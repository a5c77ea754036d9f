"""Which files of the road are current, stale or missing, and the command that comes next.

Reads the manifests and everything they name. Writes nothing.
"""

import shlex
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from retailsim import artifacts, console
from retailsim.manifest import code_fingerprint, command_of, fingerprint, manifest_path, read_manifest, versions
from retailsim.run import BEST, EVALUATION, TRAIN

ROAD = (artifacts.PIPELINE, artifacts.FEATURES, artifacts.TENSORS, artifacts.SAMPLES, artifacts.CACHE)


def status(input: Path | None = None, data_dir: Path = Path("data"), checkpoint_dir: Path = Path("checkpoints")) -> int:
    """Say of every stage whether what it wrote is current, stale (and why) or missing, and which command comes next.

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
    why = training_reason(best, data_dir) or ("an earlier stage is not current" if next_command else None)
    say("train", "current" if why is None else "missing" if not best.exists() else "stale", why)
    command = next_command or (f"{after_training(best)} {best}" if why is None else train_again(checkpoint_dir))
    console.out.print(f"next: retailsim {command} --data-dir {data_dir}")
    return 0 if why is None else 1


def source_of(root: Path, given: Path | None = None) -> Path:
    """The raw source: that which is `given`, else the one that the pipeline was last given."""
    return given or Path(command_of(artifacts.TRANSACTIONS, artifacts.PIPELINE, root).get("--input", "raw_data"))


def command_again(stage: str, source: Path, root: Path) -> str:
    """The command that runs `stage` as it last ran, on `source`."""
    first = next(artifact for artifact in artifacts.ALL if artifact.written_by == stage)
    flags = command_of(first, stage, root)
    if stage == artifacts.PIPELINE:
        flags["--input"] = str(source)
    return shlex.join([verb_of(stage), *(word for flag in flags.items() for word in flag)])


def train_again(checkpoint_dir: Path) -> str:
    """The command that trains: as `run` last did in this folder, where it did."""
    record = read_manifest(manifest_path(BEST, TRAIN, checkpoint_dir))
    flags = record["settings"]["flags"] if record else []
    return shlex.join(["train", *flags, "--checkpoint-dir", str(checkpoint_dir)])


def after_training(best: Path) -> str:
    """The verb that comes next: evaluate, and once `run` has evaluated this model, report."""
    figures = best.parent / EVALUATION.path
    return "report" if figures.exists() and figures.stat().st_mtime >= best.stat().st_mtime else "evaluate"


def warn_of_stale(data_dir: Path) -> None:
    """One line to standard error where prepared data are not what today's program would make of the same files.

    The raw source is not looked at: whoever trains or evaluates need not have it.
    """
    _print_of.cache_clear()
    for stage in ROAD[1:]:
        why = reason(stage, Path(), data_dir)
        if why is not None:
            console.err.print(
                f'warning: {verb_of(stage)} is not current ({why}); "retailsim status --data-dir {data_dir}" names the command'
            )
            return


def say(verb: str, state: str, why: str | None) -> None:
    """One line, so that no path is broken."""
    console.out.print(f"{verb:<25}{state:<9}{why or ''}".rstrip())


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
    changed = changed_input(record["inputs"], source if stage == artifacts.PIPELINE else None, root)
    if changed:
        return changed
    for artifact in outputs:
        if record["outputs"].get(artifact.path.split("/")[-1]) != _print_of(root / artifact.path):
            return f"{root / artifact.path} has changed since it was written"
    return None


def changed_input(inputs: dict[str, str], source: Path | None, root: Path) -> str | None:
    """What has changed of the files that a stage read, by name; raw ones lie in (or are) `source`."""
    places: dict[str, Path] = {artifact.path.split("/")[-1]: root / artifact.path for artifact in artifacts.ALL}
    if source is not None:
        places = {file.name: file for file in ([source] if source.is_file() else source.glob("*"))}
        new = [name for name in places if name.startswith("transactions") and name not in inputs]
        if new and source.is_dir():
            return f"{source / min(new)} is new"
    for name, digest in inputs.items():
        if name not in places or not places[name].exists():
            return f"{(source or root) / name} was read and is gone"
        if _print_of(places[name]) != digest:
            return f"{places[name]} has changed"
    return None


def training_reason(best: Path, root: Path) -> str | None:
    """Why a checkpoint is not of today's tensors, as far as its date tells; None where it is newer."""
    if not best.exists():
        return f"{best} is missing"
    cache_manifest = manifest_path(artifacts.CUSTOMER_CACHE, artifacts.CACHE, root)
    if cache_manifest.exists() and cache_manifest.stat().st_mtime > best.stat().st_mtime:
        return f"{best} is older than the tensors"
    return None


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
