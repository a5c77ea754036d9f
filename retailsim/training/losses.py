"""The losses (document: "Loss Functions Explained Simply"), each a function of tensors.

Legend: M hidden places · V vocabulary · B baskets · K pairs of products bought together · N pairs of the whole step · D width.
Each is a sum divided by `total`, by how many it has itself where that is None: a step that is computed in pieces, or by several
processes, divides each piece's sum by the step's total, so that the pieces' losses add up to the step's.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from retailsim.labels import TRIP_LABELS, UNKNOWN
from retailsim.training.schedule import Phase


def focal_loss(
    logits: Float[Tensor, "M V"], targets: Int[Tensor, " M"], gamma: float, total: float | Tensor | None = None
) -> Float[Tensor, ""]:
    """Mean of (1 − p)^γ · −log p of the hidden products (Lin et al. 2017, eq. 4), 0 without any; γ = 0 is the cross-entropy."""
    log_p = -F.cross_entropy(logits.float(), targets, reduction="none")
    return ((1 - log_p.exp()) ** gamma * -log_p).sum() / _or_own(total, len(targets))


def contrastive_loss(
    anchors: Float[Tensor, "K D"],
    partners: Float[Tensor, "N D"],
    anchor_ids: Int[Tensor, " K"],
    partner_ids: Int[Tensor, " N"],
    partner: Int[Tensor, " K"],
    temperature: float,
    total: float | Tensor | None = None,
) -> Float[Tensor, ""]:
    """InfoNCE (van den Oord et al. 2018, eq. 4): a product's partner is the one of its own basket among all baskets' partners.

    `partner` says which of the N partners lay in the basket of each anchor. A partner of another basket is no negative where
    it is the same product as the basket's own partner or as its anchor. Fewer than two partners cost nothing.
    """
    if len(partners) < 2:
        return anchors.sum() * 0.0
    scores = F.normalize(anchors.float(), dim=-1) @ F.normalize(partners.float(), dim=-1).T / temperature  # [K, N]
    is_same = (partner_ids[partner][:, None] == partner_ids) | (anchor_ids[:, None] == partner_ids)
    scores = scores.masked_fill(is_same.scatter(1, partner[:, None], False), -torch.inf)
    return F.cross_entropy(scores, partner, reduction="sum") / _or_own(total, len(anchors))


def evidence_loss(
    log_likelihood: Float[Tensor, " M"], is_known: Bool[Tensor, " M"], total: float | Tensor | None = None
) -> Float[Tensor, ""]:
    """Mean of −log P(the trip's labels | visible products and a hidden one) over hidden products whose trip is known; 0 without any."""
    return -(log_likelihood * is_known).sum() / (is_known.sum().clamp(min=1) if total is None else total)


def auxiliary_losses(
    trip_logits: Mapping[str, Tensor],
    labels: Int[Tensor, "B 4"],
    hide_trip: Bool[Tensor, " B"],
    totals: Mapping[str, float | Tensor] | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """Cross-entropy per trip label over baskets whose T6 is hidden and whose label is known (SPEC C22); 0 where none is."""
    losses = {}
    for i, label in enumerate(TRIP_LABELS):
        counted = hide_trip & (labels[:, i] != UNKNOWN)
        target = labels[:, i].clamp(min=0)
        each = F.cross_entropy(trip_logits[label].float(), target, reduction="none") * counted
        losses[label] = each.sum() / (totals[label] if totals else counted.sum().clamp(min=1))
    return losses


def total_loss(parts: Mapping[str, Tensor], phase: Phase) -> Float[Tensor, ""]:
    """The phase's weighted sum of the parts `focal`, `contrastive` and one per trip label."""
    return torch.stack([parts[name] * weight for name, weight in phase.weights.items() if weight > 0]).sum()


def _or_own(total: float | Tensor | None, own: int) -> float | Tensor:
    return float(max(own, 1)) if total is None else total
