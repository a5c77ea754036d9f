"""The group of each product: a level of the retailer's hierarchy that tells products apart and is still coarse."""

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retailsim.vocab import Vocabulary

LEVELS = ("hierarchy_10", "hierarchy_20", "hierarchy_30", "hierarchy_40")  # fine to coarse
MOST_GROUPS = 63  # besides 0, of products whose group is not known


def product_groups(transactions: ir.Table, vocabulary: Vocabulary) -> np.ndarray:
    """Number of each product's group, int64 [V]; 0: none known, and special tokens.

    Groups are the codes of the finest level that has 2 … MOST_GROUPS of them, numbered from 1 in their order; where there is none,
    all products are in group 0.

    Args:
        transactions: rows of the training weeks, with `product_id` and LEVELS.
        vocabulary: of which late products are left out.
    """
    of_product = transactions.group_by("product_id").agg(**{level: transactions[level].min() for level in LEVELS})
    rows = of_product.to_pyarrow()
    found = pc.index_in(pa.array(vocabulary.ids[: vocabulary.size]), value_set=rows["product_id"].combine_chunks())
    for level in LEVELS:
        codes = rows[level].take(found)
        names = pc.unique(codes.drop_null()).sort()
        if 2 <= len(names) <= MOST_GROUPS:
            return pc.fill_null(pc.add(pc.index_in(codes, value_set=names), 1), 0).to_numpy().astype(np.int64)
    return np.zeros(vocabulary.size, dtype=np.int64)
