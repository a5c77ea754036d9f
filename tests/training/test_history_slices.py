import numpy as np
from scipy.sparse import csr_array

from retailsim.evaluation.hidden import HiddenSet
from retailsim.evaluation.purchases import FirstPurchases, Purchases
from retailsim.training.history_slices import bought_before, product_baskets


def typed():
    """Customer 0 buys 5 in week 1 and 6 in week 3; customer 1 buys 7 in week 2; an anonymous basket has 5 in week 2."""
    rows = [(0, 1, 0, 0, 5), (1, 3, 0, 0, 6), (2, 2, 1, 0, 7), (3, 2, -1, 0, 5), (4, 4, 0, 0, 5), (4, 4, 0, 0, 6)]
    purchases = Purchases.from_rows(*np.array(rows).T)
    asked = [  # week, customer, hidden product
        (3, 0, 6),  # bought in the same week only
        (4, 0, 6),
        (4, 0, 5),
        (4, 1, 5),
        (4, -1, 5),
        (4, 7, 7),  # a customer never seen
        (4, 0, 99),  # a product never seen
    ]
    week, customer, target = np.array(asked).T
    nothing = csr_array((len(asked), 8))
    trip = np.full((len(asked), 4), -1)
    return purchases, HiddenSet(week, customer, 0 * week, trip, nothing, np.arange(len(asked) + 1), target)


def test_a_repeat_is_a_product_of_an_earlier_week_of_the_same_customer():
    purchases, hidden = typed()
    assert bought_before(FirstPurchases(purchases, 8), hidden).tolist() == [0, 1, 1, 0, -1, 0, 0]


def test_product_history_counts_the_training_baskets():
    assert product_baskets(*typed(), train_end=2).tolist() == [0, 0, 2, 2, 2, 1, 0]
    assert product_baskets(*typed(), train_end=4).tolist() == [2, 2, 3, 3, 3, 1, 0]


def test_without_an_identified_customer_nothing_is_a_repeat():
    purchases, hidden = typed()
    nobody = Purchases(purchases.week, np.full(5, -1), purchases.store, purchases.basket, purchases.product)
    assert bought_before(FirstPurchases(nobody, 8), hidden).tolist() == [0, 0, 0, 0, -1, 0, 0]
