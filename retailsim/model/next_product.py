"""The model as a function of plain arrays, for other programs: which product comes next (SPEC C36; docs/export.md).

The tables of customers, stores, weeks and prices stay outside: their rows are inputs, so that an exported program is small
and is not out of date when the data go on. What belongs to products (T2, companions, successors) is inside.

Legend: B baskets · S places, of which one is hidden · K earlier products · F habits · V vocabulary.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from retailsim.labels import TRIP_LABELS
from retailsim.layout import T1, T3, T4, T5
from retailsim.model.basket_model import BasketModel
from retailsim.model.batch import HABITS, Batch
from retailsim.model.lookup import Gathered
from retailsim.vocab import EOS, PAD


@dataclass(frozen=True)
class Port:
    """One input or output: its axes are numbers or the legend's letters."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    meaning: str


OF_ALL = (
    Port("t1", ("B", T1.width), "float32", "the customer: row of T1 as of the basket's week; row 0: an anonymous one"),
    Port("t3", ("B", T3.width), "float32", "the time, T3: rows of the day, the hour and the weeks since the last trip, added"),
    Port("t5", ("B", T5.width), "float32", "the store: row of T5 as of the basket's week; row 0: no store known"),
    Port("trip", ("B", len(TRIP_LABELS)), "int64", f"codes of {', '.join(TRIP_LABELS)}; -1: not known"),
    Port("trip_is_open", ("B",), "bool", "true: no label is told, or not those that training shows together, and `trip` is not looked at"),
    Port(
        "ids", ("B", "S"), "int64",
        f"vocabulary rows: {EOS} at one place, whose product is asked for, the basket's products, then {PAD} as padding",
    ),
    Port("paid", ("B", "S"), "float32", "price per item paid; NaN where it is not known, asked for or padding"),
    Port("price", ("B", "S", T4.width), "float32", "row of T4 of each product as of the basket's week"),
    Port("last_price", ("B", "S"), "float32", "price per item last known before the basket's week; NaN: none"),
)  # fmt: skip
OF_HISTORIES = (
    Port("bought", ("B", "K"), "int64", f"vocabulary rows of earlier products; {PAD} for the trip itself, first, and as padding"),
    Port(
        "habits", ("B", "K", HABITS), "float32",
        "how each of them was bought, and how alike its baskets and trips were to this one; 0 for padding",
    ),
    Port("store_counts", ("B", "V"), "float32", f"decayed baskets of the store with each product; column {PAD}: all its baskets"),
    Port("chain", ("B", 3, "V"), "float32", "shares of all stores' baskets with each product, 0-1: long-run, recent and current"),
)  # fmt: skip
OUTPUTS = ("product_logits", *TRIP_LABELS)


class NextProduct(nn.Module):
    """A model that is shown a basket that goes on: logits of the next product and of the trip's labels.

    Args:
        model: of which a copy is taken, without the tables whose rows are inputs, and without trip evidence, which speaks of
            complete baskets only.
    """

    def __init__(self, model: BasketModel) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)
        self.model.evidence = None
        for name in ("customer", "store", "price", "last_price", "day", "hour", "recency"):
            setattr(self.model.lookup, name, getattr(self.model.lookup, name)[:1].clone())
        if self.model.history is not None:
            self.model.history.popularity = self.model.history.popularity[:1].clone()

    @property
    def inputs(self) -> tuple[Port, ...]:
        """What `forward` takes, in its order."""
        return (*OF_ALL, *(OF_HISTORIES if self.model.history is not None else ()))

    @property
    def outputs(self) -> tuple[Port, ...]:
        """What `forward` gives, in its order."""
        product = Port(OUTPUTS[0], ("B", self.model.vocab_size), "float32", "logits of the product asked for")
        of_trip = (
            Port(
                label, ("B", len(classes)), "float32", f"logits of the classes of {label}, in the order of trip_labels"
            )
            for label, classes in TRIP_LABELS.items()
        )
        return (product, *of_trip)

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
        model = self.model
        baskets, within = (torch.arange(size, device=ids.device) for size in ids.shape)
        places = baskets * ids.shape[1] + (within * (ids == EOS)).sum(1)
        batch = _batch(baskets, places, trip, trip_is_open, ids, paid, bought, habits, store_counts)
        tensors = model.lookup.assemble(batch, Gathered(t1, t3, t5, price, last_price))
        hidden, context = model.world.states(tensors, ids == PAD, places)
        logits, of_trip = model.read(batch, hidden, context, chain)
        return (logits, *(of_trip[label] for label in TRIP_LABELS))


def shown_to(model: BasketModel, batch: Batch) -> dict[str, Tensor]:
    """What `NextProduct` takes for a batch of open baskets."""
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
    none = torch.zeros_like(baskets)
    return Batch(
        sample=none, customer=none, store=none, week=none, day=none, hour=none, recency=none, trip=trip,
        hide_trip=trip_is_open, ids=ids, paid=paid, places=places, within=none, slots=baskets[:, None], targets=none,
        quantity=torch.full_like(paid, torch.nan),
        bought=ids[:, :1] if bought is None else bought,
        habits=paid[:, :1, None].expand(-1, -1, HABITS) if habits is None else habits,
        store_counts=paid[:, :1] if store_counts is None else store_counts,
        labels=trip, chance=none, anchors=none, partners=none, partner=none,
    )  # fmt: skip
