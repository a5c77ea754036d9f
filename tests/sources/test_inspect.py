"""C2: what `inspect` takes columns for, and that the mapping it proposes reads the file."""

from collections import Counter

import pytest

from retailsim.sources.inspect import main
from retailsim.sources.mapping import load_mapping
from retailsim.sources.mapping_guess import as_yaml, guess_roles
from retailsim.sources.profile import Profile, kind_of
from retailsim.sources.read import read_transactions
from retailsim.storage import connect

ONLINE_RETAIL = """InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,12/1/2010 8:26,2.55,17850,United Kingdom
536365,71053,"LANTERN, WHITE",6,12/1/2010 8:26,3.39,17850,United Kingdom
C536366,22752,SET 7 BABUSHKA NESTING BOXES,2,12/13/2010 8:28,7.65,,France
"""


def profile(name, kind, *formats, distinct=5, largest=None):
    return Profile(name, kind, formats, 100, 1.0, distinct, largest, ())


def roles(*columns):
    return {role: (guess.column.name, guess.sure) for role, guess in guess_roles(columns).items()}


def test_roles_go_by_name_and_kind_together():
    whole, number, text = "whole number", "number", "text"
    assert roles(
        profile("date", text), profile("order_id", whole), profile("Ticket No", text), profile("EAN", whole),
        profile("amount", whole), profile("Total", number), profile("hour", whole, largest=2359.0), profile("shop", text),
    ) == {
        "basket_id": ("Ticket No", "sure"), "product_id": ("EAN", "likely"), "store_id": ("shop", "sure"),
        "quantity": ("amount", "likely"), "spend": ("Total", "sure"),
    }  # fmt: skip
    # the shop's own total is taken rather than a unit price; a clock alone is an hour and no day
    found = roles(
        profile("qty", whole),
        profile("unit price", number),
        profile("sales value", number),
        profile("time", "time", "%H:%M"),
    )
    assert found == {"quantity": ("qty", "sure"), "spend": ("sales value", "sure"), "hour": ("time", "sure")}


def test_what_could_not_be_found_is_left_open_in_the_yaml():
    text = as_yaml(
        ["a b.csv", "c.csv"], {}, guess_roles([profile("sku", "text"), profile("day", "time", "%m/%d/%Y", "%d/%m/%Y")])
    )
    assert text.splitlines()[1:] == [
        'files: ["a b.csv", c.csv]', "columns:", "  product_id: sku # likely",
        '  date: {column: day, format: "%m/%d/%Y"} # %d/%m/%Y fits as well',
        "  # basket_id: which column says it?", "  # quantity: {value: 1}, if every row is one item",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "values, kind",
    [
        (["3", "3.0", "-1"], ("whole number", ())),
        (["3", "3.5"], ("number", ())),
        (["20061231", "20060101"], ("time", ("%Y%m%d",))),
        (["20061231", "99999999"], ("whole number", ())),
        (["1/2/2000", "3/4/2000"], ("time", ("%m/%d/%Y", "%d/%m/%Y"))),
        (["1/2/2000 00:00", "1/13/2000 00:00"], ("time", ("%m/%d/%Y %H:%M", "%m/%d/%Y"))),
        (["1/13/2000 08:15 PM", "1/14/2000 9:15 am"], ("time", ("%m/%d/%Y %I:%M %p", "%m/%d/%Y"))),
        (["2000-01-13 8:15:30 PM"], ("time", ("%Y-%m-%d %I:%M:%S %p", "%Y-%m-%d"))),
        (["08:15PM", "9:15am"], ("time", ("%I:%M%p",))),
        (["08:15 p.m."], ("text", ())),
        (["1/2/2000", "x"], ("text", ())),
        ([], ("empty", ())),
    ],
)
def test_kinds(values, kind):
    assert kind_of(Counter(values)) == kind


def test_a_file_is_described_and_its_mapping_reads_it(tmp_path, capsys):
    (tmp_path / "online.csv").write_text(ONLINE_RETAIL)
    assert main([str(tmp_path / "online.csv"), "--output", str(tmp_path / "m.yaml")]) == 0
    said = capsys.readouterr().out
    assert "InvoiceNo" in said and "basket_id (sure)" in said and "67%" in said  # two of three rows have a customer
    columns = load_mapping(str(tmp_path / "m.yaml")).columns
    assert {name: column.sources for name, column in columns.items()} == {
        "basket_id": ("InvoiceNo",), "product_id": ("StockCode",), "customer_id": ("CustomerID",), "date": ("InvoiceDate",),
        "hour": ("InvoiceDate",), "quantity": ("Quantity",), "spend": ("Quantity", "UnitPrice"), "store_region": ("Country",),
    }  # fmt: skip
    assert columns["spend"].is_product and columns["date"].formats == ("%m/%d/%Y %H:%M",)


def test_side_files_are_joined_and_others_named(tmp_path, capsys):
    (tmp_path / "lines.csv").write_text("ticket,sku,qty,day\n1,A,1,2024-01-31\n1,B,2,2024-01-31\n2,A,1,2024-02-01\n")
    (tmp_path / "goods.csv").write_text("sku,category,department\nA,milk,dairy\nB,bread,bakery\n")
    (tmp_path / "weather.csv").write_text("noon,rain\n2024-01-31,1\n")
    assert main([str(tmp_path), "--output", str(tmp_path / "m.yaml")]) == 0
    mapping = load_mapping(str(tmp_path / "m.yaml"))
    assert [(join.file, join.key) for join in mapping.joins] == [("goods.csv", "sku")]
    assert mapping.columns["hierarchy_30"].sources == ("department",)
    assert "not used: weather.csv" in capsys.readouterr().out


def test_known_schemas_are_called_by_name(tmp_path, capsys):
    header = "TRANSACTION_DT,CUSTOMER_ID,AGE_GROUP,PIN_CODE,PRODUCT_SUBCLASS,PRODUCT_ID,AMOUNT,ASSET,SALES_PRICE"
    (tmp_path / "ta_feng.csv").write_text(f"{header}\n11/1/2000,01104905,45-49,115,110411,4710199010372,2,24,30\n")
    assert main([str(tmp_path / "ta_feng.csv")]) == 0
    assert "--mapping ta-feng" in capsys.readouterr().out


def test_nothing_to_look_at(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere")]) == 2 and main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "nowhere does not exist" in said and "holds no .csv" in said


def test_published_columns_need_no_mapping(shop, capsys):
    assert main([str(shop.raw)]) == 0
    said = capsys.readouterr().out
    assert "29 files more of these columns" in said and "published columns, which need no mapping" in said


def test_a_file_without_a_byte_is_refused(tmp_path, capsys):
    (tmp_path / "e.csv").touch()
    assert main([str(tmp_path / "e.csv")]) == 2
    assert "e.csv is empty" in capsys.readouterr().err


def test_times_of_twelve_hours_are_proposed_as_such(tmp_path, capsys):
    rows = [f"{i},A,2024-01-{10 + i} 0{i}:15 PM,1" for i in range(1, 9)]
    (tmp_path / "till.csv").write_text("\n".join(["basket,product,sold_at,quantity", *rows]) + "\n")
    assert main([str(tmp_path / "till.csv"), "--output", str(tmp_path / "m.yaml")]) == 0
    assert 'timestamp: {column: sold_at, format: "%Y-%m-%d %I:%M %p"}' in (tmp_path / "m.yaml").read_text()


@pytest.mark.parametrize("day", ["2024-01-{}", "2024-01-{} 00:00:00"])
def test_a_column_of_its_own_is_proposed_as_the_hour(day, tmp_path, capsys):
    rows = [f"{i},A,{day.format(10 + i)},{8 + i:02}:30:15,1" for i in range(9)]
    (tmp_path / "till.csv").write_text("\n".join(["basket,product,Date,Time,quantity", *rows]) + "\n")
    assert main([str(tmp_path / "till.csv"), "--output", str(tmp_path / "m.yaml")]) == 0
    mapping, engine = load_mapping(str(tmp_path / "m.yaml")), connect()
    text = read_transactions(tmp_path / "till.csv", engine, mapping).order_by("row").to_pyarrow()
    assert text["hour"].to_pylist()[:3] == ["08", "09", "10"]
    assert text["date"].to_pylist()[0] == "2024-01-10"


def test_a_time_beside_one_that_is_known_is_left(tmp_path, capsys):
    rows = [f"{i},A,2024-01-{10 + i} {8 + i:02}:30,23:59,{i},1" for i in range(9)]
    (tmp_path / "till.csv").write_text("\n".join(["basket,product,sold_at,closing time,hour,quantity", *rows]) + "\n")
    assert main([str(tmp_path / "till.csv"), "--output", str(tmp_path / "m.yaml")]) == 0
    columns = load_mapping(str(tmp_path / "m.yaml")).columns
    assert columns["hour"].sources == columns["date"].sources == ("sold_at",)
