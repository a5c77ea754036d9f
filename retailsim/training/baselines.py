"""Tune the baselines on the validation weeks and rank every split's hidden products with them (SPEC C33).

Reads data/processed/transactions.parquet, data/tensors/vocabulary.parquet and data/training/samples_{val,test}.parquet.
Writes data/evaluation/baselines.json and baseline_ranks_{val,test}.parquet, which `evaluate` prints beside a model.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from retailsim import console
from retailsim.evaluation.blend import Blend, load_lightgbm
from retailsim.evaluation.line_up import by_question
from retailsim.evaluation.metrics import Metrics
from retailsim.evaluation.tuning import GRIDS, Trial
from retailsim.reading import load_vocabulary
from retailsim.training.baseline_ranks import keep_ranks, kept_ranks, line_up_ranks, tune_settings, tuned_settings
from retailsim.training.blend_ranks import STEPS, rank_blend
from retailsim.training.protocol import Protocol, load_protocols
from retailsim.training.report_tables import metrics_table

SPLITS = ("val", "test")


def baselines(blend: bool = False, data_dir: Path = Path("data")) -> None:
    """Tune the baselines on validation, rank the hidden products of validation and test, and keep both.

    Args:
        blend: also fit the LightGBM blend of all others (extra `retailsim[blend]`), with the trip unknown and known
            and before it; the test weeks first, and each split is kept when it is done.
        data_dir: root of what the earlier stages wrote.
    """
    if blend:
        load_lightgbm()  # says what is missing before the work begins
    vocabulary = load_vocabulary(data_dir)
    protocols = load_protocols(data_dir, SPLITS, vocabulary)
    if tuned_settings(data_dir) is None:
        with console.progress("trials", transient=True) as bar:
            task = bar.add_task("tuning", total=sum(len(v) for grid in GRIDS.values() for v in grid.values()), rate="–")

            def show(trial: Trial) -> None:
                bar.update(task, advance=1, description=f"tuning {trial.method}")

            tune_settings(data_dir, protocols["val"], show)
    settings = tuned_settings(data_dir)
    assert settings is not None
    console.out.print("settings: " + ", ".join(f"{name} {value:g}" for name, value in settings.to_json().items()))
    for split, protocol in protocols.items():
        line_up_ranks(data_dir, split, protocol, blend_follows=blend)
    if blend:
        for split in reversed(SPLITS):  # `evaluate` prints that of test, unless told otherwise
            _rank_blend(data_dir, split, protocols[split])
    for split, protocol in protocols.items():
        fresh = protocol.of_hidden(~protocol.samples.columns["is_replay"])
        titles = (
            "fresh baskets (no exact earlier copy by the same customer)",
            "the same before the trip, nothing visible",
        )
        for title, of_question in zip(titles, by_question(kept_ranks(data_dir, split)), strict=True):
            methods = {name: Metrics.from_ranks(of.overall[fresh]).to_json() for name, of in of_question.items()}
            console.out.print(metrics_table(f"{split}: {title}", methods))


def _rank_blend(root: Path, split: str, protocol: Protocol) -> None:
    """Add the blend to what is kept of `split`, unless it is there."""
    ranks = kept_ranks(root, split)
    if any(name.startswith(Blend.FAMILY) for name in ranks):
        return
    with console.stages(STEPS) as advance:
        ranks |= rank_blend(root, split, protocol, advance)
    keep_ranks(root, split, ranks)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(baselines, argv)


if __name__ == "__main__":
    sys.exit(main())
