"""C22, C26: every loss on numbers that can be checked on paper."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from retailsim.labels import TRIP_LABELS
from retailsim.training.losses import auxiliary_losses, contrastive_loss, focal_loss, total_loss
from retailsim.training.schedule import Phase

HALF = torch.tensor([[0.0, 0.0]])  # p = ½ for both classes


def test_focal_loss_on_paper():
    # p = ½: (1 − ½)² · log 2
    assert focal_loss(HALF, torch.tensor([0]), 2.0).item() == pytest.approx(0.25 * math.log(2))
    # p = ¾ and ¼: the mean of (¼)² log 4/3 and (¾)² log 4
    logits = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]])
    expected = ((1 / 16) * math.log(4 / 3) + (9 / 16) * math.log(4)) / 2
    assert focal_loss(logits, torch.tensor([0, 1]), 2.0).item() == pytest.approx(expected)


def test_focal_loss_without_focus_is_the_cross_entropy():
    logits = torch.randn(20, 7, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(20) % 7
    torch.testing.assert_close(focal_loss(logits, targets, 0.0), cross_entropy(logits, targets))


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal_loss_stays_finite_where_the_model_is_sure(gamma):
    logits = torch.tensor([[1e4, 0.0], [0.0, 1e4]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([0, 0]), gamma)
    loss.backward()
    assert loss.item() == pytest.approx(5e3) and logits.grad.isfinite().all()


def test_no_hidden_product_costs_nothing():
    """A batch of late products only, which no logit stands for, must not turn a mean into NaN."""
    logits = torch.zeros(0, 5, requires_grad=True)
    loss = focal_loss(logits, torch.zeros(0, dtype=torch.long), 2.0)
    loss.backward()
    assert loss.item() == 0


def contrastive(anchors, partners, anchor_ids, partner_ids, temperature=0.5):
    as_float, as_ids = (lambda x: torch.tensor(x, dtype=torch.float32)), torch.tensor
    return contrastive_loss(
        as_float(anchors),
        as_float(partners),
        as_ids(anchor_ids),
        as_ids(partner_ids),
        torch.arange(len(anchors)),
        temperature,
    ).item()


def test_contrastive_loss_of_two_baskets_on_paper():
    # Lengths do not count: cosines 1 with the own partner, 0 with the other, over temperature ½: −log e²/(e² + 1).
    loss = contrastive([[3, 0], [0, 1]], [[1, 0], [0, 2]], [3, 4], [5, 6])
    assert loss == pytest.approx(math.log(1 + math.exp(-2)))
    # Partners exchanged: −log 1/(1 + e²)
    loss = contrastive([[3, 0], [0, 1]], [[0, 2], [1, 0]], [3, 4], [5, 6])
    assert loss == pytest.approx(math.log(1 + math.exp(2)))


def test_the_same_product_is_no_negative():
    anchors, partners = [[1, 0], [0, 1], [0, 1]], [[1, 0], [1, 0], [0, 1]]
    # The first two baskets have the same partner: each has one negative left. Scores over ½: rows (2, –, 0), (–, 0, 2), (0, 0, 2).
    expected = [math.log(1 + math.exp(-2)), math.log(1 + math.exp(2)), math.log(1 + 2 * math.exp(-2))]
    assert contrastive(anchors, partners, [3, 4, 5], [7, 7, 8]) == pytest.approx(sum(expected) / 3)
    # A basket's own anchor as another's partner is none either: the third row loses its first negative.
    expected = [math.log(1 + math.exp(-2)), math.log(1 + math.exp(2)), math.log(1 + math.exp(-2))]
    assert contrastive(anchors, partners, [3, 4, 7], [7, 9, 8], 0.5) == pytest.approx(
        (math.log(2 + math.exp(-2)) + math.log(2 + math.exp(2)) + expected[2]) / 3
    )


def test_one_basket_or_none_costs_nothing():
    assert contrastive([[1, 0]], [[0, 1]], [3], [4]) == 0
    empty = torch.zeros(0, 2, requires_grad=True)
    none = torch.zeros(0, dtype=torch.long)
    contrastive_loss(empty, empty, none, none, none, 0.1).backward()


def trip_logits(rows):
    return {label: torch.zeros(rows, len(names)) for label, names in TRIP_LABELS.items()}


def test_auxiliary_losses_count_hidden_and_known_trips_only():  # C22
    logits = trip_logits(3)
    logits["basket_size"] = torch.tensor([[math.log(3), 0, 0, 0], [9.0, 0, 0, 0], [0, 9.0, 0, 0]])
    labels = torch.tensor([[0, 0, 0, 0], [4, 5, 3, 3], [-1, -1, -1, -1]])
    losses = auxiliary_losses(logits, labels, torch.tensor([True, False, True]))
    assert list(losses) == list(TRIP_LABELS)
    assert losses["mission_type"].item() == pytest.approx(math.log(5))
    assert losses["mission_focus"].item() == pytest.approx(math.log(6))
    assert losses["basket_size"].item() == pytest.approx(math.log(2))  # p = 3/6


def test_auxiliary_losses_without_a_hidden_trip_are_zero():  # C22
    losses = auxiliary_losses(trip_logits(2), torch.zeros(2, 4, dtype=torch.long), torch.tensor([False, False]))
    assert [loss.item() for loss in losses.values()] == [0, 0, 0, 0]


def test_a_shown_trip_gives_its_head_no_gradient():  # C22
    logits = {label: value.requires_grad_() for label, value in trip_logits(2).items()}
    losses = auxiliary_losses(logits, torch.ones(2, 4, dtype=torch.long), torch.tensor([False, True]))
    sum(losses.values()).backward()
    for value in logits.values():
        assert (value.grad[0] == 0).all() and (value.grad[1] != 0).all()


def test_the_total_is_the_weighted_sum():
    parts = {"focal": torch.tensor(2.0), "contrastive": torch.tensor(10.0), "basket_size": torch.tensor(torch.inf)}
    phase = Phase("main", 1e-3, 0.15, {"focal": 0.6, "contrastive": 0.4, "basket_size": 0.0})
    assert total_loss(parts, phase).item() == pytest.approx(5.2)
    with pytest.raises(KeyError, match="mission_type"):
        total_loss(parts, Phase("main", 1e-3, 0.15, {"focal": 0.6, "mission_type": 0.4}))
