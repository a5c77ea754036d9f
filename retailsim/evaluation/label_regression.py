"""What the visible basket alone says about a trip label: multinomial logistic regression (SPEC C32).

The rival of the auxiliary heads, with what they see of the basket. Its columns are the visible products, 0/1, each one's share
of what was spent, how many there are, of how many groups, and how many items the basket has with every hidden product as
one, one column a number, and the logarithms of items a product and of £ an item.

Legend: B baskets · V vocabulary · F columns · K classes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array, hstack
from scipy.special import logsumexp

from retailsim.labels import UNKNOWN

MOST_VISIBLE = 20  # more visible products share a column, and more groups
MOST_ITEMS = 63  # more items share a column
PENALTIES = (30.0, 10.0, 3.0, 1.0)  # λ of ½ λ |w|² beside the summed log-likelihood; each fit begins at the one before
ITERATIONS = 60
CHOICE_BASKETS = 10_000  # at most so many, evenly spaced, are fitted on to choose the penalty


def columns_of(items: csr_array, spent: csr_array, n_hidden: np.ndarray, group: np.ndarray) -> csr_array:
    """What the regression sees, sparse [B, F] with F = 2 V + 108.

    Args:
        items: of each visible product, [B, V]; above 0 where it is visible.
        spent: £ on each, with the entries of `items`.
        n_hidden: how many products of each basket are hidden, int [B].
        group: group of each product, int [V]; negative: none known.
    """
    n = np.diff(items.indptr)
    visible, share, all_items, total = items.copy(), spent.copy(), items.sum(axis=1), spent.sum(axis=1)
    visible.data = np.ones_like(visible.data)
    share.data = share.data / np.repeat(total, np.diff(spent.indptr))
    # Ratios, since the sums themselves go with the number of products: the fit would need several times the iterations.
    ratios = np.ones((len(n), 2))
    shown = n > 0
    ratios[shown, 0] = all_items[shown] / n[shown]
    ratios[shown, 1] = total[shown] / all_items[shown]
    numbers = (
        _one_column_each(n, MOST_VISIBLE),
        _one_column_each(_distinct(visible, group), MOST_VISIBLE),
        _one_column_each(np.rint(all_items + n_hidden), MOST_ITEMS),
    )
    return csr_array(hstack([visible, share, *numbers, csr_array(np.log(ratios))], format="csr"))


def _distinct(visible: csr_array, group: np.ndarray) -> np.ndarray:
    """Of how many groups the visible products are, int64 [B]."""
    known = np.flatnonzero(group >= 0)
    members = csr_array((np.ones(len(known)), (known, group[known])), shape=(len(group), group.max(initial=0) + 1))
    counts = visible @ members
    return np.diff(counts.indptr)


def _one_column_each(numbers: np.ndarray, most: int) -> csr_array:
    """0/1, [B, most + 1]: a column for each number, the last for all from `most` on."""
    column = np.minimum(numbers, most).astype(np.int64)
    return csr_array((np.ones(len(column)), (np.arange(len(column)), column)), shape=(len(column), most + 1))


@dataclass(frozen=True)
class Labelled:
    """What the regression sees of baskets, and a label of theirs."""

    columns: csr_array  # see `columns_of`, [B, F]
    labels: np.ndarray  # codes, int [B]; −1 unknown

    def known(self) -> "Labelled":
        """Those whose label is known."""
        return self.at(np.flatnonzero(self.labels != UNKNOWN))

    def at(self, rows: np.ndarray | slice) -> "Labelled":
        """Those at `rows`."""
        return Labelled(self.columns[rows], self.labels[rows])


@dataclass(frozen=True)
class LabelRegression:
    """A fitted regression."""

    penalty: float  # λ
    classes: np.ndarray  # their codes, int [K]
    weights: np.ndarray  # [F, K]

    def guess(self, columns: csr_array) -> np.ndarray:
        """The likeliest class of each basket, int [n]."""
        return self.classes[(columns @ self.weights).argmax(axis=1)]


def fit_regression(fit: Labelled, chosen_on: Labelled) -> LabelRegression:
    """Fitted on the first baskets, with that of PENALTIES whose fit on CHOICE_BASKETS of them guesses most labels of the others.

    Where two guess as many, the larger penalty.

    Raises:
        ValueError: no basket to fit on has a known label.
    """
    known, others = fit.known(), chosen_on.known()
    if not len(known.labels):
        raise ValueError("no basket has a known label: there is nothing to fit")

    def hits(fitted: LabelRegression) -> int:
        return int((fitted.guess(others.columns) == others.labels).sum())

    some = known.at(slice(None, None, -(-len(known.labels) // CHOICE_BASKETS)))
    chosen = max(_fits(some, PENALTIES), key=hits)
    return next(_fits(known, [chosen.penalty]))


def _fits(known: Labelled, penalties: Sequence[float]) -> Iterator[LabelRegression]:
    """A regression for each of `penalties`."""
    classes, code = np.unique(known.labels, return_inverse=True)
    weights = np.zeros((known.columns.shape[1], len(classes)))
    truth = np.eye(len(classes))[code]
    for penalty in penalties:
        cost = _cost(known.columns, truth, penalty)
        found = minimize(cost, weights.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
        weights = found.reshape(weights.shape)
        yield LabelRegression(penalty, classes, weights)


def _cost(x: csr_array, truth: np.ndarray, penalty: float) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Of flat weights: minus the penalised log-likelihood, and its gradient; `truth` is 0/1, [B, K]."""

    def cost(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(x.shape[1], truth.shape[1])
        scores = x @ weights
        log_p = scores - logsumexp(scores, axis=1, keepdims=True)
        gradient = x.T @ (np.exp(log_p) - truth) + penalty * weights
        return -(log_p * truth).sum() + penalty / 2 * (flat**2).sum(), gradient.ravel()

    return cost
