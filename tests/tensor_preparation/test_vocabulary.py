"""The vocabulary of the receipts: special tokens, products of the training weeks, late ones (SPEC C9)."""

from datetime import date

import ibis
import pytest

from retailsim.errors import UserError
from retailsim.tensor_preparation.run_tensor_preparation import list_products
from retailsim.weeks import Calendar

CALENDAR = Calendar(date(2006, 4, 10), last_week=4, train_end=2, val_end=3)


def listed(*sales):
    rows = ibis.memtable([{"product_id": product, "week": week} for product, week in sales])
    return list_products(rows, CALENDAR).order_by("row").to_pyarrow().to_pylist()


def test_products_stand_behind_the_special_tokens_and_late_ones_behind_them():
    found = listed(("B", 1), ("A", 3), ("C", 2), ("C", 4))
    assert [(row["product_id"], row["kind"]) for row in found] == [
        ("[PAD]", "special"), ("[MASK]", "special"), ("[EOS]", "special"), ("B", "product"), ("C", "product"), ("A", "late"),
    ]  # fmt: skip


def test_a_product_that_is_called_as_a_special_token_is_refused():  # C39
    with pytest.raises(UserError, match=r"the product '\[EOS\]' is called as a special token"):
        listed(("[EOS]", 1), ("A", 1))
