"""An evaluation's baskets made by hand, with a market that says nothing of its own."""

import numpy as np

from retailsim.evaluation.hidden import hide
from retailsim.evaluation.line_up import Market
from retailsim.evaluation.purchases import Purchases
from retailsim.training.protocol import Protocol
from retailsim.training.samples import Samples
from tests.small_world import VOCAB_SIZE, make_samples


def samples_of(lengths: list[int], seed: int = 0) -> Samples:
    """Baskets of these lengths, none of which repeats another."""
    samples = make_samples(np.array(lengths), seed)
    trips = np.zeros(len(lengths), dtype=np.int64)
    samples.columns.update(is_replay=np.zeros(len(lengths), dtype=bool), trips=trips)
    return samples


def protocol_of(samples: Samples, customer: np.ndarray | None = None) -> Protocol:
    """The protocol of `samples`, whose baskets are of these customers; left out: each of another."""
    n = len(samples)
    customer = np.arange(n) if customer is None else customer
    number, week = samples.columns["n_products"], samples.columns["week"]
    nowhere = np.zeros(n, dtype=np.int64)
    hidden = hide(samples.starts, samples.products, number, week, customer, nowhere, samples.trip, VOCAB_SIZE)
    one = Purchases.from_rows(*np.zeros((5, 1), dtype=np.int64))
    unknown = np.full(VOCAB_SIZE, -1), np.full((1, samples.trip.shape[1]), -1)
    return Protocol(samples, hidden, Market(one, VOCAB_SIZE, nowhere[:1], *unknown))
