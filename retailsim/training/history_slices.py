"""Which hidden products are repeats, and how well known a hidden product is: what the slices of an evaluation need.

Legend: M hidden products.
"""

import numpy as np

from retailsim.evaluation.hidden import HiddenSet
from retailsim.evaluation.purchases import Purchases


def bought_before(purchases: Purchases, hidden: HiddenSet) -> np.ndarray:
    """Whether the customer bought the hidden product in an earlier week: 1 yes, 0 no, −1 anonymous; int64 [M]."""
    customer, week = hidden.customer[hidden.basket], hidden.week[hidden.basket]
    stride = int(max(purchases.product.max(initial=0), hidden.target.max(initial=0))) + 1
    owned = purchases.customer[purchases.basket] >= 0
    pair = purchases.customer[purchases.basket[owned]] * stride + purchases.product[owned]
    order = np.lexsort((purchases.week[purchases.basket[owned]], pair))
    pairs, first = np.unique(pair[order], return_index=True)
    first_week = purchases.week[purchases.basket[owned]][order][first]
    asked = customer * stride + hidden.target
    place = np.minimum(np.searchsorted(pairs, asked), max(len(pairs) - 1, 0))
    is_repeat = (pairs[place] == asked) & (first_week[place] < week) if len(pairs) else np.zeros(len(asked), dtype=bool)
    return np.where(customer < 0, -1, is_repeat.astype(np.int64))


def product_baskets(purchases: Purchases, hidden: HiddenSet, train_end: int) -> np.ndarray:
    """Baskets of weeks ≤ `train_end` that held the hidden product, int64 [M]."""
    is_train = purchases.week[purchases.basket] <= train_end
    most = int(max(purchases.product.max(initial=0), hidden.target.max(initial=0))) + 1
    return np.bincount(purchases.product[is_train], minlength=most)[hidden.target]
