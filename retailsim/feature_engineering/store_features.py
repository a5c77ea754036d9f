"""What is known of each store before each week with a sale (SPEC C8.5; document: "T5").

Reads transactions, gives `artifacts.STORE_FEATURES`. One row per store and week with a sale, and one as of
the week after the data, made of weeks ≤ week − 1; none where the source has no stores.
Fitted on the training weeks: the directions of the stores' sales and which segments are told apart. Anonymous trips
count like others.

Rates are decayed with a half-life of 8 weeks and lean on stores of the same format and region by `TRIPS_OF_KIND` trips;
theirs lean on all stores likewise. A store's first row so describes a store of its kind.
"""

from collections.abc import Mapping, Sequence

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from retailsim.artifacts import STORE_DIRECTIONS, STORE_NUMBERS, STORE_SHARES
from retailsim.as_of import as_of_sums, with_coming_week
from retailsim.feature_engineering.histories import last_known, leaning_rates
from retailsim.feature_engineering.product_projection import fit_projection, weekly_purchases
from retailsim.labels import TRIP_LABELS
from retailsim.storage import held
from retailsim.weeks import Calendar

HALF_LIFE = 8.0  # weeks
LONG_HALF_LIFE = 26.0  # weeks, against which growth is told
TRIPS_OF_KIND = 10.0  # decayed trips for which the rates of format and region count
KIND = ("store_format", "store_region")
SEGMENTS = {"price_segments": "price_segment", "lifestages": "lifestage"}
CLASSES = 7  # per segment; identified trips of further ones, or of none, are counted together
HOUR_ENDS = (11, 14, 17, 24)  # hours before which the bands end
# events → what is counted per event; an event is counted where it is known, so that what the source lacks stays unknown
LABELS = tuple(label for label in TRIP_LABELS if any(name.startswith(label) for name in STORE_SHARES))
PER_EVENT = {
    "priced": ["pence"],
    "timed": [name for name in STORE_SHARES if name.startswith("hours")],
    **{f"with_{label}": [name for name in STORE_SHARES if name.startswith(label)] for label in LABELS},
}


def describe_stores(transactions: ir.Table, calendar: Calendar, engine: ibis.BaseBackend) -> ir.Table:
    """`artifacts.STORE_FEATURES` of all stores and weeks, with what is learned learned on the training weeks.

    Args:
        transactions: `artifacts.TRANSACTIONS`.
        calendar: whose training weeks count.
        engine: where the fitting runs.
    """
    transactions = transactions.filter(transactions.store_id.notnull())
    loadings = fit_projection(transactions, "store_id", STORE_DIRECTIONS, calendar, engine)
    return store_histories(transactions, loadings, segment_classes(transactions, calendar, engine))


def segment_classes(transactions: ir.Table, calendar: Calendar, engine: ibis.BaseBackend) -> dict[str, list[str]]:
    """The first `CLASSES` price segments and life stages of the training weeks, sorted, by column."""
    seen = transactions.filter(transactions.week <= calendar.train_end)
    found = {}
    for label in SEGMENTS.values():
        known = seen.filter(seen[label].notnull())
        # Not `distinct`: put in order, and with another column's filter, it is not so on Spark (Ibis 12).
        classes = known.group_by(label).agg(n=known.count()).order_by(label).limit(CLASSES)
        found[label] = engine.to_pyarrow(classes)[label].to_pylist()
    return found


def store_histories(transactions: ir.Table, loadings: pa.Table, classes: Mapping[str, Sequence[str]]) -> ir.Table:
    """`artifacts.STORE_FEATURES` from what was fitted: `loadings` of the directions and `classes` by segment column."""
    return histories_of(held(weekly_sales(transactions, loadings, classes)), loadings.column_names[1:])


def histories_of(weekly: ir.Table, places: Sequence[str]) -> ir.Table:
    """`artifacts.STORE_FEATURES` from the columns of `weekly_sales`, of which `places` are the directions."""
    segments = {array: [f"{label}_{i}" for i in range(CLASSES + 1)] for array, label in SEGMENTS.items()}
    of_known = {name for names in PER_EVENT.values() for name in names}
    rated = leaning_rates(
        weekly,
        "store_id",
        KIND,
        {
            "trips": [*places, *(name for name in STORE_SHARES if name not in of_known), "purchases"],
            **PER_EVENT,
            "identified": [column for columns in segments.values() for column in columns],
        },
        HALF_LIFE,
        dict.fromkeys(("trips", *PER_EVENT, "identified"), TRIPS_OF_KIND),
    )
    key = ["store_id", "week"]
    known = growth_and_range(weekly).inner_join(rated, key)
    described = known.mutate(
        products_per_trip=known.purchases,
        spend_per_trip=known.pence / 100,
        spend_per_product=known.pence / 100 / known.purchases,
        directions=ibis.array([known[name] for name in places]),
        **{array: ibis.array([known[name] for name in columns]) for array, columns in segments.items()},
    )
    return described.select(
        *key,
        *STORE_NUMBERS,
        *SEGMENTS,
        "directions",
        row=ibis.row_number().over(order_by=key) + 1,
        **{label: described[label].nullif("unknown") for label in KIND},
    )


def weekly_sales(transactions: ir.Table, loadings: pa.Table, classes: Mapping[str, Sequence[str]]) -> ir.Table:
    """What each store sold in each week, and zeros for the week after the data.

    Returns:
        the columns of `weekly_baskets` (format and region as known then, or "unknown"), purchases, the directions, and the
        products and customers seen for the first time (first_products, first_customers; null where a week has none).
    """
    sold = weekly_purchases(transactions, "store_id", loadings, {})
    weekly = weekly_baskets(transactions, classes).inner_join(sold, ["store_id", "week"])
    weekly = last_known(with_coming_week(weekly, "store_id", transactions), "store_id", KIND)
    return weekly.left_join(_first_seen(transactions), ["store_id", "week"]).drop("store_id_right", "week_right")


def weekly_baskets(transactions: ir.Table, classes: Mapping[str, Sequence[str]]) -> ir.Table:
    """Counts of each store's baskets in each week, all whole numbers.

    Returns:
        store_id, week, store_format and store_region (null where no row has them), trips, identified trips, pence, the
        trips that each of `PER_EVENT` counts, those of each `STORE_SHARES` and, of the identified, those of each segment: `<label>_0` … `_6`, others `_7`.
    """
    labels = [*SEGMENTS.values(), *TRIP_LABELS, *KIND]
    baskets = transactions.group_by("store_id", "week", "basket_id").agg(
        pence=(transactions.spend * 100).cast("int64").sum(),
        **{name: transactions[name].max() for name in ("customer_id", "weekday", "hour", *labels)},
    )
    marks = _marks(baskets, classes)
    absent = [f"{label}_{i}" for label, names in classes.items() for i in range(len(names), CLASSES)]
    counts = baskets.group_by("store_id", "week").agg(
        trips=baskets.count(),
        identified=baskets.customer_id.count(),
        pence=baskets.pence.sum().fill_null(0),
        priced=baskets.pence.count(),
        timed=baskets.hour.count(),
        **{f"with_{label}": baskets[label].count() for label in LABELS},
        **{name: mark.fill_null(False).cast("int32").sum() for name, mark in marks.items()},
        **{label: baskets[label].max() for label in KIND},
    )
    return counts.mutate(**{name: ibis.literal(0, "int64") for name in absent})


def _marks(baskets: ir.Table, classes: Mapping[str, Sequence[str]]) -> dict[str, ir.BooleanValue]:
    """The condition of each share on a basket, by column name."""
    marks = {"anonymous": baskets.customer_id.isnull()}
    marks |= {f"weekday_{day}": baskets.weekday == day for day in range(1, 8)}
    starts = (0, *HOUR_ENDS[:-1])
    for band, (start, end) in enumerate(zip(starts, HOUR_ENDS, strict=True)):
        marks[f"hours_{band}"] = (baskets.hour >= start) & (baskets.hour < end)
    for label in ("mission_type", "price_sensitivity", "basket_size"):
        marks |= {f"{label}_{name.lower().replace(' ', '_')}": baskets[label] == name for name in TRIP_LABELS[label]}
    for label, names in classes.items():
        marks |= {f"{label}_{i}": baskets[label] == name for i, name in enumerate(names)}
        is_other = ~baskets[label].isin(names).fill_null(False) if names else ibis.literal(True)
        marks[f"{label}_{CLASSES}"] = baskets.customer_id.notnull() & is_other
    return marks


def _first_seen(transactions: ir.Table) -> ir.Table:
    """Products and customers seen for the first time in each store and week: store_id, week, and one count each."""
    counts = []
    for name, of in (("products", "product_id"), ("customers", "customer_id")):
        known = transactions.filter(transactions[of].notnull())
        first = known.group_by("store_id", of).agg(week=known.week.min())
        counts.append(first.group_by("store_id", "week").agg(**{f"first_{name}": first.count()}))
    products, customers = counts
    joined = products.left_join(customers, ["store_id", "week"])
    return joined.select("store_id", "week", "first_products", first_customers=joined.first_customers.fill_null(0))


def growth_and_range(weekly: ir.Table) -> ir.Table:
    """How busy and how broad each store was before each week.

    Args:
        weekly: see `weekly_sales`.

    Returns:
        store_id, week, store_format, store_region, recent_trips, weeks_open, range_size, customers, trips_per_customer
        and growth of `STORE_FEATURES`.
    """
    key = ["store_id", "week"]
    counted = weekly.mutate(
        first_products=weekly.first_products.fill_null(0), first_customers=weekly.first_customers.fill_null(0)
    )
    ever = as_of_sums(counted, ["store_id"], ["first_products", "first_customers", "identified"])
    recent = as_of_sums(weekly, ["store_id"], ["trips"], HALF_LIFE).rename(recent_trips="trips")
    long = as_of_sums(weekly, ["store_id"], ["trips"], LONG_HALF_LIFE).rename(long_trips="trips")
    before = ibis.window(group_by="store_id", order_by="week", preceding=(None, 1))
    opened = weekly.select(*key, *KIND, weeks_open=weekly.week - weekly.week.min().over(before))
    known = opened.inner_join(ever, key).inner_join(recent, key).inner_join(long, key)
    per_week = {
        name: known[name].nullif(0.0) / _decayed_weeks(known.weeks_open, half_life)
        for name, half_life in (("recent_trips", HALF_LIFE), ("long_trips", LONG_HALF_LIFE))
    }
    return known.select(
        *key,
        *KIND,
        "recent_trips",
        "weeks_open",
        range_size=known.first_products,
        customers=known.first_customers,
        trips_per_customer=known.identified / known.first_customers.nullif(0.0),
        growth=(per_week["recent_trips"] / per_week["long_trips"]).ln(),
    )


def _decayed_weeks(weeks: ir.IntegerValue, half_life: float) -> ir.FloatingValue:
    """What one event in each of the last `weeks` weeks adds up to when it counts half after `half_life` weeks."""
    fading = 2.0 ** (-1 / half_life)
    return (1 - ibis.literal(fading) ** weeks) * (fading / (1 - fading))
