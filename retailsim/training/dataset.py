"""The batches made of samples: vectorised gathers, masked by chance or by the protocol.

Legend: B baskets · S places · M hidden places. Everything is integers until the model looks its rows up.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Dataset

from retailsim.model.batch import Batch
from retailsim.tensor_preparation.t3_time import hour_row, recency_row
from retailsim.training.chance import uniform
from retailsim.training.histories import customer_entries, store_counts
from retailsim.training.loader import load
from retailsim.training.masking import (
    ANCHOR,
    CHOICE,
    DROPOUT,
    ORDER,
    PARTNER,
    RANDOM_PRODUCT,
    REPLACEMENT,
    Masking,
    hides_trip,
    plan,
    shown_trips,
)
from retailsim.training.samples import Samples
from retailsim.vocab import EOS, MASK, SPECIAL_TOKENS


def make_batch(samples: Samples, rows: np.ndarray, masking: Masking) -> Batch:
    """The baskets `rows` [B] as a masked batch; each basket's products in an order drawn from (seed, epoch, basket).

    Chance is drawn for the stored position of a product, never for the product: which places are hidden, what stands
    there and how the basket is ordered are the same whatever the hidden products are (SPEC C20). The hidden products of an
    open basket share one place, where [EOS] stands: the basket goes on.
    """
    lengths = samples.lengths[rows]
    basket = np.repeat(np.arange(len(rows)), lengths)
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    stored = np.arange(len(basket)) - first  # position in the stored order
    flat = np.repeat(samples.starts[rows], lengths) + stored
    number = samples.columns["sample"][rows]
    shows = plan(samples, rows, masking)
    is_open = shows.is_open[basket]
    products, key = samples.products[flat], (masking.seed, masking.epoch, number[basket], stored)

    if masking.is_evaluation:
        rank, instead = stored, np.full(len(basket), MASK)
    else:
        rank, instead = _rank_within(uniform(CHOICE, *key), basket, first), _replacement(key, products, masking)
    is_chosen, is_visible = rank < shows.n_hidden[basket], rank >= (lengths - shows.n_visible)[basket]
    asks = is_chosen & (~is_open | (rank == 0))  # the hidden products that have a place of their own
    left_out = ~(is_visible | asks)
    place = _rank_within(uniform(ORDER, *key) + left_out, basket, first)
    place[is_open & is_chosen] = place[is_open & asks].repeat(shows.n_hidden[shows.is_open])
    width = int(shows.n_places.max())
    ids = np.zeros((len(rows), width), dtype=np.int64)
    ids[basket[asks], place[asks]] = np.where(is_open, EOS, instead)[asks]
    paid, quantity = np.full((2, len(rows), width), np.nan, dtype=np.float32)
    seen = basket[is_visible], place[is_visible]
    for array, values in ((ids, products), (paid, samples.prices[flat]), (quantity, samples.quantities[flat])):
        array[seen] = values[is_visible]
    hidden = (basket * width + place)[is_chosen]
    order = np.argsort(hidden, kind="stable")
    places, targets = hidden[order], products[is_chosen][order].astype(np.int64)
    within, slots = slots_of(places // width, len(rows))
    anchors, partners = pairs(samples, rows, masking)
    trip = samples.trip[rows]
    shown_trip = shown_trips(trip, number, masking)
    week, day, customer, store = (
        samples.columns[name][rows].astype(np.int64) for name in ("week", "day", "customer_row", "store_row")
    )
    histories = samples.histories
    in_basket = np.zeros((len(rows), histories.vocab_size), dtype=bool)
    is_known = is_visible & (products < histories.vocab_size)
    in_basket[basket[is_known], products[is_known]] = True
    bought, habits = customer_entries(histories.customers, customer, week, in_basket, shown_trip)
    arrays = {
        "sample": number.astype(np.int64),
        "customer": customer,
        "store": store,
        "week": week,
        "day": day,
        "hour": hour_row(samples.columns["hour"][rows]),
        "recency": recency_row(samples.columns["recency"][rows]),
        "trip": shown_trip,
        "hide_trip": hides_trip(number, masking),
        "ids": ids,
        "paid": paid,
        "quantity": quantity,
        "places": places,
        "within": within,
        "slots": slots,
        "targets": targets,
        "bought": bought,
        "habits": habits,
        "store_counts": store_counts(histories.stores, store, week, histories.vocab_size),
        "labels": trip,
        "chance": (uniform(DROPOUT, masking.seed, masking.epoch, number) * 2**31).astype(np.int64),
        "anchors": anchors,
        "partners": partners,
        "partner": np.arange(len(partners)),
    }
    return Batch(**{name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()})


def slots_of(basket: np.ndarray, baskets: int) -> tuple[np.ndarray, np.ndarray]:
    """`within` and `slots` of a batch (see Batch) whose hidden places lie in `basket` [M], which does not fall."""
    count = np.bincount(basket, minlength=baskets)
    within = np.arange(len(basket)) - (np.cumsum(count) - count)[basket]
    slots = np.full((baskets, count.max(initial=0)), len(basket))
    slots[basket, within] = np.arange(len(basket))
    return within, slots


def pairs(samples: Samples, rows: np.ndarray, masking: Masking) -> tuple[np.ndarray, np.ndarray]:
    """Two different products of each of the baskets `rows` that has two, by chance: vocabulary rows, each int64 [K].

    Labels of the contrastive loss, hidden products among them: no input of the model.
    """
    rows = rows[samples.lengths[rows] >= 2]
    length, key = samples.lengths[rows], (masking.seed, masking.epoch, samples.columns["sample"][rows])
    first = (uniform(ANCHOR, *key) * length).astype(np.int64)
    second = (first + 1 + (uniform(PARTNER, *key) * (length - 1)).astype(np.int64)) % length
    start = samples.starts[rows]
    return samples.products[start + first].astype(np.int64), samples.products[start + second].astype(np.int64)


def _replacement(key: tuple, products: np.ndarray, masking: Masking) -> np.ndarray:
    """What stands at a chosen place in training: mask token, random product, or the product itself."""
    share, specials = uniform(REPLACEMENT, *key), len(SPECIAL_TOKENS)
    random = specials + (uniform(RANDOM_PRODUCT, *key) * (masking.vocab_size - specials)).astype(np.int64)
    middle = (1 + masking.mask_token_share) / 2
    return np.where(share < masking.mask_token_share, MASK, np.where(share < middle, random, products))


def _rank_within(values: np.ndarray, basket: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Rank 0, 1, … of each item among its basket's, by `values`; `first` is the flat index of the basket's first item."""
    order = np.lexsort((values, basket))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - first
    return rank


def ordered_rows(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Row numbers of each batch of an evaluation: every basket once, by length."""
    order = np.argsort(lengths, kind="stable")
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


class _Batches(Dataset[Batch]):
    def __init__(self, samples: Samples, rows: list[np.ndarray], masking: Masking) -> None:
        self.samples, self.rows, self.masking = samples, rows, masking

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Batch:
        return make_batch(self.samples, self.rows[i], self.masking)


def load_batches(samples: Samples, rows: list[np.ndarray], masking: Masking, num_workers: int = 0) -> Iterator[Batch]:
    """Batches in the order of `rows`, made ahead by `num_workers` processes or a thread; the same whatever their number."""
    return load(_Batches(samples, rows, masking), num_workers)
