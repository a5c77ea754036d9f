import numpy as np
import pytest
from scipy.sparse import csr_array

from retailsim.evaluation.label_regression import PENALTIES, Labelled, columns_of, fit_regression


def test_columns_are_products_shares_numbers_and_ratios():
    items = csr_array(np.array([[0, 1, 3], [0, 0, 0], [2, 0, 0]]))
    spent = csr_array(np.array([[0, 1.5, 4.5], [0, 0, 0], [8.0, 0, 0]]))
    found = columns_of(items, spent, np.array([1, 2, 3]), np.array([-1, 0, 0])).toarray()
    assert found[:, :6].tolist() == [[0, 1, 1, 0, 0.25, 0.75], [0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0]]
    assert np.array_equal(found[:, 6:27], np.eye(21)[[2, 0, 1]])  # visible products
    assert np.array_equal(found[:, 27:48], np.eye(21)[[1, 0, 0]])  # groups; that of the first product is not known
    assert np.array_equal(found[:, 48:112], np.eye(64)[[5, 2, 5]])  # items, a hidden product being one
    assert np.allclose(found[:, 112:], np.log([[4 / 2, 6 / 4], [1, 1], [2, 4]]))  # items a product, £ an item
    many = csr_array(np.full((1, 30), 2.0))
    columns = columns_of(many, many, np.array([4]), np.arange(30) % 7).toarray()[0, 60:166]
    assert np.flatnonzero(columns).tolist() == [20, 21 + 7, 42 + 63]


def seen(x):
    return columns_of(csr_array(x), csr_array(x), np.ones(len(x), dtype=np.int64), np.full(x.shape[1], -1))


def test_the_label_that_products_and_their_number_give_away_is_found():  # C32
    """Class 2 where product 0 is, class 4 where more than three products are, else class 0; class 1 never occurs."""
    generator = np.random.default_rng(0)

    def drawn(n):
        x = (generator.random((n, 12)) < 0.2).astype(float)
        return x, np.where(x[:, 0] > 0, 2, np.where(x.sum(1) > 3, 4, 0))

    (x, labels), (asked, truth) = drawn(1500), drawn(400)
    shown = labels.copy()
    shown[::7] = -1
    shuffled = generator.permutation(truth)
    guesses = fit_regression(Labelled(seen(x), shown), Labelled(seen(x), labels)).guess(seen(asked))
    assert (guesses == truth).mean() > 0.97 > 0.8 > (guesses == shuffled).mean()


def test_without_a_known_label_there_is_nothing_to_fit():
    with pytest.raises(ValueError, match="known label"):
        fit_regression(Labelled(seen(np.eye(2)), np.array([-1, -1])), Labelled(seen(np.eye(2)), np.array([0, 1])))


@pytest.mark.parametrize("truth, is_bold", [(1, True), (0, False)])
def test_the_penalty_is_chosen_on_baskets_that_it_was_not_fitted_on(truth, is_bold):  # C32
    """Eight baskets of sixty have product 0, and class 1: a large penalty does not believe it, a small one does."""
    x = np.eye(2)[[0] * 8 + [1] * 52]
    fit = Labelled(seen(x), x[:, 0].astype(int))
    later = Labelled(seen(np.eye(2)[[0, 0, 1]]), np.array([truth, truth, -1]))
    found = fit_regression(fit, later)
    assert found.guess(seen(np.eye(2))).tolist() == [truth, 0]
    assert found.penalty == PENALTIES[0] if not is_bold else found.penalty < PENALTIES[0]
