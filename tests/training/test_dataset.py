"""C12, C25, C40: batches and their masks, which depend on (seed, epoch, basket) alone."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from retailsim.training.dataset import load_batches, make_batch, ordered_rows
from retailsim.training.masking import Masking, asking, lessons, plan
from retailsim.training.steps import batch_rows
from retailsim.vocab import EOS, MASK, PAD
from tests.small_world import SPECIALS, VOCAB_SIZE, make_samples

TRAINING = Masking(VOCAB_SIZE, hide_trip_prob=0.5, epoch=3, seed=1)
EVALUATION = Masking(VOCAB_SIZE, is_evaluation=True)


@pytest.fixture(scope="module")
def samples():
    return make_samples(np.random.default_rng(0).integers(1, 13, 300))


@pytest.fixture(scope="module")
def long_samples():
    """Many full baskets, for shares and bounds."""
    return make_samples(np.full(1200, 50), seed=2)


def baskets_of(batch):
    """Each basket of a batch by its number, without padding: what it shows, pays, hides, and its context."""
    width, found = batch.ids.shape[1], {}
    targets = torch.zeros_like(batch.ids).flatten().index_put((batch.places,), batch.targets).view_as(batch.ids)
    context = ("customer", "store", "week", "day", "hour", "recency", "trip", "hide_trip", "labels")
    for b, number in enumerate(batch.sample.tolist()):
        length = int((batch.ids[b] != PAD).sum())
        assert (batch.ids[b, length:] == PAD).all() and batch.paid[b, length:].isnan().all() and length <= width
        found[number] = (
            batch.ids[b, :length].tolist(),
            batch.paid[b, :length].nan_to_num(-1).tolist(),
            targets[b, :length].tolist(),
            [getattr(batch, name)[b].tolist() for name in context],
        )
    return found


def test_shapes_and_padding(samples):  # C12
    rows = np.array([4, 0, 9])
    lengths = samples.lengths[rows]
    batch = make_batch(samples, rows, EVALUATION)
    assert batch.ids.shape == batch.paid.shape == batch.quantity.shape == (3, lengths.max())
    assert (batch.ids != PAD).sum(1).tolist() == lengths.tolist()
    assert batch.sample.tolist() == rows.tolist()
    assert batch.trip.shape == batch.labels.shape == (3, 4)
    kinds = {f.name: getattr(batch, f.name).dtype for f in fields(batch)}
    floats = {name for name, kind in kinds.items() if kind == torch.float32}
    assert floats == {"paid", "quantity", "habits", "store_counts"}
    assert {name for name, kind in kinds.items() if kind not in (torch.int64, torch.float32)} == {"hide_trip"}


@pytest.mark.parametrize("masking", [TRAINING, EVALUATION])
def test_a_batch_holds_the_baskets_and_nothing_else(samples, masking):  # C12
    rows = np.arange(len(samples))
    for number, (ids, paid, targets, _) in baskets_of(make_batch(samples, rows, masking)).items():
        items = slice(samples.starts[number], samples.starts[number + 1])
        price = dict(zip(samples.products[items].tolist(), np.nan_to_num(samples.prices[items], nan=-1), strict=True))
        true = [target or shown for shown, target in zip(ids, targets, strict=True)]
        assert sorted(true) == sorted(price)
        assert paid == [-1 if target else price[shown] for shown, target in zip(ids, targets, strict=True)]
        assert any(targets)


@pytest.mark.parametrize("masking", [TRAINING, EVALUATION])
def test_the_items_of_what_is_visible_stand_beside_it_and_no_others(samples, masking):  # C20
    rows = np.arange(len(samples))
    batch = make_batch(samples, rows, masking)
    known = 0
    for b, row in enumerate(batch.sample.tolist()):
        items = slice(samples.starts[row], samples.starts[row + 1])
        quantity = dict(zip(samples.products[items].tolist(), samples.quantities[items].tolist(), strict=True))
        is_hidden = torch.zeros(batch.ids.numel(), dtype=torch.bool).index_fill(0, batch.places, True)
        for shown, found, hidden in zip(batch.ids[b], batch.quantity[b], is_hidden.view_as(batch.ids)[b], strict=True):
            expected = torch.nan if hidden or shown == PAD else quantity[int(shown)]
            assert found.isnan() if np.isnan(expected) else found == expected
            known += not np.isnan(expected)
    assert known > len(rows)


def test_every_hidden_place_shows_the_mask_token_where_its_share_is_one(samples):  # C25
    rows = np.arange(len(samples))
    batch, usual = (make_batch(samples, rows, replace(TRAINING, mask_token_share=share)) for share in (1.0, 0.8))
    assert (batch.ids.flatten()[batch.places] == MASK).all() and torch.equal(batch.places, usual.places)
    assert (usual.ids.flatten()[usual.places] != MASK).any()


def test_hidden_places_are_found_again_by_basket(samples):
    batch = make_batch(samples, np.arange(40), TRAINING)
    basket = batch.places // batch.ids.shape[1]
    is_place = batch.slots < len(batch.places)
    assert torch.equal(batch.slots[is_place], torch.arange(len(batch.places)))
    assert torch.equal(is_place.nonzero()[:, 0], basket) and torch.equal(is_place.nonzero()[:, 1], batch.within)


@pytest.mark.parametrize(
    "masking",
    [replace(TRAINING, open_share=0.6, mask_prob=0.4, mask_token_share=1.0), asking("before_trip", VOCAB_SIZE)],
)
def test_an_open_basket_shows_a_part_and_asks_at_one_place(samples, masking):
    """As a shopper's basket on the way: what is there, and one place for whatever comes next, but not how much will."""
    rows = np.arange(len(samples))
    shows, batch = plan(samples, rows, masking), make_batch(samples, rows, masking)
    kinds = set()
    for b in rows:
        shown = batch.ids[b][batch.ids[b] != PAD].tolist()
        visible, asked = [i for i in shown if i >= SPECIALS], batch.targets[batch.basket == b].tolist()
        places = batch.places[batch.basket == b] % batch.ids.shape[1]
        bought = samples.products[samples.starts[b] : samples.starts[b + 1]].tolist()
        assert len(visible) == shows.n_visible[b] and len(asked) == shows.n_hidden[b] > 0
        assert len({*visible, *asked}) == len(visible) + len(asked) and {*visible, *asked} <= {*bought}
        is_asked = batch.ids[b] < SPECIALS
        assert batch.quantity[b][is_asked].isnan().all() and batch.paid[b][is_asked].isnan().all()
        if shows.is_open[b]:
            assert sorted(shown)[0] == EOS and len(shown) == len(visible) + 1
            assert (batch.ids[b, places] == EOS).all()
        else:
            assert EOS not in shown and len(set(places.tolist())) == len(asked)
        kinds.add((bool(shows.is_open[b]), len(visible) == 0, len(visible) + len(asked) < len(bought)))
    everything = {(True, True, True), (True, True, False), (True, False, True), (True, False, False)}
    assert kinds >= (everything if not masking.is_evaluation else {(True, True, True), (True, True, False)})


def test_shares_of_open_and_of_empty_baskets(long_samples):
    shows = plan(long_samples, np.arange(1200), replace(TRAINING, open_share=0.3))
    assert shows.is_open.mean() == pytest.approx(0.3, abs=0.04)
    assert (shows.n_visible == 0).mean() == pytest.approx(0.15, abs=0.03)
    some = shows.n_visible[shows.is_open & (shows.n_visible > 0)]
    assert some.min() <= 3 and some.max() >= 47 and some.mean() == pytest.approx(25, abs=3)  # 1 … 49 alike


def test_a_basket_of_one_product_is_a_lesson_only_where_it_is_open():
    """So that the empty baskets of training are all baskets, not mostly those of one product."""
    samples = make_samples(np.random.default_rng(1).integers(1, 4, 6000))
    masking = replace(TRAINING, open_share=0.3)
    rows = lessons(samples, masking)
    shows = plan(samples, rows, masking)
    is_single = samples.lengths[rows] == 1
    assert shows.is_open[is_single].all() and not shows.n_visible[is_single].any()
    assert (~is_single).sum() == (samples.lengths > 1).sum()
    of_kind = [
        ((samples.lengths[rows] == n) & (shows.n_visible == 0)).sum() / (samples.lengths == n).sum() for n in (1, 2, 3)
    ]
    assert of_kind == pytest.approx([0.15] * 3, abs=0.03)
    assert len(lessons(samples, TRAINING)) == 6000


def test_baskets_of_one_product_are_all_lessons_where_there_are_no_others():
    assert len(lessons(make_samples(np.ones(20, dtype=np.int64)), replace(TRAINING, open_share=0.01))) == 20


def test_without_histories_a_batch_is_the_same_but_for_them(samples):
    rows = np.arange(50)
    whole, light = make_batch(samples, rows, TRAINING), make_batch(samples.without_histories(), rows, TRAINING)
    changed = {
        f.name for f in fields(whole) if not torch.equal(*(getattr(b, f.name).nan_to_num() for b in (whole, light)))
    }
    assert changed == {"bought", "habits", "store_counts"} and (light.bought == PAD).all()


def test_context_columns(samples):
    batch = make_batch(samples, np.arange(50), replace(TRAINING, hide_trip_prob=0.0))
    for field, column in {
        "customer": "customer_row",
        "store": "store_row",
        "week": "week",
        "day": "day",
        "hour": "hour",
    }.items():
        assert getattr(batch, field).tolist() == samples.columns[column][:50].tolist()
    assert (
        batch.recency.tolist()
        == np.where(samples.columns["recency"] < 0, 0, samples.columns["recency"].clip(1))[:50].tolist()
    )
    assert batch.trip.tolist() == batch.labels.tolist() == samples.trip[:50].tolist()
    assert not batch.hide_trip.any()


@pytest.mark.parametrize("masking", [TRAINING, EVALUATION])
def test_a_basket_is_masked_the_same_in_any_company(samples, masking):  # C25
    rows = np.arange(60)
    together = baskets_of(make_batch(samples, rows, masking))
    reversed_ = baskets_of(make_batch(samples, rows[::-1].copy(), masking))
    alone = {}
    for row in rows:
        alone |= baskets_of(make_batch(samples, np.array([row]), masking))
    assert together == reversed_ == alone
    keep = np.arange(len(samples)) % 3 == 0
    chosen = baskets_of(make_batch(samples.select(keep), np.arange(20), masking))
    assert chosen == {number: together[number] for number in range(0, 60, 3)}


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine with one core
def test_the_number_of_workers_changes_nothing(samples):  # C25, C40
    rows = batch_rows(samples.lengths, 64, seed=0, epoch=1)
    runs = [list(load_batches(samples, rows, TRAINING, num_workers)) for num_workers in (0, 2)]
    assert len(runs[0]) == len(rows)
    for a, b in zip(*runs, strict=True):
        for f in fields(a):
            torch.testing.assert_close(getattr(a, f.name), getattr(b, f.name), rtol=0, atol=0, equal_nan=True)


def test_loading_leaves_global_chance_alone(samples):  # C29: dropout draws from it
    before = torch.get_rng_state()
    list(load_batches(samples, ordered_rows(samples.lengths, 64), TRAINING))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("change", [{"epoch": 4}, {"seed": 2}])
def test_each_epoch_and_seed_draws_anew(long_samples, change):  # C25
    rows = np.arange(200)
    one, other = (make_batch(long_samples, rows, masking) for masking in (TRAINING, replace(TRAINING, **change)))
    first, second = baskets_of(one), baskets_of(other)
    hidden = [[{t for t in found[number][2] if t} for number in rows.tolist()] for found in (first, second)]
    overlap = np.mean([len(a & b) / len(a) for a, b in zip(*hidden, strict=True)])
    assert overlap == pytest.approx(8 / 50, abs=0.05)
    assert np.mean([a[0] == b[0] for a, b in zip(first.values(), second.values(), strict=True)]) == 0
    assert (one.hide_trip == other.hide_trip).float().mean().item() == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize("mask_prob, counts", [(0.15, [1, 1, 1, 2, 3, 8]), (0.20, [1, 1, 2, 2, 4, 10])])
def test_how_many_are_hidden(mask_prob, counts):  # C25
    samples = make_samples(np.array([1, 6, 9, 10, 20, 50]))
    batch = make_batch(samples, np.arange(6), replace(TRAINING, mask_prob=mask_prob))
    assert np.bincount(batch.places // batch.ids.shape[1]).tolist() == counts


def test_chosen_places_are_masked_replaced_or_kept(long_samples):  # C25
    batch = make_batch(long_samples, np.arange(len(long_samples)), TRAINING)
    shown = batch.ids.flatten()[batch.places]
    n = len(shown)
    assert n == 1200 * 8
    is_mask, is_kept = shown == MASK, shown == batch.targets
    is_random = ~is_mask & ~is_kept
    for part, share in ((is_mask, 0.8), (is_random, 0.1), (is_kept, 0.1)):
        # a random product is the product itself once in 90 times
        assert part.float().mean().item() == pytest.approx(share, abs=5 * (share * (1 - share) / n) ** 0.5 + 0.0012)
    # Random products are any of the vocabulary: no special token, no late product.
    counts = torch.bincount(shown[is_random], minlength=VOCAB_SIZE)
    assert len(counts) == VOCAB_SIZE and counts[:SPECIALS].sum() == 0
    assert (counts[SPECIALS:] > 0).all()


def test_chance_prefers_no_place(long_samples):  # C21, C25
    """Every stored position is hidden equally often, and stands at every place equally often."""
    batch = make_batch(long_samples, np.arange(1200), TRAINING)
    targets = torch.zeros_like(batch.ids).flatten().index_put((batch.places,), batch.targets).view_as(batch.ids)
    true = torch.where(targets > 0, targets, batch.ids).numpy()
    stored = long_samples.products.reshape(1200, 50)
    place_of = (true[:, None, :] == stored[:, :, None]).argmax(-1)  # [basket, stored position] → place
    hidden_by_position = np.take_along_axis(targets.numpy() > 0, place_of, axis=1).mean(0)
    sigma = (0.16 * 0.84 / 1200) ** 0.5
    assert np.abs(hidden_by_position - 0.16).max() < 5 * sigma
    assert np.abs((targets.numpy() > 0).mean(0) - 0.16).max() < 5 * sigma
    assert np.abs(place_of.mean(0) - 24.5).max() < 5 * 50 / (12 * 1200) ** 0.5


def test_evaluation_hides_the_first_of_the_list_and_shows_the_mask(samples):  # C25, C32
    rows = np.arange(len(samples))
    for seed, epoch in ((0, 0), (5, 2)):
        batch = make_batch(samples, rows, replace(EVALUATION, seed=seed, epoch=epoch))
        assert (batch.ids.flatten()[batch.places] == MASK).all()
        for number, (_, _, targets, _) in baskets_of(batch).items():
            start, n = samples.starts[number], samples.lengths[number]
            hidden = samples.products[start : start + max(1, (15 * n + 50) // 100)]
            assert {t for t in targets if t} == set(hidden.tolist())
        assert batch.hide_trip.all() and (batch.trip == -1).all()
        assert batch.labels.tolist() == samples.trip.tolist()


def test_a_cut_basket_hides_as_many_as_the_whole():  # C12, C32
    samples = make_samples(np.array([50]))
    samples.columns["n_products"] = np.array([87])
    assert len(make_batch(samples, np.array([0]), EVALUATION).places) == (15 * 87 + 50) // 100 == 13


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_of_hidden_trips(long_samples, share):  # C22
    batch = make_batch(long_samples, np.arange(1200), replace(TRAINING, hide_trip_prob=share))
    assert batch.hide_trip.float().mean().item() == pytest.approx(share, abs=5 * (share * (1 - share) / 1200) ** 0.5)
    assert (batch.trip[batch.hide_trip] == -1).all()
    assert torch.equal(batch.trip[~batch.hide_trip], batch.labels[~batch.hide_trip])


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_share_of_trips_told_in_part_and_what_they_tell(long_samples, share):
    """Every choice of one to three labels is shown equally often; who is hidden does not depend on the share."""
    rows = np.flatnonzero((long_samples.trip >= 0).all(axis=1))
    masking = replace(TRAINING, hide_trip_prob=0.25)
    whole = make_batch(long_samples, rows, masking)
    batch = make_batch(long_samples, rows, replace(masking, part_trip_prob=share))
    assert torch.equal(batch.hide_trip, whole.hide_trip) and (batch.trip[batch.hide_trip] == -1).all()
    assert torch.equal(batch.trip[batch.trip >= 0], batch.labels[batch.trip >= 0])
    is_shown = (batch.trip[~batch.hide_trip] >= 0).numpy()
    told = np.bincount(is_shown @ 2 ** np.arange(4), minlength=16)
    assert told[0] == 0 and len(is_shown) > 500
    assert 1 - told[15] / len(is_shown) == pytest.approx(share, abs=5 * (share * (1 - share) / len(is_shown)) ** 0.5)
    each = share * len(is_shown) / 14
    assert (abs(told[1:15] - each) <= 5 * each**0.5).all()


def test_an_epoch_holds_every_basket_once_in_little_padding():
    lengths = np.random.default_rng(0).geometric(0.15, 20_011).clip(1, 50)
    epochs = [batch_rows(lengths, 64, seed=3, epoch=epoch) for epoch in (1, 2)]
    for rows in epochs:
        assert sorted(np.concatenate(rows).tolist()) == list(range(20_011))
        assert sorted(len(batch) for batch in rows)[:2] == [20_011 % 64, 64]
        padded = sum(len(batch) * lengths[batch].max() for batch in rows)
        assert lengths.sum() / padded > 0.9
        # Long and short batches come mixed, not in the order of the length.
        widths = np.array([lengths[batch].max() for batch in rows])
        assert abs(np.corrcoef(widths[1:], widths[:-1])[0, 1]) < 0.3
    assert any(set(a) != set(b) for a, b in zip(*epochs, strict=True))
    again = batch_rows(lengths, 64, seed=3, epoch=1)
    assert all((a == b).all() for a, b in zip(epochs[0], again, strict=True))


@pytest.mark.parametrize("n, batch_size", [(1, 256), (256, 256), (257, 256), (5, 1)])
def test_few_baskets_are_an_epoch_too(n, batch_size):
    rows = batch_rows(np.ones(n, dtype=np.int64), batch_size, seed=0, epoch=1)
    assert sorted(np.concatenate(rows).tolist()) == list(range(n)) and max(map(len, rows)) <= batch_size


def test_an_evaluation_holds_every_basket_once_by_length(samples):
    rows = ordered_rows(samples.lengths, 32)
    order = np.concatenate(rows)
    assert sorted(order.tolist()) == list(range(300)) and (np.diff(samples.lengths[order]) >= 0).all()
