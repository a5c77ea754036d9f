"""One page about a trained model, for people who will not read its code; opens without a network (SPEC C35).

Reads a checkpoint, metrics.jsonl and evaluation_test.json beside it, and data/. Writes the page.
"""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from retailsim import console
from retailsim.artifacts import (
    AFFINITY,
    CACHE,
    CUSTOMER_CACHE,
    FEATURES,
    PIPELINE,
    PRICES,
    PSEUDO_BRANDS,
    SAMPLE_TABLES,
    TRANSACTIONS,
)
from retailsim.atomic import atomic
from retailsim.config import PRESETS
from retailsim.errors import UserError
from retailsim.manifest import at_root, fingerprint, manifest_path, read_manifest, refuse_changed, versions
from retailsim.predict import Predictor
from retailsim.predict.catalogue import read_names
from retailsim.report.ablation_section import ablation as ablation_section
from retailsim.report.belief_sections import breakdowns, calibration
from retailsim.report.model_sections import curves, metrics, provenance
from retailsim.report.page import Section, render
from retailsim.report.product_sections import price_examples, product_map
from retailsim.report.story import story
from retailsim.storage import connect
from retailsim.training import checkpoint as checkpoints
from retailsim.vocab import SPECIAL_TOKENS
from retailsim.weeks import Calendar

EVALUATION, ABLATION = "evaluation_test.json", "ablation.json"
KINDS = {  # file beside the checkpoint → flag, verb that writes it, what it must hold
    EVALUATION: ("--evaluation", "evaluate", {"views", "baselines", "slices", "auxiliary"}),
    ABLATION: ("--ablation", "ablate", {"exchanged", "baskets", "split"}),
}
TRAINING_FLAGS = (
    "epochs", "batch_size", "learning_rate", "warmup_epochs", "finetune_epochs", "mask_prob", "open_share", "max_grad_norm",
    "seed",
)  # fmt: skip
STAGES = ((PIPELINE, TRANSACTIONS), (FEATURES, PSEUDO_BRANDS), (CACHE, CUSTOMER_CACHE))


def report(
    checkpoint: Annotated[Path, tyro.conf.Positional],
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("report.html"),
    evaluation: Path | None = None,
    ablation: Path | None = None,
    customer: str | None = None,
    catalogue: Path | None = None,
    data_dir: Path = Path("data"),
) -> None:
    """Write one HTML page about a trained model: its data, training, quality, products, prices, and a customer's story.

    Args:
        checkpoint: a checkpoint of training, e.g. checkpoints/best_model.pt.
        output: the page; one file of about 5 MB that needs no network.
        evaluation: what "evaluate --json" wrote of this checkpoint and data; left out: evaluation_test.json beside it, if it is there.
        ablation: what "ablate --json" wrote of this checkpoint and data; left out: ablation.json beside it, if it is there.
        customer: whose story is told; left out: the one with most trips.
        catalogue: CSV or Parquet file with columns product_id and name: shows names.
        data_dir: root of what the stages wrote.
    """
    names = read_names(catalogue) if catalogue else {}
    found = read_figures(checkpoint, evaluation, EVALUATION, data_dir)
    worth = read_figures(checkpoint, ablation, ABLATION, data_dir)
    with console.stages(4) as advance:
        advance("model")
        predictor = Predictor.load(checkpoint, data_dir, names=names)
        refuse_changed(data_dir, TRANSACTIONS, PRICES, PSEUDO_BRANDS, AFFINITY)
        facts = describe(checkpoint, predictor, data_dir)
        figures_path = evaluation or checkpoint.with_name(EVALUATION)
        command = f"retailsim evaluate {checkpoint} --json {figures_path} --data-dir {data_dir}"
        sections: list[Section] = [provenance(facts), curves(read_epochs(checkpoint)), metrics(found, command)]
        if found:
            sections += [breakdowns(found), calibration(found)]
        if worth:
            sections.append(ablation_section(worth))
        advance("products")
        sections.append(product_map(data_dir, predictor.vocabulary, names))
        advance("prices")
        sections.append(price_examples(data_dir, names))
        advance("story")
        sections.append(story(data_dir, predictor, names, customer))
    about = f"{checkpoint} · what it learned, how far it can be trusted, what it says"
    with atomic(output) as temporary:
        temporary.write_text(render("RetailSim report", about, sections), encoding="utf-8")
    console.out.print(
        f"{output}: {len(sections)} sections, {console.size(output.stat().st_size)}, opens without a network"
    )


def read_figures(checkpoint: Path, path: Path | None, kind: str, root: Path) -> dict[str, Any] | None:
    """The figures of a `kind` of KINDS; None where no file was named and none of this checkpoint and data lies beside it."""
    flag, verb, needed = KINDS[kind]
    found = path or checkpoint.with_name(kind)
    mend = f'write it with "{shlex.join(["retailsim", verb, str(checkpoint), "--json", str(found), *at_root(root)])}"'
    if not found.exists():
        if path:
            raise UserError(f"{flag} {path} does not exist: {mend}")
        return None
    try:
        record = json.loads(found.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not needed <= set(record):
            raise ValueError("figures are missing")
    except ValueError as error:
        raise UserError(f"{found} is no {flag.removeprefix('--')}: {mend}") from error
    other = other_origin(record, checkpoint, root)
    if other and path:
        raise UserError(f"{flag} {path} is of {other}: {mend}")
    if other:
        console.err.print(f"warning: {found} is of {other} and is left out: {mend}")
        return None
    return record


def other_origin(record: Mapping[str, Any], checkpoint: Path, root: Path) -> str:
    """What figures are of instead of this checkpoint and the baskets under `root`; "" where they are of these."""
    if record.get("fingerprint") != fingerprint(checkpoint):
        return f"another checkpoint than {checkpoint}"
    if "samples" not in record:  # of a version that did not say
        return ""
    file = SAMPLE_TABLES[record["split"]].at(root)
    return "" if file.exists() and record["samples"] == fingerprint(file) else f"other baskets than those of {file}"


def read_epochs(checkpoint: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl beside the checkpoint, the last of each epoch; none where it is not there."""
    path = checkpoint.with_name("metrics.jsonl")
    if not path.exists():
        return []
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
        return list({line["epoch"]: line for line in lines if "epoch" in line and "val_loss" in line}.values())
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it to do without curves, or train again") from error


def describe(checkpoint: Path, predictor: Predictor, root: Path) -> list[tuple[str, str]]:
    """Names and values: the data, the model, the training, fingerprints and versions."""
    state = checkpoints.load(checkpoint, predictor.vocabulary)
    engine, config = connect(), state["config"]
    sales = TRANSACTIONS.read(root, engine)
    counts = engine.to_pyarrow(
        sales.aggregate(
            rows=sales.count(),
            baskets=sales.basket_id.nunique(),
            customers=sales.customer_id.nunique(),
            stores=sales.store_id.nunique(),
            known=sales.basket_id.nunique(where=sales.customer_id.notnull()),
            first=sales.date.min(),
            last=sales.date.max(),
        )
    ).to_pylist()[0]
    calendar = predictor.calendar
    facts = [
        (
            "receipts",
            f"{counts['rows']:,} rows, {counts['baskets']:,} baskets ({100 * counts['known'] / counts['baskets']:.0f} % with a known customer)",
        ),
        ("who and where", f"{counts['customers']:,} customers, {counts['stores']:,} stores"),
        (
            "when",
            f"{counts['first']} to {counts['last']}{'' if calendar.dates_known else ' (days that were invented)'}: {weeks_of(calendar, state)}",
        ),
        (
            "products",
            f"{predictor.vocabulary.size - len(SPECIAL_TOKENS):,} that can be predicted, {len(predictor.vocabulary) - predictor.vocabulary.size:,} seen only after the training weeks",
        ),
        ("model", f"{config['preset']} preset, {predictor.parameter_count:,} numbers learned, epoch {state['epoch']}"),
        ("trained with", training_command(config["preset"], config["train"])),
        ("checkpoint", f"{checkpoint.name}, fingerprint {fingerprint(checkpoint)}"),
    ]
    for stage, first in STAGES:
        path = manifest_path(first, stage, root)
        record = read_manifest(path)
        facts.append(
            (
                stage.split(".")[-1].replace("_", "-"),
                f"{settings_of(record)}; code {record['code'][:12]}, {first.path} {record['outputs'][first.path.split('/')[-1]]}"
                if record
                else f"{path.name} is missing",
            )
        )
    return [*facts, ("libraries", ", ".join(f"{name} {version}" for name, version in versions().items()))]


def weeks_of(calendar: Calendar, state: Mapping[str, Any]) -> str:
    """What the weeks are for: those of the data's split, and those that the checkpoint's `state` says it knows, if it does."""
    said = f"{calendar.last_week} weeks, of which those after {calendar.val_end} are the test's"
    if "val_end" not in state:  # of an earlier version
        return said
    return f"{said}; trained on those up to {state['train_end']}, chosen on those up to {state['val_end']}"


def training_command(preset: str, train: Mapping[str, Any]) -> str:
    """The command that trains so: the preset, and each flag whose value in a checkpoint's `train` is not the preset's."""
    own = vars(PRESETS[preset].train)
    given = [f"--{name.replace('_', '-')} {train[name]}" for name in TRAINING_FLAGS if train[name] != own[name]]
    return " ".join([f"retailsim train --preset {preset}", *given])


def settings_of(record: Mapping[str, Any]) -> str:
    """The settings of a stage's manifest that are not left out."""
    given = [f"{name.replace('_', ' ')} {value}" for name, value in record["settings"].items() if value is not None]
    return ", ".join(given) or "no settings"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(report, argv)


if __name__ == "__main__":
    sys.exit(main())
