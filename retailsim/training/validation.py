"""The validation loss, measured the same way in every phase (SPEC C28), and what products are bought at all."""

from collections.abc import Callable

import numpy as np
import torch
from lightning_fabric import Fabric

from retailsim.training.dataset import load_batches, ordered_rows
from retailsim.training.losses import focal_loss
from retailsim.training.masking import Masking
from retailsim.training.samples import Samples

IGNORED = -100  # a target that PyTorch's cross-entropy leaves out


@torch.no_grad()
def validate(
    forward: torch.nn.Module,
    val: Samples,
    vocab_size: int,
    batch_size: int,
    fabric: Fabric,
    on_batch: Callable[[], None] = lambda: None,
    num_workers: int = 0,
) -> tuple[float, float]:
    """Cross-entropy (nats) and accuracy (0–1) on the protocol's hidden products, T6 hidden.

    Late products, which no logit stands for, are left out of the loss and count as misses of the accuracy. Several processes
    take turns at the batches.
    """
    forward.eval()
    val = val.select(val.columns["n_products"] >= 2)
    masking = Masking(vocab_size, is_evaluation=True)
    rows = ordered_rows(val.lengths, batch_size)
    precise = torch.float32 if fabric.device.type == "mps" else torch.float64  # MPS has no float64
    sums = torch.zeros(4, dtype=precise, device=fabric.device)  # loss, hits, known, all
    for batch in load_batches(val, rows[fabric.global_rank :: fabric.world_size], masking, num_workers):
        batch = batch.to(fabric.device)
        logits, is_known = forward(batch).product_logits.float(), batch.targets < vocab_size
        loss = focal_loss(logits, batch.targets.masked_fill(~is_known, IGNORED), gamma=0.0, total=1.0)
        hits = (logits.argmax(-1) == batch.targets).sum()  # no late product is ever the greatest logit
        counts = (loss, hits, is_known.sum(), torch.ones_like(is_known).sum())
        sums += torch.stack([count.to(precise) for count in counts])
        on_batch()
    loss, hits, known, total = fabric.all_reduce(sums, reduce_op="sum").tolist()
    return loss / max(known, 1), hits / max(total, 1)


def product_counts(train: Samples, vocab_size: int) -> torch.Tensor:
    """How many training baskets have each product: float32 [V], 0 for special tokens."""
    return torch.from_numpy(np.bincount(train.products, minlength=vocab_size)[:vocab_size].astype(np.float32))
