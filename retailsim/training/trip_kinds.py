"""The labels of a trip as codes, and the four codes of one trip as a single number, its kind."""

import ibis
import ibis.expr.types as ir
import numpy as np

from retailsim.labels import TRIP_LABELS, UNKNOWN

BITS = max(map(len, TRIP_LABELS.values())).bit_length()  # of each label's code + 1 within a kind
SHIFTS = BITS * np.arange(len(TRIP_LABELS))


def label_codes(lines: ir.Table) -> dict[str, ir.IntegerScalar]:
    """The code of each label of a basket, an aggregate of its lines; UNKNOWN where it is null or no class."""
    return {
        label: ibis.cases(*[(lines[label].min() == name, code) for code, name in enumerate(names)], else_=UNKNOWN)
        for label, names in TRIP_LABELS.items()
    }


def kind_of_trip(lines: ir.Table) -> ir.IntegerScalar:
    """The kind of a basket, an aggregate of its lines: code + 1 of each label in BITS bits, 0 for an unknown one."""
    codes = label_codes(lines).values()
    return sum((code.cast("int64") - UNKNOWN) * 2 ** int(shift) for code, shift in zip(codes, SHIFTS, strict=True))


def likeness_of_kind(kind: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Whether trips of these kinds, int [T], have each of the labels `asked`, int [T, 4], and whether all: bool [T, 5].

    A label that is unknown in `asked` is shared by no trip and left out of "all"; where all are, no trip shares all.
    """
    is_asked = asked != UNKNOWN
    is_shared = (kind[:, None] >> SHIFTS) % 2**BITS + UNKNOWN == asked
    all_shared = (is_shared | ~is_asked).all(axis=1) & is_asked.any(axis=1)
    return np.column_stack([is_shared & is_asked, all_shared])
