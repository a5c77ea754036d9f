"""The model as a function of plain arrays, for other programs: which product comes next (SPEC C36; docs/export.md).

The tables of customers, stores, weeks and prices stay outside: their rows are inputs, so that an exported program is small
and is not out of date when the data go on. What belongs to products (T2, companions, successors) is inside.

Legend: B baskets · S places, of which the first is hidden · K earlier products · F habits · V vocabulary.
"""

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from retailsim.labels import TRIP_LABELS
from retailsim.layout import T1, T3, T4, T5
from retailsim.model.basket_model import BasketModel
from retailsim.model.batch import HABITS, Batch
from retailsim.model.lookup import Gathered
from retailsim.vocab import MASK, PAD


@dataclass(frozen=True)
class Input:
    """One input: its axes are numbers or the legend's letters."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    meaning: str


OF_ALL = (
    Input(
        "t1", ("B", T1.width), "float32", "customer, row of T1 as of the basket's week; row 0 is the unknown customer"
    ),
    Input("t3", ("B", T3.width), "float32", "time: rows of day, hour and weeks since the last trip, added"),
    Input("t5", ("B", T5.width), "float32", "store, row of T5 as of the basket's week; row 0 is the unknown store"),
    Input("trip", ("B", len(TRIP_LABELS)), "int64", f"codes of {', '.join(TRIP_LABELS)}; -1: not known"),
    Input("trip_is_open", ("B",), "bool", "true: the kind of trip is not given, as before a trip"),
    Input(
        "ids",
        ("B", "S"),
        "int64",
        f"vocabulary rows: {MASK} at the first place, the visible products, then {PAD} (padding)",
    ),
    Input("paid", ("B", "S"), "float32", "price per item paid; NaN where unknown, hidden or padding"),
    Input("price", ("B", "S", T4.width), "float32", "T4 of each product as of the basket's week"),
    Input("last_price", ("B", "S"), "float32", "price per item last known before the week; NaN: none"),
)
OF_HISTORIES = (
    Input(
        "bought",
        ("B", "K"),
        "int64",
        f"vocabulary rows bought before; {PAD} for the trip itself, in front, and at the end",
    ),
    Input("habits", ("B", "K", HABITS), "float32", "how each was bought"),
    Input("store_counts", ("B", "V"), "float32", "decayed baskets of the store with each product; column 0: in all"),
    Input("chain", ("B", "V"), "float32", "share of the chain's recent baskets with each product"),
)
OUTPUTS = ("product_logits", *TRIP_LABELS)


class NextProduct(nn.Module):
    """A model with one hidden place per basket: logits of the next product and of the trip's labels.

    Args:
        model: of which a copy is taken, without the tables whose rows are inputs.
    """

    def __init__(self, model: BasketModel) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)
        for name in ("customer", "store", "price", "last_price", "day", "hour", "recency"):
            setattr(self.model.lookup, name, getattr(self.model.lookup, name)[:1].clone())
        if self.model.history is not None:
            self.model.history.popularity = self.model.history.popularity[:1].clone()

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What `forward` takes, in its order."""
        return (*OF_ALL, *(OF_HISTORIES if self.model.history is not None else ()))

    def forward(
        self,
        t1: Tensor,
        t3: Tensor,
        t5: Tensor,
        trip: Tensor,
        trip_is_open: Tensor,
        ids: Tensor,
        paid: Tensor,
        price: Tensor,
        last_price: Tensor,
        bought: Tensor | None = None,
        habits: Tensor | None = None,
        store_counts: Tensor | None = None,
        chain: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """`OUTPUTS`: float32 [B, V] and, per label, [B, classes]; shapes of the inputs as in `inputs`."""
        baskets, (model, history) = torch.arange(ids.shape[0], device=ids.device), (self.model, self.model.history)
        places = baskets * ids.shape[1]
        batch = _batch(baskets, places, trip, trip_is_open, ids, paid, bought, habits, store_counts)
        tensors = model.lookup.assemble(batch, Gathered(t1, t3, t5, price, last_price))
        hidden, context = model.world.states(tensors, ids == PAD, places)
        if history is None or chain is None:
            logits = model.world.product_head(hidden)
        else:
            products = model.lookup.vocabulary(model.vocab_size)
            logits = history(batch, hidden, context, products, model.world.product_head, chain)
        of_trip = model.world.trip_heads(context)
        return (logits, *(of_trip[label] for label in TRIP_LABELS))


def hidden_first(batch: Batch) -> Batch:
    """A batch of one hidden place per basket, with that place moved to the front."""
    order = (batch.ids != MASK).to(torch.int8).argsort(dim=1, stable=True)
    baskets = torch.arange(len(order), device=order.device)
    return replace(
        batch,
        ids=batch.ids.gather(1, order),
        paid=batch.paid.gather(1, order),
        places=baskets * order.shape[1],
        within=torch.zeros_like(baskets),
        slots=baskets[:, None],
    )


def shown_to(model: BasketModel, batch: Batch) -> dict[str, Tensor]:
    """What `NextProduct` takes for a batch in which the first place of every basket is hidden."""
    rows = model.lookup.gather(batch)
    inputs = {
        "t1": rows.t1, "t3": rows.t3, "t5": rows.t5, "trip": batch.trip, "trip_is_open": batch.hide_trip, "ids": batch.ids,
        "paid": batch.paid, "price": rows.price, "last_price": rows.last_price,
    }  # fmt: skip
    if model.history is not None:
        of_past = {"bought": batch.bought, "habits": batch.habits, "store_counts": batch.store_counts}
        inputs |= of_past | {"chain": model.history.chain(batch.week)}
    return inputs


def _batch(
    baskets: Tensor,
    places: Tensor,
    trip: Tensor,
    trip_is_open: Tensor,
    ids: Tensor,
    paid: Tensor,
    bought: Tensor | None,
    habits: Tensor | None,
    store_counts: Tensor | None,
) -> Batch:
    """A batch in which nothing is looked up by row, and no label is known."""
    none, nothing = torch.zeros_like(baskets), torch.zeros_like(places)
    return Batch(
        sample=none, customer=none, store=none, week=none, day=none, hour=none, recency=none, trip=trip,
        hide_trip=trip_is_open, ids=ids, paid=paid, places=places, within=none, slots=baskets[:, None], targets=nothing,
        bought=ids[:, :1] if bought is None else bought,
        habits=paid[:, :1, None].expand(-1, -1, HABITS) if habits is None else habits,
        store_counts=paid[:, :1] if store_counts is None else store_counts,
        labels=trip, chance=none, anchors=none, partners=none, partner=none,
    )  # fmt: skip
