"""The training objective of masked products: what a batch costs, part by part (SPEC C26)."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from retailsim.config import TrainConfig
from retailsim.model.basket_model import BasketModel
from retailsim.model.batch import Batch
from retailsim.training.losses import auxiliary_losses, contrastive_loss, evidence_loss, focal_loss


def loss_parts(
    model: BasketModel,
    forward: torch.nn.Module,
    batch: Batch,
    weights: Mapping[str, float],
    config: TrainConfig,
    totals: Mapping[str, float | Tensor] | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """Unweighted losses of `batch` for every part that `weights` gives a share.

    Args:
        model: the model itself, for its product rows and its trip evidence.
        forward: the model as the device runs it (wrapped for precision or several processes).
        batch: masked baskets.
        weights: shares of the phase.
        config: γ and temperature.
        totals: what each part's sum is divided by, where `batch` is a piece of a step; None divides by its own number.
    """
    output = forward(batch)
    focal_total, contrastive_total = (totals[name] if totals else None for name in ("focal", "contrastive"))
    parts = {"focal": focal_loss(output.product_logits, batch.targets, config.focal_gamma, focal_total)}
    if weights.get("contrastive"):
        anchors, partners = (model.lookup.products(ids) for ids in (batch.anchors, batch.partners))
        parts["contrastive"] = contrastive_loss(
            anchors, partners, batch.anchors, batch.partners, batch.partner, config.temperature, contrastive_total
        )
    if weights.get("evidence"):
        is_known = ~(batch.hide_trip | batch.is_open)[batch.basket]
        parts["evidence"] = evidence_loss(model.log_likelihood(batch), is_known, totals["evidence"] if totals else None)
    if any(name in weights for name in output.trip_logits):
        parts |= auxiliary_losses(output.trip_logits, batch.labels, batch.hide_trip, totals)
    return parts
