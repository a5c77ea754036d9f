"""The group of each product: the finest level of the hierarchy that is still coarse."""

import ibis
import pytest

from retailsim.training.product_groups import LEVELS, MOST_GROUPS, product_groups
from retailsim.vocab import SPECIAL_TOKENS, Vocabulary

MANY = MOST_GROUPS + 1
PRODUCTS = [f"P{i:02}" for i in range(MANY)]


def groups_of(**levels):
    """Each product twice, its codes by level; a level left out is not known."""
    codes = {level: levels.get(level, [None] * MANY) for level in LEVELS}
    rows = {"product_id": PRODUCTS, **codes}
    types = {"product_id": "string", **dict.fromkeys(LEVELS, "string")}
    table = ibis.memtable({name: values * 2 for name, values in rows.items()}, schema=ibis.schema(types))
    groups = product_groups(table, Vocabulary(PRODUCTS, ["LATE"]))
    assert len(groups) == len(SPECIAL_TOKENS) + MANY and not groups[: len(SPECIAL_TOKENS)].any()
    return groups[len(SPECIAL_TOKENS) :].tolist()


def test_the_finest_level_that_is_coarse_enough_is_taken():
    each = [f"C{i:02}" for i in range(MANY)]
    tens = [f"G{i // 10}" for i in range(MANY)]
    assert groups_of(hierarchy_10=each, hierarchy_20=tens, hierarchy_40=["D"] * MANY) == [
        1 + i // 10 for i in range(MANY)
    ]
    of_63 = each[:-1] + each[:1]
    assert groups_of(hierarchy_10=of_63, hierarchy_20=tens) == [*range(1, MANY), 1]


@pytest.mark.parametrize("codes", [None, ["D"] * MANY, [f"C{i:02}" for i in range(MANY)]], ids=["none", "one", "many"])
def test_products_that_no_level_tells_apart_coarsely_are_all_alike(codes):
    assert groups_of(**({"hierarchy_30": codes} if codes else {})) == [0] * MANY


def test_a_product_whose_code_is_not_known_is_in_no_group():
    halves = ["A" if i % 2 else "B" for i in range(MANY)]
    assert groups_of(hierarchy_30=[None, *halves[1:]]) == [0, *(1 if i % 2 else 2 for i in range(1, MANY))]
