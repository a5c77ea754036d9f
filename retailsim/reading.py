"""What most stages read under a data root: the calendar and the vocabulary."""

from pathlib import Path

from retailsim.artifacts import CALENDAR, VOCABULARY
from retailsim.manifest import refuse_changed
from retailsim.storage import connect, engine_errors
from retailsim.vocab import Vocabulary
from retailsim.weeks import Calendar


def load_calendar(root: Path) -> Calendar:
    """The calendar under data root `root`; a UserError names the command when it is missing or damaged."""
    refuse_changed(root, CALENDAR)
    record = CALENDAR.read(root)
    try:
        return Calendar.from_json(record)
    except (KeyError, TypeError, ValueError) as error:
        raise CALENDAR.damaged(root, f"is no calendar ({error})") from error


def load_vocabulary(root: Path) -> Vocabulary:
    """The vocabulary under data root `root`; a UserError names the command when it is missing or damaged."""
    refuse_changed(root, VOCABULARY)
    engine = connect()
    table = VOCABULARY.read(root, engine)
    try:
        columns = engine.to_pyarrow(table.order_by("row")).to_pydict()
    except engine_errors(engine) as error:
        raise VOCABULARY.damaged(root, f"cannot be read ({str(error).splitlines()[0]})") from error
    pairs = list(zip(columns["product_id"], columns["kind"], strict=True))
    return Vocabulary([i for i, kind in pairs if kind == "product"], [i for i, kind in pairs if kind == "late"])
