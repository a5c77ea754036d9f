"""Widths of the six tensors and their sums."""

import pytest

from retailsim import layout


def test_the_tensors_have_the_widths_of_the_contract():  # C9, C12
    assert [tensor.width for tensor in layout.TENSORS] == [192, 256, 64, 64, 96, 48]


def test_context_and_products_are_fused_from_sums_of_widths():  # C14
    assert layout.CONTEXT_WIDTH == 400
    assert layout.PRODUCT_WIDTH == 320
    assert layout.MAX_PLACES == 50  # C12


@pytest.mark.parametrize(
    "tensor, widths",
    [
        (layout.T1, [64, 96, 32]),
        (layout.T2, [64, 64, 64, 64]),
        (layout.T3, [16, 8, 8, 8, 8, 16]),
        (layout.T4, [16, 16, 16, 16]),
        (layout.T5, [24, 24, 24, 24]),
        (layout.T6, [16, 16, 8, 8]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_slices_have_the_widths_of_the_contract(tensor, widths):  # SPEC §4
    assert list(tensor.widths.values()) == widths


@pytest.mark.parametrize("tensor", layout.TENSORS, ids=lambda tensor: tensor.name)
def test_slices_tile_the_vector(tensor):
    places = [place for name in tensor.widths for place in range(tensor.width)[tensor[name]]]
    assert places == list(range(tensor.width))


def test_the_columns_of_t4_that_the_model_fills_in_lie_where_they_should():
    position, context = layout.T4["position"], layout.T4["context"]
    assert position.start < layout.T4_RELATIVE <= layout.T4_PAID_KNOWN < layout.T4_SHIFT < position.stop
    assert context.start < layout.T4_BASKET.start and layout.T4_BASKET.stop == context.stop


def test_an_unknown_slice_is_an_error():
    with pytest.raises(KeyError, match="loyalty"):
        layout.T1["loyalty"]
