"""What a trained model says about the protocol's baskets: ranks of the hidden products and guesses of the trip."""

from collections.abc import Callable

import numpy as np
import torch

from retailsim.evaluation.ranking import excluded_ids, ranks_of_logits
from retailsim.labels import TRIP_LABELS
from retailsim.model.basket_model import BasketModel
from retailsim.training.dataset import Masking, load_batches, ordered_rows
from retailsim.training.protocol import Protocol


@torch.no_grad()
def score(
    model: BasketModel,
    protocol: Protocol,
    vocab_size: int,
    batch_size: int,
    device: torch.device,
    is_trip_known: bool,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of the hidden products, float64 [M] in the order of `protocol.hidden`, and trip codes guessed, int64 [B, 4]."""
    model.eval()
    samples = protocol.samples
    masking = Masking(vocab_size, hide_trip_prob=0.0 if is_trip_known else 1.0, is_evaluation=True)
    rows = ordered_rows(samples.lengths, batch_size)
    baskets, targets, found = [], [], []
    guesses = np.empty((len(samples), len(TRIP_LABELS)), dtype=np.int64)
    for done, (batch, numbers) in enumerate(zip(load_batches(samples, rows, masking), rows, strict=True), start=1):
        batch = batch.to(device)
        output = model(batch)
        basket = torch.div(batch.places, batch.ids.shape[1], rounding_mode="floor")
        excluded = excluded_ids(batch.ids, vocab_size)[basket]
        found.append(ranks_of_logits(output.product_logits.float(), batch.targets, excluded))
        baskets.append(numbers[basket.cpu().numpy()])
        targets.append(batch.targets.cpu().numpy())
        guesses[numbers] = (
            torch.stack([output.trip_logits[name].argmax(-1) for name in TRIP_LABELS], dim=1).cpu().numpy()
        )
        on_batch(done, len(rows))
    # a product is hidden at most once in a basket, so basket and product say which hidden product a rank belongs to
    order = np.lexsort((np.concatenate(targets), np.concatenate(baskets)))
    place = np.lexsort((protocol.hidden.target, protocol.hidden.basket))
    ranks = np.empty(len(order))
    ranks[place] = np.concatenate(found)[order]
    return ranks, guesses
