"""How well the trip's labels are guessed with T6 hidden, beside two rivals that see no customer, store or time (SPEC C22, C32)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from retailsim.evaluation.hidden import MIN_PRODUCTS, hidden_items
from retailsim.evaluation.label_regression import columns_of, guess_label
from retailsim.labels import TRIP_LABELS, UNKNOWN
from retailsim.training.protocol import Protocol
from retailsim.training.samples import Samples

FIT_BASKETS = 40_000  # of the training weeks, evenly spaced, on which the regression is fitted


@dataclass(frozen=True)
class LabelRivals:
    """Codes that need no model: the training weeks' most frequent, and those of the visible products."""

    majority: np.ndarray  # int64 [4]
    regression: np.ndarray  # int64 [B, 4]


def fit_rivals(train: Samples, protocol: Protocol) -> LabelRivals:
    """Fit both on the training weeks and ask the regression about the protocol's baskets."""
    usable = np.flatnonzero(train.columns["n_products"] >= MIN_PRODUCTS)
    keep = np.zeros(len(train), dtype=bool)
    keep[usable[:: max(1, len(usable) // FIT_BASKETS)]] = True
    fit, size = train.select(keep), protocol.market.size
    group = protocol.market.product_group
    known, asked = visible_columns(fit, size, group), visible_columns(protocol.samples, size, group)
    unknown = np.full(len(protocol.samples), UNKNOWN)  # the guess of a label that the source does not have
    regression = [guess_label(known, codes, asked) if (codes != UNKNOWN).any() else unknown for codes in fit.trip.T]
    return LabelRivals(majority_classes(train), np.stack(regression, axis=1))


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


def accuracies(
    guesses: np.ndarray, rivals: LabelRivals, protocol: Protocol
) -> dict[str, dict[str, float | int | bool | None]]:
    """Accuracy per label on fresh baskets whose label is known, with both rivals' and whether the model beats both.

    Args:
        guesses: the model's codes with T6 hidden, int64 [B, 4].
        rivals: see `fit_rivals`.
        protocol: the baskets.
    """
    samples = protocol.samples
    result: dict[str, dict[str, float | int | bool | None]] = {}
    for i, label in enumerate(TRIP_LABELS):
        rows = ~samples.columns["is_replay"] & (samples.trip[:, i] != UNKNOWN)
        truth, n = samples.trip[rows, i], int(rows.sum())
        said: Mapping[str, np.ndarray] = {
            "accuracy": guesses[rows, i],
            "majority": np.full(n, rivals.majority[i]),
            "regression": rivals.regression[rows, i],
        }
        shares = {name: float((codes == truth).mean()) if n else None for name, codes in said.items()}
        hits = {name: int((codes == truth).sum()) for name, codes in said.items()}
        beats = hits["accuracy"] > max(hits["majority"], hits["regression"])
        result[label] = {**shares, "n": n, "beats_both": beats if n else None}
    return result
