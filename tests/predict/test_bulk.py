"""Many requests from a file: every one answered or refused by name, resumed where a run was stopped (C36, C39)."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retailsim.artifacts import TRANSACTIONS
from retailsim.errors import UserError
from retailsim.predict import bulk, request_files
from retailsim.predict.bulk import answer_file
from retailsim.predict.request_files import read_requests
from retailsim.vocab import SPECIAL_TOKENS

HEADER = "id,customer,store,when,basket"
WHEN = "2006-09-06T10:00"


@pytest.fixture
def chunks_of_two(monkeypatch):
    monkeypatch.setattr(request_files, "CHUNK", 2)


@pytest.fixture
def file(tmp_path, predictor):
    """Five requests, of which the third names an unknown store."""
    store = predictor._places.histories.names[0]
    stores = [store, store, "nowhere", store, store]
    lines = [f"r{i},,{name},{WHEN}," for i, name in enumerate(stores)]
    path = tmp_path / "requests.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


def test_every_request_is_answered_or_refused_by_name(predictor, file, tmp_path):
    output = tmp_path / "answers.parquet"
    account = answer_file(predictor, file, output, {}, top=3, allow_unknown=False)
    assert account == bulk.Account(answered=4, refused=1)
    rows = pq.read_table(output).to_pylist()
    assert [(row["request"], row["id"], row["rank"]) for row in rows] == [
        *((1, "r0", rank) for rank in (1, 2, 3)),
        *((2, "r1", rank) for rank in (1, 2, 3)),
        (3, "r2", None),
        *((4, "r3", rank) for rank in (1, 2, 3)),
        *((5, "r4", rank) for rank in (1, 2, 3)),
    ]
    refused = rows[6]
    assert "unknown store 'nowhere'" in refused["error"] and refused["product_id"] is None
    assert rows[0]["measure"] == "score" and rows[0]["probability"] > rows[1]["probability"] > 0
    assert rows[0]["notes"].startswith("no customer: an anonymous shopper; ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.parquet", "requests.csv"]


def test_a_request_that_leaves_no_product_has_a_row_that_says_so(predictor, shop, tmp_path):
    """A customer asks for what was never bought before, with all of that in the basket."""
    bought = TRANSACTIONS.load(shop.data, ["customer_id", "product_id"]).to_pandas().dropna()
    products = bought.groupby("customer_id")["product_id"].agg(set)
    customer = products.map(len).idxmax()
    known = predictor.vocabulary.ids[len(SPECIAL_TOKENS) : predictor.vocabulary.size]
    monday = predictor.calendar.monday_of(predictor.calendar.last_week + 1)
    request = {"id": "all", "customer": customer, "novel": "true", "when": f"{monday}T10:00"}
    never = sorted(set(known) - products[customer])
    path, output = tmp_path / "requests.jsonl", tmp_path / "answers.parquet"
    path.write_text("".join(json.dumps(request | {"basket": basket}) + "\n" for basket in (never[1:], never)))
    assert answer_file(predictor, path, output, {}, top=9, allow_unknown=False) == bulk.Account(answered=1, refused=1)
    answered, refused = pq.read_table(output).to_pylist()
    assert answered["product_id"] == never[0] and answered["error"] is None
    assert (refused["id"], refused["product_id"]) == ("all", None) and "no product is left" in refused["error"]


def test_an_interrupted_run_goes_on_where_it_stopped(predictor, file, tmp_path, chunks_of_two):
    whole, stopped = tmp_path / "whole.parquet", tmp_path / "stopped.parquet"
    answer_file(predictor, file, whole, {}, top=3, allow_unknown=False)
    done = []

    def interrupt(n):
        done.append(n)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer_file(predictor, file, stopped, {}, top=3, allow_unknown=False, on_chunk=interrupt)
    assert not stopped.exists()
    account = answer_file(predictor, file, stopped, {}, top=3, allow_unknown=False)
    assert account == bulk.Account(answered=4, refused=1, resumed=4)
    assert stopped.read_bytes() == whole.read_bytes()  # C40


def test_parts_of_other_settings_are_not_used(predictor, file, tmp_path, chunks_of_two):
    output = tmp_path / "answers.parquet"
    with pytest.raises(KeyboardInterrupt):
        answer_file(predictor, file, output, {}, 3, False, on_chunk=lambda n: (_ for _ in ()).throw(KeyboardInterrupt))
    assert answer_file(predictor, file, output, {}, 2, False).resumed == 0
    assert pq.read_table(output)["rank"].to_pylist()[:3] == [1, 2, 1]


def test_csv_parquet_and_json_say_the_same(tmp_path):
    words = [{"id": "1", "when": WHEN, "basket": "P1,P2"}, {"id": "2", "when": WHEN, "basket": None}]
    (tmp_path / "r.csv").write_text(f'id,when,basket\n1,{WHEN},"P1,P2"\n2,{WHEN},\n')
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in words))
    rows = [row | {"basket": row["basket"] and row["basket"].split(",")} for row in words]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    for name in ("r.csv", "r.jsonl", "r.parquet"):
        (found,) = read_requests(tmp_path / name)
        assert [{key: row[key] or None for key in words[0]} for row in found] == words


def test_json_lines_may_hold_what_the_service_takes(tmp_path):
    row = {"when": WHEN, "basket": ["P1", "P2"], "price": {"P1": 1.25}, "novel": False, "store": None}
    (tmp_path / "r.json").write_text(json.dumps(row) + "\n\n")
    assert list(read_requests(tmp_path / "r.json")) == [
        [{"when": WHEN, "basket": "P1,P2", "price": "P1=1.25", "novel": "False", "store": None}]
    ]


def test_what_a_row_of_a_parquet_object_lacks_is_left_out(tmp_path):
    """A struct has all names of the file in each row, with null for those that a row has not; a map is read as pairs."""
    rows = [{"when": WHEN, "basket": ["P1", None], "price": {"P1": 1.25}}, {"when": WHEN, "price": {"P2": 0.5}}]
    expected = [{"when": WHEN, "basket": "P1", "price": "P1=1.25"}, {"when": WHEN, "basket": None, "price": "P2=0.5"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "struct.parquet")
    pairs = pa.map_(pa.string(), pa.float64())
    schema = pa.schema({"when": pa.string(), "basket": pa.list_(pa.string()), "price": pairs})
    pq.write_table(
        pa.Table.from_pylist([{**row, "price": {"P9": None, **row["price"]}} for row in rows], schema),
        tmp_path / "map.parquet",
    )
    for name in ("struct.parquet", "map.parquet"):
        assert list(read_requests(tmp_path / name)) == [expected], name


def test_half_a_character_is_refused_by_name_and_stops_nothing(predictor, tmp_path):
    """JSON may hold half an emoji, which no file of answers can."""
    half = "\ud83d"
    path, output = tmp_path / "requests.jsonl", tmp_path / "answers.parquet"
    rows = [{"id": half}, {"basket": [half]}, {"customer": half}, {}]
    path.write_text("".join(json.dumps({"when": WHEN} | row) + "\n" for row in rows))
    assert answer_file(predictor, path, output, {}, top=1, allow_unknown=False) == bulk.Account(answered=2, refused=2)
    found = pq.read_table(output).to_pylist()
    assert [row["id"] for row in found] == [r"\ud83d", None, None, None]
    assert (
        "unknown product" in found[1]["error"]
        and "unknown customer" in found[2]["error"]
        and "ud83d" in found[1]["error"]
    )
    path.write_text(json.dumps({"when": WHEN, "customer": half}) + "\n")
    assert answer_file(predictor, path, output, {}, top=1, allow_unknown=True) == bulk.Account(answered=1)
    assert pq.read_table(output)["notes"][0].as_py().startswith(r"customer \ud83d is unknown")


def test_ids_that_look_like_nothing_are_ids(tmp_path):
    (tmp_path / "r.csv").write_text(f"id,when,customer,store\nNA,{WHEN},null,nan\n")
    assert list(read_requests(tmp_path / "r.csv")) == [[{"id": "NA", "when": WHEN, "customer": "null", "store": "nan"}]]


@pytest.mark.parametrize(
    "name, content, sentence",
    [
        ("none.csv", None, "does not exist"),
        ("r.csv", "id,store\n1,S\n", "has no column when"),
        ("r.csv", f"when,basekt\n{WHEN},P1\n", "has a column 'basekt' that means nothing here"),
        ("r.jsonl", '{"when": "2006-', "cannot be read"),
        ("r.parquet", "when\n", "cannot be read"),
        ("r.csv", f"when,id\n{WHEN},1,2\n", "cannot be read"),
        ("r.csv", "id,store\n", "has no column when"),
        ("r.csv", "when,basekt\n", "has a column 'basekt'"),
        ("r.txt", f"when\n{WHEN}\n", "is none of .csv"),
        ("r.json", '[{"when": "2006-10-28T10:00"}]', "line 1 is no JSON object"),
        ("r.jsonl", '{"when": "2006-10-28T10:00", "shop": "S"}', "has a column 'shop'"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path, name, content, sentence):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError) as error:
        list(read_requests(path))
    assert sentence in str(error.value) and name in str(error.value) and "\n" not in str(error.value)
