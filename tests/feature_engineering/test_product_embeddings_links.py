"""Link prediction: AUC by hand, negatives that are no edges, numbered nodes; held-out edges stay out."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from retailsim.feature_engineering.graph_training import LearningGraph, held_out_auc, train
from retailsim.feature_engineering.graphsage import GraphSage
from retailsim.feature_engineering.link_prediction import Links, Pool, auc, corrupt, hold_out
from retailsim.feature_engineering.product_attributes import group_means
from retailsim.feature_engineering.product_nodes import number_nodes, same_brand_pairs

N = 24


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def links(a: list[int], b: list[int], held_out: list[int] = (), n: int = N) -> Links:
    mask = torch.zeros(len(a), dtype=torch.bool)
    mask[list(held_out)] = True
    everybody = Pool(torch.arange(n), torch.zeros(n, dtype=torch.int64))
    return Links(torch.tensor(a), torch.tensor(b), torch.ones(len(a)), mask, everybody, everybody, n)


@pytest.mark.parametrize(
    "positive, negative, area",
    [([3.0, 2.0], [1.0], 1.0), ([0.0], [1.0, 2.0], 0.0), ([1.0, 1.0], [1.0], 0.5), ([2.0, 0.0], [1.0, -1.0, 3.0], 0.5)],
)
def test_auc_by_hand(positive, negative, area):
    assert auc(torch.tensor(positive), torch.tensor(negative)) == pytest.approx(area)


def test_pool_draws_from_the_nodes_group_as_often_as_its_members_stand_there():
    groups = torch.tensor([0, 0, 1, 1, 1])
    pool = Pool(torch.tensor([4, 0, 1, 2, 4, 4]), groups)
    drawn = pool.draw(torch.tensor([3]).repeat(4000), seeded())
    assert set(drawn.tolist()) == {2, 4}
    assert (drawn == 4).double().mean() == pytest.approx(0.75, abs=0.03)
    assert set(pool.draw(torch.tensor([0]).repeat(100), seeded()).tolist()) == {0, 1}


def test_negatives_keep_one_end_and_are_no_edges():
    some = links(a=[0, 0, 5, 7], b=[1, 2, 6, 8], held_out=[1])
    for among, is_known in (("all", True), ("train", False)):
        edges = torch.tensor([0]).repeat(500)
        kept, drawn, valid = corrupt(some, edges, some.easy, 4, among, seeded())
        assert set(kept.unique().tolist()) == {0, 1}
        pairs = {tuple(sorted(pair)) for pair in zip(kept[valid].tolist(), drawn[valid].tolist(), strict=True)}
        assert not pairs & {(0, 1), (0, 0), (1, 1)}
        assert ((0, 2) not in pairs) == is_known  # a held-out edge: no negative in the test, not told in training


def test_hold_out_takes_a_share_and_leaves_one_edge():
    assert [int(hold_out(n, 0.1, seeded()).sum()) for n in (0, 1, 2, 10, 200)] == [0, 0, 1, 1, 20]


def learning_graph(held_out_to: list[int]) -> LearningGraph:
    """A ring of 20 products under four codes; two edges of each type are held out and lead to `held_out_to`."""
    ring = list(range(20))
    following = [(k + 1) % 20 for k in ring[:18]] + held_out_to
    tree = links(ring, [20 + k // 5 for k in ring[:18]] + [20 + k % 4 for k in held_out_to], held_out=[18, 19])
    level = (torch.arange(N) >= 20).long()
    codes = Pool(torch.arange(20, N), level)
    product_links = links(ring, following, held_out=[18, 19])
    products = Pool(torch.arange(20), level)
    product_links = replace(product_links, easy=products, hard=products)
    attributes = torch.randn(20, 3, generator=seeded(1))
    nothing = torch.empty(0, dtype=torch.int64)
    return LearningGraph(
        attributes=attributes,
        newcomer=torch.zeros(20, 3),
        price=attributes[:, :2],
        links={
            "hierarchy": replace(tree, easy=codes, hard=codes),
            "co_purchase": product_links,
            "substitution": product_links,
            "brand": product_links,
        },
        n_nodes=N,
        late=torch.empty(0, 3),
        late_child=nothing,
        late_parent=nothing,
    )


def test_held_out_edges_teach_nothing():  # C8.3
    def learn(graph: LearningGraph) -> tuple[list[float], dict]:
        generator = seeded(2)
        slices = dict.fromkeys(graph.links, 4)
        model = GraphSage(3, 4, ("co_purchase", "substitution", "from_parent", "from_child"), slices, 8)
        losses = train(model.initialise(generator), graph, 12, generator, lambda epoch, loss: None)
        return losses, held_out_auc(model, graph, generator)

    losses, report = learn(learning_graph([19, 0]))
    elsewhere, other_report = learn(learning_graph([3, 8]))
    assert losses == elsewhere
    assert report != other_report
    told = learning_graph([3, 8])
    told = replace(told, links={name: replace(x, held_out=x.held_out & False) for name, x in told.links.items()})
    assert learn(told)[0] != losses  # the same edges, not held out, do teach


def products(*rows: tuple[str, bool, str | None, str]) -> pa.Table:
    columns = {"product_id": 0, "is_fitted": 1, "hierarchy_10": 2, "hierarchy_20": 3}
    table = {name: [row[k] for row in rows] for name, k in columns.items()}
    return pa.table({**table, "hierarchy_30": ["g"] * len(rows), "hierarchy_40": ["d"] * len(rows)})


GRAPH = pa.table(
    {
        "edge_type": ["co_purchase", "hierarchy", "hierarchy", "hierarchy", "hierarchy"],
        "source": ["a", "a", "b", "s", "c"],
        "target": ["b", "s", "s", "c", "g"],
        "source_level": [0, 0, 0, 10, 20],
        "target_level": [0, 10, 10, 20, 30],
        "weight": [0.5, 1.0, 1.0, 1.0, 1.0],
    }
)


def test_nodes_are_numbered_products_codes_late():
    nodes = number_nodes(
        products(
            ("late1", False, "s", "c"), ("b", True, "s", "c"), ("a", True, "s", "c"), ("late2", False, "new", "c")
        ),
        GRAPH,
    )
    assert (nodes.fitted, nodes.codes, nodes.late) == (["a", "b"], ["10:s", "20:c", "30:g"], ["late1", "late2"])
    assert nodes.level.tolist() == [0, 0, 1, 2, 3]
    assert nodes.parent.tolist() == [0, 0, 3, 4, 0]
    assert (nodes.edges["co_purchase"].source.tolist(), nodes.edges["co_purchase"].target.tolist()) == ([0], [1])
    tree = nodes.edges["hierarchy"]
    assert sorted(zip(tree.source.tolist(), tree.target.tolist(), strict=True)) == [(0, 2), (1, 2), (2, 3), (3, 4)]
    # late1 hangs on its sub-category, late2, whose sub-category is new, on its category
    assert (nodes.late_edges.source.tolist(), nodes.late_edges.target.tolist()) == ([5, 6], [2, 3])
    assert len(nodes.edges["substitution"]) == 0


def test_a_product_outside_the_training_weeks_is_refused():
    with pytest.raises(ValueError, match="'b', which is no product of the training weeks"):
        number_nodes(products(("a", True, "s", "c"), ("b", False, "s", "c")), GRAPH)


def test_same_brand_pairs_by_hand():
    pairs = same_brand_pairs(np.array([1, 0, 1, 1, 0, 2]))
    assert sorted(zip(pairs.source.tolist(), pairs.target.tolist(), strict=True)) == [(0, 2), (0, 3), (1, 4), (2, 3)]
    assert len(same_brand_pairs(np.array([0]))) == 0


def test_group_means_skip_what_is_not_known():
    values = np.array([[1.0, np.nan], [3.0, 4.0], [10.0, 0.0]])
    means = group_means(values, np.array([0, 0, 2]), np.array([2, 0, 1]))
    np.testing.assert_array_equal(means, [[10, 0], [2, 4], [0, 0]])
