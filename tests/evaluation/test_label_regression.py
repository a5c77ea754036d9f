import numpy as np
import pytest
from scipy.sparse import csr_array

from retailsim.evaluation.label_regression import columns_of, guess_label


def test_columns_are_products_their_number_shares_and_ratios():
    items = csr_array(np.array([[0, 1, 3], [0, 0, 0], [2, 0, 0]]))
    spent = csr_array(np.array([[0, 1.5, 4.5], [0, 0, 0], [8.0, 0, 0]]))
    found = columns_of(items, spent).toarray()
    assert found[:, :6].tolist() == [[0, 1, 1, 0, 0, 1], [0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 1, 0]]
    assert found[:, 24:27].tolist() == [[0, 0.25, 0.75], [0, 0, 0], [1, 0, 0]]
    assert np.allclose(found[:, 27:], np.log([[4 / 2, 6 / 4], [1, 1], [2, 4]]))  # items a product, £ an item
    many = csr_array(np.ones((1, 30)))
    assert columns_of(many, many).toarray()[0, 30:51].tolist() == [0] * 20 + [1]


def seen(x):
    return columns_of(csr_array(x), csr_array(x))


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
    guesses = guess_label(seen(x), shown, seen(asked))
    assert (guesses == truth).mean() > 0.97 > 0.8 > (guesses == shuffled).mean()


def test_without_a_known_label_there_is_nothing_to_fit():
    with pytest.raises(ValueError, match="known label"):
        guess_label(seen(np.eye(2)), np.array([-1, -1]), seen(np.eye(2)))
