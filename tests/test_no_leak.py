"""C20, C21, C22: what is hidden cannot be seen. Each law is a check, and each check is shown to catch a broken variant.

C19, the future, is held by tests/test_recipe.py for the whole pipeline and beside each stage.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from hashlib import md5

import numpy as np
import pytest
import torch

from retailsim.labels import TRIP_LABELS
from retailsim.model.batch import Batch
from retailsim.model.history import visible_ids
from retailsim.model.lookup import Lookup
from retailsim.training.dataset import make_batch
from retailsim.training.histories import customer_entries
from retailsim.training.masking import Masking, asking
from retailsim.training.samples import Samples, load_samples
from retailsim.vocab import MASK, PAD
from tests.small_shop import MILK_TEA, PRODUCTS, ROW, basket, written
from tests.small_world import ROWS, SPECIALS, VOCAB_SIZE, make_model, make_samples, make_tables

Make = Callable[[Samples, np.ndarray, Masking], Batch]

TRAINING = Masking(VOCAB_SIZE, hide_trip_prob=0.5, epoch=2, seed=3)
EVALUATION = Masking(VOCAB_SIZE, is_evaluation=True)
OPEN = replace(TRAINING, open_share=0.7)
BEFORE = asking("before_trip", VOCAB_SIZE)


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
    """`samples` with the hidden products of `batch` sold at other prices in other quantities, or being other products, too.

    A place of training that shows the hidden product itself (10 % are kept) keeps it: C20 speaks of masked places.
    """
    rng = np.random.default_rng(0)
    products, prices, quantities = samples.products.copy(), samples.prices.copy(), samples.quantities.copy()
    shown = batch.ids.flatten()[batch.places]
    for place, target, stands in zip(batch.places.tolist(), batch.targets.tolist(), shown.tolist(), strict=True):
        row = int(batch.sample[place // batch.ids.shape[1]])
        items = np.arange(samples.starts[row], samples.starts[row + 1])
        (item,) = items[samples.products[items] == target]
        prices[item] = rng.choice([0.01, 3.33, 250.0, np.nan])
        quantities[item] = rng.choice([1, 7, 100, np.nan])
        if what == "product" and stands != target:
            products[item] = rng.choice(np.setdiff1d(np.arange(SPECIALS, ROWS), [*products[items], stands]))
    return replace(samples, products=products, prices=prices, quantities=quantities)


def hidden_moves(model, samples: Samples, masking: Masking, what: str, make: Make = make_batch) -> set[str]:
    """What the model sees otherwise when the hidden products, or their prices, are others."""
    rows = np.arange(len(samples))
    changed = with_other_hidden(samples, make_batch(samples, rows, masking), what)
    before, after = make(samples, rows, masking), make(changed, rows, masking)
    if what == "product":
        assert not torch.equal(before.targets, after.targets)
    return moved(model, before, after)


@pytest.mark.parametrize("what", ["product", "price"])
@pytest.mark.parametrize(
    "masking", [EVALUATION, TRAINING, OPEN, BEFORE], ids=["evaluation", "training", "open", "before"]
)
def test_whatever_is_hidden_nothing_moves(model, samples, masking, what):  # C20
    assert hidden_moves(model, samples, masking, what) == set()


@pytest.mark.parametrize("masking", [OPEN, BEFORE], ids=["open", "before"])
def test_what_an_open_basket_leaves_out_moves_nothing(model, samples, masking):  # C20
    """Neither which products they are nor how many, at whatever price: shown is what is shown."""
    before = make_batch(samples, np.arange(96), masking)
    products, prices, quantities = samples.products.copy(), samples.prices.copy(), samples.quantities.copy()
    left_out = 0
    for b in range(96):
        items = np.arange(samples.starts[b], samples.starts[b + 1])
        own = {*before.ids[b].tolist(), *before.targets[before.basket == b].tolist()}
        others = items[~np.isin(products[items], list(own))]
        free = np.setdiff1d(np.arange(SPECIALS, ROWS), products[items])
        products[others], prices[others], quantities[others] = free[: len(others)], 250.0, 100.0
        left_out += len(others)
    changed = replace(samples, products=products, prices=prices, quantities=quantities)
    assert left_out > 96
    assert moved(model, before, make_batch(changed, np.arange(96), masking)) == set()


def test_what_is_visible_does_move(model, samples):
    """The checks above would pass on a model that sees nothing."""
    batch = make_batch(samples, np.arange(96), EVALUATION)
    is_visible = (batch.ids != PAD) & (batch.ids != MASK)
    other = torch.where(is_visible, SPECIALS + (batch.ids - SPECIALS + 1) % (ROWS - SPECIALS), batch.ids)
    assert moved(model, batch, replace(batch, ids=other)) >= {"t2", "t4", "logits"}
    assert moved(model, batch, replace(batch, paid=batch.paid * 1.5)) >= {"t4", "logits", "mission_type"}
    assert moved(model, batch, replace(batch, quantity=batch.quantity + 1)) == set(TRIP_LABELS)  # no trip is known
    known = make_batch(samples, np.arange(96), replace(EVALUATION, hide_trip_prob=0.0))
    assert moved(model, known, replace(known, quantity=known.quantity + 1)) == {"logits", *TRIP_LABELS}


def leave_paid_price(samples: Samples, rows: np.ndarray, masking: Masking) -> Batch:
    """Broken: the price paid for a hidden product stays in the batch."""
    batch = make_batch(samples, rows, masking)
    paid = batch.paid.clone().flatten()
    for place, target in zip(batch.places.tolist(), batch.targets.tolist(), strict=True):
        row = rows[place // batch.ids.shape[1]]
        items = slice(samples.starts[row], samples.starts[row + 1])
        paid[place] = float(samples.prices[items][samples.products[items] == target][0])
    return replace(batch, paid=paid.view_as(batch.paid))


def count_hidden_items(samples: Samples, rows: np.ndarray, masking: Masking) -> Batch:
    """Broken: what is hidden counts in what was spent: one visible product has the items of the whole basket."""
    batch = make_batch(samples, rows, masking)
    items = [np.nansum(samples.quantities[samples.starts[row] : samples.starts[row + 1]]) for row in rows]
    return replace(batch, quantity=torch.tensor(items)[:, None].expand_as(batch.quantity))


def look_up_before_masking(samples: Samples, rows: np.ndarray, masking: Masking) -> Batch:
    """Broken: the rows are looked up by the true ids (the founding code masked after embedding)."""
    batch = make_batch(samples, rows, masking)
    return replace(batch, ids=true_ids(batch))


def compare_whole_baskets(samples: Samples, rows: np.ndarray, masking: Masking) -> Batch:
    """Broken: earlier baskets are compared with what is hidden, too."""
    batch = make_batch(samples, rows, masking)
    return replace(batch, habits=habits_of(samples, rows, true_ids(batch), batch.trip))


def compare_with_hidden_trips(samples: Samples, rows: np.ndarray, masking: Masking) -> Batch:
    """Broken: earlier trips are compared with the labels of one that is hidden."""
    batch = make_batch(samples, rows, masking)
    return replace(batch, habits=habits_of(samples, rows, visible_ids(batch, VOCAB_SIZE), batch.labels))


def habits_of(samples: Samples, rows: np.ndarray, shown: torch.Tensor, trip: torch.Tensor) -> torch.Tensor:
    """The habits beside baskets that show the products `shown` [B, S] and trips of the labels `trip` [B, 4]."""
    ids, is_shown = shown.numpy(), np.zeros((len(rows), VOCAB_SIZE), dtype=bool)
    owner, place = np.nonzero((ids >= SPECIALS) & (ids < VOCAB_SIZE))
    is_shown[owner, ids[owner, place]] = True
    of = (samples.columns[name][rows] for name in ("customer_row", "week"))
    return torch.from_numpy(customer_entries(samples.histories.customers, *of, is_shown, trip.numpy())[1])


def stand_in_product_order(samples: Samples, rows: np.ndarray, masking: Masking) -> Batch:
    """Broken: a basket's products stand in the order of their ids, hidden ones too, as in the published files."""
    batch = make_batch(samples, rows, masking)
    true = true_ids(batch)
    order = torch.where(true == PAD, ROWS, true).argsort(1)
    places = batch.basket * true.shape[1] + order.argsort(1).flatten()[batch.places]
    return replace(batch, ids=batch.ids.gather(1, order), paid=batch.paid.gather(1, order), places=places)


def test_a_price_left_at_a_hidden_place_is_caught(model, samples):  # C20
    """At a place with a random product; at a mask token no last price is known, and the price says nothing even so."""
    assert hidden_moves(model, samples, TRAINING, "price", leave_paid_price) >= {"t4", "logits"}
    assert hidden_moves(model, samples, EVALUATION, "price", leave_paid_price) == set()


@pytest.mark.parametrize("masking", [EVALUATION, TRAINING], ids=["evaluation", "training"])
@pytest.mark.parametrize("broken", [look_up_before_masking, stand_in_product_order])
def test_a_batch_that_shows_the_hidden_product_is_caught(model, samples, masking, broken):  # C20
    assert hidden_moves(model, samples, masking, "product", broken) >= {"t2", "logits"}


def test_the_number_of_items_of_the_whole_basket_is_caught(model, samples):  # C20
    assert hidden_moves(model, samples, TRAINING, "price", count_hidden_items) >= {"logits", "basket_size"}


@pytest.mark.parametrize("masking", [EVALUATION, TRAINING], ids=["evaluation", "training"])
def test_a_likeness_to_the_whole_basket_is_caught(model, samples, masking):  # C20
    assert hidden_moves(model, samples, masking, "product", compare_whole_baskets) == {"logits"}


def receipts() -> list[list[dict]]:
    """Baskets of weeks 1 and 2, each a list of rows in the order of a published file: by product code."""
    rng, baskets = np.random.default_rng(4), []
    for number in range(60):
        products = {
            PRODUCTS[i]: (1, f"{i % 7}.50") for i in np.sort(rng.choice(60, rng.integers(2, 13), replace=False))
        }
        customer = f"C{number % 6}" if number % 5 else None
        baskets.append(basket(f"B{number:02d}", int(rng.integers(1, 3)), products, customer))
    return [*baskets, *(basket(f"B9{week}", week, MILK_TEA) for week in (3, 4))]  # so that no split is empty


def resorted(baskets: list[list[dict]]) -> list[list[dict]]:
    """The same rows in another order."""
    rng = np.random.default_rng(6)
    return [[rows[i] for i in rng.permutation(len(rows))] for rows in baskets[::-1]]


def training_samples(root, baskets: list[list[dict]]) -> Samples:
    assert written(root, baskets) == 0
    samples = load_samples(root, "train")
    histories = replace(samples.histories, vocab_size=VOCAB_SIZE)  # the model's, which is larger than the shop's
    return replace(samples, histories=histories)


def in_file_order(samples: Samples, baskets: list[list[dict]]) -> Samples:
    """Broken: a basket's products are stored in the order of the raw rows."""
    rank = {(row["basket_id"], ROW[row["product_id"]]): i for rows in baskets for i, row in enumerate(rows)}
    owner = np.repeat(np.arange(len(samples)), samples.lengths)
    names = samples.columns["basket_id"][owner]
    key = [rank[name, product] for name, product in zip(names, samples.products.tolist(), strict=True)]
    order = np.lexsort((key, owner))
    return replace(samples, products=samples.products[order], prices=samples.prices[order])


def logits_and_mean_rank(model, samples: Samples) -> tuple[torch.Tensor, float]:
    batch = make_batch(samples, np.arange(len(samples)), EVALUATION)
    logits = seen(model, batch)["logits"]
    own = logits.gather(1, batch.targets[:, None])
    return logits, (logits > own).sum(1).double().mean().item()


def test_the_order_of_raw_rows_moves_no_logit(model, tmp_path):  # C21
    one = training_samples(tmp_path / "a", receipts())
    other = training_samples(tmp_path / "b", resorted(receipts()))
    assert len(one) == len(other) == 60
    (a, rank_a), (b, rank_b) = logits_and_mean_rank(model, one), logits_and_mean_rank(model, other)
    assert torch.equal(a, b) and rank_a == rank_b


def test_a_stored_order_that_comes_from_the_file_is_caught(model, tmp_path):  # C21
    samples = training_samples(tmp_path, receipts())
    found = [logits_and_mean_rank(model, in_file_order(samples, rows)) for rows in (receipts(), resorted(receipts()))]
    assert found[0][0].shape == found[1][0].shape and not torch.equal(found[0][0], found[1][0])
    assert found[0][1] != found[1][1]


def test_an_evaluation_hides_the_products_of_the_protocol(tmp_path):  # C25, C32
    """The hidden products, found anew from the receipts as the protocol says it."""
    samples = training_samples(tmp_path, receipts())
    batch = make_batch(samples, np.arange(60), EVALUATION)
    hidden: dict[str, set[int]] = {}
    for place, target in zip(batch.places.tolist(), batch.targets.tolist(), strict=True):
        name = samples.columns["basket_id"][int(batch.sample[place // batch.ids.shape[1]])]
        hidden.setdefault(name, set()).add(target)
    for rows in receipts()[:60]:
        name, products = rows[0]["basket_id"], [row["product_id"] for row in rows]
        first = sorted(products, key=lambda product: md5(f"{name}:{product}".encode()).hexdigest())
        assert hidden.pop(name) == {ROW[product] for product in first[: max(1, (15 * len(products) + 50) // 100)]}
    assert not hidden


def test_prices_come_back_from_the_file(tmp_path):
    """£ per item where paid; NaN where a product was free."""
    samples = training_samples(tmp_path, [basket("B1", 1, {"P01": (4, "3.00"), "P02": (1, "0.00")}), *receipts()])
    row = list(samples.columns["basket_id"]).index("B1")
    items = slice(samples.starts[row], samples.starts[row + 1])
    prices = dict(zip(samples.products[items].tolist(), samples.prices[items].tolist(), strict=True))
    assert prices[ROW["P01"]] == 0.75 and np.isnan(prices[ROW["P02"]])
    assert samples.columns["customer_id"][row] == "C1" and samples.trip[row].tolist() == [1, 5, -1, 0]


def trip_moves(model, samples: Samples, masking: Masking, make: Make = make_batch) -> set[str]:
    """What the model sees otherwise of the baskets that the auxiliary tasks count, when their trips are others."""
    rows = np.arange(len(samples))
    batch = make(samples, rows, masking)
    other = (samples.trip + 1) % 4
    changed = make(replace(samples, trip=other), rows, masking)
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


@pytest.mark.parametrize("masking", [EVALUATION, TRAINING], ids=["evaluation", "training"])
def test_a_history_that_knows_the_hidden_trip_is_caught(model, samples, masking):  # C22
    assert trip_moves(model, samples, masking, compare_with_hidden_trips) == {"logits"}


def test_trips_that_are_shown_are_seen(model, samples):  # C22: the trip-known view is another one
    batch = make_batch(samples, np.arange(96), replace(EVALUATION, hide_trip_prob=0.0))
    other = replace(batch, trip=(batch.trip + 1) % 4)
    assert moved(model, batch, other) >= {"t6", "logits"}
