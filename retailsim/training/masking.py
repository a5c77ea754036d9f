"""What each basket of a batch shows: masks that depend on (seed, epoch, basket) alone.

A basket is complete but for its hidden places, or it is open (docs/decisions/0016-open-baskets.md): a part of it is shown,
perhaps nothing, and one place asks what comes next, so that how many products are missing is not to be seen.

Legend: n baskets.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from retailsim.evaluation.hidden import hidden_count
from retailsim.labels import UNKNOWN
from retailsim.training.chance import uniform
from retailsim.training.samples import Samples

# streams of chance
ORDER, CHOICE, REPLACEMENT, RANDOM_PRODUCT, TRIP, ANCHOR, PARTNER, DROPOUT, OPEN, VISIBLE, PART, LABELS = range(12)


@dataclass(frozen=True)
class Masking:
    """How baskets are masked: for training by chance, for evaluation by the protocol (always the mask token)."""

    vocab_size: int
    mask_prob: float = 0.15
    hide_trip_prob: float = 1.0
    epoch: int = 0
    seed: int = 0
    is_evaluation: bool = False
    mask_token_share: float = 0.8  # of the chosen places; half of the rest show a random product (SPEC C25)
    part_trip_prob: float = 0.0  # share of the trips that are not hidden of which some labels are
    open_share: float = 0.0  # of the baskets, half of them shown empty; an evaluation opens all or none
    is_empty: bool = False  # whether an evaluation's open baskets are shown empty, too


Question = Literal["trip_known", "trip_unknown", "before_trip"]


def asking(question: Question, vocab_size: int) -> Masking:
    """How an evaluation shows its baskets.

    With the trip known or unknown the hidden products are all that is missing. Before the trip nothing is there yet, neither a
    product nor the trip's kind nor how many products it will be; the same products are asked for.
    """
    is_before = question == "before_trip"
    return Masking(
        vocab_size,
        hide_trip_prob=float(question != "trip_known"),
        is_evaluation=True,
        open_share=float(is_before),
        is_empty=is_before,
    )


@dataclass(frozen=True)
class Plan:
    """How many products of each basket are shown and asked for, each [n]; of an open basket the others are left out."""

    is_open: np.ndarray  # bool
    n_visible: np.ndarray  # int64
    n_hidden: np.ndarray  # int64, targets

    @property
    def n_places(self) -> np.ndarray:
        """Places of each basket: int64 [n]."""
        return self.n_visible + np.where(self.is_open, 1, self.n_hidden)


def plan(samples: Samples, rows: np.ndarray, masking: Masking) -> Plan:
    """How the baskets `rows` [n] are shown."""
    lengths, number = samples.lengths[rows], samples.columns["sample"][rows]
    if masking.is_evaluation:
        n_hidden = hidden_count(samples.columns["n_products"][rows].astype(np.int64)).clip(max=lengths)
        is_open = np.full(len(rows), masking.open_share > 0)
        return Plan(is_open, np.where(is_open & masking.is_empty, 0, lengths - n_hidden), n_hidden)
    n_hidden = masked_count(lengths, masking.mask_prob)
    draw = uniform(OPEN, masking.seed, masking.epoch, number)
    is_empty = draw < masking.open_share / 2
    is_open = np.where(lengths > 1, draw < masking.open_share, is_empty)
    some = 1 + (uniform(VISIBLE, masking.seed, masking.epoch, number) * (lengths - 1)).astype(np.int64)
    n_visible = np.where(is_open, np.where(is_empty, 0, some), lengths - n_hidden)
    return Plan(is_open, n_visible, np.minimum(n_hidden, lengths - n_visible))


def lessons(samples: Samples, masking: Masking) -> np.ndarray:
    """The baskets of a training epoch, rows int64 [n]: where some are open, those of one product count only as such.

    Such a basket has nothing to show. Were it always masked, empty baskets would be taken for those of one product. Where all
    baskets are of one product, they are, and all count.
    """
    rows = np.arange(len(samples))
    if not masking.open_share or (samples.lengths == 1).all():
        return rows
    return rows[plan(samples, rows, masking).is_open | (samples.lengths > 1)]


def masked_count(lengths: np.ndarray, mask_prob: float) -> np.ndarray:
    """How many products of baskets of these lengths are hidden in training: int64 [n], at least one (SPEC C25)."""
    return np.maximum(1, np.floor(mask_prob * lengths + 0.5)).astype(np.int64)


def hides_trip(number: np.ndarray, masking: Masking) -> np.ndarray:
    """Whether T6 of each basket `number` is hidden: bool [n]."""
    return uniform(TRIP, masking.seed, masking.epoch, number) < masking.hide_trip_prob


def shown_trips(trip: np.ndarray, number: np.ndarray, masking: Masking) -> np.ndarray:
    """The labels `trip` int [n, 4] as the baskets `number` [n] show them, UNKNOWN where they are hidden.

    A trip that is not hidden is told whole or in part, so that a request may tell any labels: every choice of some of them, but not all,
    is equally likely.
    """
    key, labels = (masking.seed, masking.epoch, number), trip.shape[1]
    everything = 2**labels - 1
    part = 1 + (uniform(LABELS, *key) * (everything - 1)).astype(np.int64)
    told = np.where(uniform(PART, *key) < masking.part_trip_prob, part, everything)
    told = np.where(hides_trip(number, masking), 0, told)
    return np.where(told[:, None] >> np.arange(labels) & 1, trip, UNKNOWN)
