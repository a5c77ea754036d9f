"""Widths of the six tensors and of their slices (SPEC §4). Every other width in the project is a sum of these."""


class Layout:
    """A vector as named slices in order.

    >>> T5["assortment"]
    slice(48, 72, None)
    """

    def __init__(self, name: str, **widths: int) -> None:
        self.name = name
        self.widths = widths
        self.width = sum(widths.values())
        ends = [sum(list(widths.values())[: i + 1]) for i in range(len(widths))]
        self._slices = {key: slice(end - width, end) for (key, width), end in zip(widths.items(), ends, strict=True)}

    def __getitem__(self, key: str) -> slice:
        """Where slice `key` stands in the vector."""
        return self._slices[key]


T1 = Layout("T1 customer", segment=64, history=96, affinity=32)
T2 = Layout("T2 products", hierarchy=64, co_purchase=64, substitution=64, brand=64)
T3 = Layout("T3 time", week=16, weekday=8, hour=8, holiday=8, season=8, trend=16)
T4 = Layout("T4 prices", position=16, volatility=16, promotion=16, context=16)
T5 = Layout("T5 store", type=24, location=24, assortment=24, performance=24)
T6 = Layout("T6 trip", mission_type=16, mission_focus=16, price_sensitivity=8, basket_size=8)
TENSORS = (T1, T2, T3, T4, T5, T6)

CONTEXT_WIDTH = T1.width + T3.width + T5.width + T6.width
PRODUCT_WIDTH = T2.width + T4.width
MAX_PLACES = 50  # S: products of a basket that the model sees at most

# T4's first columns are logs of the price over a reference (base, last, mean, …), so that a price paid in the basket
# moves them all by log(paid / last known); the columns that `model.lookup` fills in are zero in the table.
T4_RELATIVE = 12  # columns 0–11: log(last known price / reference)
T4_PAID_KNOWN = 12  # column 12: 1 where the price paid in this basket is known
T4_SHIFT = 13  # column 13: log(price paid / last known price)
T4_BASKET = slice(56, 64)  # second half of `context`: how the visible prices of the basket stand
