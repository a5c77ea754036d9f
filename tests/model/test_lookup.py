"""C12, C20, C22: from masked ids to the six tensors, on paper numbers."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from retailsim import layout
from retailsim.model.batch import HABITS, Batch
from retailsim.model.lookup import SHIFT_LIMIT, Lookup
from retailsim.model.world_model import parameter_count, parameter_groups
from retailsim.training.dataset import make_batch
from retailsim.training.masking import Masking
from retailsim.vocab import MASK, PAD
from tests.small_world import SPECIALS, VOCAB_SIZE, make_model, make_samples, make_tables

NAN = float("nan")
TEA, MILK, BREAD = SPECIALS, SPECIALS + 1, SPECIALS + 2


@pytest.fixture(scope="module")
def tables():
    """Random tables in which tea, milk and bread cost £2, £4 and nothing known before week 5."""
    tables = make_tables()
    tables.last_price[[TEA, MILK, BREAD], 4] = torch.tensor([2.0, 4.0, NAN])
    tables.price[[TEA, MILK, BREAD], 4, 0] = torch.tensor([-0.2, 0.1, 0.3])  # log(last price / base price)
    return tables


@pytest.fixture
def lookup(tables):
    return Lookup(tables)


def basket(ids, paid, **changes):
    """One basket of week 5; its last place is hidden."""
    one = {"sample": 0, "customer": 3, "store": 2, "week": 5, "day": 30, "hour": 11, "recency": 4}
    rows = {name: torch.tensor([changes.get(name, value)]) for name, value in one.items()}
    codes = torch.tensor([[1, 0, -1, 2]])
    rows |= {"trip": codes, "labels": codes, "hide_trip": torch.tensor([changes.get("hide_trip", False)])}
    places = {"places": torch.tensor([len(ids) - 1]), "targets": torch.tensor([TEA])}
    places |= {"within": torch.tensor([0]), "slots": torch.tensor([[0]])}
    nothing = torch.zeros(0, dtype=torch.int64)
    pairs = {"anchors": nothing, "partners": nothing, "partner": nothing, "chance": torch.tensor([0])}
    past = {"bought": torch.zeros(1, 1, dtype=torch.int64), "habits": torch.zeros(1, 1, HABITS)}
    past["store_counts"] = torch.zeros(1, VOCAB_SIZE)
    basket = {"ids": torch.tensor([ids]), "paid": torch.tensor([paid]), "quantity": torch.ones(1, len(ids))}
    return Batch(**rows, **places, **pairs, **past, **basket)


def test_a_product_that_was_seldom_bought_looks_like_its_group(tables):
    other = next(p for p in range(TEA + 1, VOCAB_SIZE) if tables.group[p] == tables.group[TEA])
    lookup, trust = Lookup(tables), torch.ones(VOCAB_SIZE)
    with torch.no_grad():
        lookup.correction.weight[TEA] = 2.0
    assert torch.allclose(lookup.vocabulary(trust), lookup.products(torch.arange(VOCAB_SIZE)), atol=1e-5)
    trust[tables.group == tables.group[TEA]] = 0.0
    trust[TEA], trust[other] = 0.25, 0.75
    mean = (tables.product[TEA] + 3 * tables.product[other]) / 4
    rows = lookup.vocabulary(trust)
    assert torch.allclose(rows[TEA], 0.75 * mean + 0.25 * (tables.product[TEA] + 2), atol=1e-5)
    seldom = (tables.group == tables.group[TEA]) & (trust == 0)
    assert seldom.any() and torch.allclose(rows[seldom], mean.expand(int(seldom.sum()), -1), atol=1e-5)


def test_shapes_are_those_of_the_table(lookup):  # C12
    batch = make_batch(make_samples(np.array([3, 7, 5])), np.arange(3), Masking(VOCAB_SIZE))
    six = lookup(batch)
    shapes = {f.name: tuple(getattr(six, f.name).shape) for f in fields(six)}
    assert shapes == {"t1": (3, 192), "t2": (3, 7, 256), "t3": (3, 64), "t4": (3, 7, 64), "t5": (3, 96), "t6": (3, 48)}
    assert all(getattr(six, f.name).isfinite().all() for f in fields(six))


def test_context_rows_are_gathered_and_added(lookup, tables):
    six = lookup(basket([TEA, MASK], [2.0, NAN]))
    assert torch.equal(six.t1[0], tables.customer[3]) and torch.equal(six.t5[0], tables.store[2])
    assert torch.equal(six.t3[0], tables.day[30] + tables.hour[11] + tables.recency[4])
    labels = [tables.trip[label][code + 1] for label, code in enumerate((1, 0, -1, 2))]
    assert torch.equal(six.t6[0], sum(labels))
    assert (six.t6[0, layout.T6["price_sensitivity"]] == 0).all()  # −1: unknown


def test_a_product_is_its_embedding_until_training_corrects_it(lookup, tables):
    assert torch.equal(lookup.products(torch.arange(VOCAB_SIZE)), tables.product[:VOCAB_SIZE])
    with torch.no_grad():
        lookup.correction.weight[TEA] = 0.5
    late = VOCAB_SIZE + 1
    found = lookup.products(torch.tensor([[TEA, PAD], [MILK, late]]))
    assert torch.equal(found[0, 0], tables.product[TEA] + 0.5)
    assert torch.equal(found[1], tables.product[[MILK, late]])
    assert (found[0, 1] == 0).all()


def test_prices_move_the_history_to_what_was_paid(lookup, tables):
    """Tea £1.50 after £2, milk £8 after £4, bread £1 without history, a product whose price is hidden, padding."""
    t4 = lookup(basket([TEA, MILK, BREAD, TEA + 9, PAD, MASK], [1.5, 8.0, 1.0, NAN, NAN, NAN])).t4[0]
    tea, milk = math.log(1.5 / 2), math.log(2)
    for place, (row, shift, known) in enumerate([(TEA, tea, 1), (MILK, milk, 1), (BREAD, 0, 0), (TEA + 9, 0, 0)]):
        history = tables.price[row, 4]
        relative = slice(0, layout.T4_RELATIVE)
        torch.testing.assert_close(t4[place, relative], history[relative] + shift)
        assert t4[place, layout.T4_PAID_KNOWN] == known
        assert t4[place, layout.T4_SHIFT].item() == pytest.approx(shift)
        middle = slice(layout.T4_SHIFT + 1, layout.T4_BASKET.start)
        assert torch.equal(t4[place, middle], history[middle])
    to_base = [-0.2 + tea, 0.1 + milk]
    context = [
        (tea + milk) / 2, (milk - tea) / 2, tea, milk, sum(to_base) / 2, 1 / 2, math.log(3) / 4, 1,
    ]  # fmt: skip
    for place in range(4):
        assert t4[place, layout.T4_BASKET].tolist() == pytest.approx(context)
    assert (t4[4] == 0).all()


def test_a_basket_without_known_prices_says_so(lookup):
    t4 = lookup(basket([BREAD, TEA, MASK], [1.0, NAN, NAN])).t4[0]
    assert (t4[:2, layout.T4_BASKET] == 0).all() and (t4[:2, layout.T4_SHIFT] == 0).all()


def test_absurd_prices_say_no_more_than_the_limit(lookup):
    t4 = lookup(basket([TEA, MILK, MASK], [2e6, 4e-6, NAN])).t4[0]
    assert t4[:2, layout.T4_SHIFT].tolist() == [SHIFT_LIMIT, -SHIFT_LIMIT]


def test_history_ends_with_the_week_before(lookup, tables):  # C19
    changed = replace(tables, price=tables.price.clone(), last_price=tables.last_price.clone())
    changed.price[:, 5:] += 1  # index w − 1: what is known in week w; week 5 reads index 4
    changed.last_price[:, 5:] *= 2
    batch = basket([TEA, MILK, MASK], [1.5, 8.0, NAN])
    assert torch.equal(lookup(batch).t4, Lookup(changed)(batch).t4)
    assert not torch.equal(lookup(replace(batch, week=batch.week + 1)).t4, Lookup(changed)(batch).t4)


def test_a_hidden_place_is_the_masks_own_rows(tables):  # C20
    lookup = make_model(tables).lookup
    six = lookup(basket([TEA, MASK], [1.5, NAN]))
    assert torch.equal(six.t2[0, 1], lookup.correction.weight[MASK])
    assert torch.equal(six.t4[0, 1], lookup.mask_price)
    assert (lookup.mask_price != 0).all()


def test_a_hidden_trip_is_the_models_own_row(tables):  # C22
    lookup = make_model(tables).lookup
    batch = basket([TEA, MASK], [1.5, NAN], hide_trip=True)
    assert torch.equal(lookup(batch).t6[0], lookup.hidden_trip)
    other = replace(batch, trip=torch.tensor([[-1, 3, 2, 0]]))
    assert torch.equal(lookup(other).t6, lookup(batch).t6)


def test_only_what_is_learned_is_a_weight(lookup):
    """Cached tables are not in a checkpoint, and learned rows are not pulled towards zero."""
    assert set(lookup.state_dict()) == {"correction.weight", "mask_price", "hidden_trip"}
    decayed, kept = parameter_groups(lookup, 0.01)
    assert not decayed["params"] and len(kept["params"]) == 3


@pytest.mark.parametrize("late", [0, 3, 9])
def test_weights_fit_data_with_another_number_of_late_products(tables, late):
    """What was learned stays, row by row; a late product looks as its embedding does."""
    trained, rows = make_model(tables).lookup, VOCAB_SIZE + late
    shapes = {"product": (layout.T2.width,), "price": tables.price.shape[1:], "last_price": tables.last_price.shape[1:]}
    other = Lookup(replace(tables, **{name: torch.ones(rows, *shape) for name, shape in shapes.items()}))
    other.load_state_dict(trained.state_dict())
    assert torch.equal(other.correction.weight[:VOCAB_SIZE], trained.correction.weight[:VOCAB_SIZE])
    assert trained.correction.weight[TEA].any() and (other.products(torch.arange(VOCAB_SIZE, rows)) == 1).all()


def test_gradients_reach_the_rows_in_use_and_are_finite(lookup):
    batch = basket([TEA, BREAD, PAD, MASK], [1.5, 1.0, NAN, NAN], hide_trip=True)
    six = lookup(batch)
    sum(getattr(six, f.name).sum() for f in fields(six)).backward()
    touched = lookup.correction.weight.grad.abs().sum(1).nonzero()[:, 0].tolist()
    assert touched == [MASK, TEA, BREAD]
    assert (lookup.mask_price.grad == 1).all() and (lookup.hidden_trip.grad == 1).all()


def test_what_the_lookup_learns_is_counted():  # C18
    """One correction of T2 per product row, the mask's T4 row and the hidden T6: with 5,003 rows 1.28 million."""
    tables = make_tables()
    rows = tables.product.shape[0]
    assert parameter_count(Lookup(tables)) == rows * 256 + 64 + 48
