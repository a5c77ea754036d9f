"""The calendar: weeks by date, splits as a partition."""

from datetime import date, timedelta

import pytest

from retailsim.weeks import SPLITS, Calendar, usual_split

# The published data: its first week 200607 begins on 10 April 2006, its last day is 6 July 2008.
PUBLISHED = Calendar.starting(date(2006, 4, 10), date(2008, 7, 6))


def test_the_published_data_has_117_weeks_split_at_80_and_95():  # SPEC §1
    assert PUBLISHED.last_week == 117
    assert [PUBLISHED.weeks_in(split) for split in SPLITS] == [(1, 80), (81, 95), (96, 117)]


def test_data_that_end_earlier_have_a_week_in_every_split():
    for last in range(3, 200):
        train, val = usual_split(last)
        assert 0 < train < val < last
        assert abs(train / last - 80 / 117) < 1.5 / last or last > 95
    assert usual_split(30) == (20, 24) and {usual_split(last) for last in (96, 117, 160)} == {(80, 95)}


def test_weeks_on_either_side_of_new_year_are_neighbours():
    """shop_week 200652 (19-25 February 2007) is followed by 200701; yyyyww arithmetic would put 49 weeks between."""
    assert PUBLISHED.week_of(date(2007, 2, 25)) == 46
    assert PUBLISHED.week_of(date(2007, 2, 26)) == 47
    assert PUBLISHED.monday_of(47) - PUBLISHED.monday_of(46) == timedelta(days=7)


def test_every_day_of_a_week_belongs_to_it_and_monday_begins_it():
    for week in (1, 46, 47, 117):
        monday = PUBLISHED.monday_of(week)
        assert monday.weekday() == 0
        assert {PUBLISHED.week_of(monday + timedelta(days=day)) for day in range(7)} == {week}
        assert PUBLISHED.week_of(monday - timedelta(days=1)) == week - 1


def test_a_week_without_data_counts():  # C3: 200608 is missing in the published data
    calendar = Calendar.starting(date(2006, 4, 12), date(2006, 4, 25))  # sales in weeks 1 and 3 only
    assert calendar.first_monday == date(2006, 4, 10)
    assert (calendar.week_of(date(2006, 4, 12)), calendar.week_of(date(2006, 4, 25)), calendar.last_week) == (1, 3, 3)


@pytest.mark.parametrize("train_end, val_end, last", [(80, 95, 117), (1, 2, 3), (10, 11, 40)])
def test_the_split_is_a_partition(train_end, val_end, last):
    calendar = Calendar(date(2006, 4, 10), last, train_end, val_end)
    found = [calendar.split_of(week) for week in range(1, last + 1)]
    assert found == sorted(found, key=SPLITS.index)  # in time: nothing of a later split comes before an earlier one
    for split in SPLITS:
        first, end = calendar.weeks_in(split)
        assert [week for week, name in enumerate(found, start=1) if name == split] == list(range(first, end + 1))


def test_share_runs_from_0_to_1_over_all_splits():
    assert [PUBLISHED.share(week) for week in (1, 59, 117)] == [0.0, 0.5, 1.0]
    assert Calendar.starting(date(2006, 4, 10), date(2006, 4, 10)).share(1) == 0.0


def test_json_gives_the_same_calendar_back():
    assert Calendar.from_json(PUBLISHED.to_json()) == PUBLISHED
    assert PUBLISHED.to_json() == {
        "first_monday": "2006-04-10",
        "last_week": 117,
        "train_end": 80,
        "val_end": 95,
        "dates_known": True,
        "hours_known": True,
    }


def test_contradictions_are_refused_with_both_values():
    with pytest.raises(ValueError, match="2006-04-11 is not a Monday"):
        Calendar(date(2006, 4, 11), 10)
    with pytest.raises(ValueError, match="train_end 95 and val_end 80"):
        Calendar(date(2006, 4, 10), 117, train_end=95, val_end=80)


@pytest.mark.parametrize("last, chosen", [(103, (80, 95)), (103, (70, 83)), (52, (35, 42)), (52, (80, 95))])
def test_the_split_that_failed_is_not_advised_again(last, chosen):
    calendar = Calendar(date(2006, 4, 10), last, *chosen)
    said = calendar.fitting_split()
    assert said != f"choose for example --train-weeks {chosen[0]} --val-weeks {chosen[1]}" and "--train-weeks" in said
