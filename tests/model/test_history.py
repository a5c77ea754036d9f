"""The path from earlier purchases to the logits: what reaches them, and what does not (C19, C20, C21)."""

import math
from dataclasses import replace

import numpy as np
import torch

from retailsim.model.history import EXCLUDED, OWN
from retailsim.model.offer import GAINS, Offer
from retailsim.training.dataset import make_batch
from retailsim.training.masking import Masking
from retailsim.vocab import MASK, PAD
from tests.small_world import TINY, VOCAB_SIZE, make_model, make_tables

EVALUATION = Masking(VOCAB_SIZE, is_evaluation=True)


def logits(model, batch):
    with torch.no_grad():
        return model(batch).product_logits


def test_a_basket_alone_has_the_logits_that_it_has_among_many(model, samples):
    batch = make_batch(samples, np.arange(24), EVALUATION)
    together, owner = logits(model, batch), batch.places // batch.ids.shape[1]
    for b in range(24):
        alone = logits(model, make_batch(samples, np.array([b]), EVALUATION))
        assert torch.allclose(alone, together[owner == b], atol=1e-3)  # sums in another order


def test_a_pointer_moves_its_products_logit_only(model, samples):
    """The score of an entry, changed at the end of the path: nothing but the products bought before answers."""
    batch = make_batch(samples, np.arange(24), EVALUATION)
    other = make_model(make_tables())
    with torch.no_grad():
        other.history.recall.score.bias += 1.0
    moved = logits(other, batch) - logits(model, batch)
    owner = batch.places // batch.ids.shape[1]
    bought = torch.zeros(24, VOCAB_SIZE).scatter_(1, batch.bought, 1.0)
    bought[:, PAD] = 0
    assert bought[owner].bool().any() and torch.allclose(moved, bought[owner], atol=1e-3)


def test_who_bought_nothing_has_no_pointers(model, samples):
    batch = make_batch(samples, np.arange(24), EVALUATION)
    is_new = (batch.bought == PAD).all(1)
    assert 0 < is_new.sum() < 24  # row 0 of T1, and first rows
    changed = replace(batch, bought=torch.where(batch.bought == PAD, PAD, 5))
    moved = (logits(model, batch) != logits(model, changed)).any(1)
    assert torch.equal(moved, ~is_new[batch.places // batch.ids.shape[1]])


def test_habits_and_the_stores_sales_reach_the_logits(model, samples):
    batch = make_batch(samples, np.arange(24), EVALUATION)
    before = logits(model, batch)
    assert not torch.equal(before, logits(model, replace(batch, habits=batch.habits + 1)))
    assert not torch.equal(before, logits(model, replace(batch, store_counts=batch.store_counts + 1)))


def test_visible_products_are_out_of_the_contest_and_hidden_ones_in_it(model, samples):
    batch = make_batch(samples, np.arange(24), EVALUATION)
    owner = batch.places // batch.ids.shape[1]
    shown = torch.zeros(24, VOCAB_SIZE, dtype=torch.bool)
    known = (batch.ids > MASK) & (batch.ids < VOCAB_SIZE)
    shown[known.nonzero()[:, 0], batch.ids[known]] = True
    out = logits(model, batch) < EXCLUDED / 2
    assert torch.equal(out | shown[owner], out) and not out[:, MASK + 1 :][~shown[owner][:, MASK + 1 :]].any()
    training = Masking(VOCAB_SIZE, mask_prob=0.5, seed=3)
    batch = make_batch(samples, np.arange(24), training)  # some hidden places show their own product, or a random one
    known = batch.targets < VOCAB_SIZE
    own = logits(model, batch)[known].gather(1, batch.targets[known, None])
    assert (batch.ids.flatten()[batch.places][known] == batch.targets[known]).any() and (own > EXCLUDED / 2).all()


def test_training_sees_companions_of_the_other_fold_and_evaluation_their_mean(model, samples):
    offer = make_model(make_tables()).history.offer
    visible, chain = torch.tensor([[7, 9], [7, PAD]]), torch.full((2, VOCAB_SIZE), 0.01)
    dense = torch.zeros(2, VOCAB_SIZE, VOCAB_SIZE).scatter_(2, offer.companions, offer.companion_weights)
    sample = torch.tensor([4, 5])
    shown = (visible != PAD).float()
    parts = offer.companions, offer.companion_weights, visible, shown, sample, chain
    trained = offer.train()._rise(*parts)
    assert torch.allclose(trained[0], dense[0, 7] + dense[0, 9]) and torch.allclose(trained[1], dense[1, 7])
    assert torch.allclose(offer.eval()._rise(*parts)[0], dense[:, [7, 9]].mean(0).sum(0), atol=1e-6)


def test_before_training_a_product_stands_as_the_chain_sells_it():
    """Not as it sold in the training weeks: what is new by the end of them has few baskets there, and sells like any other now."""
    offer = Offer(TINY, make_tables()).eval()
    chain = torch.full((1, 3, VOCAB_SIZE), 0.01)
    chain[:, :, 8], chain[:, 2, 9] = 0.02, 0.02  # 9: now only
    nothing = torch.full((1, 1), PAD)
    signals = offer.signals(
        nothing, nothing, torch.ones(1, 1), torch.zeros(1).long(), chain, torch.zeros(1, VOCAB_SIZE)
    )
    with torch.no_grad():
        stands = offer(torch.zeros(1, offer.gains.in_features), signals)[0]
    assert torch.allclose((stands - stands[7])[[8, 9]], math.log(2) * torch.tensor([1.0, GAINS[2]]))


def test_what_is_learned_of_a_product_alone_counts_as_far_as_it_was_bought(samples):
    batch = make_batch(samples, np.arange(24), EVALUATION)
    model, other = (make_model(make_tables()) for _ in range(2))
    counts = torch.full((VOCAB_SIZE,), 1e6)
    counts[7], counts[8] = 0, OWN
    for each in (model, other):
        each.set_product_counts(counts)
        assert not each.world.product_head.to_products.bias.any()  # no share of all training weeks
    with torch.no_grad():
        other.world.product_head.to_products.bias[7:10] += 1.0
    moved = (logits(other, batch) - logits(model, batch))[(logits(model, batch)[:, 7:10] > EXCLUDED / 2).all(1)]
    assert len(moved) and torch.allclose(moved[:, 7:10].mean(0), torch.tensor([0.0, 0.5, 1.0]), atol=1e-3)


def test_gradients_reach_every_weight_of_the_path(samples):
    model = make_model(make_tables()).train()
    batch = make_batch(samples, np.arange(24), Masking(VOCAB_SIZE, mask_prob=0.4))
    known = batch.targets < VOCAB_SIZE
    torch.nn.functional.cross_entropy(model(batch).product_logits[known], batch.targets[known]).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.history.parameters())
    assert all(p.grad.abs().sum() > 0 for name, p in model.history.named_parameters() if "key.bias" not in name)
