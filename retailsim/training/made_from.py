"""What a checkpoint keeps of the data it was trained on, so that it is not used on other data with the same products.

A model looks its products up by what was learned of them before it: the same vocabulary with other embeddings, of other
training weeks or another seed, gives it other inputs under the same names, and answers that are wrong without a word.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from retailsim.config import Config
from retailsim.errors import UserError
from retailsim.model.basket_model import BasketModel
from retailsim.model.lookup import Tables
from retailsim.training.samples import Samples
from retailsim.vocab import Vocabulary

# Of a sketch's length: another machine's rounding stays below, another seed of the embeddings is at 1.
MOST_APART = 0.05
LOOKED_UP_BY = ("customer_row", "store_row", "week", "day", "hour")


def sketch(products: Tensor, vocab_size: int) -> Tensor:
    """One number per product of the vocabulary that moves with its row of T2, `products`: float32 [V]."""
    rows = products[:vocab_size].double()
    return (rows * torch.arange(rows.shape[1]).cos()).sum(1).float()


def digest(train: Samples) -> str:
    """Of the training baskets and the rows that they are looked up by, in their order."""
    found = hashlib.blake2b(digest_size=16)
    for array in (train.starts, train.products, *(train.columns[name] for name in LOOKED_UP_BY)):
        found.update(array.tobytes())
    return found.hexdigest()


def refuse_other_products(name: str, state: dict[str, Any], products: Tensor, vocab_size: int) -> None:
    """A UserError where the checkpoint `name` of this `state` was trained on other rows of T2 than `products`."""
    there, here = state["products"], sketch(products, vocab_size)
    if (there - here).norm() > MOST_APART * there.norm():
        raise UserError(
            f"{name} was trained on other product embeddings than the data's, which were made anew since, of other weeks or with "
            f'another seed: name the --data-dir it was trained on, or train again with "python -m src.training.train"'
        )


def refuse_other_baskets(state: dict[str, Any], train: Samples) -> None:
    """A UserError where the training that `state` continues had other baskets than `train`."""
    if state["baskets"] != digest(train):
        raise UserError(
            "--resume: the training baskets are not those of the checkpoint, they were made anew since: train anew without "
            "--resume, or name the --data-dir it was trained on"
        )


def model_of(checkpoint: Path, state: dict[str, Any], tables: Tables, vocabulary: Vocabulary) -> BasketModel:
    """The model of a checkpoint's `state` (`checkpoint.load`), to look up in `tables`; a UserError where they are not its own."""
    refuse_other_products(str(checkpoint), state, tables.product, vocabulary.size)
    model = BasketModel(Config.from_json(state["config"]).model, tables, vocabulary.size)
    model.load_state_dict(state["model"])
    return model
