"""What each step of training computes: which baskets, in which pieces, by which process, and what the losses divide by.

A step is `batch_size` baskets, whatever the number of processes and pieces: they share it, by length alike, and every piece's
losses are divided by the step's totals. So pieces, processes and workers change no result but by rounding (SPEC C31).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import Dataset

from retailsim.labels import TRIP_LABELS, UNKNOWN
from retailsim.model.batch import Batch
from retailsim.training.chance import shuffled
from retailsim.training.dataset import make_batch, pairs
from retailsim.training.loader import load
from retailsim.training.masking import Masking, hides_trip, lessons, plan
from retailsim.training.samples import Samples

BUCKET = 200  # batches whose baskets are sorted by length together: 2 % of the places are padding (50 batches: 7 %)


@dataclass(frozen=True)
class Share:
    """Which part of every step this process computes: rank `rank` of `ranks`, in `pieces` pieces one after the other."""

    rank: int = 0
    ranks: int = 1
    pieces: int = 1


@dataclass(frozen=True)
class Step:
    """One process's part of a step."""

    pieces: list[Batch]
    totals: dict[str, float]  # part of the loss → how many the whole step averages it over

    def pin_memory(self) -> "Step":
        """The same step in memory from which a GPU copies while the host goes on."""
        return Step([piece.pin_memory() for piece in self.pieces], self.totals)


def epoch_rows(samples: Samples, batch_size: int, masking: Masking) -> list[np.ndarray]:
    """Row numbers of each batch of a training epoch: each of `lessons` once."""
    rows = lessons(samples, masking)
    sizes = samples.sizes(rows, plan(samples, rows, masking).n_places)
    return [rows[batch] for batch in batch_rows(sizes, batch_size, masking.seed, masking.epoch)]


def batch_rows(sizes: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Row numbers of each batch of `sizes`: shuffled, baskets of like size together, every basket once."""
    order = shuffled(len(sizes), seed, epoch)
    chunks = [order[i : i + BUCKET * batch_size] for i in range(0, len(order), BUCKET * batch_size)]
    ordered = np.concatenate([chunk[np.argsort(sizes[chunk], kind="stable")] for chunk in chunks])
    batches = [ordered[i : i + batch_size] for i in range(0, len(ordered), batch_size)]
    return [batches[i] for i in shuffled(len(batches), seed, epoch)]


def make_step(samples: Samples, rows: np.ndarray, masking: Masking, share: Share) -> Step:
    """The part of the step of baskets `rows` that `share` computes; every process has a piece, if need be one that costs nothing."""
    dealt = [part for i in range(share.ranks * share.pieces) if len(part := rows[i :: share.ranks * share.pieces])]
    anchors, partners = pairs(samples, np.concatenate(dealt), masking)
    has_pair = [np.count_nonzero(samples.lengths[part] >= 2) for part in dealt]
    totals = totals_of(samples, rows, masking, len(partners))
    pieces = []
    for i in range(share.rank, len(dealt), share.ranks):
        own = np.arange(has_pair[i]) + sum(has_pair[:i])
        piece = make_batch(samples, dealt[i], masking)
        pieces.append(
            replace(
                piece,
                anchors=torch.from_numpy(anchors[own]),
                partners=torch.from_numpy(partners),
                partner=torch.from_numpy(own),
            )
        )
    if not pieces:  # a last step of fewer baskets than processes
        return Step([make_batch(samples, rows[:1], masking)], dict.fromkeys(totals, math.inf))
    return Step(pieces, totals)


def totals_of(samples: Samples, rows: np.ndarray, masking: Masking, n_pairs: int) -> dict[str, float]:
    """How many hidden products, pairs, hidden products of complete baskets beside a known trip and counted trip labels the baskets `rows` have; at least 1 each."""
    is_hidden = hides_trip(samples.columns["sample"][rows], masking)[:, None]
    counted = (is_hidden & (samples.trip[rows] != UNKNOWN)).sum(0)
    shows = plan(samples, rows, masking)
    totals = {
        "focal": shows.n_hidden.sum(),
        "contrastive": n_pairs,
        "evidence": shows.n_hidden[~is_hidden[:, 0] & ~shows.is_open].sum(),
        **dict(zip(TRIP_LABELS, counted, strict=True)),
    }
    return {name: float(max(total, 1)) for name, total in totals.items()}


class _Steps(Dataset[Step]):
    def __init__(self, samples: Samples, rows: list[np.ndarray], masking: Masking, share: Share) -> None:
        self.samples, self.rows, self.masking, self.share = samples, rows, masking, share

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Step:
        return make_step(self.samples, self.rows[i], self.masking, self.share)


def load_steps(
    samples: Samples, rows: list[np.ndarray], masking: Masking, share: Share, num_workers: int = 0, pin: bool = False
) -> Iterator[Step]:
    """Steps in the order of `rows`, made ahead by `num_workers` processes or a thread; the same whatever their number.

    `pin`: see `loader.load`.
    """
    return load(_Steps(samples, rows, masking, share), num_workers, pin)
