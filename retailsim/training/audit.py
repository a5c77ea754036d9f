"""Show on your own receipts and your own model that nothing leaks: pass or fail per rule, with the evidence (SPEC C24).

Reads the raw source (that of the pipeline, or --input), everything under --data-dir and, if given, a checkpoint. A part of
the receipts is run through the whole road again in a temporary folder. Writes nothing but --json.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table as Grid
from rich.text import Text

from retailsim import console
from retailsim.artifacts import FEATURES, PIPELINE, PSEUDO_BRANDS, TRANSACTIONS
from retailsim.atomic import atomic
from retailsim.config import PRESETS
from retailsim.manifest import settings_of
from retailsim.reading import load_calendar, load_vocabulary
from retailsim.status import source_of
from retailsim.storage import connect
from retailsim.training.audit_findings import Finding
from retailsim.training.audit_future import future_rule, learned_rule, order_rule
from retailsim.training.audit_model import label_rule, random_model, target_rule, trained_model
from retailsim.training.audit_rebuild import Shop, mappings, rebuild, take_receipts, with_another_future, write_raw
from retailsim.training.audit_receipts import receipt_rules
from retailsim.training.chance import shuffled
from retailsim.training.samples import load_samples
from retailsim.weeks import Calendar

COLOURS = {"pass": "green", "warning": "yellow", "fail": "bold red", "not run": "dim"}
MODEL_BASKETS = 512  # whose hidden products and trips are changed


def audit(
    checkpoint: Path | None = None,
    input: Path | None = None,
    nrows: int = 20_000,
    data_dir: Path = Path("data"),
    seed: int = 0,
    json: Path | None = None,
) -> int:
    """Show on your own receipts and model that nothing leaks: pass or fail per rule, with the evidence.

    Args:
        checkpoint: a model to audit; without one, a small model with random weights shows what reaches it.
        input: the raw source that the data was made of; left out: the one that the pipeline was last given.
        nrows: rows to run through the road again, as whole customers over all weeks.
        data_dir: root of what the stages wrote.
        seed: seed of the sampled weeks and baskets.
        json: write the findings to this file.
    """
    calendar, vocabulary = load_calendar(data_dir), load_vocabulary(data_dir)
    findings = receipt_rules(data_dir, calendar)
    samples = load_samples(data_dir, "test")
    rows = np.sort(shuffled(len(samples), seed, 0)[:MODEL_BASKETS])
    if checkpoint:
        whose, (model, config) = str(checkpoint), trained_model(checkpoint, data_dir, vocabulary)
    else:
        whose, model, config = "random weights", random_model(data_dir, vocabulary), PRESETS["tiny"]
    findings.append(target_rule(model, whose, samples, rows, vocabulary))
    findings.append(label_rule(model, config, whose, samples, rows, vocabulary.size))
    weeks = sampled_weeks(load_samples(data_dir, "val").columns["week"], samples.columns["week"], seed)
    with tempfile.TemporaryDirectory(prefix="retailsim-audit-") as folder:
        taken, rebuilt = rebuilt_rules(source_of(data_dir, input), nrows, data_dir, calendar, weeks, Path(folder))
    findings += rebuilt
    show(findings, taken, len(rows))
    failed = any(finding.state == "fail" for finding in findings)
    if json:
        write_json(json, {"passed": not failed, "rows": taken, "rules": [finding.to_json() for finding in findings]})
    return 1 if failed else 0


def sampled_weeks(val: np.ndarray, test: np.ndarray, seed: int) -> list[int]:
    """Weeks W whose future is changed: one of the test weeks, or where there is a single one of the validation weeks; not the last."""
    known = np.unique(test if len(np.unique(test)) > 1 else np.concatenate([val, test]))[:-1]
    return [int(known[shuffled(len(known), seed, 1)[0]])] if len(known) else []


def rebuilt_rules(
    source: Path, nrows: int, data_dir: Path, calendar: Calendar, weeks: list[int], folder: Path
) -> tuple[int, list[Finding]]:
    """Rows of `source` that were taken, and the rules that they show when they are run through the road again."""
    engine, settings = connect(), settings_of(TRANSACTIONS, PIPELINE, data_dir)
    used = settings["nrows"]
    mapping, plain = mappings(settings["mapping"], folder)
    seed = settings_of(PSEUDO_BRANDS, FEATURES, data_dir)["seed"]
    receipts = take_receipts(source, min(nrows, used or nrows), engine, calendar, mapping)

    def made(name: str, rows: object, salt: str = "") -> Path:
        shop = Shop(folder / name / "transactions.parquet", folder / name / "data", plain)
        write_raw(rows, shop.raw, engine, salt, mapping)
        return rebuild(shop, calendar, seed).root

    base = made("as it is", receipts)
    findings = [order_rule(base, made("shuffled", receipts, "shuffled"))]
    after = calendar.train_end + 1
    other = made("other test weeks", with_another_future(receipts, after, calendar, True))
    findings.append(learned_rule(base, other, calendar.train_end))
    if not weeks:
        why = "baskets of validation and test weeks stand in fewer than two weeks: none has a future that could be changed"
        findings.append(Finding("future-shuffle", "C19", "not run", why))
    for week in weeks:
        changed = with_another_future(receipts, week, calendar, False)
        findings.append(future_rule(base, made(f"from week {week}", changed), week))
    return int(receipts.count().execute()), findings


def show(findings: Sequence[Finding], taken: int, baskets: int) -> None:
    """Print the table of the rules and what was looked at."""
    grid = Grid("rule", "clause", "state", "evidence")
    for finding in findings:
        grid.add_row(finding.rule, finding.clause, Text(finding.state, COLOURS[finding.state]), finding.evidence)
    console.out.print(grid)
    states = [finding.state for finding in findings]
    counted = ", ".join(f"{states.count(state)} {state}" for state in COLOURS if state in states)
    console.out.print(
        f"{counted}. Receipts: all rows. Hidden products and trips: {baskets:,} baskets of the test weeks. Future, fit and "
        f"order: {taken:,} rows of whole customers, run through the road again."
    )


def write_json(path: Path, record: dict) -> None:
    """Write the audit's findings to `path`."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(audit, argv)


if __name__ == "__main__":
    sys.exit(main())
