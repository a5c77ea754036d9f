"""T6, what kind of trip it is [48]: one table a label, whose rows are added up.

| slice | width | meaning | range |
|---|---|---|---|
| mission_type | 16 | Full Shop, Top Up, Small Shop, Emergency, Other | −1/1 |
| mission_focus | 16 | Fresh, Grocery, Mixed, Nonfood, General, Other | −1/1 |
| price_sensitivity | 8 | LA, MM, UM, Premium | −1/1 |
| basket_size | 8 | S, M, L, XL | −1/1 |

Each class is a row of a Hadamard matrix of its slice's width: fixed, orthogonal codes that use every column (SPEC C13).
An unknown label is zeros. A hidden T6 is the model's own learned vector, not a row here (SPEC C22).
"""

import numpy as np
from scipy.linalg import hadamard

from retailsim.labels import TRIP_LABELS
from retailsim.layout import T6


def trip_tables() -> tuple[np.ndarray, ...]:
    """One float32 [classes + 1, 48] per label in the order of TRIP_LABELS; row code + 1, row 0: unknown."""
    tables = []
    for label, names in TRIP_LABELS.items():
        table = np.zeros((len(names) + 1, T6.width), dtype=np.float32)
        table[1:, T6[label]] = hadamard(T6.widths[label])[1 : len(names) + 1]
        tables.append(table)
    return tuple(tables)
