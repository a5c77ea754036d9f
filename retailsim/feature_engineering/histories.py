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
    own, groups, everybody = _sums_by_level(weekly, [[entity], list(group), []], columns, half_life)
    joined = groups.inner_join(everybody, "week", rname="all_{name}")
    leaned = {}
    for events, rated in rates.items():
        for name in rated:
            at_large = joined[f"all_{name}"] / joined[f"all_{events}"].nullif(0.0)
            leaned[name] = (joined[name] + weights[events] * at_large) / (joined[events] + weights[events])
    of_groups = joined.select(*group, "week", **leaned)
    joined = own.inner_join(weekly.select(entity, "week", *group), [entity, "week"])
    joined = joined.inner_join(of_groups, [*group, "week"], rname="group_{name}")
    leaned = {}
    for events, rated in rates.items():
        for name in rated:
            of_group = joined[f"group_{name}"]
            leaned[name] = (joined[name] + weights[events] * of_group) / (joined[events] + weights[events])
    return joined.select(entity, "week", **leaned)


def _sums_by_level(
    weekly: ir.Table, levels: Sequence[Sequence[str]], columns: Sequence[str], half_life: float
) -> list[ir.Table]:
    """`as_of_sums` for the key columns of each of the `levels`, the first of which tells the rows of `weekly` apart.

    They are added up together: what an engine plans in a second it would else plan three times.
    """
    keys = list(dict.fromkeys(key for level in levels for key in level))
    parts = []
    for i, level in enumerate(levels):
        absent = {key: ibis.literal("") for key in keys if key not in level}
        part = weekly.group_by([*level, "week"]).agg(**{name: weekly[name].sum() for name in columns}) if i else weekly
        alike = {name: part[name].cast("float64") for name in columns}  # a sum of integers is a wider integer
        parts.append(part.mutate(level=i, **absent, **alike).select("level", *keys, "week", *columns))
    sums = as_of_sums(ibis.union(*parts), ["level", *keys], columns, half_life)
    return [sums.filter(sums.level == i).select(*level, "week", *columns) for i, level in enumerate(levels)]


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
