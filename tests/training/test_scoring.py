"""What a model says about hidden products, against the definition (SPEC C32)."""

from dataclasses import replace

import numpy as np
import torch

from retailsim.evaluation.ranking import ranks
from retailsim.model.basket_model import BasketModel
from retailsim.reading import load_vocabulary
from retailsim.training import checkpoint as checkpoints
from retailsim.training.dataset import make_batch
from retailsim.training.made_from import model_of
from retailsim.training.masking import asking
from retailsim.training.protocol import load_protocol
from retailsim.training.scoring import answers, score
from retailsim.training.tables import load_tables
from tests.small_world import TINY, VOCAB_SIZE, make_samples, make_tables

CPU = torch.device("cpu")


def test_a_model_without_purchase_histories_waits_for_none():
    """And answers as it does to batches that have them."""
    model = BasketModel(replace(TINY, history=False), make_tables(), VOCAB_SIZE).eval()
    samples, masking = make_samples(np.random.default_rng(1).integers(2, 12, 24)), asking("trip_unknown", VOCAB_SIZE)
    for answer in answers(model, samples, masking, 8, CPU):
        whole = make_batch(samples, answer.rows, masking)
        assert whole.bought.shape[1] > 1 and answer.batch.bought.shape[1] == 1
        assert torch.equal(answer.output.product_logits, model(whole).product_logits)


def test_first_time_purchases_are_ranked_among_what_the_customer_never_bought(shop, trained):
    vocabulary = load_vocabulary(shop.data)
    state = checkpoints.load(trained / "best_model.pt", vocabulary)
    model = model_of(trained / "best_model.pt", state, load_tables(shop.data), vocabulary)
    protocol = load_protocol(shop.data, "test", vocabulary)
    hidden, purchases, size = protocol.hidden, protocol.market.purchases, vocabulary.size
    found = score(model, protocol, "trip_unknown", 64, CPU).ranks
    place = {pair: i for i, pair in enumerate(zip(hidden.basket.tolist(), hidden.target.tolist(), strict=True))}
    owner, week = purchases.customer[purchases.basket], purchases.week[purchases.basket]
    seen = 0
    for answer in answers(model, protocol.samples, asking("trip_unknown", size), 64, CPU):
        logits, excluded = answer.output.product_logits.double().numpy(), answer.excluded.numpy()
        for i, (basket, target) in enumerate(zip(answer.basket.tolist(), answer.batch.targets.tolist(), strict=True)):
            one, asked = place[basket, target], np.array([target])
            assert found.overall[one] == ranks(logits[i : i + 1], asked, excluded[i : i + 1])[0]
            customer = hidden.customer[basket]
            own = purchases.product[(owner == customer) & (week < hidden.week[basket])]
            if customer < 0 or target >= size or target in own:
                assert np.isinf(found.novel[one]) if target >= size else np.isnan(found.novel[one])
                continue
            barred = excluded[i : i + 1].copy()
            barred[0, own[own < size]] = True
            assert found.novel[one] == ranks(logits[i : i + 1], asked, barred)[0]
            seen += found.novel[one] < found.overall[one]
    assert seen > 20
