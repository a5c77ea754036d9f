"""Rules that two data roots show: the future moves nothing, the test weeks teach nothing, row order says nothing.

Both roots are made of the same receipts, but for what the rule says must not matter (`audit_rebuild`).
"""

from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np

from retailsim import artifacts
from retailsim.reading import load_vocabulary
from retailsim.storage import Array, Artifact, Record, Table, connect
from retailsim.training import dataset
from retailsim.training.audit_findings import Finding, judged
from retailsim.training.audit_model import differing_baskets, random_model
from retailsim.training.audit_rebuild import KEPT_DIGITS
from retailsim.training.masking import Masking
from retailsim.training.samples import Samples, load_samples
from retailsim.weeks import SPLITS

MOST_BASKETS = 2_000  # whose tensors are compared
CHUNK = 256
AS_OF = artifacts.AS_OF[1]
COMPANIONS = (
    artifacts.COMPANION_IDS,
    artifacts.COMPANION_WEIGHTS,
    artifacts.SUCCESSOR_IDS,
    artifacts.SUCCESSOR_WEIGHTS,
)
LEARNED = (artifacts.VOCABULARY, *(a for a in artifacts.ALL if "training weeks" in a.about), *COMPANIONS)
NUMBERS_OF_ROWS = ("row", "sample", "customer_row", "store_row")  # where a row stands; not what it says


def future_rule(base: Path, changed: Path, week: int) -> Finding:
    """C19: all that describes weeks ≤ W is equal when everything else of weeks ≥ W is another."""
    rows = [f"{name}: {count:,} rows" for name, count in earlier_rows_that_moved(base, changed, week).items() if count]
    compared, moved = tensors_that_moved(base, changed, week, is_future=False)
    later, seen = tensors_that_moved(base, changed, week, is_future=True)
    return judged(
        f"future-shuffle, week {week}",
        "C19",
        rows + moved,
        f"{len(seen):,} of {later:,} later baskets did move" if seen else "",
        f"every table with a week, and all tensors and logits of {compared:,} baskets, up to week {week}",
    )


def earlier_rows_that_moved(base: Path, changed: Path, week: int) -> dict[str, int]:
    """Rows of weeks that may not move and did, by artifact: of weeks < W, and of week W what is known before it."""
    engine = connect()
    counts = {}
    for artifact in artifacts.ALL:
        if isinstance(artifact, Table) and "week" in artifact.columns and artifact is not artifacts.INDEX_MAPPINGS:
            here, there = (_earlier(artifact.read(root, engine), artifact, week) for root in (base, changed))
            counts[artifact.path] = int(here.difference(there).count().execute())
            counts[artifact.path] += int(there.difference(here).count().execute())
    return counts


def _earlier(table: ir.Table, artifact: Table, week: int) -> ir.Table:
    """The rows that must not move, without the numbers of their rows."""
    table = table.drop(*[name for name in NUMBERS_OF_ROWS if name in artifact.columns])
    stays = table.week < week
    if artifact.columns["week"][1] == AS_OF:
        stays = table.week <= week
    elif "basket_id" in artifact.columns:
        kept = table.basket_id.hexdigest("md5")[0].isin(list(KEPT_DIGITS))
        stays = stays | ((table.week == week) & kept)
    return table.filter(stays)


def tensors_that_moved(base: Path, changed: Path, week: int, is_future: bool) -> tuple[int, list[str]]:
    """How many baskets were compared, and those of them whose tensors or logits moved, each with the names of what did.

    Compared are the baskets of weeks < W and those that were kept in week W; with `is_future`, those of later weeks.
    """
    roots = (base, changed)
    vocabulary = load_vocabulary(base)
    models = [random_model(root, vocabulary) for root in roots]
    masking = Masking(vocabulary.size, hide_trip_prob=0.0, is_evaluation=True)
    compared, moved = 0, []
    for split in SPLITS:
        here, there = (load_samples(root, split) for root in roots)
        rows = _compared_rows(here, week, is_future)
        rows = rows[np.isin(here.columns["basket_id"][rows].astype(str), there.columns["basket_id"].astype(str))]
        for chunk in (rows[i : i + CHUNK] for i in range(0, len(rows), CHUNK)):
            names = here.columns["basket_id"][chunk].astype(str)
            order = np.argsort(there.columns["basket_id"].astype(str))
            partners = order[np.searchsorted(there.columns["basket_id"].astype(str), names, sorter=order)]
            batches = (dataset.make_batch(here, chunk, masking), dataset.make_batch(there, partners, masking))
            found = differing_baskets(models, batches)
            moved += [f"basket {names[i]} ({', '.join(what)})" for i, what in sorted(found.items())]
            compared += len(chunk)
    return compared, moved


def _compared_rows(samples: Samples, week: int, is_future: bool) -> np.ndarray:
    """Row numbers of the baskets to compare, at most MOST_BASKETS evenly spread over the weeks."""
    weeks = samples.columns["week"]
    first = np.array([md5(name.encode()).hexdigest()[0] in KEPT_DIGITS for name in samples.columns["basket_id"]])
    rows = np.flatnonzero(weeks > week if is_future else (weeks < week) | ((weeks == week) & first))
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_BASKETS)).astype(int)] if len(rows) else rows


def learned_rule(base: Path, changed: Path, train_end: int) -> Finding:
    """C19, §1: what is learned is the same when everything after the training weeks is another."""
    broken = [artifact.path for artifact in LEARNED if learned(artifact, base) != learned(artifact, changed)]
    vocabularies = [load_vocabulary(root).ids for root in (base, changed)]
    introduced = len(set(vocabularies[1]) - set(vocabularies[0]))
    return judged(
        "fit-on-train",
        "C19",
        broken,
        f"{introduced:,} products that only the changed weeks know stayed outside" if introduced else "",
        f"refitted with weeks > {train_end} changed: " + ", ".join(a.path.split("/")[-1] for a in LEARNED),
    )


def learned(artifact: Artifact, root: Path) -> Any:
    """What `artifact` says of the training weeks, comparable with ==."""
    if isinstance(artifact, Record):
        return {name: value for name, value in artifact.read(root).items() if name != "late_products"}
    if isinstance(artifact, Array):
        return artifact.read(root).tobytes()
    assert isinstance(artifact, Table)
    table = artifact.read(root, connect())
    if "is_fitted" in artifact.columns:
        table = table.filter(table.is_fitted)
    if artifact is artifacts.VOCABULARY:
        table = table.filter(table.kind != "late")
    return ibis.get_backend(table).to_pyarrow(table)


def order_rule(base: Path, shuffled: Path) -> Finding:
    """C21, C40: the same rows in another order are the same bytes in every artifact."""
    return judged(
        "order-blind",
        "C21",
        files_that_differ(base, shuffled),
        "the rows stood in another order in the source",
        f"{len(artifacts.ALL)} artifacts of the same rows, sorted and shuffled, compared by their bytes",
    )


def files_that_differ(base: Path, other: Path) -> Iterator[str]:
    """Artifacts whose bytes differ."""
    for artifact in artifacts.ALL:
        if artifact.at(base).read_bytes() != artifact.at(other).read_bytes():
            yield artifact.path
