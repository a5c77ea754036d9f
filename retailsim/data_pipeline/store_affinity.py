"""Which stores a customer goes to, and how faithfully (SPEC C7, stage 3).

Reads `artifacts.TRANSACTIONS`, gives `artifacts.AFFINITY`: one row per identified customer and week in which the
customer shops, and one as of the week after the data, made of the trips of earlier weeks. A trip is a basket; anonymous
baskets belong to nobody. A source without stores leaves all but the number of trips unknown.
"""

import ibis
import ibis.expr.types as ir

from retailsim.artifacts import AFFINITY
from retailsim.as_of import as_of_sums, with_coming_week

SHARES = "array<struct<store_id: string, share: float64>>"


def measure_affinity(transactions: ir.Table) -> ir.Table:
    """AFFINITY from TRANSACTIONS."""
    trips = trips_of(transactions)
    weekly = switching(trips, transactions)
    shares = store_shares(trips, weekly.select("customer_id", "week"))
    rows = weekly.left_join(shares, ["customer_id", "week"]).drop("customer_id_right", "week_right")
    rows = rows.mutate(
        n_stores=ibis.ifelse(rows.trips > 0, rows.n_stores, ibis.coalesce(rows.n_stores, 0)),
        store_shares=rows.store_shares.fill_null(ibis.literal([], type=SHARES)),
        loyalty=rows.primary_share * (1 - rows.switching_rate.fill_null(0.0)),
    )
    return rows.select(*AFFINITY.columns)


def trips_of(transactions: ir.Table) -> ir.Table:
    """One row per basket of an identified customer, with `switched`: 1 if the trip before led to another store.

    `follows` is 1 for every trip but the customer's first. Trips follow each other by date, hour and basket id.
    """
    known = transactions.filter(transactions.customer_id.notnull())
    trips = known.group_by("basket_id").agg(
        **{name: known[name].min() for name in ("customer_id", "week", "date", "hour", "store_id")}
    )
    before = trips.store_id.lag().over(group_by="customer_id", order_by=["date", "hour", "basket_id"])
    return trips.mutate(
        switched=(before != trips.store_id).fill_null(False).cast("int64"), follows=before.notnull().cast("int64")
    )


def switching(trips: ir.Table, transactions: ir.Table) -> ir.Table:
    """One row per customer and week, the one after the data too: `trips` and `switching_rate` before it; null under two trips."""
    weekly = trips.group_by("customer_id", "week").agg(
        trips=trips.count(), follows=trips.follows.sum(), switched=trips.switched.sum()
    )
    weekly = with_coming_week(weekly, "customer_id", transactions)
    before = as_of_sums(weekly, ["customer_id"], ["trips", "follows", "switched"])
    return before.select(
        "customer_id",
        "week",
        trips=before.trips.cast("int64"),
        switching_rate=before.switched / before.follows.nullif(0),
    )


def store_shares(trips: ir.Table, weeks: ir.Table) -> ir.Table:
    """One row per customer and week of `weeks` with earlier trips: their distribution over stores.

    Ties for the primary store go to the lower store id.
    """
    trips = trips.filter(trips.store_id.notnull())
    stores = trips.select("customer_id", "store_id").distinct()
    seen = trips.group_by("customer_id", "store_id", "week").agg(visits=trips.count())
    asked = weeks.inner_join(stores, "customer_id").select(
        "customer_id", "store_id", "week", visits=ibis.literal(0, "int64")
    )
    visits = ibis.union(seen, asked).group_by("customer_id", "store_id", "week").agg(visits=ibis._.visits.sum())
    before = as_of_sums(visits, ["customer_id", "store_id"], ["visits"])
    before = before.filter(before.visits > 0).cast({"visits": "int64"})
    here = ibis.window(group_by=["customer_id", "week"])
    rows = before.mutate(trips=before.visits.sum().over(here), most=before.visits.max().over(here))
    share = ibis.struct({"store_id": rows.store_id, "share": rows.visits / rows.trips})
    return rows.group_by("customer_id", "week").agg(
        primary_store=rows.store_id.min(where=rows.visits == rows.most),
        primary_share=rows.most.max() / rows.trips.max(),
        concentration=(rows.visits * rows.visits).sum() / (rows.trips.max() * rows.trips.max()),
        n_stores=rows.count(),
        store_shares=share.collect().sort(),
    )
