"""Rules that the receipts themselves show: replays, ids written in two ways, timestamps that cannot be.

Reads artifacts.TRANSACTIONS, all of it, and the samples.
"""

from pathlib import Path

import ibis
import ibis.expr.types as ir

from retailsim.artifacts import SAMPLE_TABLES, TRANSACTIONS
from retailsim.manifest import refuse_changed
from retailsim.storage import connect
from retailsim.training.audit_findings import MOST_EXAMPLES, Finding, State
from retailsim.training.replays import REPLAY_LIMIT, replay_report, replays_by_week
from retailsim.weeks import Calendar

IDS = ("basket_id", "customer_id", "product_id", "store_id")
SPREADSHEET_DIGITS = 15  # beyond which a spreadsheet writes zeros
RARE_HOUR = 1e-4  # share of the baskets below which an hour is outside of the opening times
TWO_PLACES_LIMIT = 0.01  # share of a customer's hours that may hold two stores: two cards, two clocks
WEEK_DAYS = 7
STRAY_LIMIT = 0.01  # share of baskets with another week's id up to which ids are counted up through the weeks


def receipt_rules(root: Path, calendar: Calendar) -> list[Finding]:
    """All rules of this module on data root `root`."""
    refuse_changed(root, TRANSACTIONS, *SAMPLE_TABLES.values())
    engine = connect()
    transactions = engine.create_table("transactions", TRANSACTIONS.read(root, engine), temp=True)
    samples = ibis.union(
        *[
            table.read(root, engine).select("basket_id", "week", "n_products", "is_replay")
            for table in SAMPLE_TABLES.values()
        ]
    )
    baskets = transactions.group_by("basket_id").agg(
        **{
            name: transactions[name].min()
            for name in ("customer_id", "store_id", "week", "shop_week", "weekday", "date", "hour")
        },
        products=transactions.count(),
        signature=_signature(transactions),
    )
    baskets = engine.create_table("baskets", baskets, temp=True)
    return [
        replay_rule(baskets, samples),
        identifier_rule(transactions),
        rounding_rule(transactions),
        calendar_rule(baskets, calendar),
        sequence_rule(baskets),
        hour_rule(baskets),
        place_rule(baskets),
    ]


def _signature(rows: ir.Table) -> ir.StringValue:
    """What was bought, how many and for how much, as one text."""
    line = rows.product_id + ":" + rows.quantity.cast("string") + ":" + rows.spend.cast("string").fill_null("?")
    return line.group_concat(sep="\n", order_by=rows.product_id)


def replay_rule(baskets: ir.Table, samples: ir.Table) -> Finding:
    """Replays are marked in the samples, counted anew from the transactions; weeks full of them are a warning."""
    earlier = ibis.window(group_by=["customer_id", "signature"], order_by=["date", "hour", "basket_id"])
    counted = baskets.select("basket_id", found=baskets.customer_id.notnull() & (ibis.row_number().over(earlier) > 0))
    wrong = samples.join(counted, "basket_id").filter(lambda t: t.found != t.is_replay)
    names = _texts(wrong.order_by("basket_id"), "basket_id")
    weeks = replays_by_week(samples)
    if names:
        n = wrong.count().execute()
        text = f"{n:,} baskets are marked otherwise in the samples than the transactions say"
        return Finding("replay share", "C32", "fail", text, names)
    flooded = tuple(f"week {w.week}: {w.share:.1%}" for w in weeks if w.share > REPLAY_LIMIT)
    return Finding("replay share", "C32", "warning" if flooded else "pass", replay_report(weeks), flooded)


def identifier_rule(transactions: ir.Table) -> Finding:
    """No two ids are one id written in two ways: other case, spaces inside, zeros in front."""
    examples: list[str] = []
    counts = {}
    for name in IDS:
        ids = transactions.filter(transactions[name].notnull()).select(id=name).distinct()
        plain = ids.id.lower().re_replace(r"\s", "").re_replace(r"^0+(.)", r"\1")
        groups = ids.mutate(plain=plain).group_by("plain").agg(n=lambda t: t.count(), ids=lambda t: t.id.collect())
        counts[name] = int(ids.count().execute())
        twins = groups.filter(groups.n > 1).order_by("plain").limit(MOST_EXAMPLES).to_pyarrow()
        examples += [f"{name} {' = '.join(sorted(repr(i) for i in found))}" for found in twins["ids"].to_pylist()]
    evidence = ", ".join(f"{count:,} {name}s" for name, count in counts.items())
    if examples:
        text = f"ids that differ only by case, spaces or zeros in front: {'; '.join(examples[:MOST_EXAMPLES])}"
        return Finding("identifier collisions", "C4", "fail", text, tuple(examples[:MOST_EXAMPLES]))
    return Finding(
        "identifier collisions", "C4", "pass", f"{evidence}: none differ only by case, spaces or zeros in front"
    )


def rounding_rule(transactions: ir.Table) -> Finding:
    """Long ids keep their last digits: where all of them end in zeros, a spreadsheet has rounded them."""
    rounded: list[str] = []
    long = 0
    for name in IDS:
        ids = (
            transactions.filter(transactions[name].re_search(rf"^[0-9]{{{SPREADSHEET_DIGITS + 1},}}$"))
            .select(id=name)
            .distinct()
        )
        tail = ids.id.substr(SPREADSHEET_DIGITS)
        counts = (
            ids.aggregate(n=ids.count(), zeros=tail.re_search("^0+$").sum(), first=ids.id.min())
            .to_pyarrow()
            .to_pylist()[0]
        )
        long += counts["n"]
        if counts["n"] > 1 and counts["n"] == counts["zeros"]:
            rounded.append(f"{name}: {counts['n']:,} ids, e.g. {counts['first']}")
    if rounded:
        text = f"all ids of more than {SPREADSHEET_DIGITS} digits end in zeros, as a spreadsheet writes them: {'; '.join(rounded)}"
        return Finding("rounded identifiers", "C4", "fail", text, tuple(rounded))
    return Finding(
        "rounded identifiers",
        "C4",
        "pass",
        f"{long:,} ids of more than {SPREADSHEET_DIGITS} digits, their last digits are whole",
    )


def calendar_rule(baskets: ir.Table, calendar: Calendar) -> Finding:
    """Week, weekday and date of a basket agree, and the shop's week labels are weeks, from whatever weekday on, in order."""
    first = ibis.date(calendar.first_monday.isoformat())
    wrong = baskets.filter(
        (baskets.date.delta(first, unit="day") // 7 + 1 != baskets.week)
        | (baskets.date.day_of_week.index() + 1 != baskets.weekday)
    )
    labels = (
        baskets.filter(baskets.shop_week.notnull())
        .group_by("shop_week")
        .agg(first=baskets.date.min(), last=baskets.date.max())
        .order_by("shop_week")
        .to_pyarrow()
        .to_pylist()
    )
    examples = [f"basket {name}" for name in _texts(wrong.order_by("basket_id"), "basket_id")]
    examples += [
        f"label {row['shop_week']} is on days {row['first']} to {row['last']}"
        for row in labels
        if (row["last"] - row["first"]).days >= WEEK_DAYS
    ]
    examples += [
        f"label {after['shop_week']} does not come after {before['shop_week']}"
        for before, after in zip(labels, labels[1:], strict=False)
        if after["first"] <= before["last"]
    ]
    return _timed("week and date", examples, f"{len(labels)} week labels, each at most seven days, in order")


def sequence_rule(baskets: ir.Table) -> Finding:
    """Where basket ids are counted up through the weeks, no basket has the id of another week."""
    numbered = baskets.mutate(
        number=baskets.basket_id.re_search("^[0-9]{1,18}$").ifelse(baskets.basket_id, ibis.null("string")).cast("int64")
    )
    weekly = numbered.group_by("week").agg(middle=numbered.number.median())
    order = ibis.window(order_by="week")
    weekly = weekly.mutate(before=weekly.middle.lag().over(order), after=weekly.middle.lead().over(order))
    joined = numbered.join(weekly, "week")
    strays = joined.filter(joined.number.isnull() | (joined.number <= joined.before) | (joined.number >= joined.after))
    counts = (int(baskets.count().execute()), int(strays.count().execute()))
    if counts[1] > STRAY_LIMIT * counts[0]:
        return Finding("basket ids over time", "C4", "not run", "basket ids are not counted up through the weeks")
    examples = [f"basket {name}" for name in _texts(strays.order_by("basket_id"), "basket_id")]
    return _timed("basket ids over time", examples, f"{counts[0]:,} basket ids rise with the weeks", counts[1])


def hour_rule(baskets: ir.Table) -> Finding:
    """No basket is bought at an hour at which hardly any other is."""
    known = baskets.filter(baskets.hour.notnull())
    hours = known.group_by("hour").agg(n=known.count()).order_by("hour").to_pyarrow().to_pylist()
    if not hours:
        return Finding("opening hours", "C4", "not run", "no basket has an hour")
    total = sum(row["n"] for row in hours)
    rare = [row for row in hours if row["n"] < RARE_HOUR * total]
    usual = [row["hour"] for row in hours if row not in rare]
    text = f"hours {usual[0]}–{usual[-1]} hold {1 - sum(row['n'] for row in rare) / total:.4%} of {total:,} baskets"
    found = tuple(f"{row['n']:,} baskets at {row['hour']} h" for row in rare)
    state: State = "warning" if rare else "pass"
    return Finding("opening hours", "C4", state, "; ".join([text, *found]), found)


def place_rule(baskets: ir.Table) -> Finding:
    """Hardly any customer is in two stores in the same hour."""
    known = baskets.filter(baskets.customer_id.notnull() & baskets.store_id.notnull() & baskets.hour.notnull())
    hours = known.group_by("customer_id", "date", "hour").agg(stores=known.store_id.nunique())
    counts = hours.aggregate(n=hours.count(), double=(hours.stores > 1).sum().fill_null(0)).to_pyarrow().to_pylist()[0]
    double = (
        hours.filter(hours.stores > 1)
        .order_by("customer_id", "date", "hour")
        .limit(MOST_EXAMPLES)
        .to_pyarrow()
        .to_pylist()
    )
    examples = tuple(f"customer {row['customer_id']} on {row['date']} at {row['hour']} h" for row in double)
    if not counts["n"]:
        return Finding("two places at once", "C4", "not run", "no basket has a customer, a store and an hour")
    share = counts["double"] / counts["n"]
    text = f"{counts['double']:,} of {counts['n']:,} hours of a customer hold two stores ({share:.2%}, limit {TWO_PLACES_LIMIT:.0%})"
    return Finding("two places at once", "C4", "fail" if share > TWO_PLACES_LIMIT else "pass", text, examples)


def _timed(rule: str, examples: list[str], evidence: str, count: int | None = None) -> Finding:
    if not examples:
        return Finding(rule, "C4", "pass", evidence)
    few = tuple(examples[:MOST_EXAMPLES])
    return Finding(rule, "C4", "fail", f"{count or len(examples):,} contradict each other: {', '.join(few)}", few)


def _texts(table: ir.Table, column: str) -> tuple[str, ...]:
    return tuple(table.select(column).limit(MOST_EXAMPLES).to_pyarrow()[column].to_pylist())
