"""The GraphSAGE layer against torch_geometric's, in values and gradients, and that edges left out are not heard."""

import pytest
import torch
from torch_geometric.nn import SAGEConv

from retailsim.feature_engineering.graphsage import GraphSage, MessageEdges, SageLayer

N = 30


def random_edges(seed: int, n: int = 120) -> tuple[torch.Tensor, torch.Tensor]:
    """Receivers and senders of `n` different edges."""
    keys = torch.randperm(N * N, generator=torch.Generator().manual_seed(seed))[:n]
    return keys // N, keys % N


def test_layer_is_sage_conv_summed_over_edge_types():
    generator = torch.Generator().manual_seed(0)
    layer = SageLayer(6, 5, ("near", "far"))
    twins = {name: SAGEConv(6, 5, bias=False, root_weight=False) for name in ("near", "far")}
    for name, twin in twins.items():
        twin.lin_l.load_state_dict(layer.of_type[name].state_dict())
    edges = {"near": random_edges(1), "far": random_edges(2)}
    x = torch.randn(N, 6, generator=generator, requires_grad=True)
    neighbours = {
        name: MessageEdges(receiver, sender, torch.ones(len(receiver)), N).neighbours(
            torch.ones(len(receiver), dtype=torch.bool)
        )
        for name, (receiver, sender) in edges.items()
    }
    mine = layer(x, neighbours)
    theirs = layer.own(x) + sum(
        twins[name](x, torch.stack([sender, receiver])) for name, (receiver, sender) in edges.items()
    )
    torch.testing.assert_close(mine, theirs)
    mix = torch.randn(mine.shape, generator=generator)
    torch.testing.assert_close(*(torch.autograd.grad((y * mix).sum(), x)[0] for y in (mine, theirs)))


def test_mean_is_weighted_and_over_kept_edges_only():
    edges = MessageEdges(torch.tensor([0, 0, 0, 1]), torch.tensor([1, 2, 3, 0]), torch.tensor([1.0, 3.0, 9.0, 0.5]), 4)
    neighbours = edges.neighbours(torch.tensor([True, True, False, True]))
    expected = torch.tensor([[0, 0.25, 0.75, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    torch.testing.assert_close(neighbours.mean.to_dense(), expected)
    torch.testing.assert_close(neighbours.transpose.to_dense(), expected.T)


@pytest.fixture
def model() -> GraphSage:
    generator = torch.Generator().manual_seed(0)
    return GraphSage(3, n_codes=2, edge_types=("parent",), slices={"x": 4, "y": 6}, hidden=8).initialise(generator)


def no_edges(n: int) -> dict:
    nothing = torch.empty(0, dtype=torch.int64)
    return {"parent": MessageEdges(nothing, nothing, torch.empty(0), n).neighbours(torch.empty(0, dtype=torch.bool))}


def test_products_are_known_by_their_attributes_alone(model):  # C8.3, inductive
    row = torch.tensor([0.5, -1.0, 2.0])
    slices = model(torch.stack([row, row, -row]), no_edges(5))
    assert torch.equal(slices["x"][0], slices["x"][1])
    assert not torch.allclose(slices["x"][0], slices["x"][2])
    assert not torch.allclose(slices["x"][3], slices["x"][4])  # codes have vectors of their own


def test_slices_have_their_widths_and_length_1(model):
    slices = model(torch.ones(3, 3), no_edges(5))
    assert {name: tuple(z.shape) for name, z in slices.items()} == {"x": (5, 4), "y": (5, 6)}
    torch.testing.assert_close(slices["y"].norm(dim=1), torch.ones(5))


def test_weights_come_from_the_generator_alone():  # C40
    def weights() -> list[torch.Tensor]:
        made = GraphSage(3, 2, ("parent",), {"x": 4}, 8).initialise(torch.Generator().manual_seed(3))
        return list(made.parameters())

    for first, second in zip(weights(), weights(), strict=True):
        assert torch.equal(first, second)
