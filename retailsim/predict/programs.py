"""A trained model as programs that need neither this package nor its data: torch.export and ONNX (docs/export.md).

Legend: B baskets · S places · K earlier products.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from retailsim.labels import TRIP_LABELS
from retailsim.layout import MAX_PLACES
from retailsim.model.next_product import OUTPUTS, NextProduct
from retailsim.predict.predictor import Predictor
from retailsim.predict.request import Request
from retailsim.training.histories import MAX_ENTRIES
from retailsim.vocab import SPECIAL_TOKENS

MOST_BASKETS = 4096  # B at most in a program
EXAMPLES = 4  # baskets in the example


@torch.no_grad()
def as_program(model: NextProduct, inputs: dict[str, Tensor]) -> ExportedProgram:
    """The program of any number of baskets, places and earlier products from 1 to the limits.

    Args:
        model: in evaluation mode.
        inputs: an example, of two baskets, places and earlier products at least: one would be taken for a constant.
    """
    axes = {"B": Dim("B", max=MOST_BASKETS), "S": Dim("S", max=MAX_PLACES), "K": Dim("K", max=MAX_ENTRIES)}
    shapes = tuple({i: axes[axis] for i, axis in enumerate(of.shape) if axis in axes} for of in model.inputs)
    return torch.export.export(model, tuple(inputs.values()), dynamic_shapes=shapes, strict=False)


def write_program(program: ExportedProgram, path: Path) -> None:
    """`program` as torch.export keeps it."""
    with quiet():
        torch.export.save(program, path)


def write_onnx(program: ExportedProgram, inputs: Sequence[str], path: Path) -> None:
    """`program` as ONNX, with `inputs` and `OUTPUTS` as names."""
    with quiet():
        onnx = torch.onnx.export(program, input_names=list(inputs), output_names=list(OUTPUTS), verbose=False)
    assert onnx is not None  # None is returned where torch is given a file's name
    onnx.save(path)


@contextmanager
def quiet() -> Iterator[None]:
    """Without what the exporters say to their own developers."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(logging.NOTSET)


def example(predictor: Predictor, model: NextProduct) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs by name, and the model's outputs for them."""
    arrays = predictor.arrays(examples(predictor))
    if "bought" in arrays and arrays["bought"].shape[1] == 1:  # nobody has a history: an entry more, which is padding
        arrays |= {name: np.concatenate([arrays[name], 0 * arrays[name]], axis=1) for name in ("bought", "habits")}
    inputs = {name: torch.from_numpy(array) for name, array in arrays.items()}
    with torch.no_grad():
        return inputs, dict(zip(OUTPUTS, model(**inputs), strict=True))


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
            trip={label: classes[0] for label, classes in TRIP_LABELS.items()} if i % 2 else {},
        )
        for i in range(EXAMPLES)
    ]
