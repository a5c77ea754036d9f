"""Product ids and rows: special tokens in front, late products behind, an unknown id is an error."""

import numpy as np
import pytest

from retailsim.errors import UserError
from retailsim.vocab import EOS, MASK, PAD, SPECIAL_TOKENS, Vocabulary

VOCABULARY = Vocabulary(["PRD09", "PRD01", "PRD05"], late=["PRD00", "PRD07"])


def test_special_tokens_stand_in_front_and_late_products_behind():
    assert VOCABULARY.ids == ["[PAD]", "[MASK]", "[EOS]", "PRD01", "PRD05", "PRD09", "PRD00", "PRD07"]
    assert tuple(VOCABULARY.ids.index(token) for token in SPECIAL_TOKENS) == (PAD, MASK, EOS)
    assert (VOCABULARY.size, len(VOCABULARY)) == (6, 8)


def test_the_full_data_has_5003_rows():  # C17
    assert Vocabulary([f"PRD{number:07}" for number in range(5000)]).size == 5003


def test_rows_and_ids_are_inverse():
    ids = ["PRD07", "PRD01", "PRD09", "PRD01"]
    rows = VOCABULARY.rows(ids)
    assert rows.dtype == np.int64 and rows.tolist() == [7, 3, 5, 3]
    assert [VOCABULARY.ids[row] for row in rows] == ids
    assert VOCABULARY.rows([]).shape == (0,)


def test_rows_do_not_depend_on_the_order_of_the_ids():  # C40
    assert Vocabulary(["PRD01", "PRD05", "PRD09"], ["PRD07", "PRD00"]).ids == VOCABULARY.ids


def test_an_unknown_id_is_an_error_that_names_it():  # C39
    with pytest.raises(UserError, match="unknown product 'PRD99'.* 5 products"):
        VOCABULARY.rows(["PRD01", "PRD99", "PRD98"])


@pytest.mark.parametrize("token", SPECIAL_TOKENS)
def test_special_tokens_are_no_products(token):
    with pytest.raises(UserError, match="unknown product"):
        VOCABULARY.rows(["PRD01", token])
