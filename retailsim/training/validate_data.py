"""Check the raw source, every file between the stages, and the checkpoints; name the command that repairs.

Reads everything, writes nothing but --json. Exit code 0 when all is sound, 1 when something is damaged or missing.
"""

import json as json_format
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import torch
from rich.table import Table as Grid
from rich.text import Text

from retailsim import artifacts, console
from retailsim.atomic import atomic
from retailsim.errors import UserError
from retailsim.manifest import again, at_root, fingerprint, manifest_path, read_manifest
from retailsim.reading import load_vocabulary
from retailsim.run import BEST, TRAIN
from retailsim.sources.mapping import Mapping, load_mapping, parse_mapping
from retailsim.sources.read import read_transactions, source_files
from retailsim.sources.schema import PUBLISHED
from retailsim.sources.stored import stored_rows
from retailsim.sources.validate import judge
from retailsim.status import kept_flags, source_of
from retailsim.storage import Array, Artifact, Record, Table, connect
from retailsim.training import checkpoint
from retailsim.training.made_from import refuse_other_products

Check = tuple[str, str, Callable[[], str]]  # path, command that repairs it, what says its size or raises a UserError


def validate_data(
    input: Path | None = None,
    mapping: str | None = None,
    data_dir: Path = Path("data"),
    checkpoint_dir: Path = Path("checkpoints"),
    json: Path | None = None,
) -> int:
    """Check the raw source, data/ and checkpoints/; say what is sound, damaged or missing and what repairs it.

    Exit code 0: all is sound; 1: something is damaged or missing; 2: a flag names something that cannot be used.

    Args:
        input: the raw source; left out: the one that the pipeline was last given (before that: raw_data).
        mapping: what its columns mean (file or name); that of the last run of the pipeline when left out.
        data_dir: root of what the stages wrote.
        checkpoint_dir: folder of the checkpoints.
        json: write the findings to this file.
    """
    columns = load_mapping(mapping) if mapping else last_mapping(data_dir)
    findings = []
    for path, repair, check in checks(source_of(data_dir, input), columns, data_dir, checkpoint_dir):
        try:
            findings.append({"path": path, "sound": True, "finding": check(), "repair": None})
        except UserError as error:
            findings.append({"path": path, "sound": False, "finding": str(error), "repair": repair})
    grid = Grid("file", "state", "finding")
    for found in findings:
        state = Text("ok") if found["sound"] else Text("fault", "bold red")
        grid.add_row(str(found["path"]), state, str(found["finding"]))
    console.out.print(grid)
    faults = [found for found in findings if not found["sound"]]
    console.out.print(f"{len(findings) - len(faults)} of {len(findings)} sound")
    if faults:
        console.out.print(f"begin with: {faults[0]['repair']}")
    if json:
        with atomic(json) as temporary:
            record = {"sound": not faults, "findings": findings}
            temporary.write_text(json_format.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 1 if faults else 0


def checks(source: Path, mapping: Mapping | None, root: Path, checkpoint_dir: Path) -> Iterator[Check]:
    """All that there is to check, in the order of the road."""
    yield str(source), "mend the receipts, or name others with --input", lambda: check_source(source, mapping)
    present = [artifacts.QUARANTINE] if (root / artifacts.QUARANTINE.path).exists() else []
    for artifact in (*present, *artifacts.ALL):
        command = again(artifact.written_by, root)
        yield artifact.path, command, lambda artifact=artifact: check_artifact(artifact, root)  # type: ignore[misc]
    folder = [] if checkpoint_dir == Path("checkpoints") else ["--checkpoint-dir", str(checkpoint_dir)]
    flags = kept_flags(manifest_path(BEST, TRAIN, checkpoint_dir))  # of `run`; else those of the training are not known
    train = shlex.join(["python", "-m", f"src.{TRAIN}", *flags, *folder, *at_root(root)])
    for path in sorted(checkpoint_dir.glob("*.pt")):
        yield str(path), train, lambda path=path: check_checkpoint(path, root)  # type: ignore[misc]


def last_mapping(root: Path) -> Mapping | None:
    """The mapping with which the pipeline wrote data root `root`; None where it took none, or has not run."""
    record = read_manifest(manifest_path(artifacts.TRANSACTIONS, artifacts.PIPELINE, root))
    text = record["settings"].get("mapping") if record else None
    return parse_mapping(text, f"the mapping of the last {artifacts.PIPELINE}") if text else None


def check_source(source: Path, mapping: Mapping | None) -> str:
    """The account of raw rows; a UserError where the source cannot be trusted."""
    engine = connect()
    stored = stored_rows(source_files(source, mapping))
    verdict = judge(
        read_transactions(source, engine, mapping), stored, engine, mapping.schema if mapping else PUBLISHED
    )
    counts = [f"{entry['n']:,} {entry['column']} {entry['reason']}" for entry in verdict.account()]
    aside = verdict.faults.count().execute()
    return f"{verdict.rows.count().execute():,} rows, {aside:,} to be set aside" + "".join(f"; {c}" for c in counts)


def check_artifact(artifact: Artifact, root: Path) -> str:
    """Size of an artifact that is what its stage wrote, with sound columns and numbers; a UserError otherwise."""
    size = _size(artifact, root)
    first = next(a for a in artifacts.ALL if a.written_by == artifact.written_by)
    manifest = read_manifest(manifest_path(first, artifact.written_by, root))
    if manifest is None:
        raise artifact.damaged(root, "has no manifest beside it (its stage did not end)")
    path = root / artifact.path
    if artifact in artifacts.ALL and manifest["outputs"].get(path.name) != fingerprint(path):
        raise artifact.damaged(root, "is not the file that its stage wrote")
    return size


def _size(artifact: Artifact, root: Path) -> str:
    if isinstance(artifact, Table):
        artifact.read(root, connect())  # its columns are those declared
        floats = [name for name, (dtype, _) in artifact.columns.items() if dtype == "float64"]
        table = artifact.load(root, floats)
        for name in floats:  # not by DuckDB, whose isnan believes Parquet's least and most values, which leave NaN out
            if n := pc.sum(pc.invert(pc.is_finite(table[name]))).as_py():
                raise artifact.damaged(root, f"holds {n} numbers that are not finite in column {name}")
        return f"{len(table):,} rows"
    if isinstance(artifact, Array):
        array = artifact.read(root)
        if artifact is not artifacts.LAST_PRICE_CACHE and not all(np.isfinite(part).all() for part in array):
            raise artifact.damaged(root, "holds numbers that are not finite")
        return " × ".join(f"{n:,}" for n in array.shape)
    assert isinstance(artifact, Record)
    return f"{len(artifact.read(root))} entries"


def check_checkpoint(path: Path, root: Path) -> str:
    """Epoch of a checkpoint that fits the data's vocabulary and product embeddings; a UserError otherwise."""
    vocabulary = load_vocabulary(root)
    state = checkpoint.load(path, vocabulary)
    products = torch.from_numpy(np.array(artifacts.PRODUCT_CACHE.read(root)))
    refuse_other_products(str(path), state, products, vocabulary.size)
    return f"epoch {state['epoch']}, {state['config']['preset']} preset"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(validate_data, argv)


if __name__ == "__main__":
    sys.exit(main())
