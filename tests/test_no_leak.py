"""C20, C21, C22: what is hidden cannot be seen. Each law is a check, and each check is shown to catch a broken variant.

C19, the future, is held by tests/test_recipe.py for the whole pipeline and beside each stage.
"""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from retailsim.model.batch import Batch
from retailsim.model.lookup import Lookup
from retailsim.training.dataset import Masking, Samples, make_batch
from retailsim.vocab import MASK, PAD
from tests.small_world import ROWS, SPECIALS, VOCAB_SIZE, make_model, make_samples, make_tables

Make = Callable[[Samples, np.ndarray, Masking], Batch]

TRAINING = Masking(VOCAB_SIZE, hide_trip_prob=0.5, epoch=2, seed=3)
EVALUATION = Masking(VOCAB_SIZE, is_evaluation=True)


@pytest.fixture(scope="module")
def model():
    return make_model(make_tables())


@pytest.fixture(scope="module")
def samples():
    return make_samples(np.random.default_rng(5).integers(2, 15, 96))


def seen(model, batch: Batch) -> dict[str, torch.Tensor]:
    """All that the model makes of a batch: the six tensors, the logits at the hidden places and of the trip."""
    with torch.no_grad():
        six, output = model.lookup(batch), model(batch)
    return {f.name: getattr(six, f.name) for f in fields(six)} | {"logits": output.product_logits, **output.trip_logits}


def moved(model, before: Batch, after: Batch) -> set[str]:
    """What differs by a bit between two batches."""
    a, b = seen(model, before), seen(model, after)
    return {name for name in a if a[name].shape != b[name].shape or not torch.equal(a[name], b[name])}


def true_ids(batch: Batch) -> torch.Tensor:
    """The products of each place, hidden ones too."""
    return batch.ids.flatten().index_put((batch.places,), batch.targets).view_as(batch.ids)


def with_other_hidden(samples: Samples, batch: Batch, what: str) -> Samples:
    """`samples` with the hidden products of `batch` sold at other prices, or being other products at other prices.

    A place of training that shows the hidden product itself (10 % are kept) keeps it: C20 speaks of masked places.
    """
    rng = np.random.default_rng(0)
    products, prices = samples.products.copy(), samples.prices.copy()
    shown = batch.ids.flatten()[batch.places]
    for place, target, stands in zip(batch.places.tolist(), batch.targets.tolist(), shown.tolist(), strict=True):
        row = int(batch.sample[place // batch.ids.shape[1]])
        items = np.arange(samples.starts[row], samples.starts[row + 1])
        (item,) = items[samples.products[items] == target]
        prices[item] = rng.choice([0.01, 3.33, 250.0, np.nan])
        if what == "product" and stands != target:
            products[item] = rng.choice(np.setdiff1d(np.arange(SPECIALS, ROWS), [*products[items], stands]))
    return replace(samples, products=products, prices=prices)


def hidden_moves(model, samples: Samples, masking: Masking, what: str, make: Make = make_batch) -> set[str]:
    """What the model sees otherwise when the hidden products, or their prices, are others."""
    rows = np.arange(len(samples))
    changed = with_other_hidden(samples, make_batch(samples, rows, masking), what)
    before, after = make(samples, rows, masking), make(changed, rows, masking)
    if what == "product":
        assert not torch.equal(before.targets, after.targets)
    return moved(model, before, after)


@pytest.mark.parametrize("what", ["product", "price"])
@pytest.mark.parametrize("masking", [EVALUATION, TRAINING], ids=["evaluation", "training"])
def test_whatever_is_hidden_nothing_moves(model, samples, masking, what):  # C20
    assert hidden_moves(model, samples, masking, what) == set()


def test_what_is_visible_does_move(model, samples):
    """The checks above would pass on a model that sees nothing."""
    batch = make_batch(samples, np.arange(96), EVALUATION)
    is_visible = (batch.ids != PAD) & (batch.ids != MASK)
    other = torch.where(is_visible, SPECIALS + (batch.ids - SPECIALS + 1) % (ROWS - SPECIALS), batch.ids)
    assert moved(model, batch, replace(batch, ids=other)) >= {"t2", "t4", "logits"}
    assert moved(model, batch, replace(batch, paid=batch.paid * 1.5)) >= {"t4", "logits", "mission_type"}


def leave_paid_price(samples: Samples, rows: np.ndarray, masking: Masking) -> Batch:
    """Broken: the price paid for a hidden product stays in the batch."""
    batch = make_batch(samples, rows, masking)
    paid = batch.paid.clone().flatten()
    for place, target in zip(batch.places.tolist(), batch.targets.tolist(), strict=True):
        row = rows[place // batch.ids.shape[1]]
        items = slice(samples.starts[row], samples.starts[row + 1])
        paid[place] = float(samples.prices[items][samples.products[items] == target][0])
    return replace(batch, paid=paid.view_as(batch.paid))


def look_up_before_masking(samples: Samples, rows: np.ndarray, masking: Masking) -> Batch:
    """Broken: the rows are looked up by the true ids (the founding code masked after embedding)."""
    batch = make_batch(samples, rows, masking)
    return replace(batch, ids=true_ids(batch))


def stand_in_product_order(samples: Samples, rows: np.ndarray, masking: Masking) -> Batch:
    """Broken: a basket's products stand in the order of their ids, hidden ones too, as in the published files."""
    batch = make_batch(samples, rows, masking)
    true = true_ids(batch)
    order = torch.where(true == PAD, ROWS, true).argsort(1)
    is_hidden = torch.zeros(true.numel(), dtype=torch.bool).index_fill(0, batch.places, True).view_as(true)
    places = is_hidden.gather(1, order).flatten().nonzero()[:, 0]
    ids, paid = batch.ids.gather(1, order), batch.paid.gather(1, order)
    return replace(batch, ids=ids, paid=paid, places=places, targets=true.gather(1, order).flatten()[places])


def test_a_price_left_at_a_hidden_place_is_caught(model, samples):  # C20
    """At a place with a random product; at a mask token no last price is known, and the price says nothing even so."""
    assert hidden_moves(model, samples, TRAINING, "price", leave_paid_price) >= {"t4", "logits"}
    assert hidden_moves(model, samples, EVALUATION, "price", leave_paid_price) == set()


@pytest.mark.parametrize("masking", [EVALUATION, TRAINING], ids=["evaluation", "training"])
@pytest.mark.parametrize("broken", [look_up_before_masking, stand_in_product_order])
def test_a_batch_that_shows_the_hidden_product_is_caught(model, samples, masking, broken):  # C20
    assert hidden_moves(model, samples, masking, "product", broken) >= {"t2", "logits"}


def in_file_order(samples: Samples, seed: int) -> tuple[Samples, np.ndarray]:
    """Samples as they would be if the stored order were that of raw rows, sorted in one way (0) or another."""
    owner = np.repeat(np.arange(len(samples)), samples.lengths)
    key = samples.products if seed == 0 else np.random.default_rng(seed).permutation(ROWS)[samples.products]
    order = np.lexsort((key, owner))
    return replace(samples, products=samples.products[order], prices=samples.prices[order]), order


def scores(model, samples: Samples) -> torch.Tensor:
    """The rank of every hidden product of an evaluation."""
    batch = make_batch(samples, np.arange(len(samples)), EVALUATION)
    logits, is_known = seen(model, batch)["logits"], batch.targets < VOCAB_SIZE
    own = logits.gather(1, batch.targets.clamp(max=VOCAB_SIZE - 1)[:, None])
    return torch.where(is_known, (logits > own).sum(1), VOCAB_SIZE)


def test_a_stored_order_that_comes_from_the_file_is_caught(model, samples):  # C21
    """tests/training/test_prepare_samples.py holds that re-sorted rows give the same bytes; this is what it prevents."""
    one, other = (scores(model, in_file_order(samples, seed)[0]) for seed in (0, 1))
    assert one.float().mean() != other.float().mean()


def trip_moves(model, samples: Samples, masking: Masking) -> set[str]:
    """What the model sees otherwise of the baskets that the auxiliary tasks count, when their trips are others."""
    rows = np.arange(len(samples))
    batch = make_batch(samples, rows, masking)
    other = (samples.trip + 1) % 4
    changed = make_batch(replace(samples, trip=other), rows, masking)
    counted = batch.hide_trip
    assert counted.any() and torch.equal(counted, changed.hide_trip) and not torch.equal(batch.labels, changed.labels)
    a, b = seen(model, batch), seen(model, changed)
    per_basket = {name: a[name] != b[name] for name in a if name != "logits"}
    at_place = counted[batch.places // batch.ids.shape[1]]
    found = {name for name, differs in per_basket.items() if differs[counted].any()}
    return found | ({"logits"} if (a["logits"] != b["logits"])[at_place].any() else set())


class ShownTrip(Lookup):
    """Broken: T6 is shown in baskets that the auxiliary losses count."""

    def forward(self, batch):
        return super().forward(replace(batch, trip=batch.labels, hide_trip=torch.zeros_like(batch.hide_trip)))


@pytest.mark.parametrize("masking", [EVALUATION, TRAINING], ids=["evaluation", "training"])
def test_trips_that_count_are_not_seen(model, samples, masking):  # C22
    assert trip_moves(model, samples, masking) == set()


def test_a_shown_trip_that_counts_is_caught(samples):  # C22
    tables = make_tables()
    broken = make_model(tables)
    shown = ShownTrip(tables)
    shown.load_state_dict(broken.lookup.state_dict())
    broken.lookup = shown
    assert trip_moves(broken, samples, EVALUATION) >= {"t6", "logits", "mission_type", "basket_size"}


def test_trips_that_are_shown_are_seen(model, samples):  # C22: the trip-known view is another one
    batch = make_batch(samples, np.arange(96), replace(EVALUATION, hide_trip_prob=0.0))
    other = replace(batch, trip=(batch.trip + 1) % 4)
    assert moved(model, batch, other) >= {"t6", "logits"}
