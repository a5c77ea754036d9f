"""What products say about the trip and a known trip about the products (C17, C20, C22)."""

from dataclasses import replace

import numpy as np
import torch

from retailsim.labels import TRIP_LABELS, UNKNOWN
from retailsim.model.evidence import CLASSES, TripEvidence
from retailsim.training.dataset import Masking, make_batch
from retailsim.vocab import PAD
from tests.small_world import SPECIALS, VOCAB_SIZE


def shown(samples):
    """All baskets with their trip hidden."""
    return make_batch(samples, np.arange(24), Masking(VOCAB_SIZE, hide_trip_prob=1.0, is_evaluation=True))


def test_a_known_trip_weighs_products_by_bayes_rule(model):
    """Differences between products are those of log P(labels | visible and the product), computed by adding each, for nothing, to the basket."""
    evidence, products = model.evidence, model.lookup.vocabulary(VOCAB_SIZE)
    quantity, paid = torch.tensor([[2, 1, torch.nan, 1]] * 2), torch.tensor([[1.5, torch.nan, 4, 1]] * 2)
    visible, trip = (
        torch.tensor([[5, 9, 60, PAD], [30, PAD, PAD, PAD]]),
        torch.tensor([[1, 0, 2, 1], [3, 5, UNKNOWN, 0]]),
    )
    with torch.no_grad():
        offset, _ = evidence(visible, quantity, paid, trip, products)
        shown, items = (visible != PAD).float(), (torch.tensor([[2, 1, 1, 1]] * 2) * (visible != PAD)).sum(1).float()
        spent = (torch.tensor([[3.0, 1, 4, 1]] * 2) * shown).sum(1)
        n = shown.sum(1)
        gains = evidence.gain(torch.stack([n.log1p(), 1 / (1 + n), items.log1p(), spent.log1p()], 1)).exp()
        for basket, codes in enumerate(trip):
            expected = torch.zeros(VOCAB_SIZE)
            basket_and_one = [
                torch.cat([of[basket].expand(VOCAB_SIZE, -1), one], 1)
                for of, one in (
                    (visible, torch.arange(VOCAB_SIZE)[:, None]),
                    (quantity, torch.ones(VOCAB_SIZE, 1)),
                    (paid, torch.zeros(VOCAB_SIZE, 1)),
                )
            ]
            _, said = evidence(*basket_and_one, trip[:1].expand(VOCAB_SIZE, -1), products)
            for label, code, gain in zip(TRIP_LABELS, codes, gains[basket], strict=True):
                if code != UNKNOWN:
                    expected += gain * said[label].log_softmax(1)[:, code]
            real = slice(SPECIALS, None)  # padding adds nothing to a basket
            moved = (offset[basket] - expected)[real]
            assert torch.allclose(moved, moved[:1].expand_as(moved), atol=1e-4) and expected[real].std() > 0.1


def test_a_trip_that_is_not_known_weighs_nothing(model, samples):
    """Neither where T6 is hidden, whatever codes stand there, nor for a label that the source does not have."""
    batch = shown(samples)
    with torch.no_grad():
        hidden = model(batch).product_logits
        assert torch.equal(hidden, model(replace(batch, trip=torch.ones_like(batch.trip))).product_logits)
        offset, _ = model.evidence(
            batch.ids[:, :1],
            batch.quantity[:, :1],
            batch.paid[:, :1],
            torch.full_like(batch.trip, UNKNOWN),
            model.lookup.vocabulary(VOCAB_SIZE),
        )
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


def test_at_the_start_no_product_says_anything():
    fresh, products = TripEvidence(VOCAB_SIZE), torch.randn(VOCAB_SIZE, 256)
    with torch.no_grad():
        visible, one = torch.tensor([[4, 5], [6, 7]]), torch.ones(2, 2)
        offset, logits = fresh(visible, one, one, torch.tensor([[0, 1, 2, 3], [1, 0, 0, 0]]), products)
    assert offset.abs().max() < 1e-6
    assert all(torch.equal(logit[0], logit[1]) for logit in logits.values())


def test_what_was_spent_weighs_by_its_share():
    """Twice the items at half the price, or all prices tripled: the shares are the same; another split of the sum is another share."""
    evidence, products = TripEvidence(VOCAB_SIZE), torch.zeros(VOCAB_SIZE, 256)
    with torch.no_grad():
        evidence.own.weight.normal_()
        evidence.own.weight[:, : sum(CLASSES)] = 0  # counted
        visible, trip = torch.tensor([[4, 5, PAD]]), torch.full((1, 4), UNKNOWN)

        def size(quantity, paid):
            said = evidence(visible, torch.tensor([quantity]), torch.tensor([paid]), trip, products)[1]
            return said["basket_size"]

        nan = torch.nan
        one = size([1.0, 1.0, nan], [3.0, 1.0, nan])
        expected = (0.75 * evidence.own.weight[4] + 0.25 * evidence.own.weight[5])[-4:]
        assert torch.allclose(one[0], expected, atol=1e-6)
        assert torch.allclose(one, size([2.0, 1.0, nan], [1.5, 1.0, nan]))
        assert torch.allclose(one, size([1.0, 1.0, nan], [9.0, 3.0, nan]))
        assert torch.allclose(one, size([3.0, nan, nan], [1.0, nan, nan]))
        assert not torch.allclose(one, size([1.0, 1.0, nan], [2.0, 2.0, nan]))
