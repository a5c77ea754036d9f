"""Check the raw source, every file between the stages, and the checkpoints; name the command that repairs.

Reads everything, writes nothing. Exit code 0 when all that is there is sound, 1 when something is damaged or missing.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import ibis
import numpy as np
from rich.table import Table as Grid
from rich.text import Text

from retailsim import artifacts, console
from retailsim.errors import UserError
from retailsim.reading import load_vocabulary
from retailsim.sources.read import read_transactions
from retailsim.sources.schema import typed
from retailsim.sources.validate import refuse_unparsable, with_reasons
from retailsim.storage import Array, Artifact, Record, Table, connect
from retailsim.training import checkpoint


def validate_data(
    input: Path = Path("raw_data"), data_dir: Path = Path("data"), checkpoint_dir: Path = Path("checkpoints")
) -> int:
    """Check the raw source, data/ and checkpoints/; say what is sound, damaged or missing and what repairs it.

    Args:
        input: the raw source.
        data_dir: root of what the stages wrote.
        checkpoint_dir: folder of the checkpoints.
    """
    engine = connect()
    checks: list[tuple[str, Callable[[], str]]] = [(str(input), lambda: check_source(input, engine))]
    for artifact in artifacts.ALL:
        checks.append((artifact.path, lambda artifact=artifact: check_artifact(artifact, data_dir, engine)))  # type: ignore[misc]
    for path in sorted(checkpoint_dir.glob("*.pt")):
        checks.append((str(path), lambda path=path: check_checkpoint(path, data_dir)))  # type: ignore[misc]
    grid = Grid("file", "state", "finding")
    faults = 0
    for name, check in checks:
        try:
            grid.add_row(name, "ok", check())
        except UserError as error:
            faults += 1
            grid.add_row(name, Text("fault", "bold red"), str(error))
    console.out.print(grid)
    console.out.print(f"{len(checks) - faults} of {len(checks)} sound")
    return 1 if faults else 0


def check_source(source: Path, engine: ibis.BaseBackend) -> str:
    """The account of raw rows; a UserError where the source cannot be read or parsed."""
    text = read_transactions(source, engine)
    refuse_unparsable(text)
    judged = with_reasons(typed(text))
    counts = judged.aggregate(rows=judged.count(), aside=judged.reason.count()).execute().iloc[0]
    return f"{counts['rows']:,} rows, {counts['aside']:,} to be set aside"


def check_artifact(artifact: Artifact, root: Path, engine: ibis.BaseBackend) -> str:
    """Size of an artifact whose columns, dtypes and numbers are sound; a UserError otherwise."""
    if isinstance(artifact, Table):
        table = artifact.read(root, engine)
        floats = [name for name, (dtype, _) in artifact.columns.items() if dtype == "float64"]
        unsound = {name: (table[name].isnan() | table[name].isinf()).sum().fill_null(0) for name in floats}
        counts = table.aggregate(rows=table.count(), **unsound).execute().iloc[0]
        for name in floats:
            if counts[name]:
                raise artifact.damaged(root, f"holds {int(counts[name])} numbers that are not finite in column {name}")
        return f"{int(counts['rows']):,} rows"
    if isinstance(artifact, Array):
        array = artifact.read(root)
        if artifact is not artifacts.LAST_PRICE_CACHE and not all(np.isfinite(part).all() for part in array):
            raise artifact.damaged(root, "holds numbers that are not finite")
        return " × ".join(f"{n:,}" for n in array.shape)
    assert isinstance(artifact, Record)
    return f"{len(artifact.read(root))} entries"


def check_checkpoint(path: Path, root: Path) -> str:
    """Epoch of a checkpoint that fits the data's vocabulary; a UserError otherwise."""
    state = checkpoint.load(path, load_vocabulary(root))
    return f"epoch {state['epoch']}, {state['config']['preset']} preset"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(validate_data, argv)


if __name__ == "__main__":
    sys.exit(main())
