"""The synthetic retailer's prices, week by week: lasting changes of the regular price, and promotions (SPEC C6).

Demand follows prices by a nested constant-elasticity rule: with r the price over the reference price, a need sells as
(s r₁^−θ + (1 − s) r₂^−θ)^(ε/θ), and its substitutes share that as s r₁^−θ : (1 − s) r₂^−θ. So a single product has
own-price elasticity −ε, and one of two substitutes with share s has −(θ (1 − s) + ε s) of its own and (θ − ε)(1 − s)
towards the other's price (Train, "Discrete Choice Methods with Simulation", chapter 4, the nested rule in prices).
"""

import numpy as np

from retailsim.sources.synthetic_world import Catalogue

CHANGE_RATE = 0.008  # chance per product and week of a lasting change
CHANGE = (0.92, 1.12)  # the changed regular price over the reference price
DEPTHS = (0.10, 0.15, 0.20, 0.25, 0.33, 0.40)
LONGEST = 3  # weeks of a promotion


class PriceBook:
    """The chain's prices of the current week.

    Attributes:
        regular: [P] £ regular price.
        depth: [P] share 0–1 off in the running promotion; 0: none.
        promotions: per week that began any: products [n], first weeks, last weeks, depths.
        changes: per week with lasting changes: products [n], weeks, £ regular prices from then on.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._launch = catalogue.launch[catalogue.need]
        self.regular = catalogue.reference_price.copy()
        self.depth = np.zeros(len(self.regular))
        self._until = np.zeros(len(self.regular), np.int64)
        self.promotions: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
        self.changes = [(np.arange(len(self.regular)), self._launch, self.regular.copy())]

    def advance(self, week: int, rng: np.random.Generator) -> None:
        """Make `week`, the one after the last, the current week."""
        products = len(self.regular)
        self.depth = np.where(self._until < week, 0.0, self.depth)
        changed = rng.random(products) < CHANGE_RATE
        price = np.maximum(np.round(self._catalogue.reference_price * rng.uniform(*CHANGE, products), 2), 0.15)
        begins = rng.random(products) < self._catalogue.promotion_rate
        depth = rng.choice(DEPTHS, products)
        last = week + rng.integers(0, LONGEST, products)
        free = (self._until < week) & (self._launch < week)
        changed &= free & (price != self.regular)
        begins &= free & ~changed
        self.regular = np.where(changed, price, self.regular)
        self.depth = np.where(begins, depth, self.depth)
        self._until = np.where(begins, last, self._until)
        if changed.any():
            which = np.flatnonzero(changed)
            self.changes.append((which, np.full(len(which), week), self.regular[which]))
        if begins.any():
            which = np.flatnonzero(begins)
            self.promotions.append((which, np.full(len(which), week), last[which], depth[which]))

    def relative(self) -> np.ndarray:
        """Price over reference price [P]."""
        return self.regular * (1 - self.depth) / self._catalogue.reference_price


def appeal(catalogue: Catalogue, relative: np.ndarray, need: np.ndarray, first_share: np.ndarray) -> np.ndarray:
    """Demand factor of each `need` at relative prices [P]: 1 at reference prices."""
    first, second = _members(catalogue, relative, need, first_share)
    return (first + second) ** (catalogue.elasticity[need] / catalogue.switching[need])


def takes_first(catalogue: Catalogue, relative: np.ndarray, need: np.ndarray, first_share: np.ndarray) -> np.ndarray:
    """Chance that the first member of each `need` is taken, at relative prices [P]."""
    first, second = _members(catalogue, relative, need, first_share)
    return first / (first + second)


def _members(
    catalogue: Catalogue, relative: np.ndarray, need: np.ndarray, first_share: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    members, switching = catalogue.members[need], catalogue.switching[need]
    first = first_share * relative[members[..., 0]] ** -switching
    second = np.where(members[..., 1] >= 0, (1 - first_share) * relative[members[..., 1]] ** -switching, 0.0)
    return first, second
