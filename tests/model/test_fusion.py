"""C14: what stands at position 0 and at the products' places."""

import pytest
import torch

from retailsim.config import PRESETS
from retailsim.model.fusion import ContextFusion, ProductFusion, sinusoids

CONFIG = PRESETS["tiny"].model


def test_context_takes_400_numbers_in_the_documents_order():
    fusion = ContextFusion(CONFIG).eval()
    t1, t3, t5, t6 = (torch.randn(3, w, generator=torch.Generator().manual_seed(w)) for w in (192, 64, 96, 48))
    linear, norm = fusion.project[0], fusion.project[1]
    expected = torch.nn.functional.gelu(norm(linear(torch.cat([t1, t3, t5, t6], 1))))
    assert linear.in_features == 400
    torch.testing.assert_close(fusion(t1, t3, t5, t6), expected)


def test_products_differ_by_content_and_place():
    fusion = ProductFusion(CONFIG).eval()
    t2, t4 = torch.ones(1, 4, 256), torch.ones(1, 4, 64)
    same_content = fusion(t2, t4)[0]
    torch.testing.assert_close(same_content[1:] - same_content[:1], 0.1 * (sinusoids(4, 64)[1:] - sinusoids(4, 64)[:1]))
    t4[0, 2] = 2
    changed = (fusion(t2, t4)[0] != same_content).any(-1)
    assert changed.tolist() == [False, False, True, False]


def test_sinusoids_by_hand():
    table = sinusoids(3, 4)
    angles = torch.tensor([[0, 0], [1, 0.01], [2, 0.02]])
    torch.testing.assert_close(table, torch.cat([angles.sin(), angles.cos()], 1))


def test_too_long_a_basket_is_named():
    with pytest.raises(ValueError, match="51 places is longer than MAX_PLACES 50"):
        ProductFusion(CONFIG)(torch.zeros(1, 51, 256), torch.zeros(1, 51, 64))
