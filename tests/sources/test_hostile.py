"""C4: the hostile files that people send, one by one, through the first stage as it is called (exit code, sentence, account).

docs/validation.md has the whole list, case by case, with the test of each.
"""

import csv
import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from retailsim import console
from retailsim.artifacts import QUARANTINE, TRANSACTIONS
from retailsim.data_pipeline.run_pipeline import prepare_transactions
from retailsim.sources import faults
from retailsim.sources.mapping import Mapping, parse_mapping
from tests.sources.conftest import GOOD, PUBLISHED

ROWS = 60  # of the good file
HEADER, *LINES = GOOD.splitlines(keepends=True)
WIDTH = "has more or fewer values than the header"


def zstd(data: bytes) -> bytes:
    return pa.compress(data, "zstd", asbytes=True)


def parquet(data: bytes) -> bytes:
    buffer = io.BytesIO()
    text = pa.csv.ConvertOptions(column_types=dict.fromkeys(PUBLISHED, pa.string()))
    pq.write_table(pa.csv.read_csv(io.BytesIO(data), convert_options=text), buffer)
    return buffer.getvalue()


def delta_coded(data: bytes) -> bytes:
    """Parquet as other writers store text: each value as the end of the one before."""
    buffer, table = io.BytesIO(), pq.read_table(io.BytesIO(parquet(data)))
    pq.write_table(table, buffer, use_dictionary=False, column_encoding=dict.fromkeys(PUBLISHED, "DELTA_BYTE_ARRAY"))
    return buffer.getvalue()


def twins(data: bytes) -> bytes:
    """Parquet with the spend twice, as no CSV may have it either."""
    buffer, table = io.BytesIO(), pq.read_table(io.BytesIO(parquet(data)))
    pq.write_table(pa.Table.from_arrays([*table.columns, table["SPEND"]], [*table.column_names, "SPEND"]), buffer)
    return buffer.getvalue()


class Stage:
    """The first stage on files of one folder: what it said, and what it wrote."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.raw, self.data, self.capsys = folder / "raw", folder / "data", capsys
        self.mapping: Mapping | None = None
        self.raw.mkdir()

    def write(self, **files: bytes) -> None:
        """Files by name; `__` stands for the point."""
        for name, data in files.items():
            (self.raw / name.replace("__", ".")).write_bytes(data)

    def run(self) -> int:
        return console.answer(lambda: prepare_transactions(self.raw, None, self.data, (1, 2), self.mapping))

    def refusal(self) -> str:
        """The one sentence with which the source is refused; nothing may have been written."""
        assert self.run() == 2
        said = self.capsys.readouterr()
        assert said.err.startswith("error: ") and said.err.count("\n") == 1 and not said.out
        assert not [path for path in self.data.rglob("*") if path.is_file()]
        return said.err

    def taken(self) -> tuple[list[dict], list[dict]]:
        """Transactions and rows set aside; the account that is printed must come to both."""
        assert self.run() == 0
        said = self.capsys.readouterr().out.split("\n")[0]
        used = pq.read_table(TRANSACTIONS.at(self.data)).to_pylist()
        has_aside = (self.data / QUARANTINE.path).exists()
        aside = pq.read_table(QUARANTINE.at(self.data)).to_pylist() if has_aside else []
        summed = int(said.split(" rows (")[1].split(" added")[0])
        assert said.startswith(
            f"{len(used) + summed + len(aside)} rows in = {len(used) + summed} used + {len(aside)} set"
        )
        return used, aside


@pytest.fixture
def stage(tmp_path, capsys) -> Stage:
    return Stage(tmp_path, capsys)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> list[dict]:
    """The transactions of the good file."""
    folder = tmp_path_factory.mktemp("good")
    (folder / "transactions.csv").write_bytes(GOOD)
    prepare_transactions(folder, None, folder / "data", (1, 2))
    return pq.read_table(TRANSACTIONS.at(folder / "data")).to_pylist()


def changed(change: Callable[[list[list[str]]], object], data: bytes = GOOD) -> bytes:
    """The file with its table of cells changed in place."""
    table = list(csv.reader(io.StringIO(data.decode(), newline="")))
    change(table)
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(table)
    return buffer.getvalue().encode()


def column(name: str, value: str | Callable[[str], str], rows: slice = slice(1, None)) -> Callable[[list], None]:
    """Sets a column in some rows (the header is row 0)."""

    def change(table: list[list[str]]) -> None:
        at = table[0].index(name)
        for row in table[rows]:
            row[at] = value(row[at]) if callable(value) else value

    return change


REFUSED = {  # case → file, its bytes, what is said
    "0 bytes": ("transactions.csv", b"", "is empty: fetch it again"),
    "0 bytes, packed": ("transactions.csv.gz", b"", "is empty: fetch it again"),
    "0 bytes, Parquet": ("transactions.parquet", b"", "is empty: fetch it again"),
    "nothing inside gzip": ("transactions.csv.gz", gzip.compress(b""), "has no column"),
    "header only": ("transactions.csv", HEADER, "holds no row"),
    "header only, Parquet": ("transactions.parquet", parquet(HEADER), "holds no row"),
    "line ends only": ("transactions.csv", b"\n\n\n", "has no column"),
    "UTF-16 with mark": ("transactions.csv", GOOD.decode().encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
    "UTF-16 big end": ("transactions.csv", b"\xfe\xff" + GOOD.decode().encode("utf-16-be"), "is UTF-16 text"),
    "UTF-16 without mark": ("transactions.csv", GOOD.decode().encode("utf-16-le"), "holds NUL bytes"),
    "Latin-1": ("transactions.csv", GOOD.replace(b"Fresh", b"Fr\xfchst\xfcck"), "is not UTF-8 text (byte 0xFC in line 2)"),
    "Latin-1, header": ("transactions.csv", b"Men\xe9," + GOOD, "is not UTF-8 text (byte 0xE9 in line 1)"),
    "gzip cut off": ("transactions.csv.gz", gzip.compress(GOOD)[:-300], "cannot be read"),
    "gzip with a wrong sum": ("transactions.csv.gz", gzip.compress(GOOD)[:-8] + b"\0" * 8, "CRC check failed"),
    "zstd cut off": ("transactions.csv.zst", zstd(GOOD)[:-300], "cannot be read"),
    "Parquet cut off": ("transactions.parquet", parquet(GOOD)[:-300], "cannot be read"),
    "Parquet, begin only": ("transactions.parquet", parquet(GOOD)[:300], "cannot be read"),
    "Parquet, damaged pages": ("transactions.parquet", b"PAR1" + b"\xff" * 400 + parquet(GOOD)[404:], "cannot be read"),
    "a CSV called Parquet": ("transactions.parquet", GOOD, "cannot be read"),
    "a delimiter behind every row": ("transactions.csv", HEADER + b"".join(LINES).replace(b"\n", b",\n"), "in 60 of 60 rows"),
    "two values behind the header's last": ("transactions.csv", changed(lambda t: [r.append("x") for r in t[1:]]), "the row has more"),
    "short rows": ("transactions.csv", changed(lambda t: [r.pop() for r in t[1:]]), "has more or fewer values than the header in 60"),
    "10 kB in every amount": ("transactions.csv", changed(column("SPEND", "9" * 10_000)), "is no amount"),
    "cut off in the last row": ("transactions.csv", GOOD[:-40], "ends in a row"),
    "an open quote": ("transactions.csv", GOOD[:2_000] + b'"' + GOOD[2_000:], "opens a quote and does not close it"),
    "mixed line ends": ("transactions.csv", GOOD.replace(b"\n", b"\r\n", 30), "mixes line ends"),
    "line ends of an old Mac": ("transactions.csv", GOOD.replace(b"\n", b"\r"), "mixes line ends"),
    "a column named twice": ("transactions.csv", GOOD.replace(b"SHOP_HOUR", b"Spend", 1), "has two columns"),
    "a column named twice, Parquet": ("transactions.parquet", twins(GOOD), "has two columns SPEND: take one out"),
    "no header": ("transactions.csv", b"".join(LINES), "has no column"),
    "ids rounded by a spreadsheet": ("transactions.csv", changed(column("BASKET_ID", "9.94E+14")), "spreadsheet has rounded"),
    "American dates": ("transactions.csv", changed(column("SHOP_DATE", "04/13/2006")), "is no date yyyymmdd in 60 of 60"),
    "amounts with a comma": ("transactions.csv", changed(column("SPEND", "1,234.50")), "is no amount such as 1234.50"),
    "amounts as Germans write them": ("transactions.csv", changed(column("SPEND", "1.234,50")), "is no amount"),
    "quantities in kilograms": ("transactions.csv", changed(column("QUANTITY", "0.375")), "is no whole number"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_a_sentence(case, stage):
    name, data, said = REFUSED[case]
    (stage.raw / name).write_bytes(data)
    message = stage.refusal()
    assert said in message and "transactions" in message
    assert len(message.replace(str(stage.raw), "")) < 300 and message[:-1].isprintable(), message


CLEAN = {  # case → file, its bytes: the transactions must be those of the good file
    "BOM": ("transactions.csv", b"\xef\xbb\xbf" + GOOD),
    "CR LF": ("transactions.csv", GOOD.replace(b"\n", b"\r\n")),
    "BOM and CR LF in gzip": ("transactions.csv.gz", gzip.compress(b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n"))),
    "no line end at the end": ("transactions.csv", GOOD.rstrip(b"\n")),
    "empty lines": ("transactions.csv", GOOD.replace(b"\n", b"\n\n")),
    "a delimiter behind every line": ("transactions.csv", GOOD.replace(b"\n", b",\n")),
    "semicolons": ("transactions.csv", GOOD.replace(b",", b";")),
    "tabs": ("transactions.csv", GOOD.replace(b",", b"\t")),
    "everything in quotes": ("transactions.csv", b'"' + GOOD.replace(b",", b'","').replace(b"\n", b'"\n"')[:-1]),
    "spaces around values": ("transactions.csv", GOOD.replace(b",", b" , ")),
    "names in lower case": ("transactions.csv", HEADER.lower() + b"".join(LINES)),
    "columns in another order": ("transactions.csv", changed(lambda table: [row.reverse() for row in table])),
    "a column more": ("transactions.csv", changed(lambda table: [row.insert(3, "x") for row in table])),
    "rows in another order": ("transactions.csv", HEADER + b"".join(reversed(LINES))),
    "Parquet": ("transactions.parquet", parquet(GOOD)),
    "Parquet, delta-coded": ("transactions.parquet", delta_coded(GOOD)),
    "another name": ("receipts, all of them.csv", GOOD),
}  # fmt: skip


@pytest.mark.parametrize("case", CLEAN)
def test_read_as_if_nothing_were_odd(case, stage, good):
    name, data = CLEAN[case]
    (stage.raw / name).write_bytes(data)
    assert stage.taken() == (good, [])


NASTY = {
    "spaces": "a code  of words",
    "emoji": "🧺 Früchte",
    "SQL": "'; DROP TABLE receipts; --",
    "path parts": "../../../etc/passwd",
    "10 kB": "x" * 10_000,
    "quotes": 'a "quoted" word',
    "a line break": "two\nlines",
    "a delimiter": "one, two",
    "percent and braces": "%s {0} [1:] $HOME `id`",
}
IDS = {
    "PROD_CODE": "product_id",
    "CUST_CODE": "customer_id",
    "STORE_CODE": "store_id",
    "BASKET_ID": "basket_id",
    "PROD_CODE_10": "hierarchy_10",
}


@pytest.mark.parametrize("code", NASTY)
def test_codes_are_texts_whatever_they_hold(code, stage, good):
    """All codes of five columns end in it; nothing of it is obeyed, cut or written anywhere else."""
    end = NASTY[code]

    def change(table: list[list[str]]) -> None:
        for name in IDS:
            column(name, lambda old: old + end if old else old)(table)

    stage.write(transactions__csv=changed(change))
    used, aside = stage.taken()
    assert not aside
    wanted = [{**row, **{name: row[name] and row[name] + end for name in IDS.values()}} for row in good]
    key = lambda row: (row["week"], row["basket_id"], row["product_id"])  # noqa: E731
    assert sorted(used, key=key) == sorted(wanted, key=key)
    assert {path.name for path in stage.data.rglob("*")} == {"processed", "transactions.parquet", "calendar.json"}


ASIDE = {  # case → change of the table, rows set aside as (row, column, value, reason)
    "a short row": (lambda t: t[7].pop(), [(7, "the row", ",".join(LINES[6].decode().split(",")[:-1]), WIDTH)]),
    "a long row": (lambda t: t[7].append("more"), [(7, "the row", LINES[6].decode().strip() + ",more", WIDTH)]),
    "a remark": (lambda t: t.insert(7, ["page 2"]), [(7, "the row", "page 2", WIDTH)]),
    "the header again": (lambda t: t.insert(7, t[0]), [(7, "BASKET_ID", "BASKET_ID", "is the header again")]),
    "the header again, in lower case": (
        lambda t: t.insert(7, [name.lower() for name in t[0]]), [(7, "BASKET_ID", "basket_id", "is the header again")]
    ),
    "an impossible date": (column("SHOP_DATE", "20060231", slice(7, 8)), [(7, "SHOP_DATE", "20060231", "is no date yyyymmdd")]),
    "a date that stands for none": (column("SHOP_DATE", "99991231", slice(7, 8)), [(7, "SHOP_DATE", "99991231", faults.NO_ERA)]),
    "a date of the far future": (column("SHOP_DATE", "20990413", slice(7, 8)), [(7, "SHOP_DATE", "20990413", faults.FAR)]),
    "a week that is not the date's": (column("SHOP_WEEK", "200607", slice(7, 8)), [(7, "SHOP_WEEK", "200607", faults.LABEL)]),
    "no amount": (column("SPEND", "NaN", slice(7, 8)), [(7, "SPEND", "NaN", "is no amount such as 1234.50")]),
    "a negative amount": (column("SPEND", "-2.5", slice(7, 8)), [(7, "SPEND", "-2.5", "is negative")]),
    "a huge amount": (column("SPEND", "1e300", slice(7, 8)), [(7, "SPEND", "1e300", "is no amount such as 1234.50")]),
    "no quantity": (column("QUANTITY", "0", slice(7, 8)), [(7, "QUANTITY", "0", "is not positive")]),
    "half a quantity": (column("QUANTITY", "0.5", slice(7, 8)), [(7, "QUANTITY", "0.5", "is no whole number such as 2")]),
    "a product in two hierarchies": (column("PROD_CODE_10", "CL9", slice(7, 8)), [(7, "PROD_CODE_10", "CL9", faults.TREE)]),
    "a basket of two customers": (
        column("CUST_CODE", "CUST9", slice(7, 8)),
        [(row, "CUST_CODE", "CUST9" if row == 7 else "CUST1", faults.DIFFERS) for row in range(6, 11)],
    ),
    "a basket of two stores": (
        column("STORE_CODE", "STORE9", slice(7, 8)),
        [(row, "STORE_CODE", "STORE9" if row == 7 else "STORE00001", faults.DIFFERS) for row in range(6, 11)],
    ),
    "a basket of two hours": (
        column("SHOP_HOUR", "20", slice(7, 8)),
        [(row, "SHOP_HOUR", "20" if row == 7 else "9", faults.DIFFERS) for row in range(6, 11)],
    ),
    "a week twice": (
        lambda t: t.extend(t[1:6]), [(row, "BASKET_ID", "994100100532800", faults.REPEATS) for row in range(61, 66)]
    ),
}  # fmt: skip


def test_receipts_of_a_week_to_come_are_warned_about(stage, capsys):
    """They run: dates may have been shifted on purpose. The artifacts do not depend on today."""
    stage.write(transactions__csv=changed(column("SHOP_DATE", lambda day: f"2096{day[4:]}")))
    assert stage.run() == 0
    said = capsys.readouterr().out
    assert "60 used + 0 set aside" in said
    assert "warning: the last week begins on 2096-04-16, after today: are SHOP_DATE and its format right?" in said


@pytest.mark.parametrize("case", ASIDE)
def test_set_aside_with_its_place_and_reason(case, stage):
    change, expected = ASIDE[case]
    stage.write(transactions__csv=changed(change))
    _, aside = stage.taken()
    assert [(r["row"], r["column"], r["value"], r["reason"]) for r in aside] == expected
    assert {r["file"] for r in aside} == {"transactions.csv"}


class TestFolders:
    """What lies in the folder of the receipts."""

    def test_nothing(self, stage):
        assert "holds no transactions" in stage.refusal()

    def test_a_folder_called_as_a_file(self, stage):
        (stage.raw / "transactions.csv").mkdir()
        assert "transactions.csv is a folder, or a link that leads nowhere" in stage.refusal()

    def test_a_name_that_is_not_utf_8(self, stage):
        with open(os.fsencode(stage.raw) + b"/transactions_\xe9.csv", "wb") as file:
            file.write(GOOD)
        assert "transactions_\\udce9.csv' has a name that is not UTF-8: rename it" in stage.refusal()

    def test_links_in_a_loop(self, stage):
        (stage.raw / "transactions_a.csv").symlink_to("transactions_b.csv")
        (stage.raw / "transactions_b.csv").symlink_to("transactions_a.csv")
        assert "a link that leads nowhere" in stage.refusal()

    def test_a_folder_that_is_a_loop_of_links(self, stage):
        stage.raw.rmdir()
        stage.raw.symlink_to(stage.raw.name)
        assert "raw does not exist" in stage.refusal()

    def test_a_link_to_the_folder_itself_is_passed_by(self, stage, good):
        stage.write(transactions__csv=GOOD)
        (stage.raw / "again").symlink_to(stage.raw)
        assert stage.taken() == (good, [])

    def test_one_empty_file_among_others(self, stage):
        stage.write(transactions_1__csv=GOOD, transactions_2__csv=b"")
        assert "transactions_2.csv is empty" in stage.refusal()

    def test_a_header_alone_beside_a_whole_file(self, stage, good):
        stage.write(transactions_1__csv=GOOD, transactions_2__csv=HEADER)
        assert stage.taken() == (good, [])

    def test_a_file_twice_under_another_name(self, stage, good):
        stage.write(transactions_1__csv=GOOD, transactions_2__csv__gz=gzip.compress(GOOD))
        used, aside = stage.taken()
        assert used == good
        assert {(r["file"], r["reason"]) for r in aside} == {("transactions_2.csv.gz", faults.REPEATS)}
        assert len(aside) == ROWS

    def test_one_week_twice(self, stage, good):
        of_second_week = [line for line in LINES if line.startswith(b"200608")]
        stage.write(transactions_1__csv=GOOD, transactions_2__csv=HEADER + b"".join(of_second_week))
        used, aside = stage.taken()
        assert used == good and len(aside) == len(of_second_week) == ROWS // 2

    def test_a_basket_split_over_two_files(self, stage, good):
        stage.write(
            transactions_1__csv=HEADER + b"".join(LINES[:33]), transactions_2__csv=HEADER + b"".join(LINES[33:])
        )
        assert stage.taken() == (good, [])

    def test_files_of_other_forms(self, stage, good):
        data = [HEADER + b"".join(LINES[i::4]) for i in range(4)]
        other = data[1].replace(b",", b";").replace(b"\n", b"\r\n")
        stage.write(
            transactions_1__csv=data[0],
            transactions_2__csv=other,
            transactions_3__csv__zst=zstd(data[2]),
            transactions_4__parquet=parquet(data[3]),
        )
        assert stage.taken() == (good, [])

    def test_one_damaged_file_among_good_ones_is_the_one_that_is_named(self, stage):
        half = parquet(HEADER + b"".join(LINES[30:]))
        stage.write(
            transactions_1__csv=HEADER + b"".join(LINES[:30]),
            transactions_2__parquet=b"PAR1" + b"\xff" * 99 + half[103:],
        )
        assert "transactions_2.parquet cannot be read" in stage.refusal()


JOINED = """files: rows.csv
joins:
  - file: goods.csv
    key: sku
columns:
  basket_id: receipt
  product_id: sku
  date: day
  quantity: n
  hierarchy_10: kind
"""
RECEIPTS = b"receipt,sku,day,n\n" + b"".join(b"B%d,P%d,2020-01-%02d,1\n" % (i, i % 7, 1 + i % 28) for i in range(60))
GOODS = b"sku,kind\n" + b"".join(b"P%d,K%d\n" % (i, i % 2) for i in range(7))
BESIDE = {  # case → file beside the rows, its bytes, what is said
    "0 bytes": ("goods.csv", b"", "goods.csv is empty"),
    "header only": ("goods.csv", b"sku,kind\n", "goods.csv holds no row"),
    "UTF-16": ("goods.csv", GOODS.decode().encode("utf-16"), "goods.csv is UTF-16 text"),
    "Latin-1": ("goods.csv", GOODS.replace(b"K1", b"K\xe4"), "goods.csv is not UTF-8 text (byte 0xE4 in line 3)"),
    "NUL bytes": ("goods.csv", GOODS.replace(b"K1", b"K\0"), "goods.csv holds NUL bytes"),
    "a short row": ("goods.csv", GOODS.replace(b"P3,K1", b"P3"), "goods.csv: row 4 has more or fewer values"),
    "a long row": ("goods.csv", GOODS.replace(b"P3,K1", b"P3,K1,x"), "goods.csv: row 4 has more or fewer values"),
    "an open quote": ("goods.csv", GOODS.replace(b"P3", b'"P3'), "goods.csv opens a quote"),
    "gzip cut off": ("goods.csv.gz", gzip.compress(GOODS)[:-9], "goods.csv.gz cannot be read"),
    "zstd cut off": ("goods.csv.zst", zstd(GOODS)[:-9], "goods.csv.zst cannot be read"),
    "Parquet cut off": ("goods.parquet", parquet(GOODS)[:-9], "goods.parquet cannot be read"),
    "a key twice": ("goods.csv", GOODS + b"P1,K0\n", "'P1' stands in 2 rows"),
    "other keys": ("goods.csv", GOODS.replace(b"P", b"Q"), "no sku there is a sku of the rows"),
    "another file": ("good.csv", GOODS, "goods.csv is missing"),
}


@pytest.mark.parametrize("case", BESIDE)
def test_a_file_beside_the_rows_is_refused(case, stage):  # C2
    """Nobody accounts for its rows: what is unsound there would be unknown without a word."""
    name, data, said = BESIDE[case]
    stage.mapping = parse_mapping(JOINED, "mapping.yaml")
    (stage.raw / "rows.csv").write_bytes(RECEIPTS)
    (stage.raw / name).write_bytes(data)
    assert said in stage.refusal()


def test_a_sound_file_beside_the_rows(stage):
    stage.mapping = parse_mapping(JOINED, "mapping.yaml")
    stage.write(rows__csv=RECEIPTS, goods__csv=b"\xef\xbb\xbf" + GOODS.replace(b"\n", b"\r\n"))
    assert stage.run() == 0
    used = pq.read_table(TRANSACTIONS.at(stage.data)).to_pylist()
    assert len(used) == 60 and {(row["product_id"], row["hierarchy_10"]) for row in used} == {
        (f"P{i}", f"K{i % 2}") for i in range(7)
    }
