"""The training objective of masked products: what a batch costs, part by part (SPEC C26)."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from retailsim.config import TrainConfig
from retailsim.model.basket_model import BasketModel
from retailsim.model.batch import Batch
from retailsim.training.losses import auxiliary_losses, contrastive_loss, focal_loss
from retailsim.vocab import EOS


def loss_parts(
    model: BasketModel, forward: torch.nn.Module, batch: Batch, weights: Mapping[str, float], config: TrainConfig
) -> dict[str, Float[Tensor, ""]]:
    """Unweighted losses of `batch` for every part that `weights` gives a share.

    Args:
        model: the model itself, for its product rows.
        forward: the model as the device runs it (wrapped for precision or several processes).
        batch: masked baskets.
        weights: shares of the phase.
        config: γ and temperature.
    """
    output = forward(batch)
    parts = {"focal": focal_loss(output.product_logits, batch.targets, config.focal_gamma)}
    if weights.get("contrastive"):
        anchors, partners = partner_ids(batch)
        rows = model.lookup.products(torch.stack([anchors, partners]))
        parts["contrastive"] = contrastive_loss(rows[0], rows[1], anchors, partners, config.temperature)
    if any(name in weights for name in output.trip_logits):
        parts |= auxiliary_losses(output.trip_logits, batch.labels, batch.hide_trip)
    return parts


def partner_ids(batch: Batch) -> tuple[Int[Tensor, " K"], Int[Tensor, " K"]]:
    """The first two visible products of each basket that has two; places are in random order, so the pair is random."""
    is_visible = (batch.ids > EOS).flatten().index_fill(0, batch.places, False).view_as(batch.ids)
    count = is_visible.cumsum(1)
    has_two = count[:, -1] >= 2
    ids, is_visible, count = batch.ids[has_two], is_visible[has_two], count[has_two]
    first = (is_visible & (count == 1)).int().argmax(1, keepdim=True)
    second = (is_visible & (count == 2)).int().argmax(1, keepdim=True)
    return ids.gather(1, first)[:, 0], ids.gather(1, second)[:, 0]
