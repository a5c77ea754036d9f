"""What products say about the trip and a known trip about the products (C17, C20, C22)."""

from dataclasses import replace

import numpy as np
import torch

from retailsim.labels import TRIP_LABELS, UNKNOWN
from retailsim.model.evidence import CLASSES, MOST_ITEMS, LabelLogits, TripEvidence, shown_of
from retailsim.model.history import visible_ids
from retailsim.model.world_model import parameter_groups
from retailsim.training.dataset import Masking, make_batch
from retailsim.vocab import PAD
from tests.small_world import SPECIALS, VOCAB_SIZE


def shown(samples):
    """All baskets with their trip hidden."""
    return make_batch(samples, np.arange(24), Masking(VOCAB_SIZE, hide_trip_prob=1.0, is_evaluation=True))


def test_a_known_trip_weighs_products_by_bayes_rule(model):
    """Differences between products are those of log P(labels | visible and the product), computed by showing each, which costs nothing."""
    evidence, products = model.evidence, model.lookup.vocabulary(VOCAB_SIZE)
    quantity, paid = torch.tensor([[2, 1, torch.nan, 1]] * 2), torch.tensor([[1.5, torch.nan, 4, 1]] * 2)
    visible, trip = (
        torch.tensor([[5, 9, 60, PAD], [30, PAD, PAD, PAD]]),
        torch.tensor([[1, 0, 2, 1], [3, 5, UNKNOWN, 0]]),
    )
    n_hidden, shown_items, spent = torch.tensor([1, 3]), torch.tensor([4, 2]), torch.tensor([8, 3])
    with torch.no_grad():
        for part in (evidence.labels, evidence.correction):
            part.of_totals.weight[:, 2] = 0  # of visible items, which showing one more changes
        offset, _ = evidence(shown_of(visible, quantity, paid, n_hidden), trip, products)
        totals = torch.stack([torch.tensor([4, 4]), shown_items + n_hidden, shown_items, spent], 1).log1p()
        gains = evidence.gain(totals).exp()
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
            one_less = n_hidden[basket].expand(VOCAB_SIZE) - 1
            more_shown = shown_of(*basket_and_one, one_less)
            said = sum(part(more_shown, products)[0] for part in (evidence.labels, evidence.correction))
            for code, gain, logits in zip(codes, gains[basket], said.split(CLASSES, 1), strict=True):
                if code != UNKNOWN:
                    expected += gain * logits.log_softmax(1)[:, code]
            real = slice(SPECIALS, None)  # padding adds nothing to a basket
            moved = (offset[basket] - expected)[real]
            assert torch.allclose(moved, moved[:1].expand_as(moved), atol=1e-4) and expected[real].std() > 0.1


def test_graph_embeddings_are_read_at_a_sixteenth_beside_whole_corrections(model, samples, monkeypatch):
    seen, batch = [], shown(samples)
    evidence = model.evidence.forward
    monkeypatch.setattr(model.evidence, "forward", lambda *args: seen.append(args[2]) or evidence(*args))
    with torch.no_grad():
        model(batch)
        graph, learned = model.lookup.product[:VOCAB_SIZE], model.lookup.correction.weight[:VOCAB_SIZE]
        assert torch.allclose(seen[0], graph / 16 + learned)


def test_evidence_and_nothing_else_has_a_rate_of_its_own(model):
    decayed, kept, own = parameter_groups(model, 0.01, evidence_rate=3.0)
    assert (decayed["rate"], kept["rate"], own["rate"]) == (1.0, 1.0, 3.0)
    assert {id(p) for p in own["params"]} == {id(p) for p in model.evidence.parameters()}
    assert sum(len(group["params"]) for group in (decayed, kept, own)) == len(list(model.parameters()))


def test_labels_and_products_teach_weights_of_their_own(model, samples):
    """The loss of the products leaves what says the labels alone, and the labels' loss its corrections."""
    evidence, batch = model.evidence, make_batch(samples, np.arange(24), Masking(VOCAB_SIZE, hide_trip_prob=0.0))
    products, n_hidden = model.lookup.vocabulary(VOCAB_SIZE).detach(), (batch.slots < len(batch.places)).sum(1)
    shown = shown_of(visible_ids(batch, VOCAB_SIZE), batch.quantity, batch.paid, n_hidden)
    offset, logits = evidence(shown, batch.trip, products)

    def moved(cost):
        names, parameters = zip(*evidence.named_parameters(), strict=True)
        grads = torch.autograd.grad(cost, parameters, allow_unused=True, retain_graph=True)
        return {name for name, grad in zip(names, grads, strict=True) if grad is not None and grad.any()}

    of_part = {"own.weight", "of_row.weight", "of_items.weight", "of_totals.weight", "of_totals.bias"}
    corrections = {f"correction.{name}" for name in of_part} | {"gain.weight", "gain.bias"}
    assert moved(offset.log_softmax(1)[:, SPECIALS].sum()) == corrections
    assert moved(sum(logit[:, 0].sum() for logit in logits.values())) == {f"labels.{name}" for name in of_part}


def test_a_trip_that_is_not_known_weighs_nothing(model, samples):
    """Neither where T6 is hidden, whatever codes stand there, nor for a label that the source does not have."""
    batch = shown(samples)
    with torch.no_grad():
        hidden = model(batch).product_logits
        assert torch.equal(hidden, model(replace(batch, trip=torch.ones_like(batch.trip))).product_logits)
        one = shown_of(batch.ids[:, :1], batch.quantity[:, :1], batch.paid[:, :1], torch.ones(24, dtype=torch.int64))
        offset, _ = model.evidence(one, torch.full_like(batch.trip, UNKNOWN), model.lookup.vocabulary(VOCAB_SIZE))
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
        visible, one, n_hidden = torch.tensor([[4, 5], [6, 7]]), torch.ones(2, 2), torch.tensor([1, 3])
        offset, logits = fresh(
            shown_of(visible, one, one, n_hidden), torch.tensor([[0, 1, 2, 3], [1, 0, 0, 0]]), products
        )
    assert offset.abs().max() < 1e-6
    assert all(torch.equal(logit[0], logit[1]) for logit in logits.values())


def test_what_was_spent_weighs_by_its_share():
    """Twice the items at half the price, or all prices tripled: the shares are the same; another split of the sum is another share."""
    logits, products, nan = LabelLogits(VOCAB_SIZE), torch.zeros(VOCAB_SIZE, 256), torch.nan
    torch.nn.init.normal_(logits.own.weight)
    counted, shared = logits.own.weight.detach().chunk(2, dim=1)
    visible = torch.tensor([[4, 5, PAD]] * 5)
    quantity = torch.tensor([[1, 1, nan], [2, 1, nan], [1, 1, nan], [3, nan, nan], [1, 1, nan]])
    paid = torch.tensor([[3, 1, nan], [1.5, 1, nan], [9, 3, nan], [1, nan, nan], [2, 2, nan]])
    with torch.no_grad():
        said, _ = logits(shown_of(visible, quantity, paid, torch.ones(5, dtype=torch.int64)), products)
    summed = counted[4] + counted[5]
    assert torch.allclose(said[:4], (summed + 0.75 * shared[4] + 0.25 * shared[5]).expand(4, -1), atol=1e-6)
    assert torch.allclose(said[4], summed + 0.5 * shared[4] + 0.5 * shared[5], atol=1e-6)


def test_a_basket_has_its_items_and_each_hidden_product_as_one():
    """Four items are four: shown one by one, two of one, or hidden."""
    logits, products, nan = LabelLogits(VOCAB_SIZE), torch.zeros(VOCAB_SIZE, 256), torch.nan
    torch.nn.init.normal_(logits.of_items.weight)
    visible = torch.tensor([[4, 5, 6, PAD], [4, 5, PAD, PAD], [4, PAD, PAD, PAD], [4, 5, PAD, PAD]])
    quantity = torch.tensor([[1, 1, 1, nan], [2, 1, nan, nan], [nan, nan, nan, nan], [40, 60, nan, nan]])
    with torch.no_grad():
        said, _ = logits(shown_of(visible, quantity, torch.ones(4, 4), torch.tensor([1, 1, 3, 1])), products)
    assert torch.equal(said[:3], logits.of_items.weight[4].expand(3, -1))
    assert torch.equal(said[3], logits.of_items.weight[MOST_ITEMS])
