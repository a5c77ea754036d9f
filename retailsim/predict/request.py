"""What can be asked of a trained model, and what it answers (SPEC C36).

A request comes as an object from Python, or as words from flags and from the columns of a file, which are spelled alike.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from retailsim.errors import UserError
from retailsim.labels import TRIP_LABELS

TRIP_FIELDS = dict(zip(("trip", "focus", "sensitivity", "size"), TRIP_LABELS, strict=True))  # flag → label
FIELDS = (
    "customer", "store", "when", *TRIP_FIELDS, "basket", "price", "segment", "store_format", "store_region", "novel",
)  # fmt: skip
MOST_PAID = 1e9  # £ per item: more is no price, and would be infinite to the model
TRUTHS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}


@dataclass(frozen=True)
class Request:
    """One question: what goes into this basket next?

    Attributes:
        when: local time of the shop, without a zone; what is known is taken as of the week before.
        store: None: not known; then its format and region may be given.
        customer: None: somebody anonymous, or a new customer where a segment is given.
        basket: products that lie in the basket already; neither their order nor how many items of each matters.
        prices: £ per item of products in the basket.
        trip: label of `labels.TRIP_LABELS` → class; empty: not known.
        price_segment: of a new customer.
        lifestage: of a new customer.
        store_format: of an unknown store.
        store_region: of an unknown store.
        novel: leave out of the answer what the customer bought before.

    Raises:
        UserError: the time has a zone, a price is not above 0 (or is a billion and more) or belongs to no product of the basket, a trip's label
            or class does not exist, or novel products are asked for and no customer is named.
    """

    when: datetime
    store: str | None = None
    customer: str | None = None
    basket: tuple[str, ...] = ()
    prices: Mapping[str, float] = field(default_factory=dict)
    trip: Mapping[str, str] = field(default_factory=dict)
    price_segment: str | None = None
    lifestage: str | None = None
    store_format: str | None = None
    store_region: str | None = None
    novel: bool = False

    def __post_init__(self) -> None:
        if self.when.tzinfo is not None:
            raise UserError(f"--when {self.when.isoformat()} names a time zone: give the shop's local time without one")
        if self.novel and self.customer is None:
            raise UserError(
                "--novel leaves out what the customer bought before: name a --customer, or leave --novel out"
            )
        for product, price in self.prices.items():
            if product not in self.basket:
                raise UserError(
                    f"a price is given for {product!r}, which is not in the basket: the model reads the prices of the "
                    f"basket's products only, so add it to --basket or leave its --price out"
                )
            if not 0 < price < MOST_PAID:
                raise UserError(
                    f"the price of {product!r} is {price}: give £ per item, above 0 and less than a billion"
                )
        for label, name in self.trip.items():
            if label not in TRIP_LABELS:
                raise UserError(f"{label} is no label of a trip: these are {', '.join(TRIP_LABELS)}")
            if name not in TRIP_LABELS[label]:
                raise UserError(f"{label} {name!r} does not exist: {label} is one of {', '.join(TRIP_LABELS[label])}")

    @classmethod
    def from_words(cls, words: Mapping[str, str | None]) -> "Request":
        """A request from words by the names of `FIELDS`, as flags and columns give them; empty words are not given.

        `when` is an ISO date and time, `basket` "P1,P2", `price` "P1=1.25,P2=0.8", `segment` "price segment,life stage",
        of which either may be empty; classes of trips may be written small and with hyphens.
        """
        given = {name: whole(words.get(name) or "").strip() for name in FIELDS}
        price_segment, _, lifestage = given["segment"].partition(",")
        return cls(
            when=moment(given["when"]),
            store=given["store"] or None,
            customer=given["customer"] or None,
            basket=tuple(_items(given["basket"])),
            prices=dict(_price(item) for item in _items(given["price"])),
            trip={label: _class(name, given[name]) for name, label in TRIP_FIELDS.items() if given[name]},
            price_segment=price_segment.strip() or None,
            lifestage=lifestage.strip() or None,
            store_format=given["store_format"] or None,
            store_region=given["store_region"] or None,
            novel=_truth("novel", given["novel"]),
        )


@dataclass(frozen=True)
class Suggestion:
    """A product and its chance to be the next one put into the basket.

    Attributes:
        product: its id.
        name: from the catalogue, where there is one.
        probability: 0–1; all products outside the basket add up to 1, those left out of the answer included.
    """

    product: str
    name: str | None
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The answer to a request, likeliest product first.

    `probability` is calibrated where `temperature` is not None; otherwise it is the model's own score, which ranks
    products but is no frequency. One place is predicted: these are chances of the next product, not of each product's being
    in the finished basket.

    Attributes:
        week: the request's week, counted as in the data.
        suggestions: likeliest first.
        notes: what was not known, and what was used instead.
        temperature: that the scores were divided by, fitted on the validation weeks; None: not fitted.
    """

    week: int
    suggestions: tuple[Suggestion, ...]
    notes: tuple[str, ...]
    temperature: float | None

    @property
    def measure(self) -> str:
        """What the numbers are: "probability", or "score" where nothing calibrated them."""
        return "score" if self.temperature is None else "probability"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"measure": self.measure, **asdict(self)}


def whole(text: str) -> str:
    r"""`text` as it can be printed and stored: what is no character is spelled out.

    JSON may hold half an emoji, and a shell passes on bytes that are no UTF-8.

    >>> whole("caf\u00e9 \ud83d")
    'café \\ud83d'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def moment(text: str) -> datetime:
    """The date and hour that `text` says; a UserError where it says no hour."""
    try:
        if len(text) <= len("2008-03-15"):  # Python would take midnight
            raise ValueError
        return datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"--when {text!r} is no date and hour: write it like 2008-03-15T10:00") from None


def _price(item: str) -> tuple[str, float]:
    product, _, price = item.rpartition("=")
    try:
        if not product:
            raise ValueError
        return product, float(price)
    except ValueError:
        raise UserError(f"--price {item!r} is not understood: write PRODUCT=POUNDS, like PRD0900001=1.25") from None


def _truth(field_name: str, text: str) -> bool:
    if text.lower() not in TRUTHS:
        raise UserError(f"{field_name} {text!r} is neither yes nor no: write one of them")
    return TRUTHS[text.lower()]


def _class(field_name: str, text: str) -> str:
    """The class of a trip's label that `text` names."""
    classes = TRIP_LABELS[TRIP_FIELDS[field_name]]
    plain = {name.lower().replace(" ", "-"): name for name in classes}
    found = plain.get(text.lower().replace(" ", "-").replace("_", "-"))
    if found is None:
        raise UserError(f"--{field_name} {text!r} does not exist: it is one of {', '.join(plain)}")
    return found
