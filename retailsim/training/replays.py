"""Baskets that exactly repeat an earlier one of the same customer: how many a week has, and which weeks have too many.

Small baskets repeat by nature (the same pint of milk at the same price), so a week is judged by its baskets of
`TELLING_PRODUCTS` and more: of real receipts fewer than one in a thousand of those are repeats.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

REPLAY_LIMIT = 0.05  # share of replays among a week's telling baskets above which its figures speak of memory
TELLING_PRODUCTS = 4  # distinct products from which on a repeat is no coincidence


@dataclass(frozen=True)
class WeekOfReplays:
    """Baskets of a week, and those of them that are replays; of all sizes and of telling sizes."""

    week: int
    baskets: int
    replays: int
    telling: int
    telling_replays: int

    @property
    def share(self) -> float:
        """Share 0–1 of the telling baskets that are replays; 0 without any."""
        return self.telling_replays / max(self.telling, 1)


def replays_by_week(samples: ir.Table) -> list[WeekOfReplays]:
    """One entry per week of `samples` (columns `week`, `n_products`, `is_replay`), in order."""
    is_telling = samples.n_products >= TELLING_PRODUCTS
    counted = samples.group_by("week").agg(
        baskets=samples.count(),
        replays=samples.is_replay.sum(),
        telling=is_telling.sum(),
        telling_replays=(is_telling & samples.is_replay).sum(),
    )
    return [WeekOfReplays(**row) for row in counted.order_by("week").to_pyarrow().to_pylist()]


def replay_report(weeks: Sequence[WeekOfReplays]) -> str:
    """One sentence: the share of replays, and the weeks in which more than REPLAY_LIMIT of the telling baskets are some."""
    baskets, replays = sum(w.baskets for w in weeks), sum(w.replays for w in weeks)
    counted = f"{replays:,} of {baskets:,} baskets repeat an earlier one of their customer exactly"
    flooded = [w for w in weeks if w.share > REPLAY_LIMIT]
    calm = 100 * max((w.share for w in weeks if w.share <= REPLAY_LIMIT), default=0.0)
    large = f"baskets of {TELLING_PRODUCTS} and more products"
    if not flooded:
        return f"{counted}; of the {large} at most {calm:.1f} % a week"
    low, high = (100 * limit(w.share for w in flooded) for limit in (min, max))
    return (
        f"{counted}; of the {large} {low:.0f}–{high:.0f} % in weeks {ranges(w.week for w in flooded)}, at most {calm:.1f} % "
        f"in the others: a model that only remembers looks good there, so evaluate shows fresh and replayed baskets apart"
    )


def ranges(weeks: Iterable[int]) -> str:
    """Rising numbers in short.

    >>> ranges([3, 105, 106, 107])
    '3, 105–107'
    """
    runs: list[list[int]] = []
    for week in weeks:
        if runs and week == runs[-1][-1] + 1:
            runs[-1].append(week)
        else:
            runs.append([week])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)


def is_replay(baskets: ir.Table) -> ir.BooleanValue:
    """Whether the same customer had exactly this basket before (products, quantities, spend), as its text `marks` says."""
    earlier = ibis.window(
        group_by=["customer_id", baskets.marks.hexdigest("md5")], order_by=["date", "hour", "basket_id"]
    )
    return baskets.customer_id.notnull() & (ibis.row_number().over(earlier) > 0)
