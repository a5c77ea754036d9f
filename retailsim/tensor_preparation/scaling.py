"""From columns of a table to standardised numbers: what T1 and T5 share.

"raw" is a float64 matrix in the tensor's own columns, NaN where a number is not known. Flags and one-hots, named by
position, are left as they are.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

LIMIT = 5.0  # deviations from the mean at which a number is cut


def number(table: pa.Table, name: str) -> np.ndarray:
    """Column `name` as float64 [rows], NaN where it is null."""
    return table[name].cast(pa.float64()).to_numpy()


def numbers(table: pa.Table, names: Sequence[str], logged: Sequence[str] = ()) -> np.ndarray:
    """Columns `names` as float64 [rows, names], log(1 + x) of those in `logged`."""
    columns = [np.log1p(number(table, name)) if name in logged else number(table, name) for name in names]
    return np.stack(columns, axis=1)


def vectors(table: pa.Table, name: str, width: int) -> np.ndarray:
    """Array column `name` as float64 [rows, width]; a row of another width is a ValueError."""
    flat = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float64)
    if flat.size != len(table) * width:
        raise ValueError(f"{name} holds {flat.size} numbers in {len(table)} rows, not {width} in each")
    return flat.reshape(len(table), width)


def classes_of(labels: pa.ChunkedArray, most: int) -> list[str]:
    """The classes among `labels`, sorted, at most `most` of them; null is none."""
    return sorted(labels.drop_null().unique().to_pylist())[:most]


def class_codes(labels: pa.ChunkedArray, classes: Sequence[str], unknown: int) -> np.ndarray:
    """Position of each label in `classes`, `unknown` where it is null or another: int64 [rows]."""
    positions = {name: code for code, name in enumerate(classes)}
    encoded = labels.combine_chunks().dictionary_encode()
    lookup = np.array([positions.get(name, unknown) for name in encoded.dictionary.to_pylist()] + [unknown])
    return lookup[encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)]


def one_hot(codes: np.ndarray, width: int) -> np.ndarray:
    """Codes 0 … width − 1 as float64 [rows, width]."""
    return np.eye(width)[codes]


def moments(raw: np.ndarray, kept: Sequence[int]) -> dict[str, list[float]]:
    """Mean and deviation of each column over its known rows; 0 and 1 for the columns `kept` as they are.

    A column that is never known, or the same in all rows, gets deviation 1.
    """
    known = ~np.isnan(raw)
    n = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, raw, 0.0).sum(axis=0) / n
    deviation = np.sqrt((np.where(known, raw - mean, 0.0) ** 2).sum(axis=0) / n)
    deviation[deviation < 1e-9] = 1.0
    mean[list(kept)], deviation[list(kept)] = 0.0, 1.0
    return {"mean": mean.tolist(), "deviation": deviation.tolist()}


def standardise(raw: np.ndarray, scalers: dict[str, list[float]]) -> np.ndarray:
    """(raw − mean) / deviation, cut at ±`LIMIT`; 0, the mean, where nothing is known: float32 [rows, columns]."""
    scaled = (raw - np.array(scalers["mean"])) / np.array(scalers["deviation"])
    return np.nan_to_num(np.clip(scaled, -LIMIT, LIMIT), nan=0.0).astype(np.float32)
