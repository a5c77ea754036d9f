"""What kinds of trips a customer makes (SPEC C7, stage 4).

Reads `artifacts.TRANSACTIONS`, gives `artifacts.MISSIONS`: one row per identified customer and week in which the
customer shops, and one as of the week after the data, with the distribution of the earlier trips over each label of
`labels.TRIP_LABELS`. Trips whose label is not known count in `trips` and in no share of that label.
"""

import ibis.expr.types as ir

from retailsim.artifacts import MISSIONS
from retailsim.as_of import as_of_sums, with_coming_week
from retailsim.labels import TRIP_LABELS


def share_column(label: str, name: str) -> str:
    """The column of MISSIONS that holds the share of class `name` of `label`.

    >>> share_column("mission_type", "Full Shop")
    'mission_type_full_shop'
    """
    return f"{label}_{name.lower().replace(' ', '_')}"


def measure_missions(transactions: ir.Table) -> ir.Table:
    """MISSIONS from TRANSACTIONS."""
    known = transactions.filter(transactions.customer_id.notnull())
    trips = known.group_by("basket_id").agg(
        **{name: known[name].min() for name in ("customer_id", "week", *TRIP_LABELS)}
    )
    classes = {share_column(label, name): (label, name) for label, names in TRIP_LABELS.items() for name in names}
    weekly = trips.group_by("customer_id", "week").agg(
        trips=trips.count(),
        **{column: (trips[label] == name).sum().fill_null(0) for column, (label, name) in classes.items()},
    )
    weekly = with_coming_week(weekly, "customer_id", transactions)
    before = as_of_sums(weekly, ["customer_id"], ["trips", *classes])
    labelled = {label: sum(before[share_column(label, name)] for name in names) for label, names in TRIP_LABELS.items()}
    shares = {column: before[column] / labelled[label].nullif(0) for column, (label, _) in classes.items()}
    return before.mutate(trips=before.trips.cast("int64"), **shares).select(*MISSIONS.columns)
