"""Rules that a model shows: hidden products and hidden trips move nothing that it sees or says (SPEC C20, C22).

What is compared is whatever a batch holds, whatever the look-up gives and whatever the model returns, by their fields:
an input that is added to them is under audit without a word here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retailsim.config import PRESETS, Config
from retailsim.labels import TRIP_LABELS
from retailsim.model.basket_model import BasketModel
from retailsim.model.batch import Batch
from retailsim.training import checkpoint, dataset, objective
from retailsim.training.audit_findings import Finding, judged
from retailsim.training.made_from import model_of
from retailsim.training.masking import Masking
from retailsim.training.samples import Samples
from retailsim.training.schedule import phase_at
from retailsim.training.tables import load_tables
from retailsim.vocab import SPECIAL_TOKENS, Vocabulary

ANSWERS = ("targets", "labels", "anchors", "partners", "partner")  # fields of a batch that only the losses read
TRIES = 100  # draws for a product that is not in the basket


def random_model(root: Path, vocabulary: Vocabulary) -> BasketModel:
    """A tiny model with random weights on the tables under `root`, all paths open: it sees whatever a trained one could.

    Weights that stand for products which the training weeks do not have stay as a training leaves them.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BasketModel(PRESETS["tiny"].model, load_tables(root), vocabulary.size).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                rows = parameter[: vocabulary.size] if len(parameter.shape) > 1 else parameter
                rows.add_(0.1 * torch.randn_like(rows))
    return model


def trained_model(path: Path, root: Path, vocabulary: Vocabulary) -> tuple[BasketModel, Config]:
    """The checkpoint's model on the tables under `root`; a UserError where it does not fit."""
    state = checkpoint.load(path, vocabulary)
    return model_of(path, state, load_tables(root), vocabulary).eval(), Config.from_json(state["config"])


@torch.no_grad()
def seen(model: BasketModel, batch: Batch) -> dict[str, Tensor]:
    """All that the model makes of a batch, by name: what it looks up, and what it returns."""
    return dict(named_tensors(model.lookup(batch))) | dict(named_tensors(model(batch)))


def named_tensors(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor inside dataclasses, mappings and sequences, with the name of its field or key."""
    if isinstance(value, Tensor):
        yield name, value
    elif is_dataclass(value):
        for field in fields(value):
            yield from named_tensors(getattr(value, field.name), field.name)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from named_tensors(part, f"{name} {key}")
    elif isinstance(value, (tuple, list)):
        for i, part in enumerate(value):
            yield from named_tensors(part, f"{name} {i}")


def unmasked(batch: Batch) -> Batch:
    """The batch with its hidden products shown, so that their rows can be compared too."""
    return replace(batch, ids=batch.ids.flatten().index_put((batch.places,), batch.targets).view_as(batch.ids))


def differing_baskets(models: Sequence[BasketModel], batches: Sequence[Batch]) -> dict[int, list[str]]:
    """Baskets (by place in the batch) of which two models on two batches see or say anything else, and what."""
    masked = [seen(model, batch) for model, batch in zip(models, batches, strict=True)]
    shown = [dict(named_tensors(m.lookup(unmasked(b)))) for m, b in zip(models, batches, strict=True)]
    found: dict[int, list[str]] = {}
    for (a, b), suffix in ((masked, ""), (shown, " with nothing hidden")):
        for name in a:
            for i in _baskets_of(a[name], b[name], batches[0]):
                found.setdefault(i, []).append(name + suffix)
    return found


def _baskets_of(a: Tensor, b: Tensor, batch: Batch) -> list[int]:
    """Places in the batch of the baskets in which two tensors of it differ by a bit."""
    size, width = batch.ids.shape
    if a.shape != b.shape:
        return list(range(size))
    differs = (a != b) & ~(a.isnan() & b.isnan()) if a.is_floating_point() else a != b
    rows = differs.reshape(len(a), -1).any(1).nonzero()[:, 0] if len(a) else torch.empty(0, dtype=torch.int64)
    if len(a) == len(batch.places) != size:
        rows = torch.div(batch.places[rows], width, rounding_mode="floor")
    return rows.unique().tolist()


def target_rule(model: BasketModel, whose: str, samples: Samples, rows: np.ndarray, vocabulary: Vocabulary) -> Finding:
    """C20: whatever product is hidden, at whatever price, nothing that the model receives, looks up or says moves."""
    broken: list[str] = []
    changes = 0
    for masking in (
        Masking(vocabulary.size, is_evaluation=True),
        Masking(vocabulary.size, hide_trip_prob=0.5, epoch=1),
        Masking(vocabulary.size, hide_trip_prob=0.5, epoch=1, open_share=1.0),
    ):
        before = dataset.make_batch(samples, rows, masking)
        other = with_other_hidden(samples, rows, before, len(vocabulary), masking.is_evaluation)
        after = dataset.make_batch(other, rows, masking)
        kind = "evaluation" if masking.is_evaluation else "open" if masking.open_share else "training"
        broken += [f"{what} ({kind})" for what in moved_between(model, before, after)]
        changes += int((before.targets != after.targets).sum()) if len(before.targets) == len(after.targets) else 0
    return judged(
        "target-blind",
        "C20",
        broken,
        f"{changes:,} hidden products were others" if changes else "",
        f"inputs, tensors and logits of {len(rows):,} baskets under {whose}, hidden products and their prices changed",
    )


def moved_between(model: BasketModel, before: Batch, after: Batch) -> list[str]:
    """Names of what differs by a bit: fields of the batch that the model reads, tensors, logits."""
    inputs = [
        f"input {field.name}"
        for field in fields(before)
        if field.name not in ANSWERS and not _equal(getattr(before, field.name), getattr(after, field.name))
    ]
    a, b = seen(model, before), seen(model, after)
    return inputs + [name for name in a if not _equal(a[name], b[name])]


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and not torch.as_tensor((a != b) & ~((a != a) & (b != b))).any()


def with_other_hidden(samples: Samples, rows: np.ndarray, batch: Batch, products: int, is_evaluation: bool) -> Samples:
    """`samples` in which the hidden products of `batch` are others, at other prices.

    A place of training that shows the hidden product itself (a tenth are kept) keeps it: C20 speaks of masked places.
    Evaluation has no such places.
    """
    rng = np.random.default_rng(0)
    places, targets = batch.places.numpy(), batch.targets.numpy()
    owner = rows[places // batch.ids.shape[1]]
    is_masked = is_evaluation | (batch.ids.flatten().numpy()[places] != targets)
    item_owner = np.repeat(np.arange(len(samples)), samples.lengths)
    keys = item_owner * products + samples.products  # a product stands once in a basket
    order = np.argsort(keys)
    items = order[np.searchsorted(keys, owner * products + targets, sorter=order)]
    others = np.where(is_masked, -1, targets)
    for _ in range(TRIES):
        todo = np.flatnonzero(others < 0)
        drawn = rng.integers(len(SPECIAL_TOKENS), products, len(todo))
        is_free = ~np.isin(owner[todo] * products + drawn, keys)
        others[todo[is_free]] = drawn[is_free]
    others = np.where(others < 0, targets, others)
    changed, prices, quantities = samples.products.copy(), samples.prices.copy(), samples.quantities.copy()
    changed[items] = others
    prices[items] = rng.choice(np.array([0.01, 3.33, 250.0, np.nan], dtype=np.float32), len(items))
    quantities[items] = rng.choice(np.array([1, 7, 100, np.nan], dtype=np.float32), len(items))
    return replace(samples, products=changed, prices=prices, quantities=quantities)


def label_rule(
    model: BasketModel, config: Config, whose: str, samples: Samples, rows: np.ndarray, size: int
) -> Finding:
    """C22: of baskets whose trip is hidden, other trip labels move nothing; other baskets' labels cost no auxiliary loss."""
    broken: list[str] = []
    codes = np.array([len(names) for names in TRIP_LABELS.values()])
    turned = replace(samples, trip=np.where(samples.trip < 0, 0, (samples.trip + 1) % codes))
    masking = Masking(size, hide_trip_prob=0.5, epoch=1)
    before, after = (dataset.make_batch(s, rows, masking) for s in (samples, turned))
    hidden = before.hide_trip
    found = differing_baskets((model, model), (before, after))
    broken += [
        f"{name} of a hidden trip" for name in sorted({n for i, names in found.items() if hidden[i] for n in names})
    ]
    everything = replace(masking, hide_trip_prob=1.0)
    all_hidden = [dataset.make_batch(s, rows, everything) for s in (samples, turned)]
    broken += [f"{name}, all trips hidden" for name in moved_between(model, *all_hidden)]
    costs = [_auxiliary(model, config, replace(before, labels=labels)) for labels in (
        before.labels,
        torch.where(hidden[:, None], before.labels, after.labels),
        torch.where(hidden[:, None], after.labels, before.labels),
    )]  # fmt: skip
    broken += [f"loss of {name} counts a shown trip" for name in costs[0] if costs[0][name] != costs[1][name]]
    is_counted = any(costs[0][name] != costs[2][name] for name in costs[0])
    return judged(
        "label-in-input",
        "C22",
        broken,
        f"labels of {int(hidden.sum()):,} hidden trips do count in the losses" if is_counted else "",
        f"inputs, tensors and logits of {len(rows):,} baskets under {whose}, trip labels changed; auxiliary losses",
    )


@torch.no_grad()
def _auxiliary(model: BasketModel, config: Config, batch: Batch) -> dict[str, float]:
    """The auxiliary losses that training would count, by label."""
    weights = phase_at(config.train.warmup_epochs + 1, config.train).weights
    batch = replace(batch, targets=torch.zeros_like(batch.targets))  # late products have no logit, and no part in these
    parts = objective.loss_parts(model, model, batch, weights, config.train)
    return {name: float(parts[name]) for name in TRIP_LABELS}
