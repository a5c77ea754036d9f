"""Many requests from a file to Parquet: chunk by chunk, resumed where a run before was stopped (C36, C38).

Each chunk's answers are a part of their own, written atomically; the parts become the output when all are there. A request
that cannot be answered has a row with its error and no product: nothing is dropped silently.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from retailsim.atomic import atomic
from retailsim.errors import UserError
from retailsim.manifest import fingerprint
from retailsim.predict.predictor import Predictor
from retailsim.predict.request import Prediction, Request
from retailsim.predict.request_files import Words, read_requests

SCHEMA = pa.schema(
    {
        "request": pa.int64(),  # row of the request in its file, from 1
        "id": pa.string(),  # the asker's own; null: none given
        "rank": pa.int32(),  # 1 likeliest; null: not answered
        "product_id": pa.string(),
        "name": pa.string(),  # null: no catalogue, or not in it
        "probability": pa.float64(),  # 0–1
        "measure": pa.string(),  # probability, or score where it is not calibrated
        "notes": pa.string(),  # what was not known, and what was used instead
        "error": pa.string(),  # why the request has no answer; null: it has one
    }
)
MADE_FROM = "made_from.json"


@dataclass(frozen=True)
class Account:
    """How many requests there were."""

    answered: int = 0
    refused: int = 0
    resumed: int = 0  # of both, those answered by the run before

    def plus(self, part: pa.Table, is_old: bool) -> "Account":
        """The account with those of another part."""
        errors = part["error"]
        refused = len(errors) - errors.null_count
        requests = part["request"].unique()
        return Account(
            self.answered + len(requests) - refused, self.refused + refused, self.resumed + is_old * len(requests)
        )


def answer_file(
    predictor: Predictor,
    requests: Path,
    output: Path,
    made_from: dict[str, Any],
    top: int,
    allow_unknown: bool,
    on_chunk: Callable[[int], None] = lambda n: None,
) -> Account:
    """Answer the requests of a file into the Parquet file `output` with the columns of `SCHEMA`.

    Args:
        predictor: who answers.
        requests: see `request_files.read_requests`.
        output: written when all is answered; until then its parts lie beside it.
        made_from: what the answers depend on beside the arguments; parts of a run with other values are thrown away.
        top: products per request.
        allow_unknown: see `Predictor.predict_many`.
        on_chunk: told how many requests were answered.
    """
    folder = output.with_name(f".{output.name}.parts")
    chunks = read_requests(requests)
    _open(folder, {**made_from, "requests": fingerprint(requests), "top": top, "allow_unknown": allow_unknown})
    account, first, parts = Account(), 1, []
    for number, chunk in enumerate(chunks):
        path = folder / f"{number:06d}.parquet"
        is_old = path.exists()
        if not is_old:
            rows = list(_answers(predictor, chunk, first, top, allow_unknown))
            with atomic(path) as temporary:
                pq.write_table(pa.Table.from_pylist(rows, SCHEMA), temporary, compression="zstd")
        try:
            account = account.plus(pq.read_table(path, columns=["request", "error"]), is_old)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path} of an earlier run is damaged: delete {folder} and ask again") from error
        first += len(chunk)
        parts.append(path)
        on_chunk(len(chunk))
    with atomic(output) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
        for path in parts:
            writer.write_table(pq.read_table(path, schema=SCHEMA))
    shutil.rmtree(folder)
    return account


def _open(folder: Path, made_from: dict[str, Any]) -> None:
    """Keep the parts of an interrupted run with the same settings; throw others away."""
    record, path = json.dumps(made_from, sort_keys=True), folder / MADE_FROM
    if folder.exists() and not (path.exists() and path.read_text(encoding="utf-8") == record):
        shutil.rmtree(folder)
    if not folder.exists():
        with atomic(path) as temporary:
            temporary.write_text(record, encoding="utf-8")


def _answers(
    predictor: Predictor, chunk: list[Words], first: int, top: int, allow_unknown: bool
) -> Iterator[dict[str, Any]]:
    """The rows of SCHEMA for a chunk whose first request is number `first`."""
    seats, errors = {}, {}
    for number, words in enumerate(chunk, start=first):
        try:
            seats[number] = predictor.look_up(Request.from_words(words), allow_unknown)
        except UserError as error:
            errors[number] = str(error)
    found = dict(zip(seats, predictor.answer(list(seats.values()), top), strict=True))
    for number, words in enumerate(chunk, start=first):
        if number in errors:
            yield {"request": number, "id": words.get("id"), "error": errors[number]}
        else:
            yield from _rows(number, words.get("id"), found[number])


def _rows(number: int, own_id: str | None, answer: Prediction) -> Iterator[dict[str, Any]]:
    if not answer.suggestions:
        yield {"request": number, "id": own_id, "error": "no product is left that could be suggested"}
    shared = {"request": number, "id": own_id, "measure": answer.measure, "notes": "; ".join(answer.notes)}
    for rank, found in enumerate(answer.suggestions, start=1):
        yield {
            **shared,
            "rank": rank,
            "product_id": found.product,
            "name": found.name,
            "probability": found.probability,
        }
