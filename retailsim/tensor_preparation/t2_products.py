"""T2, what a product is [256]: the GraphSAGE embedding of each vocabulary row.

| slice | width | meaning | source |
|---|---|---|---|
| hierarchy | 64 | where the product stands in the shop's tree | trained to predict hierarchy edges |
| co_purchase | 64 | what it is bought with | trained to predict co-purchase edges |
| substitution | 64 | what replaces it | trained to predict substitution edges |
| brand | 64 | price tier and pseudo-brand | trained to predict shared pseudo-brands |
"""

import ibis
import ibis.expr.types as ir
import numpy as np

from retailsim.layout import T2
from retailsim.vocab import SPECIAL_TOKENS, Vocabulary


def build(embeddings: ir.Table, vocabulary: Vocabulary, engine: ibis.BaseBackend) -> np.ndarray:
    """T2 by vocabulary row, float32 [rows, 256]; the special tokens' rows are zero.

    Args:
        embeddings: artifacts.PRODUCT_EMBEDDINGS.
    """
    table = engine.to_pyarrow(embeddings.select("product_id", "embedding"))
    values = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(table), T2.width)
    t2 = np.zeros((len(vocabulary), T2.width), dtype=np.float32)
    t2[vocabulary.rows(table["product_id"].to_pylist())] = values
    assert len(table) == len(vocabulary) - len(SPECIAL_TOKENS), "every product has an embedding"
    return t2
