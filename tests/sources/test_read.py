"""C1, C4: one CSV, a folder of weekly files and Parquet give the same rows; what cannot be read is said in a sentence."""

import csv
import gzip
import io
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from retailsim.errors import UserError
from retailsim.sources.faults import stripped
from retailsim.sources.raw_tables import open_file
from retailsim.sources.read import read_transactions, source_files
from retailsim.sources.schema import ROW, as_text
from retailsim.sources.stored import stored_rows
from retailsim.sources.validate import judge
from retailsim.storage import connect
from tests.sources.conftest import GOOD


@pytest.fixture
def weeks(published):
    """Two weeks of raw rows: a quoted comma, a missing customer, a basket id of 15 digits."""
    return {
        "200607": [
            published(),
            published(PROD_CODE="PRD0900002", CUST_CODE="", seg_1="", BASKET_ID="994100100532898"),
        ],
        "200608": [published(SHOP_WEEK="200608", SHOP_DATE="20060420", BASKET_TYPE="Full, Shop")],
    }


def as_csv(rows, rename=None, quoting=csv.QUOTE_MINIMAL):
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=quoting, lineterminator="\n")
    writer.writerow([(rename or {}).get(name, name) for name in rows[0]])
    writer.writerows(row.values() for row in rows)
    return buffer.getvalue().encode()


def zstd(data: bytes, path: Path) -> None:
    """DuckDB's own writer compresses; the bytes inside are a CSV like the others."""
    plain = path.with_suffix(".plain")
    plain.write_bytes(data)
    duckdb.sql(
        f"COPY (FROM read_csv('{plain}', all_varchar=true, header=true)) TO '{path}' (FORMAT csv, COMPRESSION zstd, HEADER)"
    )
    plain.unlink()


def read(source, engine):
    table = read_transactions(source, engine)
    assert set(table.drop("row").schema().types) == {
        table.schema()["file"]
    }  # C3: all text, whatever the format's types
    rows = engine.to_pyarrow(stripped(table).drop("file", "row", "line")).to_pylist()
    return sorted(rows, key=lambda row: (row["date"], row["product_id"]))


def test_every_form_gives_the_same_rows(weeks, engine, tmp_path):  # C1
    every = [row for rows in weeks.values() for row in rows]
    (tmp_path / "one.csv").write_bytes(as_csv(every))
    expected = read(tmp_path / "one.csv", engine)
    assert [row["basket_id"] for row in expected] == ["994100100532897", "994100100532898", "994100100532897"]
    assert [row["customer_id"] for row in expected] == ["CUST0000000001", None, "CUST0000000001"]
    assert [row["mission_type"] for row in expected] == ["Top Up", "Top Up", "Full, Shop"]
    assert expected[0] == {
        "basket_id": "994100100532897", "shop_week": "200607", "date": "20060413", "hour": "14",
        "product_id": "PRD0900001", "hierarchy_10": "CL00001", "hierarchy_20": "DEP00001",
        "hierarchy_30": "G00001", "hierarchy_40": "D00001", "customer_id": "CUST0000000001",
        "price_segment": "CT", "lifestage": "BU", "store_id": "STORE00001", "store_format": "LS",
        "store_region": "E02", "quantity": "2", "spend": "1.90", "mission_type": "Top Up",
        "mission_focus": "Fresh", "price_sensitivity": "MM", "basket_size": "L",
    }  # fmt: skip
    writers = {
        ".csv": lambda data, path: path.write_bytes(data),
        ".csv.gz": lambda data, path: path.write_bytes(gzip.compress(data)),
        ".csv.zst": zstd,
    }
    for suffix, write in writers.items():
        folder = tmp_path / suffix[1:].replace(".", "_")
        folder.mkdir()
        (folder / "time.csv").write_text("shop_week,date_from,date_to\n200607,20060410,20060416\n")
        for week, rows in weeks.items():
            write(as_csv(rows), folder / f"transactions_{week}{suffix}")
        assert read(folder, engine) == expected, suffix


def test_parquet_with_its_own_types_gives_the_same_rows(weeks, engine, tmp_path):  # C1
    every = [row for rows in weeks.values() for row in rows]
    (tmp_path / "one.csv").write_bytes(as_csv(every))
    types = (
        "SHOP_HOUR::INT AS SHOP_HOUR, QUANTITY::INT AS QUANTITY, SPEND::DOUBLE AS SPEND, BASKET_ID::BIGINT AS BASKET_ID"
    )
    duckdb.sql(
        f"COPY (SELECT * REPLACE ({types}) FROM read_csv('{tmp_path / 'one.csv'}', all_varchar=true, header=true)) "
        f"TO '{tmp_path / 'one.parquet'}'"
    )
    found = read(tmp_path / "one.parquet", engine)
    expected = [{**row, "spend": "1.9"} for row in read(tmp_path / "one.csv", engine)]  # 1.90 as a float
    assert found == expected


def test_ids_are_the_same_in_files_of_floats(published, engine, tmp_path):  # C4: as empty values make them
    first, second = {"SHOP_DATE": "20060410", "CUST_CODE": "10045"}, {"SHOP_DATE": "20060411", "CUST_CODE": ""}
    rows = [published(**changes, PROD_CODE="2040") for changes in (first, second)]
    ids = ("SHOP_DATE", "CUST_CODE", "PROD_CODE", "BASKET_ID")
    for name, kind in (("a", "BIGINT"), ("b", "DOUBLE")):
        (tmp_path / "plain").write_bytes(as_csv(rows))
        types = ", ".join(f"nullif({c}, '')::{kind} AS {c}" for c in ids)
        duckdb.sql(
            f"COPY (SELECT * REPLACE ({types}) FROM read_csv('{tmp_path / 'plain'}', all_varchar=true, header=true)) "
            f"TO '{tmp_path / f'transactions_{name}.parquet'}'"
        )
    found = [(row["date"], row["customer_id"], row["product_id"], row["basket_id"]) for row in read(tmp_path, engine)]
    same = ("2040", "994100100532897")
    assert found == [("20060410", "10045", *same)] * 2 + [("20060411", None, *same)] * 2


def test_ids_are_the_same_in_a_csv_of_floats(
    published, engine, tmp_path
):  # C4: as pandas writes a column with empty values
    ids = {"CUST_CODE": "10045", "PROD_CODE": "2040", "PROD_CODE_10": "7", "STORE_CODE": "3"}
    floats = {name: f"{value}.0" for name, value in ids.items()}
    (tmp_path / "transactions_a.csv").write_bytes(as_csv([published(SHOP_DATE="20060410", **ids)]))
    header = dict(zip(published(), published(), strict=True))  # once more amid the rows
    second = [
        published(SHOP_DATE="20060411", **floats),
        header,
        published(SHOP_DATE="20060412", **{**floats, "CUST_CODE": ""}),
    ]
    (tmp_path / "transactions_b.csv").write_bytes(as_csv(second))
    late = [published(SHOP_DATE="20060413", **floats, seg_1="1.0")] * 600 + [
        published(SHOP_DATE="20060414", **floats, seg_1="1.5"),
    ]
    (tmp_path / "transactions_c.csv").write_bytes(as_csv([{**row, "PROD_CODE_20": ""} for row in late]))
    table = stripped(read_transactions(tmp_path, engine)).filter(lambda t: t.basket_id != "BASKET_ID")
    columns = ("date", "customer_id", "product_id", "hierarchy_10", "store_id", "price_segment", "hierarchy_20")
    found = {tuple(row.values()) for row in table.select(*columns).distinct().to_pyarrow().to_pylist()}
    same = ("2040", "7", "3")
    assert found == {
        ("20060410", "10045", *same, "CT", "DEP00001"),
        ("20060411", "10045", *same, "CT", "DEP00001"),
        ("20060412", None, *same, "CT", "DEP00001"),
        ("20060413", "10045", *same, "1.0", None),  # one of its column is no whole number
        ("20060414", "10045", *same, "1.5", None),
    }


def test_codes_with_a_point_stay_where_not_all_are_whole(published, engine, tmp_path):
    rows = [published(PROD_CODE="7.0"), published(PROD_CODE="007"), published(PROD_CODE="7.1")]
    (tmp_path / "a.csv").write_bytes(as_csv(rows))
    found = read_transactions(tmp_path / "a.csv", engine).order_by("row").to_pyarrow()["product_id"].to_pylist()
    assert found == ["7.0", "007", "7.1"]


@pytest.fixture
def usual_limit():
    """The longest value that Python's reader takes, unless another test has said otherwise."""
    before = csv.field_size_limit(131_072)
    yield
    csv.field_size_limit(before)


@pytest.mark.usefixtures("usual_limit")
def test_a_value_longer_than_python_reads_is_no_fault(published, engine, tmp_path):  # C39
    rows = [published(CUST_CODE="3.0", BASKET_TYPE="x" * 140_000), published(CUST_CODE="4.0")]
    (tmp_path / "transactions.csv").write_bytes(as_csv(rows))
    assert [row["customer_id"] for row in read(tmp_path / "transactions.csv", engine)] == ["3.0", "4.0"]


@pytest.mark.parametrize("others", [[10045.0], [10045.0, 3.0], [1.5], []])
def test_no_number_in_a_column_of_floats_is_no_id(others, published, engine, tmp_path):  # C4: not the customer "nan"
    customers = [float("nan"), *others]
    rows = pa.Table.from_pylist([published(PROD_CODE=f"P{i}") for i, _ in enumerate(customers)])
    at = rows.schema.get_field_index("CUST_CODE")
    pq.write_table(rows.set_column(at, "CUST_CODE", pa.array(customers)), tmp_path / "a.parquet")
    found = [row["customer_id"] for row in read(tmp_path / "a.parquet", engine)]
    assert found == [None, *(f"{customer:g}" for customer in others)]


def test_both_spellings_of_the_segments(weeks, engine, tmp_path):  # C1
    (tmp_path / "short.csv").write_bytes(as_csv(weeks["200607"]))
    long = {"seg_1": "CUST_PRICE_SENSITIVITY", "seg_2": "CUST_LIFESTAGE"}
    (tmp_path / "long.csv").write_bytes(as_csv(weeks["200607"], rename=long))
    assert read(tmp_path / "short.csv", engine) == read(tmp_path / "long.csv", engine)


def test_columns_go_by_name_in_each_file(weeks, engine, tmp_path):  # C1
    first, second = weeks.values()
    (tmp_path / "transactions_200607.csv").write_bytes(as_csv(first))
    turned = [dict(reversed(row.items())) | {"NOTE": "not ours"} for row in second]
    (tmp_path / "transactions_200608.csv").write_bytes(as_csv(turned))
    table = read_transactions(tmp_path, engine)
    found = engine.to_pyarrow(table.select("file", "date").distinct().order_by("file")).to_pylist()
    assert found == [
        {"file": "transactions_200607.csv", "date": "20060413"},
        {"file": "transactions_200608.csv", "date": "20060420"},
    ]


def test_quoted_empties_are_null_even_when_quotes_come_late(published, engine, tmp_path):  # C3
    plain = as_csv([published()] * 21_000)  # more rows than an engine looks at to guess the quotes
    late = as_csv([published(CUST_CODE="", seg_1=" ", BASKET_ID="1", SPEND=" 1.90 ")], quoting=csv.QUOTE_ALL)
    (tmp_path / "late.csv").write_bytes(plain + late.split(b"\n", 1)[1])
    table = stripped(read_transactions(tmp_path / "late.csv", engine))
    (row,) = engine.to_pyarrow(table.filter(table.basket_id == "1")).to_pylist()
    assert (row["customer_id"], row["price_segment"], row["spend"]) == (None, None, "1.90")


def refusal(source, engine):
    with pytest.raises(UserError) as caught:
        stored = stored_rows(source_files(source))
        judge(read_transactions(source, engine), stored, engine)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_missing_source_is_named_with_the_flag_and_the_command(engine, tmp_path):  # C39
    message = refusal(tmp_path / "raw_data", engine)
    assert str(tmp_path / "raw_data") in message and "--input" in message and "retailsim make-data" in message


def test_a_folder_without_transactions(engine, tmp_path):  # C39
    (tmp_path / "time.csv").write_text("shop_week\n")
    message = refusal(tmp_path, engine)
    assert f"{tmp_path} holds no transactions" in message and "--input" in message


def test_a_file_of_another_kind(engine, tmp_path):  # C39
    (tmp_path / "rows.xlsx").write_bytes(b"PK")
    assert ".parquet" in refusal(tmp_path / "rows.xlsx", engine)


def test_an_empty_file(weeks, engine, tmp_path):  # C4
    (tmp_path / "transactions_200607.csv").write_bytes(as_csv(weeks["200607"]))
    (tmp_path / "transactions_200608.csv").touch()
    assert f"{tmp_path / 'transactions_200608.csv'} is empty" in refusal(tmp_path, engine)


def test_the_same_week_twice(weeks, engine, tmp_path):  # C4: its rows would be summed as if bought twice
    data = as_csv(weeks["200607"])
    (tmp_path / "transactions_200607.csv").write_bytes(data)
    (tmp_path / "transactions_200607.csv.gz").write_bytes(gzip.compress(data))
    message = refusal(tmp_path, engine)
    assert "transactions_200607.csv.gz and transactions_200607.csv" in message and "twice" in message
    (tmp_path / "transactions_200607.csv.gz").rename(tmp_path / "transactions_2007.08.csv.gz")
    (tmp_path / "transactions_200607.csv").rename(tmp_path / "transactions_2007.09.csv")
    assert len(source_files(tmp_path)) == 2


def test_a_missing_column(weeks, engine, tmp_path):  # C4
    rows = [{name: value for name, value in row.items() if name != "SPEND"} for row in weeks["200607"]]
    (tmp_path / "a.csv").write_bytes(as_csv(rows))
    message = refusal(tmp_path / "a.csv", engine)
    assert f"{tmp_path / 'a.csv'} has no column SPEND" in message and "--input" in message


def test_a_missing_segment_column_is_named_in_both_spellings(weeks, engine, tmp_path):  # C4
    (tmp_path / "a.csv").write_bytes(as_csv(weeks["200607"], rename={"seg_2": "seg_3"}))
    assert "no column CUST_LIFESTAGE or seg_2" in refusal(tmp_path / "a.csv", engine)


def test_a_header_without_rows(weeks, engine, tmp_path):  # C4
    (tmp_path / "a.csv").write_bytes(as_csv(weeks["200607"]).split(b"\n")[0] + b"\n")
    assert "holds no row" in refusal(tmp_path / "a.csv", engine)


@pytest.fixture
def long_csv(published):
    """More rows than an engine reads to guess the form of a file, so that damage behind them shows late."""
    return as_csv([published(PROD_CODE=f"PRD{i:07d}") for i in range(25_000)])


def damages(data: bytes) -> dict[str, tuple[str, bytes]]:
    lines = data.splitlines(keepends=True)
    return {
        "cut off in a row": ("a.csv", data[:-60]),
        "cut off when packed": ("a.csv.gz", gzip.compress(data)[:-1000]),
        "not packed at all": ("a.csv.gz", b"hello"),
        "another encoding": ("a.csv", data + lines[-1].replace(b"Fresh", "Café".encode("latin-1"))),
        "an open quote": ("a.csv", data + lines[-1].replace(b"Fresh", b'"Fresh')),
        "no Parquet": ("a.parquet", b"PAR1 and nothing more"),
    }


DAMAGE = {
    "cut off in a row": "ends in a row that has more or fewer values than the header: it is cut off",
    "cut off when packed": "cannot be read (Compressed file ended before the end-of-stream marker was reached)",
    "not packed at all": "cannot be read (Not a gzipped file",
    "another encoding": "is not UTF-8 text (byte 0xE9 in line 25,002)",
    "an open quote": "opens a quote and does not close it",
    "no Parquet": "cannot be read",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_named(long_csv, damage, engine, tmp_path):  # C4: no stack trace from the engine
    name, data = damages(long_csv)[damage]
    (tmp_path / name).write_bytes(data)
    message = refusal(tmp_path / name, engine)
    assert name in message and DAMAGE[damage] in message


def test_the_only_data_file_of_a_folder_is_taken_whatever_its_name(tmp_path):  # C1
    for name in ("receipts.parquet", "time.csv"):
        (tmp_path / name).write_bytes(b"x")
    assert source_files(tmp_path) == [tmp_path / "receipts.parquet"]
    (tmp_path / "more.csv").write_bytes(b"x")
    with pytest.raises(UserError, match="holds no transactions"):
        source_files(tmp_path)


@pytest.mark.parametrize("name", ["a.CSV", "a.Csv.GZ", "a.csv.ZST", "a.PARQUET"])
def test_suffixes_may_be_in_any_case(weeks, name, engine, tmp_path):  # C1
    data = as_csv(weeks["200607"])
    packed = {"GZ": gzip.compress(data), "ZST": pa.compress(data, "zstd", asbytes=True)}
    if name.endswith("PARQUET"):
        pq.write_table(pa.Table.from_pylist(weeks["200607"]), tmp_path / name)
    else:
        (tmp_path / name).write_bytes(packed.get(name.split(".")[-1], data))
    (tmp_path / "plain.csv").write_bytes(data)
    assert read(tmp_path / name, engine) == read(tmp_path / "plain.csv", engine)
    assert stored_rows([tmp_path / name]) == {name: 2}


def test_all_weeks_of_a_folder_are_taken_whatever_the_case(weeks, engine, tmp_path):  # C4
    first, second = (as_csv(rows) for rows in weeks.values())
    (tmp_path / "transactions_200607.csv").write_bytes(first)
    (tmp_path / "Transactions_200608.CSV.GZ").write_bytes(gzip.compress(second))
    assert len(read(tmp_path, engine)) == 3
    (tmp_path / "transactions_200607.CSV").write_bytes(first)
    assert "would count the same rows twice" in refusal(tmp_path, engine)


@pytest.mark.parametrize(
    "name",
    ["transactions_200608.zip", "transactions_200607.2.zip", "transactions_200608.txt", "TRANSACTIONS_200608.XLSX"],
)
def test_receipts_that_nobody_would_read_are_refused(weeks, name, engine, tmp_path):  # C4
    (tmp_path / "transactions_200607.csv").write_bytes(as_csv(weeks["200607"]))
    (tmp_path / name).write_bytes(b"PK")
    assert f"{tmp_path / name} is none of .csv, " in refusal(tmp_path, engine)
    (tmp_path / name).unlink()
    (tmp_path / "transactions_200608").mkdir()
    assert "transactions_200608 is a folder" in refusal(tmp_path, engine)


def test_what_lies_beside_receipts_is_passed_by(weeks, tmp_path):
    file = tmp_path / "transactions_200607.csv"
    file.write_bytes(as_csv(weeks["200607"]))
    for name in (
        "transactions_200607.csv.md5",
        "transactions_200607.zip",
        "transactions_200607.csv.bak",
        "transactions.SHA256",
        "transactions.yaml",
        ".transactions_200607.csv.crc",
        "_SUCCESS",
    ):
        (tmp_path / name).write_bytes(b"x")
    assert source_files(tmp_path) == [file]


@pytest.mark.parametrize("zone", ["America/New_York", "+02:00", "-05:30", "UTC", "Europe/London"])
@pytest.mark.parametrize("unit", ["us", "ns"])
def test_moments_are_the_local_time_of_their_zone(zone, unit, engine, tmp_path):  # in Parquet
    moments = pa.array([datetime(2024, 7, 1, 9, 30), datetime(2024, 1, 1, 0, 15), None], pa.timestamp(unit))
    zoned = pc.assume_timezone(moments, zone if "/" in zone else "UTC")
    if zone[0] in "+-":
        hours, minutes = int(zone[:3]), int(zone[0] + zone[4:])
        shifted = [
            t and t - timedelta(hours=hours, minutes=minutes) for t in moments.cast(pa.timestamp("us")).to_pylist()
        ]
        zoned = pa.array(shifted, pa.timestamp(unit)).cast(pa.timestamp(unit, "UTC")).cast(pa.timestamp(unit, zone))
    assert zoned.type.tz == zone
    pq.write_table(pa.table({"at": zoned}), tmp_path / "a.parquet")
    raw = open_file(tmp_path / "a.parquet", engine).order_by(ROW)
    found = raw.select(at=as_text(raw["at"])).to_pyarrow()["at"].to_pylist()
    assert [text and text[:16] for text in found] == ["2024-07-01 09:30", "2024-01-01 00:15", None]


def test_a_zone_that_is_not_known_is_refused(engine, tmp_path):
    pq.write_table(pa.table({"at": pa.array([0], pa.timestamp("us", "Mars/Olympus"))}), tmp_path / "a.parquet")
    with pytest.raises(
        UserError, match="a.parquet: column at has times of the zone 'Mars/Olympus', which is not known"
    ):
        open_file(tmp_path / "a.parquet", engine)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_is_itself_and_no_pattern(suffix, tmp_path):
    """Beside the folder week[1] lies one called week1."""
    for name, kept in (("week[1]", 3), ("week1", 2)):
        (tmp_path / name).mkdir()
        rows = pa.csv.read_csv(io.BytesIO(GOOD)).slice(0, kept)
        file = tmp_path / name / f"transactions{suffix}"
        pa.csv.write_csv(rows, file) if suffix == ".csv" else pq.write_table(rows, file)
    assert read_transactions(tmp_path / "week[1]", connect()).count().execute() == 3
