"""`retailsim export CHECKPOINT --output FOLDER`: the model for other programs (docs/export.md).

Reads a checkpoint and data/; writes a folder: model.safetensors with config.json, program.pt2 (torch.export), model.onnx,
and example.npz with inputs and the answers that a program has to give. Needs the extra `retailsim[export]`.
"""

import importlib.metadata
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from torch.export import Dim, ExportedProgram

from retailsim import console
from retailsim.config import Config
from retailsim.errors import UserError
from retailsim.labels import TRIP_LABELS
from retailsim.layout import MAX_PLACES
from retailsim.manifest import fingerprint
from retailsim.model.basket_model import BasketModel
from retailsim.model.next_product import OUTPUTS, NextProduct
from retailsim.predict.predictor import Predictor
from retailsim.predict.request import Request
from retailsim.reading import load_vocabulary
from retailsim.training import checkpoint as checkpoints
from retailsim.training.histories import MAX_ENTRIES
from retailsim.training.tables import load_tables
from retailsim.vocab import SPECIAL_TOKENS

FORMAT = 1
WEIGHTS, CONFIG, PROGRAM, ONNX, EXAMPLE = "model.safetensors", "config.json", "program.pt2", "model.onnx", "example.npz"
MOST_BASKETS = 4096  # B at most in a program
EXAMPLES = 4  # baskets in the example


def export(
    checkpoint: Annotated[Path, tyro.conf.Positional],
    output: Path = Path("exported"),
    formats: Literal["all", "safetensors"] = "all",
    data_dir: Path = Path("data"),
) -> None:
    """Write a model for other programs: weights as safetensors, and programs for torch.export and ONNX.

    Args:
        checkpoint: a checkpoint of training, e.g. checkpoints/best_model.pt.
        output: folder to make; it must not exist.
        formats: safetensors leaves the two programs and their example out, which take a minute.
        data_dir: root of what the stages wrote.
    """
    try:
        import safetensors.torch
    except ImportError as error:
        raise UserError(f'exporting needs {error.name}: install it with pip install "retailsim[export]"') from error
    if output.exists():
        raise UserError(f"{output} exists: name another folder, or delete it")
    predictor = Predictor.load(checkpoint, data_dir)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as temporary:
        folder = Path(temporary) / output.name
        folder.mkdir()
        weights = {name: tensor.contiguous() for name, tensor in predictor.model.state_dict().items()}
        (folder / WEIGHTS).write_bytes(safetensors.torch.save(weights))
        (folder / CONFIG).write_text(json.dumps(describe(predictor, checkpoint), indent=1) + "\n", encoding="utf-8")
        if formats == "all":
            write_programs(predictor, folder)
        for file in sorted(folder.iterdir()):
            console.out.print(f"  {output / file.name}: {file.stat().st_size / 2**20:,.1f} MB")
        os.replace(folder, output)


def describe(predictor: Predictor, checkpoint: Path) -> dict[str, Any]:
    """What stands in config.json: the model's shape, its vocabulary, and the programs' inputs and outputs."""
    state = checkpoints.load(checkpoint, predictor.vocabulary)
    return {
        "format": FORMAT,
        "versions": {name: importlib.metadata.version(name) for name in ("retailsim", "torch")},
        "checkpoint": fingerprint(checkpoint),
        "config": state["config"],
        "weeks": predictor.calendar.to_json(),
        "temperatures": predictor.temperatures,  # to divide the product logits by; null: not fitted, scores are no chances
        "trip_labels": TRIP_LABELS,
        "special_tokens": SPECIAL_TOKENS,
        "vocabulary_digest": state["vocabulary"],
        "vocabulary": predictor.vocabulary.ids,  # a product's place is its row; products can win up to column V − 1
        "inputs": [vars(of) for of in NextProduct(predictor.model).inputs],
        "outputs": OUTPUTS,
        "limits": {"B": MOST_BASKETS, "S": MAX_PLACES, "K": MAX_ENTRIES, "V": predictor.vocabulary.size},
    }


def load_exported(folder: Path, data_dir: Path = Path("data")) -> BasketModel:
    """The model of model.safetensors and config.json under `folder`, with the tables of its data: the same bits.

    Raises:
        UserError: the folder is of another format or the data of another vocabulary.
    """
    import safetensors.torch

    if not (folder / CONFIG).exists():
        raise UserError(f"{folder / CONFIG} is missing: write the folder with retailsim export")
    record, vocabulary = json.loads((folder / CONFIG).read_text(encoding="utf-8")), load_vocabulary(data_dir)
    if record.get("format") != FORMAT or record["vocabulary_digest"] != checkpoints.vocabulary_digest(vocabulary):
        raise UserError(f"{folder} is of another format, or was trained on another vocabulary than {data_dir} has")
    model = BasketModel(Config.from_json(record["config"]).model, load_tables(data_dir), vocabulary.size)
    model.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))
    return model.eval()


def write_programs(predictor: Predictor, folder: Path) -> None:
    """The torch.export and the ONNX program, and an example of their inputs and answers, into `folder`."""
    model = NextProduct(predictor.model).eval()
    arrays = predictor.arrays(examples(predictor))
    if "bought" in arrays and arrays["bought"].shape[1] == 1:  # nobody has a history: an entry more, which is padding
        arrays |= {name: np.concatenate([arrays[name], 0 * arrays[name]], axis=1) for name in ("bought", "habits")}
    inputs = {name: torch.from_numpy(array) for name, array in arrays.items()}
    with torch.no_grad():
        answers = dict(zip(OUTPUTS, model(**inputs), strict=True))
        program = as_program(model, inputs)
        with quiet():
            torch.export.save(program, folder / PROGRAM)
            onnx = torch.onnx.export(program, input_names=list(inputs), output_names=list(OUTPUTS), verbose=False)
        assert onnx is not None
        onnx.save(folder / ONNX)
    np.savez(folder / EXAMPLE, **{name: tensor.numpy() for name, tensor in (inputs | answers).items()})


def as_program(model: NextProduct, inputs: dict[str, torch.Tensor]) -> ExportedProgram:
    """The program of any number of baskets, places and earlier products within the limits.

    Args:
        model: without gradients.
        inputs: an example, of two baskets, places and earlier products at least: one would be taken for a constant.
    """
    axes = {"B": Dim("B", max=MOST_BASKETS), "S": Dim("S", max=MAX_PLACES), "K": Dim("K", max=MAX_ENTRIES)}
    shapes = tuple({i: axes[axis] for i, axis in enumerate(of.shape) if axis in axes} for of in model.inputs)
    return torch.export.export(model, tuple(inputs.values()), dynamic_shapes=shapes, strict=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Without what the exporters say to their own developers."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(logging.NOTSET)


def examples(predictor: Predictor) -> list[Request]:
    """Requests of some customers and stores in the week after the data, with up to three products in the basket."""
    calendar, products = predictor.calendar, predictor.vocabulary.ids[len(SPECIAL_TOKENS) : predictor.vocabulary.size]
    when = datetime.combine(calendar.monday_of(calendar.last_week + 1), time(10))
    customers, stores = predictor.customers[:EXAMPLES], predictor.stores[:EXAMPLES]
    return [
        Request(
            when,
            store=stores[i % len(stores)] if stores else None,
            customer=customers[i % len(customers)] if customers else None,
            basket=tuple(products[: 1 + i % 3]),
            trip={"mission_type": "Top Up"} if i % 2 else {},
        )
        for i in range(EXAMPLES)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return console.run(export, argv)


if __name__ == "__main__":
    sys.exit(main())
