"""C2: other retailers' files become rows under our names, by the shipped mappings: small files typed by hand, exact rows."""

from datetime import date

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retailsim.errors import UserError
from retailsim.sources.mapping import load_mapping, parse_mapping, shipped
from retailsim.sources.mapping_rows import mapped_rows
from retailsim.sources.read import read_transactions, side_files, source_files
from retailsim.sources.schema import LINE, ROW, values
from retailsim.sources.stored import stored_rows
from retailsim.sources.validate import judge

SIX = """
columns:
  basket_id: receipt
  product_id: sku
  store_id: branch
  timestamp: sold_at
  quantity: pieces
  spend: paid
"""


def rows_of(folder, mapping, *columns):
    """The named columns of every row, in the order of basket and product."""
    text = read_transactions(folder, ibis.duckdb.connect(), mapping)
    found = text.select(**values(text)).order_by("basket_id", "product_id").to_pyarrow().to_pylist()
    return [tuple(str(row[c]) if c == "spend" and row[c] is not None else row[c] for c in columns) for row in found]


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text.strip() + "\n", encoding="utf-8")


def test_ta_feng(tmp_path):
    write(
        tmp_path,
        ta_feng_all_months_merged="""
TRANSACTION_DT,CUSTOMER_ID,AGE_GROUP,PIN_CODE,PRODUCT_SUBCLASS,PRODUCT_ID,AMOUNT,ASSET,SALES_PRICE
11/1/2000,01104905,45-49,115,110411,4710199010372,2,24,30
11/1/2000,01104905,45-49,115,120107,4710857472535,1,48,46
11/1/2000,00418683,<25,115,120107,4710857472535,1,48,46
11/10/2000,01057331,>65,115,100407,4710043654103,2,142,166
12/31/2000,01849332,Unknown,Others,120108,4710126092129,1,32,38
2001-01-02,01981995,B,115,100205,4710176021445,1,14,18
2001-02-28 00:00:00,01741797,J,115,110122,0078895770025,1,54,75
1/31/2001,00308359,60-64,115,110507,4710192225520,1,85,105
02/03/2001,01607000,25-29,221,100201,20535654,24,0,1
2/4/2001,01607000,25-29,221,100201,20535654,1,190,200
""",
    )
    found = rows_of(
        tmp_path,
        load_mapping("ta-feng"),
        "basket_id",
        "date",
        "product_id",
        "hierarchy_10",
        "lifestage",
        "quantity",
        "spend",
    )
    milk, tissue = "4710199010372", "4710857472535"
    assert found == [
        ("02/03/2001/01607000", date(2001, 2, 3), "20535654", "100201", "25-34", 24, "1.00"),
        ("1/31/2001/00308359", date(2001, 1, 31), "4710192225520", "110507", "55-64", 1, "105.00"),
        ("11/1/2000/00418683", date(2000, 11, 1), tissue, "120107", "under 25", 1, "46.00"),
        ("11/1/2000/01104905", date(2000, 11, 1), milk, "110411", "45-54", 2, "30.00"),
        ("11/1/2000/01104905", date(2000, 11, 1), tissue, "120107", "45-54", 1, "46.00"),
        ("11/10/2000/01057331", date(2000, 11, 10), "4710043654103", "100407", "65 and more", 2, "166.00"),
        ("12/31/2000/01849332", date(2000, 12, 31), "4710126092129", "120108", None, 1, "38.00"),
        ("2/4/2001/01607000", date(2001, 2, 4), "20535654", "100201", "25-34", 1, "200.00"),
        ("2001-01-02/01981995", date(2001, 1, 2), "4710176021445", "100205", "25-34", 1, "18.00"),
        ("2001-02-28 00:00:00/01741797", date(2001, 2, 28), "0078895770025", "110122", "65 and more", 1, "75.00"),
    ]
    unknown = ("hour", "store_id", "store_format", "hierarchy_30", "price_segment", "mission_type", "shop_week")
    assert set(rows_of(tmp_path, load_mapping("ta-feng"), *unknown)) == {(None,) * len(unknown)}


def test_complete_journey_with_and_without_its_side_files(tmp_path):
    write(
        tmp_path,
        transaction_data="""
household_key,BASKET_ID,DAY,PRODUCT_ID,QUANTITY,SALES_VALUE,STORE_ID,RETAIL_DISC,TRANS_TIME,WEEK_NO,COUPON_DISC,COUPON_MATCH_DISC
2375,26984851472,1,1004906,1,1.39,364,-0.6,1631,1,0,0
2375,26984851472,1,1033142,1,0.82,364,0,1631,1,0,0
2375,26984851516,5,826249,2,1.98,364,-0.6,5,1,0,0
1364,26984896261,6,842930,1,2.19,31742,0,930,2,0,0
1364,26984905972,285,897044,1,2.99,31742,-0.4,0,41,0,0
1364,26984945254,711,99999,1,5.551115E-17,31742,0,2359,102,0,0
""",
        product="""
PRODUCT_ID,MANUFACTURER,DEPARTMENT,BRAND,COMMODITY_DESC,SUB_COMMODITY_DESC,CURR_SIZE_OF_PRODUCT
1004906,69,PRODUCE,Private,POTATOES,POTATOES RUSSET (BULK&BAG),5 LB
1033142,2,PRODUCE,National,ONIONS,ONIONS SWEET (BULK&BAG),40 LB
826249,69,GROCERY,Private,BAKED BREAD,"BREAD, WHITE",20 OZ
842930,69,GROCERY,Private,BAKED BREAD,,20 OZ
897044,1, ,National, , ,
""",
        hh_demographic="""
AGE_DESC,MARITAL_STATUS_CODE,INCOME_DESC,HOMEOWNER_DESC,HH_COMP_DESC,HOUSEHOLD_SIZE_DESC,KID_CATEGORY_DESC,household_key
65+,A,35-49K,Homeowner,2 Adults No Kids,2,None/Unknown,1364
45-54,U,250K+,Homeowner,Unknown,1,None/Unknown,7
""",
    )
    mapping = load_mapping("complete-journey")
    columns = ("customer_id", "date", "hour", "product_id", "hierarchy_10", "hierarchy_20", "hierarchy_30")
    households = {"2375": (None, None), "1364": ("35-74K", "two adults")}
    expected = [
        ("2375", date(2016, 3, 23), 16, "1004906", "PRODUCE/POTATOES/POTATOES RUSSET (BULK&BAG)", "PRODUCE/POTATOES", "PRODUCE"),
        ("2375", date(2016, 3, 23), 16, "1033142", "PRODUCE/ONIONS/ONIONS SWEET (BULK&BAG)", "PRODUCE/ONIONS", "PRODUCE"),
        ("2375", date(2016, 3, 27), 0, "826249", "GROCERY/BAKED BREAD/BREAD, WHITE", "GROCERY/BAKED BREAD", "GROCERY"),
        ("1364", date(2016, 3, 28), 9, "842930", None, "GROCERY/BAKED BREAD", "GROCERY"),
        ("1364", date(2017, 1, 1), 0, "897044", None, None, None),
        ("1364", date(2018, 3, 3), 23, "99999", None, None, None),  # product.csv does not have it
    ]  # fmt: skip
    assert rows_of(tmp_path, mapping, *columns) == expected
    segments = rows_of(tmp_path, mapping, "customer_id", "price_segment", "lifestage")
    assert segments == [(row[0], *households[row[0]]) for row in expected]
    assert [row[0] for row in rows_of(tmp_path, mapping, "spend")] == ["1.39", "0.82", "1.98", "2.19", "2.99", "0.00"]
    (tmp_path / "product.csv").unlink()
    (tmp_path / "hh_demographic.csv").unlink()
    assert rows_of(tmp_path, mapping, *columns) == [(*row[:4], None, None, None) for row in expected]
    (tmp_path / "transaction_data.csv").write_text("household_key,BASKET_ID\n1,2\n")
    with pytest.raises(UserError, match=r"no column PRODUCT_ID, of which complete-journey makes product_id.*inspect"):
        rows_of(tmp_path, mapping)


def test_completejourney_with_times_and_missing_values_as_r_writes_them(tmp_path):
    write(
        tmp_path,
        transactions="""
household_id,store_id,basket_id,product_id,quantity,sales_value,retail_disc,coupon_disc,coupon_match_disc,week,transaction_timestamp
900,330,31198570044,1095275,1,0.5,0,0,0,1,2017-01-01 11:53:26
906,319,31198515165,1095276,2,0.98,0.6,0,0,1,2017-01-01T12:10:28Z
""",
        products="""
product_id,manufacturer_id,department,brand,product_category,product_type,package_size
1095275,2,PASTRY,National,ROLLS,ROLLS: BAGELS,4 OZ
1095276,2,MISCELLANEOUS,National,NA,NA,NA
""",
        demographics="household_id,age,income,home_ownership,marital_status,household_size,household_comp,kids_count\n"
        "900,35-44,Under 15K,Homeowner,Married,2,1 Adult Kids,1",
    )
    columns = ("basket_id", "date", "hour", "hierarchy_10", "hierarchy_30", "price_segment", "lifestage", "store_id")
    assert rows_of(tmp_path, load_mapping("completejourney"), *columns) == [
        ("31198515165", date(2017, 1, 1), 12, None, "MISCELLANEOUS", None, None, "319"),
        ("31198570044", date(2017, 1, 1), 11, "PASTRY/ROLLS/ROLLS: BAGELS", "PASTRY", "under 35K", "one adult, children", "330"),
    ]  # fmt: skip


ORDERS = """
order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order
11,1,prior,1,2,08,
12,1,prior,2,3,07,15.0
13,1,prior,3,4,12,30.0
14,1,train,4,4,08,14.0
21,2,prior,1,0,23,
22,2,test,2,1,00,1.0
"""


def instacart(folder):
    write(
        folder,
        orders=ORDERS,
        order_products__prior="order_id,product_id,add_to_cart_order,reordered\n"
        "11,196,1,0\n11,14084,2,0\n12,196,1,1\n13,196,1,1\n21,196,1,0",
        order_products__train="order_id,product_id,add_to_cart_order,reordered\n14,196,1,1\n99,196,1,1",
        products='product_id,product_name,aisle_id,department_id\n196,"Soda, ""Zero""",77,7\n14084,Milk,91,16',
    )
    return folder


def test_instacart_counts_days_back_from_the_last_order(tmp_path):
    found = rows_of(
        instacart(tmp_path), load_mapping("instacart"), "basket_id", "product_id", "customer_id", "date", "hour",
        "hierarchy_10", "hierarchy_20", "quantity", "spend", "store_id",
    )  # fmt: skip
    milk, soda, rest = ("91", "16"), ("77", "7"), (1, None, None)
    # Saturday is 0: the last orders are on Wednesday 28 and Sunday 1 January, the nearest to Thursday 29 December. Customer
    # 1's gap of "30 and more" led from a Tuesday to a Wednesday, so it was 29 or 36 days: the day nearest to 30 is taken.
    assert found == [
        ("11", "14084", "1", date(2016, 10, 31), 8, *milk, *rest),
        ("11", "196", "1", date(2016, 10, 31), 8, *soda, *rest),
        ("12", "196", "1", date(2016, 11, 15), 7, *soda, *rest),
        ("13", "196", "1", date(2016, 12, 14), 12, *soda, *rest),
        ("14", "196", "1", date(2016, 12, 28), 8, *soda, *rest),
        ("21", "196", "2", date(2016, 12, 31), 23, *soda, *rest),
        ("99", "196", None, None, None, *soda, *rest),  # orders.csv does not have it: its row is set aside, not lost
    ]


def test_the_files_that_a_mapping_reads(tmp_path):
    mapping = load_mapping("instacart")
    assert [f.name for f in source_files(instacart(tmp_path), mapping)] == [
        "order_products__prior.csv", "order_products__train.csv",
    ]  # fmt: skip
    assert [f.name for f in side_files(tmp_path, mapping)] == ["orders.csv", "products.csv"]
    (tmp_path / "orders.csv").unlink()
    with pytest.raises(UserError, match=r"orders.csv is missing: the mapping joins it by order_id"):
        side_files(tmp_path, mapping)
    with pytest.raises(UserError, match=r"holds none of the files transaction_data.csv that complete-journey names"):
        source_files(tmp_path, load_mapping("complete-journey"))


def test_a_side_file_with_a_key_twice_is_refused(tmp_path):
    instacart(tmp_path)
    with (tmp_path / "products.csv").open("a") as file:
        file.write("196,Soda again,77,7\n")
    with pytest.raises(UserError, match=r"products.csv: product_id '196' stands in 2 rows.*keep one"):
        rows_of(tmp_path, load_mapping("instacart"))


def test_the_least_that_is_needed_and_columns_in_another_case(tmp_path):
    write(
        tmp_path,
        till="Receipt,SKU,Branch,sold_at,pieces,paid,note\n1,A,5,2024-02-29 08:05,2,1.5,x\n2,B,5,2024-03-01T23:59:59,1,2,",
    )
    assert rows_of(tmp_path, parse_mapping(SIX, "six.yaml"), "basket_id", "product_id", "store_id", "date", "hour", "spend") == [
        ("1", "A", "5", date(2024, 2, 29), 8, "1.50"),
        ("2", "B", "5", date(2024, 3, 1), 23, "2.00"),
    ]  # fmt: skip


def test_spend_from_quantity_and_unit_price(tmp_path):
    write(
        tmp_path,
        till="receipt,sku,branch,sold_at,pieces,price\n1,A,5,2024-02-29 08:05,3,0.335\n1,B,5,2024-02-29 08:05,2,",
    )
    mapping = parse_mapping(SIX.replace("paid", "{times: [pieces, price]}"), "six.yaml")
    assert rows_of(tmp_path, mapping, "product_id", "spend") == [("A", "1.01"), ("B", None)]


def test_a_spend_that_no_amount_holds_is_set_aside(tmp_path):  # C4
    rows = ["1,A,5,2024-02-29 08:05,99999999999,99999999", *(f"{i},A,5,2024-02-29 08:05,1,2.5" for i in range(2, 6))]
    write(tmp_path, till="\n".join(["receipt,sku,branch,sold_at,pieces,price", *rows]))
    mapping, engine = parse_mapping(SIX.replace("paid", "{times: [pieces, price]}"), "six.yaml"), ibis.duckdb.connect()
    stored = stored_rows(source_files(tmp_path, mapping))
    verdict = judge(read_transactions(tmp_path, engine, mapping), stored, engine, mapping.schema)
    (fault,) = verdict.faults.to_pyarrow().to_pylist()
    assert (fault["row"], fault["value"]) == (1, "99999999999 × 99999999")
    assert fault["reason"] == "is no amount such as 1234.50" and verdict.used.count().execute() == 4


def test_a_key_of_floats_is_the_key_of_whole_numbers(tmp_path):  # C4: empty values make floats of whole numbers
    instacart(tmp_path)
    (tmp_path / "order_products__prior.csv").unlink()
    (tmp_path / "order_products__train.csv").unlink()
    floats = pa.array([196, 14084], pa.float64())
    rows = {"order_id": [12, 11], "product_id": floats, "add_to_cart_order": [1, 2], "reordered": [1, 0]}
    pq.write_table(pa.table(rows), tmp_path / "order_products__prior.parquet")
    columns = ("basket_id", "product_id", "hierarchy_10")
    assert rows_of(tmp_path, load_mapping("instacart"), *columns) == [("11", "14084", "91"), ("12", "196", "77")]


@pytest.mark.parametrize("name", shipped())
def test_shipped_mappings_are_made_for_spark_too(name, tmp_path):  # C38
    mapping = load_mapping(name)
    columns = sorted(mapping.raw_columns)
    write(tmp_path, transactions=",".join(columns) + "\n" + ",".join("1" for _ in columns))
    table = ibis.duckdb.connect().read_csv(tmp_path / "transactions.csv", all_varchar=True)
    made = {join.count_back.name: table[columns[0]] for join in mapping.joins if join.count_back}
    made |= {ROW: ibis.literal(1), LINE: ibis.null("string")}
    text = mapped_rows([(tmp_path / "transactions.csv", table.mutate(**made))], [], mapping)
    assert "SELECT" in ibis.to_sql(text.select(**values(text)), dialect="pyspark")


def test_a_row_says_where_it_stood(tmp_path):  # C4
    instacart(tmp_path)
    text = read_transactions(tmp_path, ibis.duckdb.connect(), load_mapping("instacart"))
    found = text.order_by("file", "row").select("file", "row", "basket_id", "line").to_pyarrow().to_pylist()
    assert [tuple(row.values()) for row in found[4:]] == [
        ("order_products__prior.csv", 5, "21", None),
        ("order_products__train.csv", 1, "14", None),
        ("order_products__train.csv", 2, "99", None),
    ]


TWO = "joins: [{file: goods.csv, key: sku}, {file: shops.csv, key: branch}]" + SIX + "  "


def two_files(folder, goods, shops, till="receipt,sku,branch,sold_at,pieces,paid"):
    write(folder, transactions=f"{till}\n1,A,5,2024-02-29 08:05,2,1.5", goods=goods, shops=shops)


@pytest.mark.parametrize(
    "goods, shops, column, said",
    [
        (
            "sku,type\nA,dairy",
            "branch,type\n5,hyper",
            "store_format: type",
            "type stands in {}/goods.csv and in shops.csv",
        ),
        (
            "sku,Type\nA,dairy",
            "branch,type\n5,hyper",
            "store_format: type",
            "type stands in {}/goods.csv and in shops.csv",
        ),
        (
            "sku,PAID\nA,9",
            "branch,type\n5,hyper",
            "store_format: type",
            "PAID stands in {}/transactions.csv and in goods.csv",
        ),
        (
            "sku,branch\nA,own",
            "branch,type\n5,hyper",
            "store_format: type",
            "branch stands in {}/transactions.csv and in goods",
        ),
    ],
)
def test_a_column_that_stands_in_two_files_is_refused(
    goods, shops, column, said, tmp_path
):  # whose values would be taken?
    two_files(tmp_path, goods, shops)
    with pytest.raises(UserError) as caught:
        rows_of(tmp_path, parse_mapping(TWO + column, "two.yaml"), "store_format")
    assert f"column {said.format(tmp_path)}" in str(caught.value) and "two.yaml" in str(caught.value)


def test_names_that_nothing_is_made_of_may_stand_in_two_files(tmp_path):  # and so may keys, in whatever case
    two_files(tmp_path, "SKU,note,kind\nA,x,dairy", "BRANCH,Note,type\n5,y,hyper")
    mapping = parse_mapping(TWO + "store_format: type\n  hierarchy_10: kind", "two.yaml")
    assert rows_of(tmp_path, mapping, "store_format", "hierarchy_10", "store_id") == [("hyper", "dairy", "5")]


@pytest.mark.parametrize(
    "column, key, is_told",
    [
        ("customer_id: custmer", "sku", False),
        ("lifestage: custmer", "sku", False),
        ("hierarchy_10: kind", "sku", True),
        ("hierarchy_10: kind", "branch", False),
        ("store_region: region", "branch", True),
        ("customer_id: member", "receipt", True),  # what a receipt is about may stand beside it
        ("store_id: shop", "receipt", False),  # but for what no row may lack
    ],
)
def test_a_file_that_is_not_there_explains_only_what_its_key_can_tell(column, key, is_told, tmp_path):
    write(tmp_path, till="receipt,sku,branch,sold_at,pieces,paid\n1,A,5,2024-02-29 08:05,2,1.5")
    six = "\n".join(line for line in SIX.splitlines() if line.split(":")[0].strip() != column.split(":")[0])
    mapping = parse_mapping(f"joins: [{{file: beside.csv, key: {key}, optional: true}}]{six}\n  {column}\n", "six.yaml")
    name, raw = column.split(": ")
    if is_told:
        assert rows_of(tmp_path, mapping, name) == [(None,)]
    else:
        with pytest.raises(UserError, match=f"the source has no column {raw}, of which six.yaml makes {name}"):
            rows_of(tmp_path, mapping, name)


def test_a_key_of_a_csv_of_floats_is_the_key_of_whole_numbers(tmp_path):  # C4
    mapping = parse_mapping(
        "missing: NA\njoins: [{file: goods.csv, key: sku}]" + SIX + "  hierarchy_10: kind", "six.yaml"
    )
    write(
        tmp_path,
        transactions="receipt,sku,branch,sold_at,pieces,paid\n1,7.0,NA,2024-02-29 08:05,2,1.5\n1,8.0,5.0,2024-02-29 08:05,2,1.5",
        goods="sku,kind\n7,milk\n8,bread",
    )
    assert rows_of(tmp_path, mapping, "product_id", "hierarchy_10", "store_id") == [
        ("7", "milk", None),
        ("8", "bread", "5"),
    ]


def test_files_that_a_pattern_means_are_taken_or_refused(tmp_path):  # C4
    files = ("sales_1.csv", "Sales_2.CSV", "sales_3.csv.md5", "summary.xlsx", "goods.txt", "goods.csv")
    for name in files:
        (tmp_path / name).write_bytes(b"x")
    mapping = parse_mapping("files: sales_*.csv" + SIX, "six.yaml")
    assert {f.name for f in source_files(tmp_path, mapping)} == {"sales_1.csv", "Sales_2.CSV"}
    (tmp_path / "sales_3.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"sales_3.zip is none of .csv, .*: convert it, or take it out of"):
        source_files(tmp_path, mapping)
