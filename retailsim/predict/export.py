"""`retailsim export CHECKPOINT --output FOLDER`: the model for other programs (docs/export.md).

Reads a checkpoint and data/; writes a folder: config.json, and beside it model.safetensors, model.pt2 (torch.export),
model.onnx, and example.npz with inputs and the answers that a program has to give. Needs the extra `retailsim[export]`.
"""

import importlib
import importlib.metadata
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro

from retailsim import console
from retailsim.atomic import atomic_folder
from retailsim.errors import UserError
from retailsim.labels import TRIP_LABELS
from retailsim.layout import MAX_PLACES, TENSORS
from retailsim.manifest import fingerprint, versions
from retailsim.model.basket_model import BasketModel
from retailsim.model.next_product import NextProduct
from retailsim.predict import programs
from retailsim.predict.predictor import Predictor
from retailsim.reading import load_vocabulary
from retailsim.training import checkpoint as checkpoints
from retailsim.training import tables
from retailsim.training.histories import MAX_ENTRIES
from retailsim.training.made_from import model_of
from retailsim.vocab import SPECIAL_TOKENS

FORMAT = 2
CONFIG, WEIGHTS, PROGRAM, ONNX, EXAMPLE = "config.json", "model.safetensors", "model.pt2", "model.onnx", "example.npz"
FORMATS = {"safetensors": (WEIGHTS,), "program": (PROGRAM, EXAMPLE), "onnx": (ONNX, EXAMPLE)}
NEEDS = {"safetensors": ("safetensors.torch",), "program": (), "onnx": ("onnx", "onnxscript")}  # modules of the extra


def export(
    checkpoint: Annotated[Path, tyro.conf.Positional],
    output: Path = Path("exported"),
    format: Literal["all", "safetensors", "program", "onnx"] = "all",
    overwrite: bool = False,
    data_dir: Path = Path("data"),
) -> None:
    """Write a model for other programs: its weights as safetensors, and programs for torch.export and ONNX.

    Args:
        checkpoint: a checkpoint of training, e.g. checkpoints/best_model.pt.
        output: folder to make.
        format: all, or one of the three; config.json is written with each. The programs take a minute.
        overwrite: replace the folder of an earlier export.
        data_dir: root of what the stages wrote.
    """
    wanted = tuple(FORMATS) if format == "all" else (format,)
    load_extra(wanted)
    refuse_what_is_there(output, overwrite)
    predictor = Predictor.load(checkpoint, data_dir)
    with atomic_folder(output.resolve()) as folder:
        if "safetensors" in wanted:
            (folder / WEIGHTS).write_bytes(safetensors_of(predictor.model))
        if {"program", "onnx"} & set(wanted):
            model = NextProduct(predictor.model).eval()
            inputs, answers = programs.example(predictor, model)
            program = programs.as_program(model, inputs)
            if "program" in wanted:
                programs.write_program(program, folder / PROGRAM)
            if "onnx" in wanted:
                programs.write_onnx(program, list(inputs), folder / ONNX)
            example: dict[str, Any] = {name: tensor.numpy() for name, tensor in (inputs | answers).items()}
            np.savez(folder / EXAMPLE, **example)
        files = {file.name: fingerprint(file) for file in sorted(folder.iterdir())}
        record = describe(predictor, checkpoint, data_dir, files)
        (folder / CONFIG).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for name in (CONFIG, *files):
        console.out.print(f"  {output / name}: {console.size((output / name).stat().st_size)}")


def load_extra(formats: Sequence[str]) -> None:
    """Import what `formats` need; a UserError says how to install what is missing."""
    try:
        for name in (name for of in formats for name in NEEDS[of]):
            importlib.import_module(name)
    except ImportError as error:
        raise UserError(f'exporting needs {error.name}: install it with pip install "retailsim[export]"') from error


def refuse_what_is_there(output: Path, overwrite: bool) -> None:
    """A UserError where `output` must not be replaced: nothing but an earlier export is."""
    if not output.exists():
        return
    if not overwrite:
        raise UserError(f"{output} exists: name another folder, or say --overwrite")
    ours = {CONFIG, *(name for names in FORMATS.values() for name in names)}
    others = sorted(file.name for file in output.iterdir() if file.name not in ours) if output.is_dir() else []
    if not output.is_dir() or others:
        what = f"holds {others[0]}, which no export wrote" if others else "is no folder"
        raise UserError(f"{output} {what}: name another folder")


def safetensors_of(model: BasketModel) -> bytes:
    """The weights as a safetensors file, by the names of `state_dict()`."""
    import safetensors.torch

    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})


def describe(predictor: Predictor, checkpoint: Path, data_dir: Path, files: dict[str, str]) -> dict[str, Any]:
    """What stands in config.json; `files`: name → fingerprint of what is written beside it."""
    state, vocabulary, model = checkpoints.load(checkpoint, predictor.vocabulary), predictor.vocabulary, predictor.model
    return {
        "format": FORMAT,
        "versions": {"retailsim": importlib.metadata.version("retailsim"), **versions()},
        "fingerprints": {
            "checkpoint": fingerprint(checkpoint),
            "files": files,
            "tables": {file.path: fingerprint(file.at(data_dir)) for file in tables.FILES},
            "vocabulary": state["vocabulary"],
            "products": state["products"].tolist(),  # of the vocabulary: a number each that moves with its row of T2
        },
        "config": state["config"],
        "layouts": {
            layout.name: {part: [layout[part].start, layout[part].stop] for part in layout.widths} for layout in TENSORS
        },
        "weeks": predictor.calendar.to_json(),
        "temperatures": predictor.temperatures,  # to divide the product logits by; null: not fitted, scores are no chances
        "trip_labels": TRIP_LABELS,
        "trips_learned": predictor.trips_learned,  # labels that tell the trip's kind together; with others it is open
        "special_tokens": SPECIAL_TOKENS,
        "vocabulary_size": vocabulary.size,  # V: the products that can win are columns 3 … V − 1 of product_logits
        "vocabulary": vocabulary.ids,  # a product's place is its row; those from row V on can be seen, not predicted
        "inputs": [vars(of) for of in NextProduct(model).inputs],
        "outputs": [vars(of) for of in NextProduct(model).outputs],
        "limits": {"B": programs.MOST_BASKETS, "S": MAX_PLACES, "K": MAX_ENTRIES},
    }


def load_exported(folder: Path, data_dir: Path = Path("data")) -> BasketModel:
    """The model of model.safetensors and config.json under `folder`, with the tables of `data_dir`.

    With the tables that it was exported with, its outputs are the exported model's bit for bit. Its part `world` is the
    WorldModel, six tensors in and logits out. No checkpoint is read.

    Raises:
        UserError: a file is missing, damaged or of another format, or the data have another vocabulary or product embeddings.
    """
    load_extra(["safetensors"])
    import safetensors.torch

    for name in (CONFIG, WEIGHTS):
        if not (folder / name).exists():
            raise UserError(f"{folder / name} is missing: write it with retailsim export --format safetensors")
    try:
        record = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{folder / CONFIG} is not JSON ({error}): export the model again") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise UserError(f"{folder / CONFIG} is not of format {FORMAT}: export the model again")
    if fingerprint(folder / WEIGHTS) != record["fingerprints"]["files"].get(WEIGHTS):
        raise UserError(f"{folder / WEIGHTS} is not the file that {CONFIG} describes: export the model again")
    vocabulary = load_vocabulary(data_dir)
    if record["fingerprints"]["vocabulary"] != checkpoints.vocabulary_digest(
        vocabulary, record["fingerprints"]["vocabulary"]["rows"]
    ):
        raise UserError(f"{folder} was trained on another vocabulary than {data_dir} has: name its --data-dir")
    there = {"config": record["config"], "products": torch.tensor(record["fingerprints"]["products"])}
    there["model"] = safetensors.torch.load_file(folder / WEIGHTS)
    return model_of(folder, there, tables.load_tables(data_dir), vocabulary).eval()


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(export, argv)


if __name__ == "__main__":
    sys.exit(main())
