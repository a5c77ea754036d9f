import numpy as np
import pytest
from scipy.sparse import csr_array

from retailsim.evaluation.label_regression import columns_of, guess_label


def test_columns_are_the_products_and_how_many_there_are():
    visible = csr_array(np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0]]))
    assert columns_of(visible).toarray()[:, :6].tolist() == [[0, 1, 1, 0, 0, 1], [0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 1, 0]]
    many = csr_array(np.ones((1, 30)))
    assert columns_of(many).toarray()[0, 30:].tolist() == [0] * 20 + [1]


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
    guesses = guess_label(csr_array(x), shown, csr_array(asked))
    assert (guesses == truth).mean() > 0.97 > 0.8 > (guesses == shuffled).mean()


def test_without_a_known_label_there_is_nothing_to_fit():
    with pytest.raises(ValueError, match="known label"):
        guess_label(csr_array(np.eye(2)), np.array([-1, -1]), csr_array(np.eye(2)))
