"""One customer's story: what was bought, what the model knows of the customer, what it expects next and why."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from retailsim.artifacts import AFFINITY, CUSTOMER_EMBEDDINGS, TRANSACTIONS
from retailsim.errors import UserError
from retailsim.predict import Predictor, Request
from retailsim.report.page import COLOURS, Figure, Section, paragraph, table
from retailsim.storage import connect

TITLE = "One customer's story"
READING = (
    "What a customer bought, what the model is told of it, and what it expects next. The last table shows what spoke for the first "
    "expectation: a product without which its probability falls."
)
IN_BASKET = 3  # of the customer's usual products, which lie in the basket already
SHOWN = 10
NOON = 12  # stands for an hour that the source does not know
TOLD: Mapping[str, Callable[[float], str]] = {  # of CUSTOMER_EMBEDDINGS, where it is known
    "products_per_trip": "about {:.1f} products a trip lately".format,
    "spend_per_trip": "£{:.2f} a trip lately".format,
    "weekend_share": lambda share: f"{percent(share)} of trips at weekends",
    "evening_share": lambda share: f"{percent(share)} of trips in the evening",
}


def story(root: Path, predictor: Predictor, names: Mapping[str, str], customer: str | None) -> Section:
    """The story of `customer`; None: of the one with most trips."""
    engine = connect()
    sales = TRANSACTIONS.read(root, engine)
    who = customer or most_frequent(sales, engine)
    if who is None:
        return Section(TITLE, READING, [paragraph("All baskets are anonymous.", is_soft=True)])
    own = sales.filter(sales.customer_id == who)
    trips = own.group_by("basket_id").agg(
        week=own.week.min(),
        date=own.date.max(),
        hour=own.hour.max(),
        store_id=own.store_id.max(),
        spend=own.spend.cast("float64").sum(),
        products=own.count(),
    )
    history = engine.to_pyarrow(trips.order_by("date", "hour", "basket_id")).to_pylist()
    if not history:
        raise UserError(f"unknown customer {who!r}: nobody of that id is in the data")
    usual = (
        own.group_by("product_id").agg(baskets=own.count()).order_by(ibis.desc("baskets"), "product_id").limit(SHOWN)
    )
    favourites = engine.to_pyarrow(usual).to_pylist()
    bought = [[names.get(row["product_id"], row["product_id"]), f"{row['baskets']:,}"] for row in favourites]
    request = next_trip(history[-1], predictor, who, tuple(row["product_id"] for row in favourites[:IN_BASKET]))
    return Section(
        TITLE,
        READING,
        [
            paragraph(f"{who}: {len(history):,} trips from {history[0]['date']} to {history[-1]['date']}."),
            paragraph("What was paid is not known.", is_soft=True) if history[0]["spend"] is None else _spend(history),
            paragraph("Bought most often:"),
            table(("product", "baskets"), bought),
            paragraph("What the model is told, in words: " + in_words(root, engine, who)),
            *expectation(predictor, request, names),
        ],
    )


def most_frequent(sales: ir.Table, engine: ibis.BaseBackend) -> str | None:
    """The customer with most trips."""
    known = sales.filter(sales.customer_id.notnull())
    counts = (
        known.group_by("customer_id").agg(n=known.basket_id.nunique()).order_by(ibis.desc("n"), "customer_id").limit(1)
    )
    found = engine.to_pyarrow(counts)["customer_id"].to_pylist()
    return found[0] if found else None


def next_trip(last: Mapping[str, Any], predictor: Predictor, customer: str, basket: tuple[str, ...]) -> Request:
    """A trip in the week after the data's last, on the weekday, at the hour and in the store of the customer's last one."""
    monday = predictor.calendar.monday_of(predictor.calendar.last_week + 1)
    day: date = monday + timedelta(days=last["date"].weekday())
    hour = time(NOON if last["hour"] is None else last["hour"])
    return Request(datetime.combine(day, hour), store=last["store_id"], customer=customer, basket=basket)


def in_words(root: Path, engine: ibis.BaseBackend, customer: str) -> str:
    """The latest row of the customer's features as a sentence."""
    rows = CUSTOMER_EMBEDDINGS.read(root, engine)
    row = _latest(rows.drop("directions", "groups"), customer, engine)
    shops = _latest(AFFINITY.read(root, engine), customer, engine)
    words = [
        f"as of week {row['week']}, {row['trips']:,} trips before",
        f"price segment {row['price_segment'] or 'unknown'} and life stage {row['lifestage'] or 'unknown'}",
    ]
    if row["weeks_since_last"] is not None:
        n = row["weeks_since_last"]
        words.append(f"the last of them {n} week{'s' * (n != 1)} earlier")
    words += [say(row[name]) for name, say in TOLD.items() if row[name] is not None]
    if shops["primary_store"] is not None:
        words.append(
            f"{percent(shops['primary_share'])} of trips to {shops['primary_store']}, {shops['n_stores']} stores in all"
        )
    return "; ".join(words) + "."


def expectation(predictor: Predictor, request: Request, names: Mapping[str, str]) -> list[str]:
    """What the model expects next to the basket, and how the first expectation changes without each of its products."""
    answer = predictor.predict(request, top=SHOWN)
    if not answer.suggestions:
        return [paragraph("With these products in the basket no other is left that the model could expect.")]
    first = answer.suggestions[0].product
    known = [names.get(product, product) for product in request.basket]
    found = [[names.get(s.product, s.product), percent(s.probability, 2)] for s in answer.suggestions]
    without = []
    for product in request.basket:
        less = replace(request, basket=tuple(other for other in request.basket if other != product))
        everything = predictor.predict(less, top=len(predictor.vocabulary)).suggestions
        chance = next(s.probability for s in everything if s.product == first)
        without.append([f"without {names.get(product, product)}", percent(chance, 2)])
    place = f" in {request.store}" if request.store else ""
    return [
        paragraph(
            f"{request.when:%A %d %B %Y, %H:%M}{place}, with {', '.join(known)} in the basket, the model expects next:"
        ),
        table(("product", answer.measure), found),
        *[paragraph(f"Note: {note}.", is_soft=True) for note in answer.notes],
        paragraph(
            f"What spoke for {names.get(first, first)}: its {answer.measure} if one product were not in the basket."
        ),
        table(
            ("basket", answer.measure),
            [["all of them", percent(answer.suggestions[0].probability, 2)], *without],
            own=(0,),
        ),
    ]


def percent(share: float, digits: int = 0) -> str:
    """A share 0–1 as the page writes it.

    >>> percent(0.126), percent(0.126, 2)
    ('13 %', '12.60 %')
    """
    return f"{100 * share:.{digits}f} %"


def _latest(rows: ir.Table, customer: str, engine: ibis.BaseBackend) -> dict[str, Any]:
    of_customer = rows.filter(rows.customer_id == customer).order_by(ibis.desc("week")).limit(1)
    return engine.to_pyarrow(of_customer).to_pylist()[0]


def _spend(history: list[dict[str, Any]]) -> Figure:
    trace = {
        "type": "bar", "x": [trip["date"].isoformat() for trip in history], "y": [round(trip["spend"], 2) for trip in history],
        "customdata": [[trip["products"], trip["store_id"]] for trip in history], "marker": {"color": COLOURS[0]},
        "hovertemplate": "%{x}: £%{y:.2f}, %{customdata[0]} products, %{customdata[1]}<extra></extra>",
    }  # fmt: skip
    return Figure([trace], {"title": {"text": "£ per trip"}, "yaxis": {"tickprefix": "£"}})
