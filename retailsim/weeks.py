"""The calendar: dates to weeks, weeks to splits, seasons and holidays.

`week` counts calendar weeks from the first week of the data: 1, 2, … (a week without data still counts).
`shop_week` is the raw label yyyyww, in which 200652 is followed by 200701; it is kept for display only.
Weeks begin on Monday. Weekdays are ISO: 1 Monday … 7 Sunday (the raw SHOP_WEEKDAY calls Sunday 1).
"""

from dataclasses import asdict, dataclass
from datetime import date, timedelta

SPLITS = ("train", "val", "test")
PUBLISHED_WEEKS = 117
MOST_WEEKS = (
    560  # ten years and nine months: over more, sums that decay by half in eight weeks have too many digits (as_of)
)


def usual_split(last_week: int) -> tuple[int, int]:
    """Last week of training and of validation: 80 and 95 (SPEC §1); of data that end before, the same shares of their weeks.

    >>> [usual_split(weeks) for weeks in (117, 96, 95, 30, 3)]
    [(80, 95), (80, 95), (64, 77), (20, 24), (1, 2)]
    """
    train, val = Calendar.train_end, Calendar.val_end
    return (train, val) if last_week > val else split_by_share(last_week)


def split_by_share(last_week: int) -> tuple[int, int]:
    """Last week of training and of validation, in the published data's shares of their weeks, with a week for each split.

    >>> split_by_share(103)
    (70, 83)
    """
    train, val = (last_week * end // PUBLISHED_WEEKS for end in (Calendar.train_end, Calendar.val_end))
    train = max(1, min(train, last_week - 2))
    return train, max(train + 1, min(val, last_week - 1))


@dataclass(frozen=True)
class Calendar:
    """The weeks of a data set and how they are split (SPEC §1): train ≤ train_end < val ≤ val_end < test."""

    first_monday: date
    last_week: int
    train_end: int = 80
    val_end: int = 95
    dates_known: bool = True  # False: weeks follow each other, but which days of the year they were is not known
    hours_known: bool = True

    def __post_init__(self) -> None:
        if self.first_monday.weekday() != 0:
            raise ValueError(f"first_monday {self.first_monday} is not a Monday")
        if not 0 < self.train_end < self.val_end:
            raise ValueError(f"train_end {self.train_end} and val_end {self.val_end} must rise from 1")

    @classmethod
    def starting(cls, first_day: date, last_day: date, split: tuple[int, int] | None = None) -> "Calendar":
        """The calendar whose week 1 holds `first_day` and whose last week holds `last_day`; without `split`, the usual one."""
        monday = first_day - timedelta(days=first_day.weekday())
        weeks = (last_day - monday).days // 7 + 1
        return cls(monday, weeks, *(split or usual_split(weeks)))

    @classmethod
    def from_json(cls, record: dict) -> "Calendar":
        """The inverse of `to_json`."""
        return cls(**{**record, "first_monday": date.fromisoformat(record["first_monday"])})

    def to_json(self) -> dict:
        """A JSON record of the calendar."""
        return {**asdict(self), "first_monday": self.first_monday.isoformat()}

    def week_of(self, day: date) -> int:
        """The week that holds `day`, counted from 1."""
        return (day - self.first_monday).days // 7 + 1

    def monday_of(self, week: int) -> date:
        """The Monday on which `week` begins."""
        return self.first_monday + timedelta(weeks=week - 1)

    def share(self, week: int) -> float:
        """Where `week` stands in the data: 0 at week 1, 1 at the last week."""
        return (week - 1) / max(self.last_week - 1, 1)

    def fitting_split(self) -> str:
        """What to choose instead, so that training, validation and test have a week each.

        >>> Calendar(date(2006, 4, 10), 52).fitting_split()
        'choose for example --train-weeks 35 --val-weeks 42'
        >>> Calendar(date(2006, 4, 10), 103).fitting_split()
        'choose for example --train-weeks 70 --val-weeks 83'
        >>> Calendar(date(2006, 4, 10), 2).fitting_split()
        'training, validation and test need a week each'
        """
        if self.last_week < len(SPLITS):
            return "training, validation and test need a week each"
        for train, val in (usual_split(self.last_week), split_by_share(self.last_week)):
            if (train, val) != (self.train_end, self.val_end):
                return f"choose for example --train-weeks {train} --val-weeks {val}"
        return f"choose others than --train-weeks {self.train_end} --val-weeks {self.val_end}"

    def split_fault(self) -> str:
        """What is wrong with a split whose test weeks lie behind the data, and one that fits; empty where nothing is.

        >>> Calendar(date(2006, 4, 10), 52).split_fault()
        '--train-weeks 80 --val-weeks 95 leave no week of 52 for the test: choose for example --train-weeks 35 --val-weeks 42'
        """
        if self.last_week > self.val_end:
            return ""
        flags = f"--train-weeks {self.train_end} --val-weeks {self.val_end}"
        return f"{flags} leave no week of {self.last_week} for the test: {self.fitting_split()}"

    def split_line(self) -> str:
        """The split in words.

        >>> Calendar(date(2006, 4, 10), 117).split_line()
        'weeks 1–80 train, 81–95 validate, 96–117 test'
        """
        weeks = [f"{first}–{last}" for first, last in map(self.weeks_in, SPLITS)]
        return "weeks {} train, {} validate, {} test".format(*weeks)

    def split_of(self, week: int) -> str:
        """The split of `week`: train, val or test."""
        return "train" if week <= self.train_end else "val" if week <= self.val_end else "test"

    def weeks_in(self, split: str) -> tuple[int, int]:
        """First and last week of `split`, both inside."""
        bounds = {
            "train": (1, self.train_end),
            "val": (self.train_end + 1, self.val_end),
            "test": (self.val_end + 1, self.last_week),
        }
        return bounds[split]
