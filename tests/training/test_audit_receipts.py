"""C24: the audit's rules on the receipts, each on sound ones and with its fault planted."""

from datetime import date, timedelta

import ibis
import pytest

from retailsim.training import prepare_samples
from retailsim.training.audit_receipts import (
    calendar_rule,
    hour_rule,
    identifier_rule,
    place_rule,
    receipt_rules,
    rounding_rule,
    sequence_rule,
)
from tests.small_shop import CALENDAR_OF_FOUR, MONDAY, basket, written

FOUR = {f"P0{i}": (i, f"{i}.10") for i in range(1, 5)}
OTHER = {f"P1{i}": (i, f"{i}.10") for i in range(1, 6)}


def sound(*more):
    """Receipts of two customers over four weeks, nothing wrong with them."""
    weeks = [
        basket(f"{w}0{c}", w, FOUR | {f"P2{w}": (c, "1.00")}, f"C{c}", weekday=c) for w in range(1, 5) for c in (1, 2)
    ]
    return [*weeks, *more]


def found(root, rows):
    assert written(root, rows) == 0
    return {finding.rule: finding for finding in receipt_rules(root, CALENDAR_OF_FOUR)}


def test_sound_receipts_pass(tmp_path):
    rules = found(tmp_path, sound())
    assert {rule: finding.state for rule, finding in rules.items()} == dict.fromkeys(rules, "pass")
    assert rules["identifier collisions"].evidence.startswith(
        "8 basket_ids, 2 customer_ids, 8 product_ids, 1 store_ids"
    )


def test_what_a_source_does_not_have_is_no_contradiction(tmp_path):  # C2
    """No prices, hours and week labels: replays are found by products and quantities, rules on hours are not run."""
    unknown = {"spend": None, "hour": None, "shop_week": None}
    rows = [[row | unknown for row in rows] for rows in sound(basket("501", 4, OTHER), basket("502", 4, OTHER))]
    states = {rule: finding.state for rule, finding in found(tmp_path, rows).items()}
    assert states.pop("opening hours") == states.pop("two places at once") == "not run"
    assert states.pop("replay share") == "warning"
    assert set(states.values()) == {"pass"}


def test_a_flood_of_replays_is_a_warning(tmp_path):
    finding = found(tmp_path, sound(basket("501", 4, OTHER), basket("502", 4, OTHER, hour=11)))["replay share"]
    assert finding.state == "warning" and finding.examples == ("week 4: 25.0%",)


def test_replays_that_are_not_marked_fail(tmp_path, monkeypatch):
    """The marks are counted anew from the transactions, so a preparation that forgets them is caught."""
    monkeypatch.setattr(prepare_samples, "is_replay", lambda baskets: ibis.literal(False))
    finding = found(tmp_path, sound(basket("501", 4, OTHER), basket("502", 4, OTHER, hour=11)))["replay share"]
    assert (finding.state, finding.examples) == ("fail", ("502",))


@pytest.mark.parametrize(
    "twin, example",
    [
        ({"name": "0101"}, "basket_id '0101' = '101'"),
        ({"customer": "c1"}, "customer_id 'C1' = 'c1'"),
        ({"store_id": "S 1"}, "store_id 'S 1' = 'S1'"),
    ],
)
def test_an_id_written_in_two_ways_fails(tmp_path, twin, example):
    rows = basket(twin.pop("name", "901"), 1, FOUR, twin.pop("customer", "C1"), hour=20, **twin)
    finding = found(tmp_path, sound(rows))["identifier collisions"]
    assert (finding.state, finding.examples) == ("fail", (example,))


def ids(*names):
    """Transactions with these basket ids."""
    names = {
        name: list(names) if name == "basket_id" else ["X"] * len(names)
        for name in ("basket_id", "customer_id", "product_id", "store_id")
    }
    return ibis.memtable(names)


def test_ids_that_differ_in_more_than_their_writing_pass():
    assert identifier_rule(ids("0", "00a", "0b", "10", "1")).state == "pass"
    assert identifier_rule(ids("0", "00")).state == "fail"


def test_rounded_ids_fail():
    whole = ["12345678901234561", "12345678901234570"]
    assert rounding_rule(ids(*whole)).state == "pass"
    finding = rounding_rule(ids("12345678901234500", "12345678901234600"))
    assert finding.state == "fail" and "basket_id: 2 ids, e.g. 12345678901234500" in finding.evidence


def trips(**columns):
    """Baskets, sound ones but for `columns`."""
    n = len(next(iter(columns.values())))
    days = [MONDAY + timedelta(days=7 * (i % 4)) for i in range(n)]
    default = {
        "basket_id": [f"{i % 4 + 1}{i:05d}" for i in range(n)], "customer_id": [f"C{i}" for i in range(n)], "store_id": ["S1"] * n,
        "week": [i % 4 + 1 for i in range(n)], "shop_week": [200607 + i % 4 for i in range(n)], "weekday": [1] * n, "date": days,
        "hour": [10] * n,
    }  # fmt: skip
    return ibis.memtable(default | columns)


@pytest.mark.parametrize(
    "columns, example",
    [
        ({"week": [1, 2, 2, 4]}, "basket 300002"),
        ({"weekday": [1, 7, 1, 1]}, "basket 200001"),
        ({"shop_week": [200607, 200607, 200609, 200610]}, "label 200607 is on days 2006-04-10 to 2006-04-17"),
        ({"shop_week": [200608, 200607, 200609, 200610]}, "label 200608 does not come after 200607"),
        ({"date": [date(2006, 4, 10), date(2006, 4, 17), date(2006, 4, 24), date(2007, 5, 7)]}, "basket 400003"),
    ],
)
def test_weeks_that_contradict_their_dates_fail(columns, example):
    assert calendar_rule(trips(hour=[10] * 4), CALENDAR_OF_FOUR).state == "pass"
    finding = calendar_rule(trips(**columns), CALENDAR_OF_FOUR)
    assert finding.state == "fail" and example in finding.examples


def test_week_labels_may_begin_on_any_day():
    days = [date(2006, 4, 13) + timedelta(days=i) for i in range(21)]  # Thursdays to Wednesdays
    columns = {
        "date": days,
        "shop_week": [200607 + i // 7 for i in range(21)],
        "week": [CALENDAR_OF_FOUR.week_of(day) for day in days],
        "weekday": [day.isoweekday() for day in days],
    }
    finding = calendar_rule(trips(**columns), CALENDAR_OF_FOUR)
    assert (finding.state, finding.evidence) == ("pass", "3 week labels, each at most seven days, in order")
    late = [200607, *columns["shop_week"][:-1]]  # from Friday on, so that the first label has eight days
    finding = calendar_rule(trips(**columns | {"shop_week": late}), CALENDAR_OF_FOUR)
    assert finding.examples == ("label 200607 is on days 2006-04-13 to 2006-04-20",)


def test_weeks_without_labels_contradict_nothing():  # C2
    labels = {"shop_week": [None, 200608, 200609, None], "hour": [10] * 4}
    assert calendar_rule(trips(**labels), CALENDAR_OF_FOUR).state == "pass"


def test_an_id_of_another_week_fails():
    names = [f"{i % 4 + 1}{i:05d}" for i in range(400)]
    assert sequence_rule(trips(basket_id=names)).state == "pass"
    finding = sequence_rule(trips(basket_id=[*names[:-1], "100999"]))  # in week 4, with an id of week 1
    assert finding.state == "fail" and finding.examples == ("basket 100999",)


def test_ids_that_are_not_counted_up_say_nothing():
    assert sequence_rule(trips(basket_id=[f"{i * 7919 % 400:05d}" for i in range(400)])).state == "not run"
    assert sequence_rule(trips(basket_id=[f"B{i}" for i in range(400)])).state == "not run"


def test_an_hour_at_which_nobody_else_shops_is_a_warning():
    assert hour_rule(trips(hour=[8, 21] * 6_000)).state == "pass"
    finding = hour_rule(trips(hour=[*[8, 21] * 6_000, 3]))
    assert finding.state == "warning" and finding.examples == ("1 baskets at 3 h",)
    assert finding.evidence.startswith("hours 8–21 hold 99.9917%")


def test_customers_in_two_places_at_once_fail():
    alone = trips(customer_id=["C1"] * 4 + [None] * 4)
    assert place_rule(alone).state == "pass"
    finding = place_rule(trips(customer_id=["C1"] * 8, store_id=["S1"] * 7 + ["S2"]))
    assert finding.state == "fail" and finding.examples == ("customer C1 on 2006-05-01 at 10 h",)
