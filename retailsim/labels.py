"""The classes of a shopping trip (T6) and of the four auxiliary heads (SPEC C17).

Codes are positions in these tuples; `UNKNOWN` (-1) stands for a label that is missing or, where the tuple has no
class for it, `XX`. Classes that never occur in a retailer's data keep their place: the heads' widths are fixed.
"""

UNKNOWN = -1

MISSION_TYPES = ("Full Shop", "Top Up", "Small Shop", "Emergency", "Other")
MISSION_FOCI = ("Fresh", "Grocery", "Mixed", "Nonfood", "General", "Other")
PRICE_SENSITIVITIES = ("LA", "MM", "UM", "Premium")
BASKET_SIZES = ("S", "M", "L", "XL")

# transactions column → classes, in the order of T6's slices
TRIP_LABELS: dict[str, tuple[str, ...]] = {
    "mission_type": MISSION_TYPES,
    "mission_focus": MISSION_FOCI,
    "price_sensitivity": PRICE_SENSITIVITIES,
    "basket_size": BASKET_SIZES,
}

# Raw labels that mean one of the classes above: the published data says XX where no type or focus could be given.
RAW_LABELS: dict[str, dict[str, str]] = {"mission_type": {"XX": "Other"}, "mission_focus": {"XX": "Other"}}
