"""`retailsim <verb> [flags]`: every command under one name; a command is imported when it is called."""

import difflib
import importlib
import importlib.metadata
import sys
from collections.abc import Sequence

from retailsim import console
from retailsim.errors import UserError

# verb → module under retailsim, what it does; in the order of the road
VERBS: dict[str, tuple[str, str]] = {
    "make-data": ("sources.make_data", "make a synthetic retailer and the truth planted in it (no receipts at hand?)"),
    "inspect": ("sources.inspect", "look at receipts in other columns and propose a mapping of them"),
    "run": ("run", "the whole road below up to an evaluated model, skipping what is current"),
    "status": ("status", "which files of the road are current, stale or missing, and the next command"),
    "run-pipeline": ("data_pipeline.run_pipeline", "receipts → prices, product graph, store affinity, missions"),
    "run-feature-engineering": (
        "feature_engineering.run_feature_engineering",
        "→ brands, price features, product, customer and store embeddings",
    ),
    "run-tensor-preparation": ("tensor_preparation.run_tensor_preparation", "→ the six tensors T1…T6, checked"),
    "prepare-samples": ("training.prepare_samples", "→ one sample per basket for train, val and test"),
    "prepare-tensor-cache": ("training.prepare_tensor_cache", "→ memory-mapped rows of the tensors"),
    "validate-data": ("training.validate_data", "check receipts, files between the stages and checkpoints"),
    "train": ("training.train", "train the world model in three phases"),
    "baselines": ("training.baselines", "tune the baselines on validation and rank with them, for every evaluation"),
    "evaluate": ("training.evaluate", "rank hidden products on val or test, beside the baselines"),
    "ablate": ("training.ablate", "measure what each of the six tensors is worth"),
    "report": ("report.report", "one HTML page about a trained model: quality, products, prices, a customer's story"),
    "predict": ("predict.predict", "which products go into a basket next: one request, or a file of them"),
    "serve": ("predict.serve", "the same over HTTP, with an OpenAPI page (extra `serve`)"),
    "export": ("predict.export", "the model for other programs: safetensors, torch.export, ONNX (extra `export`)"),
    "audit": ("training.audit", "show on your own receipts and your own model that nothing leaks"),
}
# verb → reads, writes, how long it takes: measured on 1.8 million receipt rows, 2 cores, no GPU (benchmarks/README.md)
COSTS: dict[str, tuple[str, str, str]] = {
    "make-data": ("nothing", "raw_data/", "seconds"),
    "inspect": ("raw_data/", "--output", "seconds"),
    "run": ("raw_data/", "data/, checkpoints/", "minutes (tiny) to days (full, without a GPU)"),
    "status": ("data/, checkpoints/", "nothing", "seconds"),
    "run-pipeline": ("raw_data/", "data/processed/", "21 s"),
    "run-feature-engineering": ("data/processed/", "data/features/", "52 s"),
    "run-tensor-preparation": ("data/processed/, data/features/", "data/tensors/", "7 s"),
    "prepare-samples": ("data/processed/, data/features/, data/tensors/", "data/training/", "4 s"),
    "prepare-tensor-cache": ("data/processed/, data/features/, data/tensors/", "data/training/cache/", "2 minutes"),
    "validate-data": ("raw_data/, data/, checkpoints/", "nothing", "seconds"),
    "train": ("data/training/, data/tensors/", "checkpoints/", "6 minutes an epoch (small preset)"),
    "baselines": (
        "data/processed/, data/training/",
        "data/evaluation/",
        "five minutes, once; much longer with --blend",
    ),
    "evaluate": ("checkpoints/, data/", "--json", "minutes"),
    "ablate": ("checkpoints/, data/", "--json", "minutes; hours with --retrain"),
    "report": ("checkpoints/, data/", "report.html", "half a minute"),
    "predict": ("checkpoints/, data/", "--output", "seconds to load, then hundredths of a second per request"),
    "serve": ("checkpoints/, data/", "nothing", "seconds to load, then runs until it is stopped"),
    "export": ("checkpoints/, data/", "--output", "a minute"),
    "audit": ("the receipts, data/, a checkpoint", "nothing", "minutes: a sample goes the road again four times"),
}
EXAMPLE = """\
  retailsim make-data --output raw_data
  retailsim run --preset tiny --epochs 6
  retailsim predict checkpoints/best_model.pt --when 2008-03-15T10:00"""


def main(argv: Sequence[str] | None = None) -> int:
    """Call the verb that `argv` (default: the command line) begins with; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    return console.answer(lambda: call(arguments))


def call(arguments: list[str]) -> int:
    """Exit code of the verb with its flags; a UserError names the nearest verb where there is none such."""
    if not arguments or arguments[0] in ("-h", "--help"):
        console.out.print(overview())
        return 0 if arguments else 2
    verb, *flags = arguments
    if verb in ("-V", "--version"):
        console.out.print(f"retailsim {importlib.metadata.version('retailsim')}")
        return 0
    if verb not in VERBS:
        nearest = difflib.get_close_matches(verb.replace("_", "-"), VERBS, n=1, cutoff=0.0)[0]
        raise UserError(f'there is no verb {verb!r}: did you mean "retailsim {nearest}"? "retailsim --help" lists all')
    module, _ = VERBS[verb]
    code = importlib.import_module(f"retailsim.{module}").main(flags)
    if {"-h", "--help"} & set(flags):
        console.out.print(cost(verb))
    return code


def cost(verb: str) -> str:
    """One line: what a verb reads and writes, and how long it takes."""
    reads, writes, time = COSTS[verb]
    return f"reads {reads} · writes {writes} · takes {time}"


def overview() -> str:
    """The text of `retailsim --help`."""
    width = max(map(len, VERBS))
    verbs = "\n".join(
        f"  {verb:<{width}}  {about}\n  {'':<{width}}  {cost(verb)}" for verb, (_, about) in VERBS.items()
    )
    codes = "\n".join(f"  {code:<3}  {meaning}" for code, meaning in console.EXIT_CODES.items())
    return (
        "usage: retailsim <verb> [flags]\n\n"
        "A world model of how people shop: from raw receipts to evaluated basket predictions.\n\n"
        f"verbs, in the order of the road (times for 1.8 million rows on 2 cores):\n{verbs}\n\n"
        f"example:\n{EXAMPLE}\n\n"
        f"exit codes:\n{codes}\n\n"
        '"retailsim <verb> --help" lists the flags; --quiet leaves out the progress; "retailsim --version" says the version.\n'
        '"retailsim <verb> --tyro-write-completion bash FILE" (or zsh, tcsh) writes the completion of a verb\'s flags.'
    )
