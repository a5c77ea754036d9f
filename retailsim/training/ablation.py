"""What each of T1…T6 is worth to a model: exchanged between baskets when it answers, or missing since it was trained (SPEC C34).

Exchanged: every basket gets the tensor of another one, drawn once; what the model learned to read there now misleads it.
Missing: the tensor's absent state in training and in evaluation alike: the unknown customer or store, the same hour of the
same day, no price history and none paid, products without attributes and embeddings, a hidden trip. A model that counts
what was bought before (`small`, `best`) still tells products by their ids.

Legend: B baskets · S places.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from retailsim.config import Config
from retailsim.model.basket_model import BasketModel
from retailsim.model.batch import Batch
from retailsim.model.lookup import Lookup, Tables
from retailsim.model.world_model import SixTensors
from retailsim.training.masking import Question
from retailsim.training.protocol import Protocol
from retailsim.training.samples import Samples
from retailsim.training.scoring import score
from retailsim.vocab import EOS

# tensor → what the founding document claims is lost without it, share 0–1
CLAIMS = {"T1": 0.15, "T2": 0.40, "T3": 0.12, "T4": 0.08, "T5": 0.06, "T6": 0.10}
TENSORS = tuple(CLAIMS)
COLUMNS = {"T1": ("customer_row",), "T3": ("day", "hour", "recency"), "T5": ("store_row",)}  # of a sample, by tensor
ABSENT = {"customer_row": 0, "store_row": 0, "day": 0, "hour": 12, "recency": -1}


def ranks_with(
    model: BasketModel,
    protocol: Protocol,
    batch_size: int,
    device: torch.device,
    is_trip_known: bool = True,
    exchanged: str | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Ranks of the hidden products [M], with one tensor `exchanged` between baskets; None: none."""
    samples = exchange_columns(protocol.samples, exchanged, seed)
    with exchanged_rows(model.lookup, exchanged, seed):
        question: Question = "trip_known" if is_trip_known else "trip_unknown"
        return score(model, replace(protocol, samples=samples), question, batch_size, device).ranks.overall


def exchange_columns(samples: Samples, tensor: str | None, seed: int) -> Samples:
    """The samples with what T1, T3, T5 or T6 is looked up by permuted over all baskets; other tensors change nothing here.

    T1 and T5 are exchanged between baskets of one week, so that nobody is shown a customer or store of a later week; with
    them go their purchase histories.
    """
    order = np.random.default_rng(seed).permutation(len(samples))
    week = samples.columns["week"] if tensor in ("T1", "T5") else np.zeros(len(samples), dtype=int)
    order = _next_of_week(order[np.argsort(week[order], kind="stable")], week)
    if tensor == "T6":
        return replace(samples, trip=samples.trip[order])
    moved = {name: samples.columns[name][order] for name in COLUMNS.get(tensor or "", ())}
    return replace(samples, columns={**samples.columns, **moved})


def _next_of_week(shuffled: np.ndarray, week: np.ndarray) -> np.ndarray:
    """For each basket the next one of its week in the order `shuffled`, in which weeks stand together; the first after the last."""
    is_last = np.append(week[shuffled][1:] != week[shuffled][:-1], True)
    following = np.roll(shuffled, -1)
    following[is_last] = shuffled[np.roll(is_last, 1)]
    order = np.empty_like(shuffled)
    order[shuffled] = following
    return order


@contextmanager
def exchanged_rows(lookup: Lookup, tensor: str | None, seed: int) -> Iterator[None]:
    """Within the block the rows of T2 or T4 are permuted over all visible places of a batch; other tensors: nothing."""
    if tensor not in ("T2", "T4"):
        yield
        return
    name, generator = tensor.lower(), torch.Generator().manual_seed(seed)

    def exchange(module: torch.nn.Module, inputs: tuple[Batch], tensors: SixTensors) -> SixTensors:
        batch = inputs[0]
        rows = getattr(tensors, name).clone()
        is_visible = (batch.ids > EOS).flatten()
        places = is_visible.nonzero()[:, 0]
        drawn = places[torch.randperm(len(places), generator=generator).to(places.device)]
        flat = rows.view(-1, rows.shape[-1])
        flat[places] = flat[drawn]
        return replace(tensors, **{name: rows})

    handle = lookup.register_forward_hook(exchange)
    try:
        yield
    finally:
        handle.remove()


def without_config(config: Config, missing: Sequence[str]) -> Config:
    """How a model is trained without these tensors: T6 always hidden, products without learned corrections of T2."""
    train = replace(config.train, hide_trip_prob=1.0) if "T6" in missing else config.train
    model = replace(config.model, learned_products=False) if "T2" in missing else config.model
    return replace(config, train=train, model=model)


def without_tables(tables: Tables, missing: Sequence[str]) -> Tables:
    """The cached tensors with no product told from another (T2) and no price known (T4)."""
    changes: dict[str, Any] = {}
    if "T2" in missing:
        changes |= {"product": torch.zeros_like(tables.product), "group": torch.zeros_like(tables.group)}
    if "T4" in missing:
        changes |= {
            "price": torch.zeros_like(tables.price),
            "last_price": torch.full_like(tables.last_price, torch.nan),
        }
    return replace(tables, **changes)


def without_samples(samples: Samples, missing: Sequence[str]) -> Samples:
    """The samples with the absent state of T1, T3, T4 and T5; T6 is hidden by the masking, not here."""
    columns = dict(samples.columns)
    for name in (name for tensor in missing for name in COLUMNS.get(tensor, ())):
        columns[name] = np.full_like(columns[name], ABSENT[name])
    prices = np.full_like(samples.prices, np.nan) if "T4" in missing else samples.prices
    return replace(samples, columns=columns, prices=prices)
