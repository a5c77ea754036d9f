"""What the baselines leave open: half-lives, back-offs, penalties; chosen on the validation weeks (`evaluation.tuning`)."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """The numbers of all baselines; the defaults are those of the published protocol."""

    recent_weeks: int = 4  # of recent popularity
    store_half_life: float = 8.0  # weeks
    store_shrink: float = 5.0  # decayed baskets: how much history weighs as much as the group of the store
    customer_half_life: float = 8.0  # weeks
    customer_shrink: float = 5.0  # decayed baskets
    customer_backoff: float = 0.3  # share of recent popularity added to a customer's own frequency
    visible_power: float = 0.7  # item-item: how much the commonness of the visible product counts
    scored_power: float = 0.3  # item-item: and that of the scored one
    ease_ridge: float = 100.0  # λ of EASE
    history_half_life: float = 8.0  # weeks, of the customer and store columns of EASE with histories
    history_shrink: float = 5.0  # decayed baskets
    ridge_items: float = 100.0  # λ of its basket columns
    ridge_customer: float = 3.0  # of its customer columns
    ridge_store: float = 30.0  # of its store columns

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Settings":
        """The inverse of `to_json`; a field that is missing or unknown raises."""
        return cls(**record)


DEFAULTS = Settings()
