"""What is known of each customer before each week in which the customer shops (SPEC C8.4; document: "T1").

Reads transactions and pseudo-brands, gives `artifacts.CUSTOMER_EMBEDDINGS`. One row per identified customer and week
with a trip, and one as of the week after the data, made of weeks ≤ week − 1. Fitted on the training weeks: the directions
of purchases and which product groups are largest.

Rates are decayed with a half-life of 8 weeks and lean on the customer's segment, price segment × life stage, by
`TRIPS_OF_SEGMENT` trips; the segment's lean on all customers likewise (SPEC C13). A first trip so gets its segment's
averages.
"""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from retailsim.artifacts import CUSTOMER_NUMBERS, DIRECTIONS, GROUPS, PRICE_TIERS, SEASONS
from retailsim.as_of import as_of_sums, with_coming_week
from retailsim.feature_engineering.histories import last_known, leaning_rates
from retailsim.feature_engineering.product_projection import fit_projection, weekly_purchases
from retailsim.storage import held
from retailsim.weeks import Calendar

HALF_LIFE = 8.0  # weeks
SEASON_HALF_LIFE = 52.0  # weeks: a season comes once a year
LATEST_WEEKS = 4
TRIPS_OF_SEGMENT = 3.0  # decayed trips for which the segment's rate counts
PURCHASES_OF_SEGMENT = 20.0  # decayed purchases for which the segment's shares count
EVENING = 17  # hour
SEGMENT = ("price_segment", "lifestage")
TIER_COLUMNS = [f"tier_{tier}" for tier in range(PRICE_TIERS)]
GROUP_COLUMNS = [f"group_{i}" for i in range(GROUPS)]
# events → what is counted per event; an event is counted where it is known, so that what the source lacks stays unknown
PER_TRIP = {"trips": ("purchases", "squares", "weekend"), "priced": ("pence",), "timed": ("evening",)}
PER_PURCHASE = {"tiered": TIER_COLUMNS, "grouped": GROUP_COLUMNS}


def describe_customers(
    transactions: ir.Table, brands: ir.Table, calendar: Calendar, engine: ibis.BaseBackend
) -> ir.Table:
    """`artifacts.CUSTOMER_EMBEDDINGS` of all customers and weeks, with what is learned learned on the training weeks.

    Args:
        transactions: `artifacts.TRANSACTIONS`.
        brands: `artifacts.PSEUDO_BRANDS`.
        calendar: whose training weeks count.
        engine: where the fitting runs.
    """
    loadings = fit_projection(transactions, "customer_id", DIRECTIONS, calendar, engine)
    found = customer_histories(transactions, brands, loadings, largest_groups(transactions, calendar, engine))
    if calendar.dates_known:
        return found
    return found.mutate(**{season: ibis.null("float64") for season in SEASONS}).select(*found.columns)


def largest_groups(transactions: ir.Table, calendar: Calendar, engine: ibis.BaseBackend) -> list[str]:
    """Codes of the `GROUPS` product groups (hierarchy_30) bought most often in the training weeks, largest first."""
    seen = transactions.filter((transactions.week <= calendar.train_end) & transactions.hierarchy_30.notnull())
    counts = seen.group_by("hierarchy_30").agg(n=seen.count())
    largest = counts.order_by(ibis.desc("n"), "hierarchy_30").limit(GROUPS)
    return engine.to_pyarrow(largest)["hierarchy_30"].to_pylist()


def customer_histories(transactions: ir.Table, brands: ir.Table, loadings: pa.Table, groups: list[str]) -> ir.Table:
    """`artifacts.CUSTOMER_EMBEDDINGS` from what was fitted: `loadings` of the directions and codes of the `groups`."""
    return histories_of(held(weekly_trips(transactions, brands, loadings, groups)), loadings.column_names[1:])


def histories_of(weekly: ir.Table, places: Sequence[str]) -> ir.Table:
    """`artifacts.CUSTOMER_EMBEDDINGS` from the columns of `weekly_trips`, of which `places` are the directions."""
    rated = leaning_rates(
        weekly,
        "customer_id",
        SEGMENT,
        {**PER_TRIP, **PER_PURCHASE, "trips": [*places, *PER_TRIP["trips"]]},
        HALF_LIFE,
        {**dict.fromkeys(PER_TRIP, TRIPS_OF_SEGMENT), **dict.fromkeys(PER_PURCHASE, PURCHASES_OF_SEGMENT)},
    )
    seasons = leaning_rates(
        weekly, "customer_id", SEGMENT, {"trips": SEASONS}, SEASON_HALF_LIFE, {"trips": TRIPS_OF_SEGMENT}
    )
    key = ["customer_id", "week"]
    known = rhythm(weekly).inner_join(rated, key).inner_join(seasons, key)
    per_trip = known.mutate(
        weekend_share=known.weekend,
        evening_share=known.evening,
        products_per_trip=known.purchases,
        spend_per_trip=known.pence / 100,
        spend_per_product=known.pence / 100 / known.purchases,
        products_spread=ibis.greatest(known.squares - known.purchases**2, 0.0).sqrt(),
        directions=ibis.array([known[name] for name in places]),
        groups=ibis.array([known[name] for name in GROUP_COLUMNS]),
    )
    columns = ["customer_id", "week", *SEGMENT, "trips", "weeks_since_last", *CUSTOMER_NUMBERS, "directions", "groups"]
    ordered = ibis.row_number().over(order_by=["customer_id", "week"]) + 1
    return per_trip.select(*columns).mutate(
        row=ordered, **{label: per_trip[label].nullif("unknown") for label in SEGMENT}
    )


def weekly_trips(transactions: ir.Table, brands: ir.Table, loadings: pa.Table, groups: list[str]) -> ir.Table:
    """What each customer did in each week: one row per customer and week with a trip, and zeros for the week after the data.

    All are whole numbers but the directions.

    Returns:
        customer_id, week, price_segment and lifestage (as known then, or "unknown"), trips, active (1), pence,
        squares (of the products per basket), weekend and evening trips, trips by season, purchases, purchases by tier
        and group, the directions, and of trips and purchases those whose spend (priced), hour (timed), tier (tiered)
        and group (grouped) are known.
    """
    known = transactions.filter(transactions.customer_id.notnull())
    tiered = known.left_join(brands.select("product_id", "price_tier"), "product_id")
    marks = {name: tiered.price_tier == tier for tier, name in enumerate(TIER_COLUMNS)}
    marks |= {name: tiered.hierarchy_30 == group for name, group in zip(GROUP_COLUMNS, groups, strict=False)}
    marks |= {"tiered": tiered.price_tier.notnull(), "grouped": tiered.hierarchy_30.notnull()}
    bought = weekly_purchases(tiered, "customer_id", loadings, marks)
    absent = {name: ibis.literal(0, "int64") for name in GROUP_COLUMNS[len(groups) :]}
    trips = weekly_baskets(known).inner_join(bought.mutate(**absent), ["customer_id", "week"])
    return last_known(with_coming_week(trips, "customer_id", transactions), "customer_id", SEGMENT)


def weekly_baskets(known: ir.Table) -> ir.Table:
    """Counts of each customer's baskets in each week (see `weekly_trips`); labels null where no basket has them."""
    baskets = known.group_by("customer_id", "week", "basket_id").agg(
        products=known.count(),
        pence=(known.spend * 100).cast("int64").sum(),
        weekday=known.weekday.max(),
        hour=known.hour.max(),
        season=((known.date.month().max() + 9) % 12 / 3).floor().cast("int32"),  # 0 spring … 3 winter
        **{label: known[label].max() for label in SEGMENT},
    )
    return baskets.group_by("customer_id", "week").agg(
        trips=baskets.count(),
        active=(baskets.week > 0).cast("int32").max(),
        pence=baskets.pence.sum().fill_null(0),
        priced=baskets.pence.count(),
        timed=baskets.hour.count(),
        squares=(baskets.products * baskets.products).sum(),
        weekend=(baskets.weekday >= 6).cast("int32").sum(),
        evening=(baskets.hour >= EVENING).fill_null(False).cast("int32").sum(),
        **{name: (baskets.season == i).cast("int32").sum() for i, name in enumerate(SEASONS)},
        **{label: baskets[label].max() for label in SEGMENT},
    )


def rhythm(weekly: ir.Table) -> ir.Table:
    """How often and how regularly each customer came before each week, and how that and the baskets change.

    Returns:
        customer_id, week, price_segment, lifestage, trips, weeks_since_last, recent_trips, latest_trips, active_share,
        trips_per_active_week, tenure, recent_purchases, products_trend and spend_trend of `CUSTOMER_EMBEDDINGS`.
    """
    events = ["trips", "purchases", "pence"]
    key = ["customer_id", "week"]
    ever = as_of_sums(weekly, ["customer_id"], [*events, "active"])
    recent = as_of_sums(weekly, ["customer_id"], events, HALF_LIFE).rename(
        **{f"recent_{name}": name for name in events}
    )
    before = ibis.window(group_by="customer_id", order_by="week", preceding=(None, 1))
    latest = ibis.window(group_by="customer_id", order_by="week", range=(-LATEST_WEEKS, -1))
    dated = weekly.select(
        *key,
        *SEGMENT,
        last=weekly.week.max().over(before),
        first=weekly.week.min().over(before),
        latest_trips=weekly.trips.sum().over(latest).fill_null(0),
    )
    all_known = dated.inner_join(ever, key).inner_join(recent, key)
    trips, recent_trips = all_known.trips.nullif(0.0), all_known.recent_trips.nullif(0.0)
    return all_known.select(
        *key,
        *SEGMENT,
        "trips",
        "recent_trips",
        "latest_trips",
        "recent_purchases",
        weeks_since_last=all_known.week - all_known["last"],
        tenure=all_known.week - all_known["first"],
        active_share=all_known.active / (all_known.week - all_known["first"]),
        trips_per_active_week=all_known.trips / all_known.active.nullif(0.0),
        products_trend=_log_ratio(all_known.recent_purchases / recent_trips, all_known.purchases / trips),
        spend_trend=_log_ratio(all_known.recent_pence / recent_trips, all_known.pence / trips),
    )


def _log_ratio(value: ir.FloatingValue, reference: ir.FloatingValue) -> ir.FloatingValue:
    """log(value / reference); null where either is not positive."""
    return (value.nullif(0.0) / reference.nullif(0.0)).ln()
