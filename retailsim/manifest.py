"""What a stage was made from: a manifest beside its output, so that a rerun skips what is current and says so.

A stage is current when its manifest names the same inputs (by content), the same settings and the same code, and its
outputs are still the files that were written.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import retailsim
from retailsim.errors import UserError
from retailsim.storage import Artifact, atomic

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


def code_fingerprint(package: str) -> str:
    """Digest of the source of the root modules and of sub-package `package`: code that changed makes stages stale."""
    root = Path(retailsim.__file__).parent
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted([*root.glob("*.py"), *(root / package).glob("*.py")]):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def manifest_path(first_output: Artifact, stage: str, root: Path) -> Path:
    """Where the manifest of `stage` lies, beside its first output."""
    return (root / first_output.path).parent / f"{stage.split('.')[-1]}.manifest.json"


def settings_of(first_output: Artifact, stage: str, root: Path) -> dict[str, Any]:
    """The settings that `stage` ran with; a UserError names the command when it did not end."""
    path = manifest_path(first_output, stage, root)
    if not path.exists():
        raise UserError(f'{path} is missing: run "python -m src.{stage}" to its end first')
    return json.loads(path.read_text(encoding="utf-8"))["settings"]


class Manifest:
    """The manifest of one stage.

    Args:
        stage: module that writes the outputs, e.g. "data_pipeline.run_pipeline".
        root: data root.
        inputs: files or folders that the stage reads.
        settings: flags that change the outputs.
        outputs: artifacts that the stage writes.
    """

    def __init__(
        self, stage: str, root: Path, inputs: Sequence[Path], settings: Mapping[str, Any], outputs: Sequence[Artifact]
    ) -> None:
        self.outputs = [root / artifact.path for artifact in outputs]
        self.path = manifest_path(outputs[0], stage, root)
        self.record: dict[str, Any] = {
            "stage": stage,
            "inputs": {path.name: fingerprint(path) for path in inputs},
            "settings": dict(settings),
            "code": code_fingerprint(stage.split(".")[0]),
            "versions": {name: importlib.metadata.version(name) for name in ENGINES},
        }

    def is_current(self) -> bool:
        """Whether the stage's outputs are what running it now would write."""
        if not self.path.exists() or not all(path.exists() for path in self.outputs):
            return False
        return json.loads(self.path.read_text()) == {**self.record, "outputs": self._output_prints()}

    def write(self) -> None:
        """Say what the outputs were made from; the last thing that a stage does."""
        with atomic(self.path) as temporary:
            record = {**self.record, "outputs": self._output_prints()}
            temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def _output_prints(self) -> dict[str, str]:
        return {path.name: fingerprint(path) for path in self.outputs}
