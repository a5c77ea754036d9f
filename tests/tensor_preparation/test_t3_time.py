"""C12, C13: when the trip takes place: true dates, neighbours that are near, no random numbers."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from retailsim.layout import T3
from retailsim.tensor_preparation.run_tensor_preparation import LIMIT
from retailsim.tensor_preparation.t3_time import (
    MAX_RECENCY,
    RECENCY_BANDS,
    day_table,
    hour_row,
    hour_table,
    recency_row,
    recency_table,
)
from retailsim.weeks import Calendar

CALENDAR = Calendar(date(2006, 4, 10), 117)
HOLIDAY = ("christmas", "christmas_nears", "new_year", "easter_nears", "easter", "bank", "eve", "school")


@pytest.fixture(scope="module")
def days():
    table = day_table(CALENDAR)
    return lambda day: table[(day - CALENDAR.first_monday).days]


def holiday(row):
    return dict(zip(HOLIDAY, row[T3["holiday"]].tolist(), strict=True))


def test_tables_have_a_row_per_day_hour_and_recency():
    assert day_table(CALENDAR).shape == (118 * 7, 64)  # a week more than the data, to predict the next
    assert hour_table().shape == (25, 64) and recency_table().shape == (MAX_RECENCY + 1, 64)
    for table in (day_table(CALENDAR), hour_table(), recency_table()):
        assert table.dtype == np.float32 and np.isfinite(table).all() and np.abs(table).max() < 2.5


def test_of_days_that_are_not_known_only_the_weekday_is():  # C2
    known, table = day_table(CALENDAR), day_table(replace(CALENDAR, dates_known=False))
    assert np.array_equal(table[:, T3["weekday"]], known[:, T3["weekday"]])
    table[:, T3["weekday"]] = 0
    assert not table.any()


def test_each_table_fills_its_own_columns():
    """The three are added up, so they must not overlap."""
    used = [set(np.flatnonzero((table != 0).any(0))) for table in (day_table(CALENDAR), hour_table(), recency_table())]
    assert not used[0] & used[1] and not used[0] & used[2] and not used[1] & used[2]
    assert set.union(*used) == set(range(64))


def test_the_end_of_the_year_is_next_to_its_beginning(days):
    def distance(a, b):
        return np.linalg.norm(days(a)[T3["week"]] - days(b)[T3["week"]])

    week_52, week_1 = date(2006, 12, 28), date(2007, 1, 4)
    neighbours = distance(date(2006, 7, 6), date(2006, 7, 13))
    assert distance(week_52, week_1) == pytest.approx(neighbours, rel=0.02)
    assert distance(week_52, date(2007, 6, 28)) > 2 * neighbours
    # The same day a year later is the same season.
    assert distance(date(2006, 10, 1), date(2007, 10, 1)) < 0.1 * neighbours


@pytest.mark.parametrize(
    "day, weekday", [(date(2006, 4, 10), 0), (date(2006, 4, 16), 6), (date(2008, 7, 6), 6), (date(2007, 2, 28), 2)]
)
def test_weekday(days, day, weekday):
    expected = [float(i == weekday) for i in range(7)] + [float(weekday >= 5)]
    assert days(day)[T3["weekday"]].tolist() == expected


CHRISTMAS = [date(2006, 12, 25), date(2006, 12, 26), date(2007, 12, 25), date(2007, 12, 26)]
NEW_YEAR = [date(2007, 1, 1), date(2008, 1, 1)]
GOOD_FRIDAYS = [date(2006, 4, 14), date(2007, 4, 6), date(2008, 3, 21)]
EASTER_MONDAYS = [date(2006, 4, 17), date(2007, 4, 9), date(2008, 3, 24)]
MAY_AND_AUGUST = [
    date(2006, 5, 1), date(2006, 5, 29), date(2006, 8, 28), date(2007, 5, 7), date(2007, 5, 28), date(2007, 8, 27),
    date(2008, 5, 5), date(2008, 5, 26),
]  # fmt: skip


def test_bank_holidays_are_the_true_ones_of_england():  # gov.uk, 2006–2008
    table = day_table(CALENDAR)
    bank = T3["holiday"].start + HOLIDAY.index("bank")
    found = {date.fromordinal(CALENDAR.first_monday.toordinal() + int(i)) for i in np.flatnonzero(table[:, bank])}
    assert found == {*CHRISTMAS, *NEW_YEAR, *GOOD_FRIDAYS, *EASTER_MONDAYS, *MAY_AND_AUGUST}
    eves = {date.fromordinal(CALENDAR.first_monday.toordinal() + int(i)) for i in np.flatnonzero(table[:, bank + 1])}
    assert eves == {date.fromordinal(day.toordinal() - 1) for day in found}


def test_christmas(days):
    flags = {d: holiday(days(date(2006, 12, d))) for d in (10, 11, 18, 25, 31)}
    assert [flags[d]["christmas"] for d in flags] == [0, 1, 1, 1, 1]
    assert [flags[d]["christmas_nears"] for d in flags] == pytest.approx([1 - 15 / 28, 0.5, 0.75, 1, 0])
    assert (
        holiday(days(date(2006, 11, 26)))["christmas_nears"] == 0 < holiday(days(date(2006, 11, 28)))["christmas_nears"]
    )
    assert holiday(days(date(2007, 1, 1)))["christmas"] == 0
    assert [holiday(days(date(2006, 12, d)))["new_year"] for d in (28, 29, 31)] == [0, 1, 1]
    assert [holiday(days(date(2007, 1, d)))["new_year"] for d in (1, 2, 3)] == [1, 1, 0]


@pytest.mark.parametrize("sunday", [date(2006, 4, 16), date(2007, 4, 8), date(2008, 3, 23)])
def test_easter(days, sunday):
    def on(offset):
        return holiday(days(date.fromordinal(sunday.toordinal() + offset)))

    assert [on(i)["easter"] for i in (-3, -2, -1, 0, 1, 2)] == [0, 1, 1, 1, 1, 0]  # Good Friday to Easter Monday
    assert [on(i)["easter_nears"] for i in (-5, 0, 1)] == pytest.approx([1 - 5 / 21, 1, 0])
    assert on(-5)["school"] == on(7)["school"] == 1


def test_school_holidays(days):
    assert [holiday(days(date(2007, m, d)))["school"] for m, d in ((2, 14), (8, 1), (10, 25), (12, 27))] == [1] * 4
    assert [holiday(days(date(2007, m, d)))["school"] for m, d in ((1, 15), (3, 1), (6, 15), (9, 15))] == [0] * 4


@pytest.mark.parametrize("month, season", [(4, 0), (7, 1), (10, 2), (1, 3)])
def test_seasons(days, month, season):
    row = days(date(2007, month, 15))[T3["season"]]
    assert row[:4].tolist() == [float(i == season) for i in range(4)]
    assert row[4:].argmax() == season and row[4 + season] > 0.99


def test_trend_and_shares_of_year_and_month(days):
    trend = T3["trend"].start
    assert days(date(2006, 4, 10))[trend] == 0
    assert days(date(2008, 4, 10))[trend] == pytest.approx(2, abs=0.01)
    assert days(date(2007, 7, 2))[trend + 1] == pytest.approx(0.5, abs=0.005)
    assert days(date(2007, 7, 1))[trend + 2] == 0 and days(date(2007, 7, 31))[trend + 2] == pytest.approx(30 / 31)


def test_all_days_that_receipts_may_have_stay_within_the_limit():
    table = day_table(Calendar.starting(date(1970, 1, 1), date(2099, 12, 31)))
    assert np.isfinite(table).all() and np.abs(table).max() < LIMIT
    years = table[:, T3["trend"].start]
    short = np.arange(4 * 365) / 365.25
    assert np.array_equal(years[: 4 * 365], short.astype(np.float32))  # up to four years a year is one
    assert (np.diff(years) > 0).all() and np.diff(years).max() < 1.01 / 365.25
    assert years[-1] == pytest.approx(4 + np.log(1 + 130 - 4), abs=0.001)


def test_hours_are_a_circle_with_four_parts():
    hours = hour_table()[:, T3["hour"]]
    circle = hours[:24, :4]
    steps = np.linalg.norm(np.roll(circle, -1, axis=0) - circle, axis=1)
    assert steps == pytest.approx(steps[0], rel=1e-5)
    parts = {8: [1, 0, 0, 0], 11: [0, 1, 0, 0], 14: [0, 1, 0, 0], 15: [0, 0, 1, 0], 21: [0, 0, 0, 1], 3: [0, 0, 0, 0]}
    assert {hour: hours[hour, 4:].tolist() for hour in parts} == parts
    assert len(np.unique(hours.round(5), axis=0)) == 25  # an unknown hour is like none of them: nothing is said
    assert not hours[hour_row(np.array([-1]))].any() and (hours[:24] != 0).any(axis=1).all()
    assert hour_row(np.array([0, 23])).tolist() == [0, 23]


def test_recency():
    start = T3["trend"].start
    table = recency_table()[:, start:]
    assert table[0].tolist() == [0, 0, 0, 1] + [0] * 12  # first trip, or nobody known
    assert (table[1:, 3] == 0).all()
    assert (np.diff(table[1:, 4]) > 0).all() and table[MAX_RECENCY, 4] == 1  # log weeks
    assert table[5, 5:8].tolist() == pytest.approx(np.exp([-4, -1, -4 / 13]).tolist())
    assert (table[1:, 8:].sum(1) == 1).all()
    assert [int(table[weeks, 8:].argmax()) for weeks in (1, 4, 5, 6, 7, 9, 10, 17, 18, 26)] == [
        0,
        3,
        4,
        4,
        5,
        5,
        6,
        6,
        7,
        7,
    ]
    assert RECENCY_BANDS[0][0] == 1 and RECENCY_BANDS[-1][1] == MAX_RECENCY


def test_rows_of_recency():
    assert recency_row(np.array([-1, 1, 26, 27, 200])).tolist() == [0, 1, 26, 26, 26]
