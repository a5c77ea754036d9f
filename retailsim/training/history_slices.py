"""Which hidden products are repeats, and how well known a hidden product is: what the slices of an evaluation need.

Legend: M hidden products.
"""

import numpy as np

from retailsim.evaluation.hidden import HiddenSet
from retailsim.evaluation.purchases import FirstPurchases, Purchases


def bought_before(first: FirstPurchases, hidden: HiddenSet) -> np.ndarray:
    """Whether the customer bought the hidden product in an earlier week: 1 yes, 0 no, −1 anonymous; int64 [M]."""
    customer, week = hidden.customer[hidden.basket], hidden.week[hidden.basket]
    return np.where(customer < 0, -1, first.is_repeat(week, customer, hidden.target).astype(np.int64))


def product_baskets(purchases: Purchases, hidden: HiddenSet, train_end: int) -> np.ndarray:
    """Baskets of weeks ≤ `train_end` that held the hidden product, int64 [M]."""
    is_train = purchases.week[purchases.basket] <= train_end
    most = int(max(purchases.product.max(initial=0), hidden.target.max(initial=0))) + 1
    return np.bincount(purchases.product[is_train], minlength=most)[hidden.target]
