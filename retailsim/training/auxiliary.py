"""How well the trip's labels are guessed with T6 hidden, beside two rivals that see no customer, store or time (SPEC C22, C32)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from retailsim.evaluation.hidden import MIN_PRODUCTS, hidden_items
from retailsim.evaluation.intervals import intervals, units_of
from retailsim.evaluation.label_regression import Labelled, columns_of, fit_regression
from retailsim.labels import TRIP_LABELS, UNKNOWN
from retailsim.training.protocol import Protocol
from retailsim.training.samples import Samples

FIT_BASKETS = 40_000  # at most so many of the training weeks, evenly spaced, on which the regression is fitted


@dataclass(frozen=True)
class LabelRivals:
    """Codes that need no model: the training weeks' most frequent, and those of the visible products."""

    majority: np.ndarray  # int64 [4]
    regression: np.ndarray  # int64 [B, 4]
    penalties: tuple[float | None, ...]  # of the regression, by label; None: the source does not have the label


def fit_rivals(train: Samples, val: Samples, protocol: Protocol) -> LabelRivals:
    """Fit both on the training weeks, choose the regression on the validation weeks, and ask it about the protocol's baskets."""
    size, group = protocol.market.size, protocol.market.product_group
    fit, chosen_on = spread(train), val.select(_usable(val) & ~val.columns["is_replay"])
    seen, seen_later, asked = (visible_columns(of, size, group) for of in (fit, chosen_on, protocol.samples))
    regression = np.full((len(protocol.samples), len(TRIP_LABELS)), UNKNOWN)
    penalties: list[float | None] = [None] * len(TRIP_LABELS)
    for i in np.flatnonzero((fit.trip != UNKNOWN).any(axis=0)):
        found = fit_regression(Labelled(seen, fit.trip[:, i]), Labelled(seen_later, chosen_on.trip[:, i]))
        regression[:, i], penalties[i] = found.guess(asked), found.penalty
    return LabelRivals(majority_classes(train), regression, tuple(penalties))


def spread(train: Samples) -> Samples:
    """The training baskets of MIN_PRODUCTS and more, evenly spaced where they are more than FIT_BASKETS."""
    usable = np.flatnonzero(_usable(train))
    keep = np.zeros(len(train), dtype=bool)
    keep[usable[:: max(1, -(-len(usable) // FIT_BASKETS))]] = True
    return train.select(keep)


def _usable(samples: Samples) -> np.ndarray:
    return samples.columns["n_products"] >= MIN_PRODUCTS


def visible_columns(samples: Samples, size: int, group: np.ndarray) -> csr_array:
    """What the regression sees of baskets whose hidden products are the protocol's; an unknown number or price is 1, as for the model.

    `size` is that of the vocabulary: late products are not seen; `group` [size] says of which group each product is, −1: not known.
    """
    basket, is_hidden = hidden_items(samples.starts, samples.columns["n_products"])
    shown = ~is_hidden & (samples.products < size)
    where, shape = (basket[shown], samples.products[shown]), (len(samples), size)
    items, price = (np.nan_to_num(of[shown], nan=1.0) for of in (samples.quantities, samples.prices))
    n_hidden = np.bincount(basket[is_hidden], minlength=len(samples))
    of_items, spent = (csr_array((values, where), shape=shape) for values in (items, items * price))
    return columns_of(of_items, spent, n_hidden, group)


def majority_classes(train: Samples) -> np.ndarray:
    """The most frequent known class of each trip label in the training baskets, int64 [4]."""
    columns = [train.trip[:, i] for i in range(len(TRIP_LABELS))]
    return np.array([np.bincount(c[c != UNKNOWN], minlength=1).argmax() for c in columns])


def accuracies(guesses: np.ndarray, rivals: LabelRivals, protocol: Protocol, seed: int) -> dict[str, dict[str, Any]]:
    """Accuracy per label on fresh baskets whose label is known, with both rivals' and whether the model beats both.

    It beats a rival where the 95 % interval of the paired difference, by customer, is above 0.

    Args:
        guesses: the model's codes with T6 hidden, int64 [B, 4].
        rivals: see `fit_rivals`.
        protocol: the baskets.
        seed: of the intervals.
    """
    samples = protocol.samples
    units = units_of(protocol.hidden.customer, np.arange(len(samples)))
    result = {}
    for i, label in enumerate(TRIP_LABELS):
        rows = ~samples.columns["is_replay"] & (samples.trip[:, i] != UNKNOWN)
        said = {"accuracy": guesses[:, i], "majority": rivals.majority[i], "regression": rivals.regression[:, i]}
        hits = {name: (codes == samples.trip[:, i])[rows].astype(np.float64) for name, codes in said.items()}
        leads = {name: hits["accuracy"] - hits[name] for name in ("majority", "regression")}
        ends = intervals(leads, units[rows], seed) if rows.any() else {}
        result[label] = {
            **{name: float(of.mean()) if len(of) else None for name, of in hits.items()},
            "n": int(rows.sum()),
            "beats_both": all(low > 0 for low, _ in ends.values()) if ends else None,
            "leads": {name: list(of) for name, of in ends.items()},
            "penalty": rivals.penalties[i],
        }
    return result
