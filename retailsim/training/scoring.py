"""What a trained model says about hidden products and trips: ranks, how sure it is, and guesses of the trip's labels."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from retailsim.evaluation.calibration import competing, confidence
from retailsim.evaluation.ranking import Ranks, excluded_ids, ranks_of_logits
from retailsim.labels import TRIP_LABELS
from retailsim.model.basket_model import BasketModel
from retailsim.model.batch import Batch
from retailsim.model.world_model import WorldModelOutput
from retailsim.training.dataset import load_batches, ordered_rows
from retailsim.training.masking import Masking, Question, asking, plan
from retailsim.training.protocol import Protocol
from retailsim.training.samples import Samples

OnBatch = Callable[[int, int], None]  # batches done, batches in all


@dataclass(frozen=True)
class Scored:
    """What a model says about one question; hidden products in the order of the protocol's."""

    ranks: Ranks
    confidence: np.ndarray  # [M], probability of the top prediction as the model says it
    tempered: np.ndarray  # [M], the same after temperature scaling
    guesses: np.ndarray  # int64 [B, 4], trip codes


@dataclass(frozen=True)
class Answer:
    """One batch, what the model answers, and what does not compete at its hidden places."""

    rows: np.ndarray  # [B], row numbers of the baskets in the samples
    batch: Batch
    output: WorldModelOutput
    excluded: Tensor  # bool [M, V]

    @property
    def basket(self) -> np.ndarray:
        """The row number of each hidden product's basket, int64 [M]."""
        return self.rows[self.batch.basket.cpu().numpy()]


def answers(
    model: BasketModel,
    samples: Samples,
    masking: Masking,
    batch_size: int,
    device: torch.device,
    on_batch: OnBatch = lambda done, total: None,
) -> Iterator[Answer]:
    """The model's answer to every basket as `masking` shows it, by length."""
    model.eval()
    samples = samples if model.history else samples.without_histories()
    rows = ordered_rows(plan(samples, np.arange(len(samples)), masking).n_places, batch_size)
    for done, (batch, numbers) in enumerate(zip(load_batches(samples, rows, masking), rows, strict=True), start=1):
        batch = batch.to(device)
        with torch.no_grad():
            output = model(batch)
        yield Answer(numbers, batch, output, excluded_ids(batch.ids, masking.vocab_size)[batch.basket])
        on_batch(done, len(rows))


def score(
    model: BasketModel,
    protocol: Protocol,
    question: Question,
    batch_size: int,
    device: torch.device,
    temperature: float = 1.0,
    on_batch: OnBatch = lambda done, total: None,
) -> Scored:
    """Rank the protocol's hidden products and guess its trips, shown what `question` says."""
    baskets, targets, found = [], [], []
    guesses = np.empty((len(protocol.samples), len(TRIP_LABELS)), dtype=np.int64)
    masking = asking(question, protocol.market.size)
    for answer in answers(model, protocol.samples, masking, batch_size, device, on_batch):
        logits, target = answer.output.product_logits.float(), answer.batch.targets
        left = competing(logits, answer.excluded)
        ranks = ranks_of_logits(logits, target, answer.excluded)
        sure = confidence(left, 1.0), confidence(left, temperature)
        found.append(np.stack([ranks, _novel_ranks(answer, logits, ranks, protocol), *sure]))
        baskets.append(answer.basket)
        targets.append(target.cpu().numpy())
        trips = [answer.output.trip_logits[name].argmax(-1) for name in TRIP_LABELS]
        guesses[answer.rows] = torch.stack(trips, dim=1).cpu().numpy()
    # a product is hidden at most once in a basket, so basket and product say which hidden product a rank belongs to
    order = np.lexsort((np.concatenate(targets), np.concatenate(baskets)))
    place = np.lexsort((protocol.hidden.target, protocol.hidden.basket))
    aligned = np.empty((4, len(order)))
    aligned[:, place] = np.concatenate(found, axis=1)[:, order]
    return Scored(Ranks(aligned[0], aligned[1]), aligned[2], aligned[3], guesses)


def _novel_ranks(answer: Answer, logits: Tensor, ranks: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Ranks of first-time purchases among what is novel, see `evaluation.ranking.Ranks`."""
    hidden, first, target = protocol.hidden, protocol.market.first_purchases, answer.batch.targets
    week, customer = hidden.week[answer.basket], hidden.customer[answer.basket]
    novel = np.where(np.isinf(ranks), np.inf, np.nan)
    rows = np.flatnonzero(first.is_novel(week, customer, target.cpu().numpy()))
    if len(rows):
        bought = torch.from_numpy(first.bought(week[rows], customer[rows]).toarray()).to(logits.device)
        novel[rows] = ranks_of_logits(logits[rows], target[rows], answer.excluded[rows] | bought)
    return novel
