"""C2, C39: a mistake in a mapping is one sentence with file, line and key; a mapping that is right is read as it stands."""

import pytest

from retailsim.errors import UserError
from retailsim.sources.mapping import Column, load_mapping, parse_mapping, plain_mapping, shipped

GOOD = """\
files: till.csv
missing: [NA, "-"]
joins:
  - file: goods.csv
    key: sku
columns:
  basket_id: receipt
  product_id: sku
  date: {column: day, format: "%d.%m.%Y"}
  quantity: {value: 1}
  mission_type: {column: kind, values: {big: Full Shop, small: Top Up}}
"""


def test_what_a_mapping_says():
    mapping = parse_mapping(GOOD, "my.yaml")
    assert mapping.columns == {
        "basket_id": Column(("receipt",)),
        "product_id": Column(("sku",)),
        "date": Column(("day",), formats=("%d.%m.%Y",)),
        "quantity": Column(value="1"),
        "mission_type": Column(("kind",), values=(("big", "Full Shop"), ("small", "Top Up"))),
    }
    assert mapping.schema.required == ("basket_id", "product_id", "date", "quantity")  # what is not named is unknown
    assert {name: raw for name, raw in mapping.schema.names.items() if name in mapping.columns} == {
        "basket_id": "receipt", "product_id": "sku", "date": "day", "quantity": "the value '1'", "mission_type": "kind",
    }  # fmt: skip
    assert mapping.schema.names["hour"] == "hour" and "hour" in mapping.unknown and "date" not in mapping.unknown
    assert (mapping.files, mapping.missing, mapping.joins[0].key_there) == (("till.csv",), ("NA", "-"), "sku")
    assert parse_mapping(mapping.text, "my.yaml") == mapping


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ("basket_id: receipt", "basket: receipt", "my.yaml, line 7, columns.basket: there is no key 'basket'; did you mean 'basket_id'"),
        ("  product_id: sku\n", "", "my.yaml, line 7, columns: the key 'product_id' is missing"),
        ("files: till.csv", "dates: maybe", "my.yaml, line 1, dates: 'maybe' is none of known, unknown"),
        ("files: till.csv", "file: till.csv", "my.yaml, line 1, file: there is no key 'file'; did you mean 'files'"),
        ("    key: sku", "    kye: sku", "my.yaml, line 5, joins[1].kye: there is no key 'kye'; did you mean 'key'"),
        ("%d.%m.%Y", "%d.%m", "my.yaml, line 9, columns.date.format: '%d.%m' does not hold a year, month and day"),
        ("%d.%m.%Y", "%d.%m.%Q", "line 9, columns.date.format: '%d.%m.%Q': %Q is not known"),
        ('format: "%d.%m.%Y"', "day_one: 23.3.2016", "line 9, columns.date.day_one: '23.3.2016' is no day: write it as 2016-03-23"),
        ("{value: 1}", "{value: 1, column: n}", "line 10, columns.quantity: give one of column, columns, times and value"),
        ("{value: 1}", "", "line 10, columns.quantity: expected one value" ),
        ("Full Shop", "Huge", "columns.mission_type.values.big: 'Huge' is none of Full Shop, Top Up"),
        ("quantity: {value: 1}", "quantity: {times: [a, b]}", "columns.quantity.times: only spend is a product"),
        ("  date:", "  timestamp: t\n  date:", "line 9, columns.timestamp: timestamp makes date and hour"),
        ("  quantity", "  basket_id: b\n  quantity", "my.yaml, line 10: the key 'basket_id' stands twice"),
        ("columns:", "columns: [", "my.yaml, line 8: not YAML"),
        ("files: till.csv", "files: *all", "my.yaml, line 1: not YAML"),
        (GOOD, "", "my.yaml: the file is empty"),
    ],
)  # fmt: skip
def test_mistakes(old, new, sentence):
    assert old in GOOD
    with pytest.raises(UserError) as error:
        parse_mapping(GOOD.replace(old, new), "my.yaml")
    assert sentence.removeprefix("my.yaml, ") in str(error.value) and str(error.value).startswith("my.yaml")


def test_an_alias_is_refused_and_cannot_blow_up():
    with pytest.raises(UserError, match=r"columns.hour: an alias"):
        parse_mapping("columns:\n  date: &a [x]\n" + "\n" * 6 + "  hour: *a\n", "my.yaml")


def test_shipped_mappings_are_found_by_name_and_others_by_file(tmp_path):
    assert shipped() == ["complete-journey", "completejourney", "instacart", "ta-feng"]
    assert load_mapping("ta-feng").origin == "ta-feng"
    (tmp_path / "my.yaml").write_text(GOOD)
    assert load_mapping(str(tmp_path / "my.yaml")).files == ("till.csv",)
    with pytest.raises(
        UserError, match=r"--mapping tafeng is no file, and none of the shipped mappings complete-journey, "
    ):
        load_mapping("tafeng")
    (tmp_path / "my.yaml").write_bytes(b"about: \xff")
    with pytest.raises(UserError, match="not UTF-8"):
        load_mapping(str(tmp_path / "my.yaml"))


def test_dates_are_known_unless_the_mapping_says_or_counts_back():
    assert parse_mapping(GOOD, "my.yaml").dates_known
    assert not parse_mapping("dates: unknown\n" + GOOD, "my.yaml").dates_known
    assert not load_mapping("instacart").dates_known


@pytest.mark.parametrize("name", ["my.yaml", *shipped()])
def test_a_plain_mapping_knows_what_the_mapping_knew(name):
    mapping = parse_mapping(GOOD, "my.yaml") if name == "my.yaml" else load_mapping(name)
    plain = parse_mapping(plain_mapping(mapping), "plain.yaml")
    assert plain.columns == {column: Column((column,)) for column in mapping.columns}
    assert (plain.dates_known, plain.schema.required) == (mapping.dates_known, mapping.schema.required)
