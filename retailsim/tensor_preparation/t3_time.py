"""T3, when the trip takes place [64]: three tables whose rows are added up (by day, by hour, by recency).

| slice | width | meaning | range |
|---|---|---|---|
| week | 16 | sine and cosine of the day of the year, harmonics 1–8 | −1…1 |
| weekday | 8 | Monday … Sunday one-hot, weekend | 0/1 |
| hour | 8 | sine and cosine of the hour, harmonics 1–2; morning, midday, evening, late; unknown: all 0, as no hour is | −1…1 |
| holiday | 8 | see `_holidays` | 0…1 |
| season | 8 | spring, summer, autumn, winter one-hot; nearness to the middle of each | 0…1 |
| trend | 16 | 0 years since the first week, see `_years_gone` · 1 share of the year gone · 2 share of the month gone · 3 first trip or anonymous · 4 log weeks since the last trip · 5–7 its decay over 1, 4 and 13 weeks · 8–15 one-hot 1, 2, 3, 4, 5–6, 7–9, 10–17, 18+ weeks | 0…9 |

Where the days of the year are not known (`Calendar.dates_known`), week, holiday, season and 0–2 of trend are all 0, as no day's are.

Deterministic encodings (SPEC C13). Bank holidays of England come from the `holidays` package; school holidays follow the
usual English term dates, by rule.
"""

from datetime import date, timedelta

import holidays
import numpy as np

from retailsim.layout import T3
from retailsim.weeks import Calendar

MAX_RECENCY = 26  # weeks; longer gaps count as this
HOURS = 24
LINEAR_YEARS = 4  # of the trend
RECENCY_BANDS = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 6), (7, 9), (10, 17), (18, MAX_RECENCY))
HOUR_BANDS = ((6, 11), (11, 15), (15, 19), (19, 24))


def day_table(calendar: Calendar) -> np.ndarray:
    """Rows by days since the first Monday, up to a week after the last one: float32 [7 · (last_week + 1), 64]."""
    days = [calendar.first_monday + timedelta(days=i) for i in range(7 * (calendar.last_week + 1))]
    table = np.zeros((len(days), T3.width), dtype=np.float32)
    weekday = np.arange(len(days)) % 7
    table[np.arange(len(days)), T3["weekday"].start + weekday] = 1
    table[:, T3["weekday"].start + 7] = weekday >= 5
    if calendar.dates_known:
        _fill_year(table, days)
    return table


def _fill_year(table: np.ndarray, days: list[date]) -> None:
    """Where in the year each day lies, and how many years have gone."""
    phase = np.array([_year_share(day) for day in days])
    table[:, T3["week"]] = _waves(phase, 8)
    table[:, T3["holiday"]] = _holidays(days)
    middles = np.array([3.5, 6.5, 9.5, 0.5]) / 12  # mid-April, mid-July, mid-October, mid-January
    season = np.array([(day.month % 12) // 3 for day in days])  # 0 winter … 3 autumn
    table[np.arange(len(days)), T3["season"].start + (season - 1) % 4] = 1
    table[:, T3["season"].start + 4 : T3["season"].stop] = (1 + np.cos(2 * np.pi * (phase[:, None] - middles))) / 2
    trend = T3["trend"].start
    table[:, trend] = _years_gone(len(days))
    table[:, trend + 1] = phase
    table[:, trend + 2] = [(day.day - 1) / 31 for day in days]


def _years_gone(n: int) -> np.ndarray:
    """Years since the first of `n` days; from the fourth on they grow as a logarithm, so that 130 make 9."""
    years = np.arange(n) / 365.25
    return np.minimum(years, LINEAR_YEARS) + np.log1p(np.maximum(years - LINEAR_YEARS, 0))


def hour_table() -> np.ndarray:
    """Rows by hour 0–23, then one for an unknown hour: float32 [25, 64]."""
    table = np.zeros((HOURS + 1, T3.width), dtype=np.float32)
    hours = np.arange(HOURS)
    start = T3["hour"].start
    table[:HOURS, start : start + 4] = _waves(hours / HOURS, 2)
    for i, (first, end) in enumerate(HOUR_BANDS):
        table[:HOURS, start + 4 + i] = (hours >= first) & (hours < end)
    return table


def hour_row(hour: np.ndarray) -> np.ndarray:
    """Row of `hour_table` for an hour, where a negative number means unknown: int64."""
    return np.where(hour < 0, HOURS, hour).astype(np.int64)


def recency_table() -> np.ndarray:
    """Rows by weeks since the customer's last trip, 0: none or anonymous: float32 [MAX_RECENCY + 1, 64]."""
    table = np.zeros((MAX_RECENCY + 1, T3.width), dtype=np.float32)
    start = T3["trend"].start
    weeks = np.arange(1, MAX_RECENCY + 1)
    table[0, start + 3] = 1
    table[1:, start + 4] = np.log1p(weeks) / np.log1p(MAX_RECENCY)
    for i, scale in enumerate((1, 4, 13)):
        table[1:, start + 5 + i] = np.exp(-(weeks - 1) / scale)
    for i, (first, last) in enumerate(RECENCY_BANDS):
        table[first : last + 1, start + 8 + i] = 1
    return table


def recency_row(weeks_since_last: np.ndarray) -> np.ndarray:
    """Row of `recency_table` for weeks since the last trip, where a negative number means none: int64."""
    return np.where(weeks_since_last < 0, 0, np.clip(weeks_since_last, 1, MAX_RECENCY)).astype(np.int64)


def _year_share(day: date) -> float:
    first = date(day.year, 1, 1)
    return (day - first).days / (date(day.year + 1, 1, 1) - first).days


def _waves(phase: np.ndarray, harmonics: int) -> np.ndarray:
    angle = 2 * np.pi * phase[:, None] * np.arange(1, harmonics + 1)
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)


def _holidays(days: list[date]) -> np.ndarray:
    """Christmas season · Christmas nearing · New Year · Easter nearing · Easter days · bank holiday · its eve · school holiday."""
    bank = holidays.country_holidays("GB", subdiv="ENG", years=range(days[0].year, days[-1].year + 2), language="en_GB")
    fridays = {day.year: day for day, name in bank.items() if "Good Friday" in name}
    rows = []
    for day in days:
        to_christmas = (date(day.year, 12, 25) - day).days
        easter = fridays[day.year] + timedelta(days=2)
        to_easter = (easter - day).days
        rows.append(
            (
                -6 <= to_christmas <= 14,
                max(0.0, 1 - to_christmas / 28) if 0 <= to_christmas <= 28 else 0.0,
                day >= date(day.year, 12, 29) or day <= date(day.year, 1, 2),
                max(0.0, 1 - to_easter / 21) if 0 <= to_easter <= 21 else 0.0,
                -1 <= to_easter <= 2,
                day in bank,
                day + timedelta(days=1) in bank,
                _is_school_holiday(day, easter),
            )
        )
    return np.array(rows, dtype=np.float32)


def _is_school_holiday(day: date, easter: date) -> bool:
    """English state schools, by rule: Christmas, a week in mid-February, two around Easter, one in late May, summer, one in October."""
    month_day = (day.month, day.day)
    return (
        month_day >= (12, 20)
        or month_day <= (1, 3)
        or (2, 12) <= month_day <= (2, 18)
        or -7 <= (easter - day).days <= 7
        or (5, 25) <= month_day <= (5, 31)
        or (7, 22) <= month_day <= (9, 3)
        or (10, 23) <= month_day <= (10, 29)
    )
