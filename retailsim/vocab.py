"""Product ids and their rows, once: special tokens in front, then the products of the training weeks, then late ones.

Rows 0 … size−1 are the vocabulary over which the model predicts. Products first sold after the training weeks have
rows from `size` on: they can be seen in a basket (their embedding is inductive), but not predicted.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retailsim.errors import UserError

PAD, MASK, EOS = 0, 1, 2
SPECIAL_TOKENS = ("[PAD]", "[MASK]", "[EOS]")


class Vocabulary:
    """The products of the data as rows.

    Args:
        products: ids of the products sold in the training weeks.
        late: ids of the products first sold afterwards.
    """

    def __init__(self, products: Sequence[str], late: Sequence[str] = ()) -> None:
        self.ids: list[str] = [*SPECIAL_TOKENS, *sorted(products), *sorted(late)]
        self.size = len(SPECIAL_TOKENS) + len(products)
        self._index = pa.array(self.ids[len(SPECIAL_TOKENS) :])

    def __len__(self) -> int:
        """Rows of the product table: vocabulary and late products."""
        return len(self.ids)

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """Rows of product `ids`, int64 [n]; an id that is not there is a UserError that names it."""
        try:
            found = pc.index_in(pa.array(ids, pa.string()), value_set=self._index)
        except UnicodeEncodeError as error:  # half a character of UTF-16, or a byte of the shell that is no UTF-8
            raise self._unknown(error.object) from error
        if found.null_count:
            raise self._unknown(next(i for i, row in zip(ids, found.to_pylist(), strict=True) if row is None))
        return found.to_numpy().astype(np.int64) + len(SPECIAL_TOKENS)

    def _unknown(self, name: str) -> UserError:
        return UserError(
            f"unknown product {name!r}: it is not among the {len(self) - len(SPECIAL_TOKENS)} products of the data"
        )
