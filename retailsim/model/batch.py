"""What the model receives: integers that say which rows to look up, with the hidden products already masked.

Legend: B baskets · S places · M hidden places, P of a basket at most · K earlier products of the customer, the trip itself in front · F habits ·
V vocabulary · Q pairs of this batch · N pairs of the whole step.
"""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from retailsim.vocab import EOS

HABITS = 25  # F, numbers that say how a product was bought


@dataclass
class Batch:  # not frozen: Lightning Fabric rebuilds what passes through a wrapped module
    """B baskets. Labels alone know what is hidden: `targets` and pairs products, `labels` trips (SPEC C20, C22)."""

    sample: Int[Tensor, " B"]  # number of the basket in its split
    customer: Int[Tensor, " B"]  # row of T1; 0 unknown customer
    store: Int[Tensor, " B"]  # row of T5
    week: Int[Tensor, " B"]  # 1 … last week
    day: Int[Tensor, " B"]  # days since the first Monday
    hour: Int[Tensor, " B"]  # 0–23; 24 unknown
    recency: Int[Tensor, " B"]  # weeks since the customer's last trip, 0: none
    trip: Int[Tensor, "B 4"]  # codes in the order of labels.TRIP_LABELS, −1 unknown
    hide_trip: Bool[Tensor, " B"]  # whether T6 is hidden
    ids: Int[Tensor, "B S"]  # vocabulary rows: MASK at hidden places, EOS where an open basket goes on, PAD at the end
    paid: Float[Tensor, "B S"]  # £ per item paid; NaN where unknown, hidden or padding
    quantity: Float[Tensor, "B S"]  # items bought; NaN where unknown, hidden or padding
    places: Int[Tensor, " M"]  # flat index b·S + s of each hidden product's place; those of an open basket share one
    within: Int[Tensor, " M"]  # which of its basket's hidden products each is, from 0
    slots: Int[Tensor, "B P"]  # index into `places` of the p-th hidden place of each basket; M where there is none
    targets: Int[Tensor, " M"]  # vocabulary rows of the hidden products
    bought: Int[Tensor, "B K"]  # products that the customer bought before, PAD for the trip and at the end
    habits: Float[Tensor, "B K F"]  # how each was bought, beside what and on which trips, see training.histories
    store_counts: Float[Tensor, "B V"]  # decayed baskets of the store with each product; column PAD: in all
    labels: Int[Tensor, "B 4"]  # trip codes as labels of the auxiliary tasks, −1 unknown
    chance: Int[Tensor, " B"]  # draw ≥ 0 that chooses each basket's dropout masks in training
    anchors: Int[Tensor, " Q"]  # vocabulary rows: a product of each basket that has two
    partners: Int[Tensor, " N"]  # another product of each basket of the whole step that has two
    partner: Int[Tensor, " Q"]  # which of `partners` lay in the basket of each anchor

    @property
    def basket(self) -> Int[Tensor, " M"]:
        """Which of the B baskets each hidden place lies in."""
        return torch.div(self.places, self.ids.shape[1], rounding_mode="floor")

    @property
    def is_open(self) -> Bool[Tensor, " B"]:
        """Which baskets go on, so that nobody knows how much is missing."""
        return (self.ids == EOS).any(1)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`."""
        return Batch(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory."""
        return Batch(**{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})
