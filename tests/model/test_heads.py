"""C17: widths of the heads, and the prior they start from."""

import pytest
import torch

from retailsim.config import PRESETS
from retailsim.model.heads import ProductHead, TripHeads

CONFIG = PRESETS["tiny"].model


def test_trip_heads_have_the_documents_widths():
    logits = TripHeads(CONFIG)(torch.zeros(3, CONFIG.width))
    assert {name: tuple(t.shape) for name, t in logits.items()} == {
        "mission_type": (3, 5),
        "mission_focus": (3, 6),
        "price_sensitivity": (3, 4),
        "basket_size": (3, 4),
    }


def test_the_prior_is_the_first_guess():
    head = ProductHead(CONFIG, 20)
    share = torch.arange(1, 21) / 210
    head.set_prior(share.log())
    torch.nn.init.zeros_(head.to_products.weight)
    torch.testing.assert_close(head(torch.randn(2, CONFIG.width)).softmax(-1), share.expand(2, -1))


def test_a_prior_that_cannot_be_is_refused():
    head = ProductHead(CONFIG, 20)
    with pytest.raises(ValueError, match=r"shape \(19,\), the vocabulary \(20,\)"):
        head.set_prior(torch.zeros(19))
    with pytest.raises(ValueError, match="never bought"):
        head.set_prior(torch.arange(20).log())
