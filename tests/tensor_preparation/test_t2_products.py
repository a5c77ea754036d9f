"""C12: the embeddings of the products as rows of the vocabulary."""

import ibis
import numpy as np
import pyarrow as pa
import pytest

from retailsim.artifacts import PRODUCT_EMBEDDINGS
from retailsim.errors import UserError
from retailsim.layout import T2
from retailsim.storage import connect
from retailsim.tensor_preparation.t2_products import build
from retailsim.vocab import Vocabulary


def embeddings(**values):
    rows = [
        {"product_id": name, "is_fitted": True, "embedding": [float(value)] * T2.width}
        for name, value in values.items()
    ]
    return ibis.memtable(pa.Table.from_pylist(rows, PRODUCT_EMBEDDINGS.schema.to_pyarrow()))


def test_each_product_stands_in_its_row_and_specials_are_zero():
    vocabulary = Vocabulary(["P2", "P1"], late=["P0"])
    t2 = build(embeddings(P0=0.5, P2=2, P1=1), vocabulary, connect())
    assert t2.dtype == np.float32 and t2.shape == (6, 256)
    assert t2[:, 0].tolist() == [0, 0, 0, 1, 2, 0.5]  # [PAD], [MASK], [EOS], P1, P2, then the late one
    assert (t2 == t2[:, :1]).all()


def test_a_missing_embedding_is_no_row_of_zeros():
    with pytest.raises(AssertionError, match="every product has an embedding"):
        build(embeddings(P1=1), Vocabulary(["P1", "P2"]), connect())


def test_a_foreign_product_is_named():
    with pytest.raises(UserError, match="unknown product 'P9'"):
        build(embeddings(P1=1, P9=1), Vocabulary(["P1", "P2"]), connect())
