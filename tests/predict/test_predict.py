"""`retailsim predict`: table and JSON, exit codes, and mistakes in one sentence with nothing written (C36, C39)."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retailsim.predict.predict import main

WHEN = ["--when", "2006-09-06T10:00"]


@pytest.fixture
def call(shop, trained, capsys):
    """Exit code, standard output and standard error of the command with flags."""

    def called(*flags, checkpoint=trained / "best_model.pt"):
        code = main([str(checkpoint), "--data-dir", str(shop.data), *map(str, flags)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return called


def test_a_table_says_what_was_asked_what_was_not_known_and_what_the_numbers_are(call, tmp_path):
    (tmp_path / "names.csv").write_text("product_id,name\n" + "".join(f"PRD09{i:05d},thing {i}\n" for i in range(200)))
    code, out, err = call(*WHEN, "--top", "2", "--catalogue", tmp_path / "names.csv")
    assert (code, err) == (0, "")
    assert "Wednesday 06 September 2006, 10:00, week 22" in out and "note: no customer: an anonymous shopper" in out
    assert "thing " in out and "score: the chance that the next product" in out and "not calibrated" in out


def test_json_is_one_object(call):
    code, out, _ = call(*WHEN, "--top", "3", "--json")
    answer = json.loads(out)
    assert code == 0 and answer["week"] == 22 and answer["measure"] == "score" and answer["temperature"] is None
    assert len(answer["suggestions"]) == 3 and set(answer["suggestions"][0]) == {"product", "name", "probability"}


def test_a_file_of_requests(call, tmp_path):
    requests, output = tmp_path / "requests.csv", tmp_path / "answers.parquet"
    requests.write_text("when,store\n2006-09-06T10:00,\n2006-09-06T10:00,nowhere\n")
    code, out, _ = call("--requests", requests, "--output", output, "--top", "2")
    assert code == 1 and "1 requests answered, 1 refused" in out
    assert pq.read_table(output)["request"].to_pylist() == [1, 1, 2]


@pytest.mark.parametrize(
    "flags, sentence",
    [
        ([], "--when is missing"),
        (["--when", "soon"], "--when 'soon' is no date and hour"),
        ([*WHEN, "--customer", "X"], "unknown customer 'X'"),
        ([*WHEN, "--store", "X"], "unknown store 'X'"),
        ([*WHEN, "--basket", "X"], "unknown product 'X'"),
        ([*WHEN, "--basket", "\udcff"], "unknown product"),  # a byte that is no UTF-8, as the shell passes it on
        ([*WHEN, "--catalogue", "nowhere.csv"], "--catalogue nowhere.csv does not exist"),
        ([*WHEN, "--output", "x.parquet"], "--output goes with --requests"),
        ([*WHEN, "--requests", "x.csv", "--output", "x.parquet"], "--when contradicts --requests"),
        (["--requests", "x.csv"], "--output is missing"),
        (["--requests", "x.csv", "--output", "x.csv"], "--output x.csv: name a .parquet file"),
        (["--requests", "x.csv", "--output", "x.parquet", "--json"], "--json contradicts --requests"),
        (["--requests", "x.csv", "--output", "x.parquet"], "x.csv does not exist"),
        (["--requests", "x.parquet", "--output", "./x.parquet"], "--output x.parquet is the file of --requests"),
        (["--requests", "x.csv", "--output", "n.parquet", "--catalogue", "n.parquet"], "is the file of --catalogue"),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(call, tmp_path, monkeypatch, flags, sentence):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*flags)
    assert code == 2 and sentence in err and err.count("\n") == 1 and not out
    assert not list(tmp_path.iterdir())


def test_answers_never_replace_the_requests(call, tmp_path):
    requests, link = tmp_path / "requests.parquet", tmp_path / "answers.parquet"
    pq.write_table(pa.table({"when": ["2006-09-06T10:00"]}), requests)
    link.symlink_to(requests)
    before = requests.read_bytes()
    for output in (requests, link):
        code, out, err = call("--requests", requests, "--output", output)
        assert (code, out, err) == (
            2, "", f"error: --output {output} is the file of --requests and would replace it: name another one\n",
        )  # fmt: skip
    assert requests.read_bytes() == before


def test_an_unknown_name_that_is_no_text_can_be_shown(call):
    code, out, err = call(*WHEN, "--customer", "\udcff", "--allow-unknown", "--top", "1")
    assert (code, err) == (0, "") and r"\udcff at a store" in out


def test_a_wrong_checkpoint(call, tmp_path):
    code, _, err = call(*WHEN, checkpoint=tmp_path / "none.pt")
    assert code == 2 and "none.pt is missing" in err
    (tmp_path / "torn.pt").write_bytes(b"PK\x03\x04 torn")
    code, _, err = call(*WHEN, checkpoint=tmp_path / "torn.pt")
    assert code == 2 and "torn.pt is damaged" in err and err.count("\n") == 1


def test_an_unknown_flag(call):
    code, _, err = call(*WHEN, "--custommer", "X")
    assert code == 2 and "--custommer" in err


def test_a_catalogue_without_its_columns(call, tmp_path):
    (tmp_path / "names.csv").write_text("code,title\n1,milk\n")
    code, _, err = call(*WHEN, "--catalogue", tmp_path / "names.csv")
    assert code == 2 and "columns product_id and name" in err and err.count("\n") == 1
