"""The classes of a trip: widths of the heads, order of T6's slices, spellings in the raw data."""

from retailsim import labels
from retailsim.layout import T6


def test_the_heads_have_the_classes_of_the_contract():  # C17
    sizes = {name: len(classes) for name, classes in labels.TRIP_LABELS.items()}
    assert sizes == {"mission_type": 5, "mission_focus": 6, "price_sensitivity": 4, "basket_size": 4}


def test_the_labels_stand_in_the_order_of_the_slices_of_t6():
    assert list(labels.TRIP_LABELS) == list(T6.widths)


def test_a_class_stands_once_in_its_tuple():
    for classes in labels.TRIP_LABELS.values():
        assert len(set(classes)) == len(classes)


def test_raw_spellings_lead_to_a_class():
    for label, spellings in labels.RAW_LABELS.items():
        assert set(spellings.values()) <= set(labels.TRIP_LABELS[label])


def test_the_labels_of_the_published_data_are_known():  # C3
    published = {
        "mission_type": {"Top Up", "Full Shop", "Small Shop", "XX"},
        "mission_focus": {"Fresh", "Mixed", "Grocery", "Nonfood", "XX"},
        "price_sensitivity": {"MM", "UM", "LA"},  # XX says that it is not known
        "basket_size": {"L", "M", "S"},
    }
    for label, raw in published.items():
        spellings = labels.RAW_LABELS.get(label, {})
        assert {spellings.get(name, name) for name in raw} <= set(labels.TRIP_LABELS[label])
