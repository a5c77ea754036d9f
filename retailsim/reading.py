"""What most stages read under a data root: the calendar and the vocabulary."""

from pathlib import Path

from retailsim.artifacts import CALENDAR, VOCABULARY
from retailsim.storage import connect
from retailsim.vocab import Vocabulary
from retailsim.weeks import Calendar


def load_calendar(root: Path) -> Calendar:
    """The calendar under data root `root`; a UserError names the command when it is missing."""
    return Calendar.from_json(CALENDAR.read(root))


def load_vocabulary(root: Path) -> Vocabulary:
    """The vocabulary under data root `root`; a UserError names the command when it is missing."""
    engine = connect()
    columns = engine.to_pyarrow(VOCABULARY.read(root, engine).order_by("row")).to_pydict()
    pairs = list(zip(columns["product_id"], columns["kind"], strict=True))
    return Vocabulary([i for i, kind in pairs if kind == "product"], [i for i, kind in pairs if kind == "late"])
