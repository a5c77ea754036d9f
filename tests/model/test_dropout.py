"""C29, C31: which units a basket loses depends on its draw and the place alone."""

import pytest
import torch

from retailsim.layout import MAX_PLACES
from retailsim.model.dropout import POOL, Dropout, draws_at, number_uses


def test_a_share_is_dropped_and_the_rest_scaled_up():
    dropout = Dropout(0.3, 64)
    y = dropout(torch.ones(40, 51, 64), draws_at(torch.arange(40) * 977, 51))
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert (y == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert (y == 0).float().mean((0, 1)).sub(0.3).abs().max() < 0.06  # no unit is spared


def test_without_draws_nothing_is_dropped():
    x = torch.randn(3, 8)
    assert Dropout(0.5, 8)(x, None) is x


def test_a_basket_loses_the_same_units_in_any_company():
    dropout, draws = Dropout(0.5, 16), torch.tensor([3, 2**31 - 1, 12345])
    together = dropout(torch.ones(3, 9, 16), draws_at(draws, 9))
    for b in range(3):
        assert torch.equal(together[b : b + 1, :4], dropout(torch.ones(1, 4, 16), draws_at(draws[b : b + 1], 4)))


def test_no_two_places_and_uses_of_a_basket_share_a_mask():
    model = torch.nn.ModuleList(Dropout(0.5, 32) for _ in range(12))
    number_uses(model)
    draws = draws_at(torch.tensor([2000]), MAX_PLACES + 1)
    masks = torch.cat([dropout(torch.ones(1, MAX_PLACES + 1, 32), draws)[0] for dropout in model])
    assert len(masks) < POOL and len(masks.unique(dim=0)) == len(masks)
    assert len({dropout.pool.data_ptr() for dropout in model}) == 1
