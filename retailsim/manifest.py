"""What a stage was made from: a manifest beside its output, so that a rerun skips what is current and says so.

A stage is current when its manifest names the same inputs (by content), the same settings and the same code, and its
outputs are still the files that were written.
"""

import hashlib
import importlib.metadata
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import retailsim
from retailsim import artifacts
from retailsim.atomic import atomic, is_placed, is_replaced, marks
from retailsim.errors import UserError
from retailsim.storage import Artifact

DATA = Path("data")  # the data root where --data-dir is left out
PATHS = ("--input", "--mapping")  # flags that manifests keep as whole paths
ENGINES = ("duckdb", "ibis-framework", "numpy", "torch")


def fingerprint(path: Path) -> str:
    """Digest of a file's bytes, or of all files under a folder with their relative names."""
    digest = hashlib.blake2b(digest_size=16)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        digest.update(str(file.relative_to(path)).encode())
        with open(file, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "blake2b").digest())
    return digest.hexdigest()


def code_fingerprint(parts: Sequence[str] = ("",)) -> str:
    """Digest of the package's source, or of what lies under `parts` of it: code that changed makes a stage stale."""
    root = Path(retailsim.__file__).parent
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root).as_posix()
        if name.startswith(tuple(parts)):
            digest.update(name.encode() + file.read_bytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of the libraries that results depend on."""
    return {name: importlib.metadata.version(name) for name in ENGINES}


def manifest_path(first_output: Artifact, stage: str, root: Path) -> Path:
    """Where the manifest of `stage` lies, beside its first output."""
    return (root / first_output.path).parent / f"{stage.split('.')[-1]}.manifest.json"


def settings_of(first_output: Artifact, stage: str, root: Path) -> dict[str, Any]:
    """The settings that `stage` ran with; a UserError names the command when it did not end."""
    path = manifest_path(first_output, stage, root)
    record = read_manifest(path)
    if record is None:
        raise UserError(f'{path} is missing or damaged: run "{again(stage, root)}" to its end first')
    return record["settings"]


def command_of(first_output: Artifact, stage: str, root: Path) -> dict[str, str]:
    """The flags with which `stage` was last called, as its manifest keeps them; none where it did not end."""
    return (read_manifest(manifest_path(first_output, stage, root)) or {}).get("command", {})


def again(stage: str, root: Path, changed: Mapping[str, Any] | None = None) -> str:
    """The command that runs `stage` under data root `root` as it last ran, with `changed` flags; the way to mend what it writes.

    Without its flags another shop's receipts could take the place of these, or another data root could be written.
    """
    return shlex.join(["python", "-m", f"src.{stage}", *flags_again(stage, root, changed), *at_root(root)])


def flags_again(stage: str, root: Path, changed: Mapping[str, Any] | None = None) -> list[str]:
    """The flags with which `stage` last ran under data root `root`, those that are `changed` in their place; None leaves one out."""
    first = first_output_of(stage)
    kept = command_of(first, stage, root) if first else {}
    flags = {flag: from_here(value) if flag in PATHS else value for flag, value in kept.items()} | dict(changed or {})
    return [str(word) for flag in flags.items() if flag[1] is not None for word in flag]


def at_root(root: Path) -> list[str]:
    """The flag that names data root `root`; none where commands look there anyway."""
    return [] if root == DATA else ["--data-dir", str(root)]


def first_output_of(stage: str) -> Artifact | None:
    """The declared file beside which the manifest of `stage` lies; None where no later stage needs what it writes."""
    return next((artifact for artifact in artifacts.ALL if artifact.written_by == stage), None)


def from_here(path: str) -> Path:
    """`path`, which manifests keep whole, as one writes it in the working directory where it lies in that."""
    here = Path.cwd()
    return Path(path).relative_to(here) if Path(path).is_relative_to(here) else Path(path)


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest at `path`; None where there is none, or none that is whole."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) and "settings" in record else None


def refuse_changed(root: Path, *inputs: Artifact) -> None:
    """A UserError that names the first of `inputs` under data root `root` that is missing or not what its stage wrote."""
    for path in (artifact.at(root) for artifact in inputs):
        _refuse_changed(path, fingerprint(path))


def refuse_remade(first_output: Artifact, stage: str, root: Path, *inputs: Artifact) -> None:
    """A UserError that names the first of `inputs` that is not what `stage` made its outputs from."""
    made_from = (read_manifest(manifest_path(first_output, stage, root)) or {}).get("inputs", {})
    for path in (artifact.at(root) for artifact in inputs):
        if made_from.get(path.name) != fingerprint(path):
            raise UserError(f'{path} is not what "{first_output.path}" was made from: run "{again(stage, root)}" again')


class Manifest:
    """The manifest of one stage.

    Args:
        stage: module that writes the outputs, e.g. "data_pipeline.run_pipeline".
        root: data root.
        inputs: files or folders that the stage reads.
        settings: flags that change the outputs.
        outputs: artifacts that the stage writes.
        code: folders and files of the package that the outputs depend on besides the inputs; all, unless given.
        command: flags that are kept for whoever says how the stage is called again (`again`); others make nothing stale.

    A UserError where an input is not the file that an earlier stage says it wrote (damage that leaves it readable is seen
    too), or was made from another file than one beside it that this stage reads as well.
    """

    def __init__(
        self,
        stage: str,
        root: Path,
        inputs: Sequence[Path],
        settings: Mapping[str, Any],
        outputs: Sequence[Artifact],
        code: Sequence[str] = ("",),
        command: Mapping[str, Any] | None = None,
    ) -> None:
        self.command = {flag: str(value) for flag, value in (command or {}).items() if value is not None}
        self.outputs = [root / artifact.path for artifact in outputs]
        self.path = manifest_path(outputs[0], stage, root)
        self.inputs = {path: marks(path) for path in inputs}
        prints = {path: fingerprint(path) for path in inputs}
        for path, found in prints.items():
            _refuse_changed(path, found)
            _refuse_mixed(path, {path.name: found for path, found in prints.items()})
        self.record: dict[str, Any] = {
            "stage": stage,
            "inputs": {path.name: found for path, found in prints.items()},
            "settings": dict(settings),
            "code": code_fingerprint(code),
            "versions": versions(),
        }

    def is_current(self) -> bool:
        """Whether the stage's outputs are what running it now would write."""
        written = read_manifest(self.path)
        if written is None or not all(path.exists() for path in self.outputs):
            return False
        written.pop("command", None)
        return written == {**self.record, "outputs": self._output_prints()}

    def keep_command(self) -> None:
        """Where the stage is current, but was called with other flags that mean the same: keep those."""
        written = read_manifest(self.path)
        if written is not None and written.get("command", {}) != self.command:
            self.write()

    def write(self) -> None:
        """Say what the outputs were made from; the last thing that a stage does.

        A UserError where another process has meanwhile changed what was read, or put its own in the place of what was written.
        """
        changed = [path for path, found in self.inputs.items() if not path.exists() or marks(path) != found]
        changed += [path for path in self.outputs if is_replaced(path)]
        if changed:
            raise UserError(
                f"{changed[0]} was changed by another process meanwhile: run this again when that has ended"
            )
        with atomic(self.path) as temporary:
            record = {**self.record, "outputs": self._output_prints()}
            if self.command:
                record["command"] = self.command
            temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def _output_prints(self) -> dict[str, str]:
        return {path.name: fingerprint(path) for path in self.outputs}


def _refuse_mixed(path: Path, others: Mapping[str, str]) -> None:
    """A UserError where the manifest beside `path` says that it was made from another file than one of `others`, by name."""
    for beside in sorted(path.parent.glob("*.manifest.json")):
        written = read_manifest(beside) or {}
        if path.name not in written.get("outputs", {}):
            continue
        for name, found in written["inputs"].items():  # its own source may be called as one of its outputs is
            if name not in written["outputs"] and others.get(name, found) != found:
                raise UserError(
                    f'{path} was made from another {name} than there is now: run "{_again_beside(beside, written["stage"])}" again'
                )


def _refuse_changed(path: Path, found: str) -> None:
    """A UserError that names the stage to run again where the manifest beside `path` knows other bytes than `found`."""
    if is_placed(path):
        return  # its stage is at work in this process, and the manifest is that of the last time
    for beside in sorted(path.parent.glob("*.manifest.json")):
        written = read_manifest(beside)
        if written and written.get("outputs", {}).get(path.name, found) != found:
            command = _again_beside(beside, written["stage"])
            raise UserError(f'{path} is not the file that its stage wrote: run "{command}" again')


def _again_beside(manifest: Path, stage: str) -> str:
    """`again` under the data root in which the `manifest` of `stage` lies: a raw source may be part of another one."""
    first = first_output_of(stage)
    if first is None:
        return f"python -m src.{stage}"
    up = os.path.join(manifest.parent, *[os.pardir] * (len(Path(first.path).parts) - 1))
    return again(stage, Path(os.path.normpath(up)))
