"""What customers' and stores' histories have in common: averages that lean on a group, and last known labels.

Everything here describes the time before a row's week (weeks ≤ week − 1): the same past gives the same bits whatever
came later (SPEC C19).
"""

from collections.abc import Mapping, Sequence

import ibis
import ibis.expr.types as ir

from retailsim.as_of import as_of_sums


def leaning_rates(
    weekly: ir.Table,
    entity: str,
    group: Sequence[str],
    rates: Mapping[str, Sequence[str]],
    half_life: float,
    weights: Mapping[str, float],
) -> ir.Table:
    """Decayed rates of each entity, which lean on those of its group while little is known of it (SPEC C13).

    With own sum x over n events, the rate is (x + w · group's rate) / (n + w); the group's own rate leans on
    everybody's in the same way. All three are as of the row's week.

    Args:
        weekly: one row per entity and week, with the columns of `group` and of `rates`.
        entity: key column.
        group: columns that name a row's group.
        rates: column of events → columns to be divided by it.
        half_life: weeks after which an event counts half.
        weights: w by column of events: how many (decayed) the group's rate counts for.

    Returns:
        entity, week and the rated columns: float64; null while nobody has had an event.
    """
    columns = list(dict.fromkeys([*rates, *(column for rated in rates.values() for column in rated)]))
    own = as_of_sums(weekly, [entity], columns, half_life)
    groups = _sums_of(weekly, group, columns, half_life, "group_")
    everybody = _sums_of(weekly, [], columns, half_life, "all_")
    joined = own.inner_join(weekly.select(entity, "week", *group), [entity, "week"])
    joined = joined.inner_join(groups, [*group, "week"]).inner_join(everybody, "week")
    leaned = {}
    for events, rated in rates.items():
        weight = weights[events]
        for name in rated:
            at_large = joined[f"all_{name}"] / joined[f"all_{events}"].nullif(0.0)
            of_group = (joined[f"group_{name}"] + weight * at_large) / (joined[f"group_{events}"] + weight)
            leaned[name] = (joined[name] + weight * of_group) / (joined[events] + weight)
    return joined.select(entity, "week", **leaned)


def _sums_of(weekly: ir.Table, keys: Sequence[str], columns: Sequence[str], half_life: float, prefix: str) -> ir.Table:
    totals = weekly.group_by([*keys, "week"]).agg(**{name: weekly[name].sum() for name in columns})
    sums = as_of_sums(totals, keys, columns, half_life)
    return sums.select(*keys, "week", **{prefix + name: sums[name] for name in columns})


def last_known(weekly: ir.Table, entity: str, labels: Sequence[str]) -> ir.Table:
    """`weekly` with each label as it was last known before the row's week; failing that, as its own week says.

    Who shops and where is given with the trip, so a first trip's own label is no look ahead. "unknown" where neither
    is known.

    Args:
        weekly: one row per entity and week, with the string columns `labels`.
        entity: key column.
        labels: what to look up.
    """
    before = ibis.window(group_by=entity, order_by="week", preceding=(None, 1))
    digits = 6
    dated = {name: weekly.week.cast("string").lpad(digits, "0") + weekly[name] for name in labels}
    stamped = weekly.mutate(**{f"{name}_dated": stamp for name, stamp in dated.items()})
    looked_up = {name: stamped[f"{name}_dated"].max().over(before).substr(digits) for name in labels}
    found = stamped.mutate(**{f"{name}_before": label for name, label in looked_up.items()})
    known = {name: ibis.coalesce(found[f"{name}_before"], found[name], "unknown") for name in labels}
    return found.mutate(**known).select(*weekly.columns)
