import numpy as np
import pytest

from retailsim.evaluation.hidden import hidden_count, hide, hiding_key


def test_a_tenth_and_a_half_of_the_products_are_hidden_rounded_and_at_least_one():  # C32
    n = np.array([2, 6, 9, 10, 13, 16, 17, 23, 24, 50, 87])
    expected = [1, 1, 1, 2, 2, 2, 3, 3, 4, 8, 13]
    assert hidden_count(n).tolist() == expected
    assert [hidden_count(int(x)) for x in n] == expected


def test_the_key_is_the_md5_of_basket_and_product():  # C32
    assert hiding_key("994100100000001", "PRD0900001") == "0415582f83a14b407fdbaf30e18902af"


@pytest.fixture
def hidden():
    """Three baskets; V = 8, product 8 is late. The third was cut from 17 products to 4."""
    return hide(
        starts=np.array([0, 2, 5, 9]),
        products=np.array([5, 4, 3, 8, 6, 8, 7, 3, 4]),
        n_products=np.array([2, 3, 17]),
        week=np.array([9, 8, 9]),
        customer=np.array([0, -1, 1]),
        store=np.array([1, 0, 0]),
        trip=np.array([[0, 1, 2, 3], [1, -1, 0, 0], [2, 2, 2, 2]]),
        size=8,
    )


def test_the_first_of_the_list_are_hidden_the_rest_is_shown(hidden):
    assert hidden.starts.tolist() == [0, 1, 2, 5]
    assert hidden.target.tolist() == [5, 3, 8, 7, 3]
    assert hidden.basket.tolist() == [0, 1, 2, 2, 2]
    shown = [np.flatnonzero(row).tolist() for row in hidden.visible.toarray()]
    assert shown == [[4], [6], [4]]  # the late product 8 stands outside the vocabulary


def test_blocks_hold_every_basket_once_and_one_week_each(hidden):
    blocks = list(hidden.blocks(size=1))
    assert [rows.tolist() for rows, _ in blocks] == [[1], [2], [0]]
    assert [shown.week for _, shown in blocks] == [8, 9, 9]
    rows, shown = list(hidden.blocks())[1]
    assert rows.tolist() == [2, 0]
    assert shown.customer.tolist() == [1, 0] and shown.store.tolist() == [0, 1]
    assert shown.trip.tolist() == [[2, 2, 2, 2], [0, 1, 2, 3]]
    assert np.array_equal(shown.visible.toarray(), hidden.visible.toarray()[[2, 0]])


def test_before_the_trip_the_same_is_asked_for_and_nothing_shown(hidden):
    both = hidden.with_unseen()
    assert both.target.tolist() == hidden.target.tolist() * 2 and both.starts.tolist() == [0, 1, 2, 5, 6, 7, 10]
    assert both.week.tolist() == [9, 8, 9] * 2 and both.customer.tolist() == [0, -1, 1] * 2
    assert both.visible.toarray()[:3].tolist() == hidden.visible.toarray().tolist()
    assert not both.visible.toarray()[3:].any() and both.visible.shape == (6, 8)
    assert both.trip[:3].tolist() == hidden.trip.tolist() and (both.trip[3:] == -1).all()


def test_a_basket_of_one_product_is_refused():
    one = np.array([1])
    with pytest.raises(ValueError, match="basket 0 lists 1 product"):
        hide(np.array([0, 1]), np.array([3]), one, one, one, one, one[:, None], size=8)
