"""From masked ids to the six tensors: every row is looked up here, after masking (SPEC C12, C20).

Legend: B baskets · S places · P product rows (vocabulary, then late products) · W weeks.
A hidden place has id MASK, or EOS in a basket that goes on, and no price; its T2 and T4 rows are the mask's own learned ones. A place filled with a random
product shows that product's last known price. Nothing about the hidden product is in reach.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from retailsim import layout
from retailsim.model.batch import Batch
from retailsim.model.precision import without_autocast
from retailsim.model.world_model import SixTensors
from retailsim.vocab import EOS, MASK, PAD

SHIFT_LIMIT = 3.0  # |log(price paid / last known)| beyond which a price says no more
LEAST_TRUST = 1e-6  # of a group's products together; a group of special tokens alone has none


@dataclass(frozen=True)
class Tables:
    """The cached tensors and the code tables of T3 and T6, as rows to be gathered."""

    customer: Float[Tensor, "customers 192"]
    store: Float[Tensor, "stores 96"]
    product: Float[Tensor, "P 256"]
    price: Float[Tensor, "P W 64"]
    last_price: Float[Tensor, "P W"]  # £ per item, NaN where none is known
    popularity: Float[
        Tensor, "W 3 V"
    ]  # long-run, recent and current shares 0–1 of the chain's baskets, as of week W in row W − 1
    companions: Int[Tensor, "folds V C"]  # products that go with each product, by fold of the training baskets
    companion_weights: Float[Tensor, "folds V C"]
    successors: Int[Tensor, "folds V C"]  # products that go with each product bought before
    successor_weights: Float[Tensor, "folds V C"]
    day: Float[Tensor, "days 64"]
    hour: Float[Tensor, "hours 64"]  # the last: unknown
    recency: Float[Tensor, "recencies 64"]
    trip: tuple[Float[Tensor, "_ 48"], ...]  # one per label, row code + 1; row 0: unknown
    group: Int[Tensor, " V"]  # group of each product in the retailer's hierarchy; 0: none known


@dataclass(frozen=True)
class Gathered:
    """The rows of the tables that B baskets need."""

    t1: Float[Tensor, "B 192"]
    t3: Float[Tensor, "B 64"]
    t5: Float[Tensor, "B 96"]
    price: Float[Tensor, "B S 64"]  # of each place's product, up to the week before
    last_price: Float[Tensor, "B S"]  # £ per item, NaN where none is known


class Lookup(nn.Module):
    """The six tensors of a batch.

    T2 is the product's graph embedding plus a learned correction that starts at zero.
    """

    customer: Tensor
    store: Tensor
    product: Tensor
    price: Tensor
    last_price: Tensor
    day: Tensor
    hour: Tensor
    recency: Tensor
    group: Tensor
    members: Tensor

    def __init__(self, tables: Tables) -> None:
        super().__init__()
        for name in ("customer", "store", "product", "price", "last_price", "day", "hour", "recency"):
            self.register_buffer(name, getattr(tables, name), persistent=False)
        for i, table in enumerate(tables.trip):
            self.register_buffer(f"trip_{i}", table, persistent=False)
        self.register_buffer("group", tables.group, persistent=False)
        members = functional.one_hot(tables.group).T.to(tables.product.dtype)  # [groups, V]
        self.register_buffer("members", members, persistent=False)
        self.correction = nn.Embedding(tables.product.shape[0], layout.T2.width)
        nn.init.zeros_(self.correction.weight)
        self.mask_price = nn.Parameter(torch.zeros(layout.T4.width))
        self.hidden_trip = nn.Parameter(torch.zeros(layout.T6.width))
        for parameter in self.parameters():
            parameter._no_weight_decay = True  # type: ignore[attr-defined]
        self.register_load_state_dict_pre_hook(_fit_late_products)

    def forward(self, batch: Batch) -> SixTensors:
        """Gather the rows; [B, …] and [B, S, …] as in SPEC C12."""
        return self.assemble(batch, self.gather(batch))

    def gather(self, batch: Batch) -> Gathered:
        """The tables' rows for a batch."""
        ids, week = batch.ids, batch.week[:, None] - 1
        return Gathered(
            t1=self.customer[batch.customer],
            t3=self.day[batch.day] + self.hour[batch.hour] + self.recency[batch.recency],
            t5=self.store[batch.store],
            price=self.price[ids, week],
            last_price=self.last_price[ids, week],
        )

    def assemble(self, batch: Batch, rows: Gathered) -> SixTensors:
        """The six tensors from the rows, with what is learned for hidden places and hidden trips."""
        codes = batch.trip + 1
        t6 = sum(getattr(self, f"trip_{i}")[codes[:, i]] for i in range(codes.shape[1]))
        t6 = torch.where(batch.hide_trip[:, None], self.hidden_trip.to(t6.dtype), t6)
        return SixTensors(
            t1=rows.t1,
            t2=self.products(batch.ids),
            t3=rows.t3,
            t4=self.prices(batch, rows),
            t5=rows.t5,
            t6=t6,
        )

    def products(self, ids: Tensor) -> Tensor:
        """T2 rows of product rows `ids` [...] → [..., 256]; padding is zero."""
        rows = self.product[ids] + self.correction(ids)
        return rows * (ids != PAD)[..., None]

    def vocabulary(self, trust: Float[Tensor, " V"]) -> Float[Tensor, "V 256"]:
        """T2 of the vocabulary: what is a product's own counts as far as `trust` (0–1) says, the rest is its group's mean.

        Graph embeddings tell how much a product was bought in the training weeks: one that was new at their end looks like one
        that nobody wants, where the weeks since then may say otherwise (docs/decisions/0009-purchase-history.md).
        """
        size, own = len(trust), trust[:, None]
        graph = self.product[:size]
        with without_autocast(graph):
            means = self.members @ (own * graph) / (self.members @ own).clamp(min=LEAST_TRUST)  # [groups, 256]
        typical = means[self.group]
        return typical + own * (graph - typical + self.correction.weight[:size])

    def prices(self, batch: Batch, gathered: Gathered) -> Float[Tensor, "B S 64"]:
        """T4: each product's price history up to the week before, moved to the price paid where that is known."""
        ids, rows = batch.ids, gathered.price
        shift = (batch.paid / gathered.last_price).log()
        is_known = shift.isfinite()
        shift = torch.where(is_known, shift, 0.0).clamp(-SHIFT_LIMIT, SHIFT_LIMIT)
        known = is_known.to(rows.dtype)
        relative = rows[..., : layout.T4_RELATIVE] + shift[..., None]
        middle = rows[..., layout.T4_SHIFT + 1 : layout.T4_BASKET.start]
        basket = _basket_context(shift, relative[..., 0], known)[:, None].expand(-1, ids.shape[1], -1)
        rows = torch.cat([relative, known[..., None], shift[..., None], middle, basket], dim=-1)
        rows = torch.where(((ids == MASK) | (ids == EOS))[..., None], self.mask_price.to(rows.dtype), rows)
        return rows * (ids != PAD)[..., None]


def _fit_late_products(lookup: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Nothing is ever learned of late products: the corrections of another number of them are as many rows of zeros."""
    assert isinstance(lookup, Lookup)
    name, size, rows = f"{prefix}correction.weight", len(lookup.group), lookup.correction.num_embeddings
    if name in state:
        state[name] = functional.pad(state[name][:size], (0, 0, 0, rows - size))


def _basket_context(
    shift: Float[Tensor, "B S"], to_base: Float[Tensor, "B S"], known: Float[Tensor, "B S"]
) -> Float[Tensor, "B 8"]:
    """How the visible prices of each basket stand: whether the whole basket is dear or cheap today."""
    n = known.sum(1)
    some = n.clamp(min=1)
    hidden = known == 0
    has_any = (n > 0).to(shift.dtype)
    return torch.stack(
        [
            (shift * known).sum(1) / some,
            (shift.abs() * known).sum(1) / some,
            shift.masked_fill(hidden, SHIFT_LIMIT).amin(1) * has_any,
            shift.masked_fill(hidden, -SHIFT_LIMIT).amax(1) * has_any,
            (to_base * known).sum(1) / some,
            ((to_base < -0.1) * known).sum(1) / some,  # share on promotion
            n.log1p() / 4,
            has_any,
        ],
        dim=-1,
    )
