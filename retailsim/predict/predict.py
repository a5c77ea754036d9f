"""Predict the next products of a basket: who shops, where, when; what lies in it already (SPEC C36).

Reads a checkpoint, data/tensors/, data/training/cache/ and the keys of data/features/. Writes nothing but --output.
"""

import json as json_text
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.table import Table as Grid

from retailsim import console
from retailsim.artifacts import CACHE, CUSTOMER_CACHE
from retailsim.errors import UserError, refuse_below
from retailsim.manifest import fingerprint, manifest_path
from retailsim.predict.bulk import answer_file
from retailsim.predict.catalogue import read_names
from retailsim.predict.predictor import Predictor
from retailsim.predict.request import Prediction, Request


def predict(
    checkpoint: Annotated[Path, tyro.conf.Positional],
    customer: str | None = None,
    store: str | None = None,
    when: str | None = None,
    basket: str | None = None,
    price: str | None = None,
    trip: str | None = None,
    focus: str | None = None,
    sensitivity: str | None = None,
    size: str | None = None,
    segment: str | None = None,
    store_format: str | None = None,
    store_region: str | None = None,
    novel: bool = False,
    allow_unknown: bool = False,
    top: int = 20,
    catalogue: Path | None = None,
    json: bool = False,
    requests: Path | None = None,
    output: Path | None = None,
    device: Literal["auto", "cuda", "mps", "cpu"] = "cpu",
    data_dir: Path = Path("data"),
) -> int | None:
    """Which products go into a basket next, likeliest first; one request from flags, or many from a file.

    Seconds to load; then hundredths of a second per request. What describes customer, store and prices is taken as known
    before the week of --when, also when that lies in the data's past.

    Args:
        checkpoint: a checkpoint of training, e.g. checkpoints/best_model.pt.
        customer: id; left out: somebody anonymous.
        store: id; left out: an average store, or a typical one of --store-format and --store-region.
        when: local date and hour, like 2008-03-15T10:00; at most one week after the data's last.
        basket: products that lie in it already, separated by commas; how many items of each says nothing.
        price: £ per item of products in the basket, like PRD0900001=1.25,PRD0900002=0.8; left out: the last known.
        trip: full-shop, top-up, small-shop, emergency or other; with this and the next three, tell what is known of the trip. None: it is left open.
        focus: fresh, grocery, mixed, nonfood, general or other.
        sensitivity: la, mm, um or premium.
        size: s, m, l or xl.
        segment: of a new customer: "PRICE SEGMENT,LIFE STAGE", either may be empty.
        store_format: of a store that the data does not know.
        store_region: of a store that the data does not know.
        novel: leave out what the customer bought before; the chances of what is left are the same.
        allow_unknown: take an unknown customer as anonymous and an unknown store as average; without it they are errors.
        top: how many products.
        catalogue: CSV or Parquet file with columns product_id and name: shows names.
        json: print one JSON object.
        requests: CSV, Parquet or JSON lines file with a row per request, columns named like the flags (and id, your own).
        output: Parquet file for the answers to --requests; an interrupted run goes on where it stopped.
        device: auto takes CUDA, then MPS, then the CPU.
        data_dir: root of what the stages wrote.
    """
    flags = {
        "customer": customer, "store": store, "when": when, "basket": basket, "price": price, "trip": trip,
        "focus": focus, "sensitivity": sensitivity, "size": size, "segment": segment, "store_format": store_format,
        "store_region": store_region, "novel": "yes" if novel else None,
    }  # fmt: skip
    refuse_contradictions(flags, requests, output, json)
    refuse_overwriting(output, {"requests": requests, "catalogue": catalogue})
    refuse_below(1, top=top)
    request = None if requests else Request.from_words(flags)
    predictor = Predictor.load(checkpoint, data_dir, device, read_names(catalogue) if catalogue else None)
    if requests and output:
        made_from = {
            "checkpoint": fingerprint(checkpoint),
            "data": fingerprint(manifest_path(CUSTOMER_CACHE, CACHE, data_dir)),
            "catalogue": fingerprint(catalogue) if catalogue else None,
            "temperatures": predictor.temperatures,
        }
        return answer_all(predictor, requests, output, made_from, top, allow_unknown)
    assert request
    answer = predictor.predict(request, top, allow_unknown)
    if json:
        console.out.print(json_text.dumps(answer.to_json(), indent=1, ensure_ascii=False))
    else:
        show(answer, request)
    return None


def refuse_contradictions(flags: dict[str, Any], requests: Path | None, output: Path | None, json: bool) -> None:
    """A UserError where flags of one request and of many are mixed, or the most needed one is missing."""
    given = [name for name, value in flags.items() if value is not None]
    if requests is None:
        if output is not None:
            raise UserError("--output goes with --requests: give both, or --json > FILE for one request")
        if flags["when"] is None:
            raise UserError("--when is missing: give the date and hour of the trip, like 2008-03-15T10:00")
    elif given:
        raise UserError(
            f"--{given[0].replace('_', '-')} contradicts --requests: write it into the file's column {given[0]}"
        )
    elif output is None or output.suffix != ".parquet":
        raise UserError(f"--output {output or 'is missing'}: name a .parquet file for the answers to --requests")
    elif json:
        raise UserError("--json contradicts --requests, whose answers go to --output")


def refuse_overwriting(output: Path | None, read: dict[str, Path | None]) -> None:
    """A UserError where `output` is one of the files that are `read`, by the names of their flags."""
    for flag, path in read.items():
        if output is not None and path is not None and output.resolve() == path.resolve():
            raise UserError(f"--output {output} is the file of --{flag} and would replace it: name another one")


def answer_all(
    predictor: Predictor, requests: Path, output: Path, made_from: dict[str, Any], top: int, allow_unknown: bool
) -> int:
    """Answer a file of requests; 1 when some could not be answered."""
    with console.progress("requests", transient=True) as bar:
        task = bar.add_task("requests", total=None, rate="–")

        def advance(n: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, advance=n, rate=f"{speed:.0f}" if speed else "–")

        account = answer_file(predictor, requests, output, made_from, top, allow_unknown, advance)
    resumed = f", {account.resumed:,} of them by the run before" if account.resumed else ""
    console.out.print(f"{output}: {account.answered:,} requests answered, {account.refused:,} refused{resumed}")
    if account.refused:
        console.out.print('column "error" says why a request was refused')
    return 1 if account.refused else 0


def show(answer: Prediction, request: Request) -> None:
    """The answer as a table, with what was not known."""
    who, where = request.customer or "a shopper", request.store or "a store"
    console.out.print(f"{who} at {where}, {request.when:%A %d %B %Y, %H:%M}, week {answer.week}")
    for note in answer.notes:
        console.out.print(f"  note: {note}")
    has_names = any(found.name for found in answer.suggestions)
    grid = Grid("rank", "product", *(["name"] if has_names else []), answer.measure)
    for rank, found in enumerate(answer.suggestions, start=1):
        grid.add_row(str(rank), found.product, *([found.name or "–"] if has_names else []), f"{found.probability:.2%}")
    console.out.print(grid)
    meaning = "the chance that the next product put into the basket is this one"
    if answer.temperature is not None:
        meaning += f", calibrated on the validation weeks (temperature {answer.temperature:.2f})"
    else:
        meaning += (
            ", as the model scores it: not calibrated (evaluate does that), so trust the order more than the number"
        )
    console.out.print(f"{answer.measure}: {meaning}")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(predict, argv)


if __name__ == "__main__":
    sys.exit(main())
