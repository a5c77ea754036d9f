"""Requests from words, as flags and files give them; every mistake is one sentence (C36, C39)."""

from datetime import UTC, datetime

import pytest

from retailsim.errors import UserError
from retailsim.predict import Request

WORDS = {"when": "2008-03-15T10:00"}


def test_words_become_a_request():
    request = Request.from_words(
        {
            "customer": "C1", "store": " S1 ", "when": "2008-03-15 10:30", "basket": "P1, P2,,", "price": "P1=1.25",
            "trip": "full-shop", "focus": "Fresh", "sensitivity": "um", "size": "L", "segment": "AZ,", "store_region": None,
            "novel": "Yes",
        }
    )  # fmt: skip
    assert request == Request(
        when=datetime(2008, 3, 15, 10, 30),
        customer="C1",
        store="S1",
        basket=("P1", "P2"),
        prices={"P1": 1.25},
        trip={"mission_type": "Full Shop", "mission_focus": "Fresh", "price_sensitivity": "UM", "basket_size": "L"},
        price_segment="AZ",
        novel=True,
    )
    assert not Request.from_words(WORDS | {"novel": "no"}).novel


@pytest.mark.parametrize(
    "words, sentence",
    [
        ({}, "--when '' is no date and hour: write it like 2008-03-15T10:00"),
        ({"when": "2008-03-15"}, "is no date and hour"),  # Python would take midnight
        ({"when": "15/03/2008 10:00"}, "is no date and hour"),
        ({"when": "2008-03-15T10:00+01:00"}, "names a time zone"),
        (WORDS | {"price": "P1"}, "--price 'P1' is not understood"),
        (WORDS | {"price": "P1=cheap", "basket": "P1"}, "--price 'P1=cheap' is not understood"),
        (WORDS | {"price": "P1=0", "basket": "P1"}, "above 0"),
        (WORDS | {"price": "P1=nan", "basket": "P1"}, "above 0"),
        (WORDS | {"price": "P1=inf", "basket": "P1"}, "above 0"),
        (WORDS | {"price": "P1=1e39", "basket": "P1"}, "less than a billion"),
        (WORDS | {"price": "1.25", "basket": "P1"}, "--price '1.25' is not understood"),
        (WORDS | {"price": "P1=1", "basket": "P2"}, "'P1', which is not in the basket"),
        (WORDS | {"trip": "party"}, "--trip 'party' does not exist: it is one of full-shop, top-up"),
        (WORDS | {"novel": "yes"}, "--novel leaves out what the customer bought before: name a --customer"),
        (WORDS | {"novel": "maybe"}, "novel 'maybe' is neither yes nor no"),
        (WORDS | {"size": "XXL"}, "--size 'XXL' does not exist: it is one of s, m, l, xl"),
    ],
)
def test_a_mistake_is_one_sentence(words, sentence):
    with pytest.raises(UserError) as error:
        Request.from_words(words)
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_an_object_is_checked_too():
    with pytest.raises(UserError, match="time zone"):
        Request(datetime(2008, 3, 15, tzinfo=UTC))
    with pytest.raises(UserError, match="mission_type 'Party' does not exist"):
        Request(datetime(2008, 3, 15, 10), trip={"mission_type": "Party"})
    with pytest.raises(UserError, match="mood is no label of a trip"):
        Request(datetime(2008, 3, 15, 10), trip={"mood": "Party"})
