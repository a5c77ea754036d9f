"""`python -m retailsim.artifact_docs` prints docs/artifacts.md: every file between the stages, from `artifacts`."""

import sys
from collections.abc import Iterable

from retailsim import artifacts
from retailsim.storage import Array, Artifact, Table

HEAD = """# Files between the stages

Made from `retailsim/artifacts.py` by `make docs`; a test checks that both agree. Paths are relative to the data root
(`--data-dir`, default `data`). Tables are Parquet, arrays NumPy's npy (read memory-mapped), records JSON. Beside the first file
of a command lies its manifest, which says what the files were made from.
"""


def markdown(files: Iterable[Artifact]) -> str:
    """A section per command in the order of `files`, a subsection per file."""
    commands: dict[str, list[Artifact]] = {}
    for artifact in files:
        commands.setdefault(artifact.written_by, []).append(artifact)
    sections = [
        f"## `python -m src.{command}`\n\n" + "\n".join(map(describe, written)) for command, written in commands.items()
    ]
    return "\n".join([HEAD, *sections])


def describe(artifact: Artifact) -> str:
    """Path, what a row is, and the columns with dtype and unit."""
    lines = [f"### `{artifact.path}`", "", f"{artifact.about[0].upper()}{artifact.about[1:]}.", ""]
    if isinstance(artifact, Array):
        lines += [f"{artifact.dtype} [{artifact.shape.replace(' ', ', ')}]", ""]
    if isinstance(artifact, Table):
        lines += ["| column | dtype | unit or meaning |", "|---|---|---|"]
        lines += [f"| `{name}` | {dtype} | {about} |" for name, (dtype, about) in artifact.columns.items()]
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Write the page to standard output."""
    sys.stdout.write(markdown((*artifacts.ALL, *artifacts.ASIDE)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
