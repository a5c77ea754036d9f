"""What a predictor answers: the model's own numbers for a basket, from nothing later than the week before (C36)."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, time, timedelta

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from retailsim.artifacts import CUSTOMER_EMBEDDINGS, TRANSACTIONS
from retailsim.errors import UserError
from retailsim.labels import TRIP_LABELS
from retailsim.predict import Predictor, Request
from retailsim.predict import predictor as predictor_module
from retailsim.storage import connect
from retailsim.training.dataset import make_batch
from retailsim.training.masking import Masking
from retailsim.vocab import SPECIAL_TOKENS

EVERYTHING = 10_000


def request_of(samples, row, calendar, store_ids, vocabulary):
    """The request that asks for the first product of a stored basket, the others being visible."""
    columns = samples.columns
    day = calendar.first_monday + timedelta(days=int(columns["day"][row]))
    shown = slice(samples.starts[row] + 1, samples.starts[row + 1])
    products = [vocabulary.ids[product] for product in samples.products[shown]]
    return Request(
        when=datetime.combine(day, time(int(columns["hour"][row]))),
        customer=columns["customer_id"][row],
        store=store_ids[int(columns["store_row"][row]) - 1],
        basket=tuple(products),
        prices=dict(zip(products, map(float, samples.prices[shown]), strict=True)),
        trip={label: names[code] for (label, names), code in zip(TRIP_LABELS.items(), samples.trip[row], strict=True)},
    )


def parts_of(predictor):
    """What a predictor is made of, without temperatures."""
    names = ("_model", "vocabulary", "calendar", "_people", "_places", "_histories")
    return [getattr(predictor, name) for name in names]


@pytest.fixture(scope="module")
def stores(predictor):
    histories = predictor._places.histories
    return np.repeat(histories.names, [end - start for start, end in histories._ends.values()])


@pytest.fixture(scope="module")
def asked(samples, predictor, stores):
    """A stored basket of two products with a known customer, as row and request."""
    is_known = (samples.columns["trips"] > 0) & (samples.lengths == 2) & (samples.trip >= 0).all(axis=1)
    row = int(np.flatnonzero(is_known)[0])
    return row, request_of(samples, row, predictor.calendar, stores, predictor.vocabulary)


@pytest.mark.parametrize("is_trip_known", [True, False])
def test_the_numbers_are_the_models_for_the_stored_basket(predictor, samples, asked, is_trip_known):
    """Customer, store, time, prices and trip reach the model as they do in evaluation, of a basket that goes on (C36)."""
    row, request = asked
    size = predictor.vocabulary.size
    batch = make_batch(
        samples, np.array([row]), Masking(size, hide_trip_prob=1.0 - is_trip_known, is_evaluation=True, open_share=1.0)
    )
    with torch.no_grad():
        logits = predictor._model(batch).product_logits[0]
    logits[[*range(len(SPECIAL_TOKENS)), int(batch.ids.max())]] = -torch.inf
    expected = dict(zip(predictor.vocabulary.ids, logits.softmax(0).tolist(), strict=False))
    answer = predictor.predict(request if is_trip_known else replace(request, trip={}), top=EVERYTHING)
    assert {found.product: found.probability for found in answer.suggestions} == pytest.approx(
        {product: chance for product, chance in expected.items() if chance > 0}, rel=1e-5
    )
    assert answer.notes == (() if is_trip_known else ("the kind of trip is not given: it is left open",))
    assert answer.week == samples.columns["week"][row]


def test_probabilities_add_up_to_one_and_fall(predictor, asked):
    request = asked[1]
    chances = [found.probability for found in predictor.predict(request, top=EVERYTHING).suggestions]
    assert sum(chances) == pytest.approx(1) and chances == sorted(chances, reverse=True)
    assert len(chances) == predictor.vocabulary.size - len(SPECIAL_TOKENS) - len(request.basket)


def test_the_basket_is_not_suggested_and_its_order_does_not_matter(predictor, asked):
    request = replace(asked[1], prices={})
    products = [found.product for found in predictor.predict(request, top=4).suggestions]
    there = predictor.predict(replace(request, basket=tuple(products)), top=EVERYTHING)
    back = predictor.predict(replace(request, basket=tuple(reversed(products))), top=EVERYTHING)
    assert there == back and not {found.product for found in there.suggestions} & set(products)


def test_a_product_named_twice_counts_once(predictor, asked):
    products = tuple(found.product for found in predictor.predict(asked[1], top=4).suggestions)
    once, twice = (replace(asked[1], prices={}, basket=(*products, *more)) for more in ((), products[:2]))
    assert predictor.predict(once, top=3) == predictor.predict(twice, top=3)


@pytest.fixture(scope="module")
def away(predictor, shop):
    """A request of a week without a trip behind one with a trip, and the last week of each product bought up to then."""
    sales = TRANSACTIONS.read(shop.data, connect())
    trips = sales.filter(sales.customer_id.notnull()).select("customer_id", "week").distinct()
    weeks = trips.order_by("customer_id", "week").execute().groupby("customer_id")["week"].agg(list)
    customer, before = next(
        (c, w) for c, ws in weeks.items() for w, after in zip(ws[3:], ws[4:], strict=False) if after > w + 1
    )
    when = datetime.combine(predictor.calendar.monday_of(before + 1), time(10))
    own = sales.filter((sales.customer_id == customer) & (sales.week <= before)).execute()
    return Request(when, customer=customer), own.groupby("product_id")["week"].max().to_dict()


def test_novel_products_were_not_bought_in_the_week_of_the_last_trip_either(predictor, away):
    """A week without a trip has no row of its own: T1 is the last trip's, which knows less than was bought."""
    request, last_week = away
    found = predictor.predict(replace(request, novel=True), top=EVERYTHING)
    assert found.suggestions and not {one.product for one in found.suggestions} & last_week.keys()


def test_a_week_without_a_trip_is_shown_all_that_was_bought_before(predictor, away):
    """T1 is that of the last trip's week; the histories know that week, too, as the weeks since the last trip do."""
    request, last_week = away
    week = predictor.calendar.week_of(request.when.date())
    known = predictor._people.histories.as_of(request.customer, week)
    assert known.week == max(last_week.values()) == week - 1
    arrays = predictor.arrays([request])
    assert np.array_equal(arrays["t1"][0], predictor.model.lookup.customer[known.row])
    (bought,), (habits,) = arrays["bought"], arrays["habits"]
    since = {predictor.vocabulary.ids[row]: np.exp(h[7]) for row, h in zip(bought, habits, strict=True) if row}
    assert since == pytest.approx({product: week - last for product, last in last_week.items()})
    assert np.exp(habits[0, 7]) == pytest.approx(1)  # the trip itself


def test_a_week_with_a_trip_is_shown_the_row_that_training_shows(predictor, samples, asked):
    row, request = asked
    person = predictor.look_up(request).person
    assert person.row == person.bought_row == samples.columns["customer_row"][row]


def test_novel_products_are_those_never_bought_with_the_same_chances(predictor, asked, shop):
    request = asked[1]
    plain = predictor.predict(request, top=EVERYTHING)
    sales = TRANSACTIONS.read(shop.data, connect())
    own = sales.filter((sales.customer_id == request.customer) & (sales.week < plain.week)).product_id.execute()
    found = predictor.predict(replace(request, novel=True), top=EVERYTHING)
    expected = [one for one in plain.suggestions if one.product not in set(own)]
    assert 0 < len(expected) < len(plain.suggestions) and list(found.suggestions) == expected
    assert found.notes == (*plain.notes, "what the customer bought before is left out")
    beside = predictor.predict_many([request, replace(request, novel=True), request], top=EVERYTHING)
    assert [len(answer.suggestions) for answer in beside] == [
        len(plain.suggestions),
        len(expected),
        len(plain.suggestions),
    ]


def test_many_requests_are_computed_some_at_a_time(predictor, asked, monkeypatch):
    """Memory does not grow with their number, and an unknown one is refused before any is computed."""
    requests = [replace(asked[1], when=asked[1].when.replace(hour=hour)) for hour in range(9, 14)]
    whole, sizes = predictor.predict_many(requests, top=3), []
    monkeypatch.setattr(predictor_module, "TOGETHER", 2)
    hook = predictor.model.register_forward_pre_hook(lambda model, batches: sizes.append(len(batches[0].ids)))
    try:
        in_pieces = predictor.predict_many(requests, top=3)
        with pytest.raises(UserError, match="unknown store"):
            predictor.predict_many([*requests, replace(asked[1], store="X")])
    finally:
        hook.remove()
    assert sizes == [2, 2, 1] and [one.week for one in in_pieces] == [one.week for one in whole]
    for one, other in zip(in_pieces, whole, strict=True):
        assert [s.product for s in one.suggestions] == [s.product for s in other.suggestions]
        assert [s.probability for s in one.suggestions] == pytest.approx([s.probability for s in other.suggestions])


def test_an_answer_does_not_depend_on_its_neighbours_or_on_threads(predictor, asked):
    request = asked[1]
    products = predictor.vocabulary.ids[len(SPECIAL_TOKENS) :][:9]
    requests = [replace(request, prices={}, basket=tuple(products[:n])) for n in range(9)] + [replace(request, trip={})]
    alone = [predictor.predict(one) for one in requests]
    together = predictor.predict_many(requests)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(predictor.predict, requests * 4)) == alone * 4
    for one, other in zip(alone, together, strict=True):
        assert one.notes == other.notes
        by_product = {found.product: found.probability for found in other.suggestions}
        assert by_product == pytest.approx({found.product: found.probability for found in one.suggestions}, rel=1e-4)
    assert predictor.predict_many([]) == []


def test_a_price_moves_the_answer_and_the_last_known_one_is_the_default(predictor, asked):  # C12
    request = asked[1]
    (product,) = request.basket
    (row,) = predictor.vocabulary.rows([product])
    week = predictor.calendar.week_of(request.when.date())
    last = float(predictor._last_price[row, week - 1])
    answers = [
        predictor.predict(replace(request, prices=prices)) for prices in ({}, {product: last}, {product: 3 * last})
    ]
    assert answers[0].suggestions == answers[1].suggestions != answers[2].suggestions
    assert answers[0].notes == ("prices of 1 of 1 products in the basket are not given: the last known ones are used",)
    assert answers[1].notes == ()


class TestWhatIsNotKnown:
    """An error, or a stand-in that is named; never another customer or store (C39)."""

    @pytest.mark.parametrize(
        "change, sentence",
        [
            ({"customer": "X"}, "unknown customer 'X'"),
            ({"store": "X"}, "unknown store 'X'"),
            ({"basket": ("X",)}, "unknown product 'X'"),
            ({"basket": ("\ud83d",)}, r"unknown product '\ud83d'"),  # half an emoji, which Arrow cannot hold
            ({"when": datetime(1999, 1, 1, 10)}, "outside what the data can tell about"),
            ({"when": datetime(2031, 1, 1, 10)}, "outside what the data can tell about"),
            ({"customer": "X", "price_segment": "nobody's"}, 'price segment "nobody\'s" does not exist in the data'),
            ({"store": None, "store_format": "kiosk"}, "store format 'kiosk' does not exist in the data"),
            ({"price_segment": "AZ"}, "is in the data: leave --segment out"),
            ({"store_format": "LS"}, "is in the data: leave --store-format and --store-region out"),
        ],
    )
    def test_is_an_error_that_names_it(self, predictor, asked, change, sentence):
        with pytest.raises(UserError) as error:
            predictor.predict(replace(asked[1], prices={}, **change))
        assert sentence in str(error.value) and "\n" not in str(error.value)

    def test_a_near_id_is_suggested(self, predictor, asked):
        request = asked[1]
        with pytest.raises(UserError, match=f"did you mean '{request.customer}'"):
            predictor.predict(replace(request, customer=request.customer + "0"))

    def test_is_anonymous_when_allowed(self, predictor, asked):
        request = replace(asked[1], customer="X")
        allowed = predictor.predict(request, allow_unknown=True)
        anonymous = predictor.predict(replace(request, customer=None))
        assert allowed.suggestions == anonymous.suggestions
        assert allowed.notes == ("customer X is unknown: an anonymous shopper is meant",)
        assert anonymous.notes == ("no customer: an anonymous shopper",)

    def test_a_new_customer_has_the_segments_averages(self, predictor, asked):  # C13
        people = predictor._people.histories
        segment = people.values("price_segment")[0]
        answer = predictor.predict(replace(asked[1], customer=None, price_segment=segment))
        assert f"price segment {segment}" in answer.notes[0] and "without a history" in answer.notes[0]

    def test_a_life_stage_alone_is_that_life_stage(self, predictor, asked):
        """A newcomer with it is found, whatever the price segment; any other only where there is none."""
        people = predictor._people.histories
        newcomers = people.events == 0
        for stage in people.values("lifestage"):
            row = predictor._people.find(replace(asked[1], customer=None, lifestage=stage), 30, False).row
            own = newcomers & (people._labels["lifestage"] == stage) & (people.weeks <= 30)
            assert own[row - 1] == own.any(), stage
        assert row

    def test_a_customer_who_comes_later_is_new(self, predictor, asked):  # C19
        people = predictor._people.histories
        late = max(people.names, key=lambda name: people.weeks[people._ends[name][0]])
        answer = predictor.predict(replace(asked[1], customer=str(late), when=datetime(2006, 4, 12, 10), prices={}))
        assert f"customer {late} comes only after week" in answer.notes[0]

    def test_an_unknown_store_is_like_a_typical_one_of_its_kind(self, predictor, asked):
        places, request = predictor._places.histories, replace(asked[1], store="X")
        kind = places.labels_of(asked[1].store)
        answer = predictor.predict(replace(request, **kind))
        assert "store X is unknown" in answer.notes[0]
        stand_in = next(name for name in places.names if name in answer.notes[0])
        assert answer.suggestions == predictor.predict(replace(request, store=stand_in)).suggestions
        assert places.labels_of(stand_in) == kind

    def test_an_old_row_says_its_age(self, predictor, asked):
        people, request = predictor._people.histories, asked[1]
        week = next(w for w in range(24, 9, -1) if people.as_of(request.customer, w).week < w)
        monday = predictor.calendar.monday_of(week)
        answer = predictor.predict(replace(request, when=datetime.combine(monday, time(10)), prices={}))
        of = people.as_of(request.customer, week).week
        assert (
            f"customer {request.customer} has no T1 row as of week {week}: the one as of week {of} is used"
            in answer.notes[0]
        )

    def test_too_full_a_basket(self, predictor, asked):
        products = tuple(predictor.vocabulary.ids[len(SPECIAL_TOKENS) :][:50])
        with pytest.raises(UserError, match="holds 50 products: the model sees 49 at most"):
            predictor.predict(replace(asked[1], basket=products, prices={}))

    def test_nothing_is_asked_for(self, predictor, asked):
        with pytest.raises(UserError, match="--top 0 asks for nothing"):
            predictor.predict(asked[1], top=0)


def test_the_week_after_the_data_can_be_asked_for(predictor, asked):
    calendar = predictor.calendar
    last_day = calendar.monday_of(calendar.last_week + 2) - timedelta(days=1)
    request = replace(asked[1], when=datetime.combine(last_day, time(21)))
    assert predictor.predict(request).week == calendar.last_week + 1
    with pytest.raises(UserError, match=f"from {date(2006, 4, 10)} to before {last_day + timedelta(days=1)}"):
        predictor.predict(replace(request, when=request.when + timedelta(days=1)))


def test_the_week_after_the_data_knows_every_trip(predictor, shop, asked):
    """Customer and store are described up to the last week of the data, the last trip included (C36)."""
    monday = predictor.calendar.monday_of(predictor.calendar.last_week + 1)
    request = replace(asked[1], when=datetime.combine(monday, time(10)))
    seat = predictor.look_up(request)
    assert seat.person.notes == seat.place.notes == ()
    bought = TRANSACTIONS.read(shop.data, connect()).filter(ibis._.customer_id == request.customer)
    known = predictor._histories.customers.before(np.array([seat.person.row]))[1]
    assert known.max() == bought.week.max().execute()
    assert seat.person.trips == bought.basket_id.nunique().execute()


def test_names_come_from_the_catalogue(predictor, shop, trained, asked):
    product = predictor.predict(asked[1]).suggestions[0].product
    named = Predictor.load(trained / "best_model.pt", shop.data, names={product: "milk"})
    assert [found.name for found in named.predict(asked[1], top=2).suggestions] == ["milk", None]


def test_features_that_the_cache_was_not_made_of_are_refused(shop, trained, tmp_path):  # C39
    """Other customers stand in their rows: the cache would give them one another's histories."""
    root = shutil.copytree(shop.data, tmp_path / "data")
    rows = pq.read_table(root / CUSTOMER_EMBEDDINGS.path)
    fewer = rows.filter(pc.not_equal(rows["customer_id"], rows["customer_id"][0]))
    row = pa.array(np.arange(1, len(fewer) + 1))
    pq.write_table(fewer.set_column(fewer.column_names.index("row"), "row", row), root / CUSTOMER_EMBEDDINGS.path)
    (root / "features/run_feature_engineering.manifest.json").unlink()
    with pytest.raises(UserError, match='run "python -m src.training.prepare_tensor_cache --data-dir .*" again'):
        Predictor.load(trained / "best_model.pt", root)


def test_a_calibrated_answer_says_so_and_has_the_same_order(predictor, asked, told):
    """The temperatures of an evaluation are used: one where the trip is known, the other where it is open."""
    request, temperatures = asked[1], {"open_trip_known": 2.0, "open_trip_unknown": 0.5}
    mended = Predictor(*parts_of(predictor), temperatures, in_part=True)
    assert Predictor(*parts_of(predictor), temperatures).predict(told).temperature == 0.5
    for given, temperature in ((request, 2.0), (replace(request, trip={}), 0.5), (told, 2.0)):
        before, after = predictor.predict(given, EVERYTHING), mended.predict(given, EVERYTHING)
        assert (before.measure, after.measure, after.temperature) == ("score", "probability", temperature)
        powered = np.array([found.probability for found in before.suggestions]) ** (1 / temperature)
        expected = sorted(powered / powered.sum(), reverse=True)
        assert [found.probability for found in after.suggestions] == pytest.approx(expected, rel=1e-3)


@pytest.fixture
def told(asked):
    """The request told the type of its trip alone."""
    label = "mission_type"
    return replace(asked[1], trip={label: asked[1].trip[label]})


def test_a_trip_told_in_part_is_known_where_training_shows_parts(predictor, told):
    assert len(predictor.trips_learned) == 2 ** len(TRIP_LABELS) - 1
    answer = predictor.predict(told)
    assert answer.notes == () and not predictor.arrays([told])["trip_is_open"].any()
    assert predictor.predict(replace(told, customer=None)).suggestions != (
        predictor.predict(replace(told, customer=None, trip={})).suggestions
    )


class TestATripToldInPartWhereTrainingShowsAllOrNone:
    """Told some labels, the model would take the others for labels that are lacking."""

    @pytest.fixture
    def strict(self, predictor):
        return Predictor(*parts_of(predictor), in_part=False)

    def test_is_left_open_with_a_note(self, strict, told):
        note = "the kind of trip is given by mission_type, as hardly any training basket has it: it is left open"
        assert strict.predict(told).notes == (note,)
        assert strict.arrays([told])["trip_is_open"].tolist() == [True]

    def test_chooses_among_earlier_trips_and_changes_nothing_else(self, strict, asked, told):
        known, open_, part = (strict.arrays([one]) for one in (asked[1], replace(asked[1], trip={}), told))
        same = [name for name in open_ if name not in ("trip", "habits")]
        assert all(np.array_equal(part[name], open_[name], equal_nan=True) for name in same)
        of_type, of_others = part["habits"][0, :, 20], part["habits"][0, :, 21:24]
        assert np.array_equal(of_type, known["habits"][0, :, 20]) and abs(of_type).max() > 0.01
        assert abs(of_others).max() < 1e-6

    def test_does_not_reach_t6(self, strict, asked, told):
        """Where the habits are the same, the answer is that of an open trip."""
        anonymous = replace(told, customer=None)
        assert strict.predict(anonymous).suggestions == strict.predict(replace(anonymous, trip={})).suggestions
        assert strict.predict(told).suggestions != strict.predict(replace(told, trip={})).suggestions

    def test_is_known_where_training_has_baskets_with_just_these_labels(self, strict, told, monkeypatch):
        assert strict.trips_learned == [[*TRIP_LABELS]]
        monkeypatch.setattr(strict, "_learned", frozenset([frozenset(told.trip)]))
        assert strict.predict(told).notes == () and not strict.arrays([told])["trip_is_open"].any()
