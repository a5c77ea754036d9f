"""What products say about the trip and a known trip about the products (C17, C20, C22)."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from retailsim.labels import TRIP_LABELS, UNKNOWN
from retailsim.model.evidence import DOUBT, MOST_ITEMS, Shown, TripEvidence, shown_of
from retailsim.model.history import visible_ids
from retailsim.model.world_model import parameter_groups
from retailsim.training.dataset import make_batch
from retailsim.training.masking import Masking
from retailsim.vocab import PAD
from tests.small_world import SPECIALS, VOCAB_SIZE

VISIBLE = torch.tensor([[5, 9, 60, PAD], [30, PAD, PAD, PAD], [7, 8, PAD, PAD]])
QUANTITY = torch.tensor([[2, 1, torch.nan, 1], [3, 1, 1, 1], [1, torch.nan, 1, 1]])
PAID = torch.tensor([[1.5, torch.nan, 4, 1], [2, 1, 1, 1], [1, 3, 1, 1]])
TRIP = torch.tensor([[1, 0, 2, 1], [3, 5, UNKNOWN, 0], [UNKNOWN] * 4])
N_HIDDEN = torch.tensor([1, 3, 1])
REAL = slice(SPECIALS, None)  # padding is no product


@pytest.fixture
def graph(model):
    return model.lookup.product[:VOCAB_SIZE]


def shown(samples):
    """All baskets with their trip hidden."""
    return make_batch(samples, np.arange(24), Masking(VOCAB_SIZE, hide_trip_prob=1.0, is_evaluation=True))


def shown_in(batch) -> Shown:
    n_hidden = (batch.slots < len(batch.places)).sum(1)
    return shown_of(visible_ids(batch, VOCAB_SIZE), batch.quantity, batch.paid, n_hidden)


def test_a_known_trip_weighs_products_by_bayes_rule(model, graph):
    """The offsets are log P(labels | visible and the product), computed by showing each as one item that costs nothing."""
    evidence = model.evidence
    with torch.no_grad():
        evidence.own.weight.copy_(100 * torch.nn.functional.one_hot(torch.arange(VOCAB_SIZE) % 12))  # of one kind each
        shown = shown_of(VISIBLE, QUANTITY, PAID, N_HIDDEN)
        offset, _ = evidence(shown, TRIP, graph)
        gain = evidence.gain(shown.totals()).exp()
        assert not offset[2].any()  # nothing is known
        for basket in range(2):
            with_one_more = [
                torch.cat([of[basket].expand(VOCAB_SIZE, -1), one], 1)
                for of, one in (
                    (VISIBLE, torch.arange(VOCAB_SIZE)[:, None]),
                    (QUANTITY, torch.ones(VOCAB_SIZE, 1)),
                    (PAID, torch.zeros(VOCAB_SIZE, 1)),
                )
            ]
            all_shown = shown_of(*with_one_more, N_HIDDEN[basket].expand(VOCAB_SIZE) - 1)
            _, logits = evidence(all_shown, torch.full((VOCAB_SIZE, 4), UNKNOWN), graph)
            expected = torch.zeros(VOCAB_SIZE)
            for code, of_label in zip(TRIP[basket], logits.values(), strict=True):
                if code != UNKNOWN:
                    expected += ((1 - DOUBT) * of_label.softmax(1)[:, code] + DOUBT).log()
            assert torch.allclose(offset[basket, REAL], (gain[basket] * expected)[REAL], atol=1e-4)
            assert expected[REAL].std() > 0.05


def test_what_the_labels_teach_is_what_weighs_the_products(model, graph):
    """`log_likelihood` of each product is its offset but for the gain, also of products of several kinds."""
    evidence, shown = model.evidence, shown_of(VISIBLE, QUANTITY, PAID, N_HIDDEN)
    with torch.no_grad():
        evidence.of_graph.weight.zero_()
        evidence.own.weight.copy_(0.1 * torch.randn(VOCAB_SIZE, 12, generator=torch.Generator().manual_seed(0)))
        assert 0.2 < evidence.kinds(graph)[REAL].amax(1).median() < 0.8
        offset, _ = evidence(shown, TRIP, graph)
        basket, product = torch.tensor([0, 0, 1, 2, 1]), torch.tensor([3, 40, 5, 6, 70])
        said = evidence.log_likelihood(shown, TRIP, graph, basket, product)
        gain = evidence.gain(shown.totals()).exp()[:, 0]
    assert torch.allclose(offset[basket, product], gain[basket] * said, atol=1e-5)
    assert said[3] == 0


def test_evidence_and_nothing_else_has_a_rate_of_its_own(model):
    groups = parameter_groups(model, 0.01, evidence_rate=3.0)
    assert [group["rate"] for group in groups] == [1.0, 1.0, 3.0, 3.0]
    own = {id(p) for group in groups[2:] for p in group["params"]}
    assert own == {id(p) for p in model.evidence.parameters()}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_labels_teach_all_but_the_gain_and_products_the_gain_alone(model, samples, graph):
    evidence, batch = model.evidence, make_batch(samples, np.arange(24), Masking(VOCAB_SIZE, hide_trip_prob=0.0))
    shown, basket = shown_in(batch), batch.basket
    offset, logits = evidence(shown, batch.trip, graph)

    def moved(cost):
        names, parameters = zip(*evidence.named_parameters(), strict=True)
        grads = torch.autograd.grad(cost, parameters, allow_unused=True, retain_graph=True)
        return {name for name, grad in zip(names, grads, strict=True) if grad is not None and grad.any()}

    of_gain = {"gain.weight", "gain.bias"}
    of_labels = {name for name, _ in evidence.named_parameters()} - of_gain
    assert moved(offset.log_softmax(1)[:, SPECIALS].sum()) == of_gain
    assert moved(sum(logit[:, 0].sum() for logit in logits.values())) == of_labels
    known = batch.targets < VOCAB_SIZE
    said = evidence.log_likelihood(shown, batch.trip, graph, basket[known], batch.targets[known])
    assert moved(said.sum()) == of_labels


def test_a_trip_that_is_not_known_weighs_nothing(model, samples, graph):
    """Neither where T6 is hidden, whatever codes stand there, nor for a label that the source does not have."""
    batch = shown(samples)
    with torch.no_grad():
        hidden = model(batch).product_logits
        assert torch.equal(hidden, model(replace(batch, trip=torch.ones_like(batch.trip))).product_logits)
        offset, _ = model.evidence(shown_in(batch), torch.full_like(batch.trip, UNKNOWN), graph)
    assert not offset.any()


def test_the_labels_see_the_visible_products_and_no_hidden_one(model, samples):
    batch = shown(samples)
    changed = batch.ids.clone()
    changed[batch.ids == changed[0, (batch.ids[0] >= SPECIALS).nonzero()[0, 0]]] = SPECIALS + 1
    with torch.no_grad():
        before, after = model(batch).trip_logits, model(replace(batch, ids=changed)).trip_logits
        masked = (
            batch.ids.flatten().index_fill(0, batch.places, SPECIALS + 2).view_as(batch.ids)
        )  # what hidden places show
        evidence = [
            model.read(
                replace(batch, ids=ids),
                torch.zeros(len(batch.places), 32),
                torch.zeros(24, 32),
                model.history.chain(batch.week),
            )[1]
            for ids in (batch.ids, masked)
        ]
    assert all(not torch.equal(before[label], after[label]) for label in TRIP_LABELS)
    assert all(torch.equal(evidence[0][label], evidence[1][label]) for label in TRIP_LABELS)


def test_at_the_start_no_product_says_anything(graph):
    fresh = TripEvidence(torch.arange(VOCAB_SIZE) % 7)
    with torch.no_grad():
        offset, logits = fresh(shown_of(VISIBLE, QUANTITY, PAID, N_HIDDEN), TRIP, graph)
    assert torch.allclose(offset, offset[:, :1].expand_as(offset), atol=1e-6)
    assert all(not logit.any() for logit in logits.values())


def test_items_spend_and_products_are_those_shown_and_hidden_ones_count_as_one():
    """Four items are four: shown one by one, two of one, or hidden; an unknown number or price is 1."""
    visible = torch.tensor([[4, 5, 6, PAD], [4, 5, PAD, PAD], [4, PAD, PAD, PAD], [4, 5, PAD, PAD]])
    quantity = torch.tensor([[1, 1, 1, torch.nan], [2, 1, 9, 9], [torch.nan] * 4, [40, 60, 9, 9]])
    paid = torch.tensor([[2, 3, 4, 1], [1.5, 0.5, 9, 9], [5, 9, 9, 9], [1, torch.nan, 9, 9]])
    shown = shown_of(visible, quantity, paid, torch.tensor([1, 1, 3, 1]))
    assert shown.all_items().tolist() == [4, 4, 4, MOST_ITEMS]
    # products, items, items shown, spend, hidden, shown; then with one of the hidden shown, too
    expected = torch.tensor([[4, 4, 3, 9, 1, 3], [3, 4, 3, 3.5, 1, 2], [4, 4, 1, 5, 3, 1], [3, 101, 100, 100, 1, 2]])
    assert torch.allclose(shown.totals().expm1(), expected, atol=1e-3)
    assert torch.allclose(shown.totals(1).expm1(), expected + torch.tensor([0, 0, 1, 0, -1, 1]), atol=1e-3)


def test_rules_of_groups_and_of_dominant_kinds_are_learned_and_point_at_hidden_products():
    """Planted: one label says how many groups a basket has, another which of two brands most of its products are of."""
    torch.manual_seed(0)
    size, draw = SPECIALS + 80, torch.Generator().manual_seed(0)
    group, brand = 1 + torch.arange(size) % 8, torch.arange(size) // 8 % 2
    graph = torch.randn(size, 256, generator=draw)
    graph[:, 0] += 16 * brand - 8.0
    evidence, ones = TripEvidence(group), torch.ones(64, 4)
    optimizer = torch.optim.AdamW(evidence.parameters(), lr=5e-3)

    def baskets():
        products = torch.stack([torch.randperm(80, generator=draw)[:5] for _ in range(64)]) + SPECIALS
        distinct = torch.tensor([len(set(row.tolist())) for row in group[products]])
        trip = torch.stack([distinct.clamp(max=4) - 1, brand[products].float().mean(1).round().long()], 1)
        trip = torch.cat([trip, torch.full((64, 2), UNKNOWN)], 1)
        return shown_of(products[:, :4], ones, ones, torch.ones(64, dtype=torch.int64)), trip, products[:, 4]

    for _ in range(300):
        shown, trip, hidden = baskets()
        loss = -evidence.log_likelihood(shown, trip, graph, torch.arange(64), hidden).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    shown, trip, hidden = baskets()
    with torch.no_grad():
        offset, _ = evidence(shown, trip, graph)
    odds = offset[:, REAL].softmax(1)
    assert loss < 0.3  # of 1.3 nats that a guess costs
    agrees = brand[REAL] == brand[hidden][:, None]
    decisive = brand[shown.visible].sum(1) == 2  # two and two: the hidden product decides
    assert decisive.sum() > 10 and (odds * agrees)[decisive].sum(1).mean() > 0.9
