"""Receipts of the synthetic retailer as other retailers publish theirs: the same trips in other files and columns.

Each function reads weekly files of `make-data` and writes what its data set has, and no more. A truth that is planted in the
synthetic receipts so stays there to be found.
"""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

TEXT = (
    "SHOP_DATE", "SHOP_HOUR", "QUANTITY", "SPEND", "PROD_CODE", "PROD_CODE_10", "PROD_CODE_20", "PROD_CODE_30",
    "CUST_CODE", "seg_2", "BASKET_ID", "STORE_CODE",
)  # fmt: skip
MOST_DAYS = 30  # Instacart says 30 for 30 days and more


def receipts(raw: Path) -> pa.Table:
    """All rows of the weekly files, as text, in the order of the files."""
    options = csv.ConvertOptions(
        column_types=dict.fromkeys(TEXT, pa.string()), include_columns=TEXT, strings_can_be_null=True
    )
    return pa.concat_tables([csv.read_csv(file, convert_options=options) for file in sorted(raw.glob("*.csv"))])


def days_of(rows: pa.Table) -> list[date]:
    return [date(int(text[:4]), int(text[4:6]), int(text[6:])) for text in rows["SHOP_DATE"].to_pylist()]


def numbers_of(column: pa.ChunkedArray, first: int) -> list[int | None]:
    """Ids as the numbers that other retailers have: `first` and on, in the order in which they appear."""
    codes = column.combine_chunks().dictionary_encode().indices
    return [None if code is None else first + code for code in codes.to_pylist()]


def write(folder: Path, name: str, columns: dict[str, list]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    csv.write_csv(pa.table(columns), folder / name, csv.WriteOptions(quoting_style="needed"))


def six_columns(raw: Path, folder: Path) -> None:
    """The least: basket, product, store, timestamp, quantity and spend."""
    rows = receipts(raw)
    clock = [
        f"{day} {int(hour):02d}:15" for day, hour in zip(days_of(rows), rows["SHOP_HOUR"].to_pylist(), strict=True)
    ]
    names = {"receipt": "BASKET_ID", "sku": "PROD_CODE", "branch": "STORE_CODE", "pieces": "QUANTITY", "paid": "SPEND"}
    write(folder, "till.csv", {**{name: rows[column] for name, column in names.items()}, "sold_at": clock})


def complete_journey(raw: Path, folder: Path) -> None:
    """dunnhumby's The Complete Journey: every third household with demographics, a product that product.csv lacks."""
    rows = receipts(raw)
    rows = rows.filter(pc.is_valid(rows["CUST_CODE"]))
    monday = min(days_of(rows)) - timedelta(days=min(days_of(rows)).weekday())
    days = [(day - monday).days + 6 for day in days_of(rows)]  # DAY 6 is a Monday
    zeros, households = [0] * len(rows), numbers_of(rows["CUST_CODE"], 1)
    write(
        folder,
        "transaction_data.csv",
        {
            "household_key": households,
            "BASKET_ID": numbers_of(rows["BASKET_ID"], 26_984_851_472),
            "DAY": days,
            "PRODUCT_ID": numbers_of(rows["PROD_CODE"], 25_671),
            "QUANTITY": rows["QUANTITY"],
            "SALES_VALUE": rows["SPEND"],
            "STORE_ID": numbers_of(rows["STORE_CODE"], 286),
            "RETAIL_DISC": zeros,
            "TRANS_TIME": [100 * int(hour) + 31 for hour in rows["SHOP_HOUR"].to_pylist()],
            "WEEK_NO": [(day + 8) // 7 for day in days],
            "COUPON_DISC": zeros,
            "COUPON_MATCH_DISC": zeros,
        },
    )
    first = _first_of(rows["PROD_CODE"])
    products = rows.take(first[1:])
    write(
        folder,
        "product.csv",
        {
            "PRODUCT_ID": np.array(numbers_of(rows["PROD_CODE"], 25_671))[first[1:]],
            "MANUFACTURER": [69] * len(products),
            "DEPARTMENT": products["PROD_CODE_30"],
            "BRAND": ["National"] * len(products),
            "COMMODITY_DESC": products["PROD_CODE_20"],
            "SUB_COMMODITY_DESC": products["PROD_CODE_10"],
            "CURR_SIZE_OF_PRODUCT": [" "] * len(products),
        },
    )
    households_known = sorted(set(households))[::3]
    some = len(households_known)
    write(
        folder,
        "hh_demographic.csv",
        {
            "AGE_DESC": ["65+"] * some,
            "MARITAL_STATUS_CODE": ["A"] * some,
            "INCOME_DESC": ["35-49K", "Under 15K", "250K+"] * (some // 3) + ["100-124K"] * (some % 3),
            "HOMEOWNER_DESC": ["Homeowner"] * some,
            "HH_COMP_DESC": ["2 Adults No Kids", "Unknown"] * (some // 2) + ["Single Male"] * (some % 2),
            "HOUSEHOLD_SIZE_DESC": ["2"] * some,
            "KID_CATEGORY_DESC": ["None/Unknown"] * some,
            "household_key": households_known,
        },
    )


def instacart(raw: Path, folder: Path) -> None:
    """Instacart's: gaps in place of days; the last order of every third customer is a test order without products."""
    rows = receipts(raw)
    rows = rows.filter(pc.is_valid(rows["CUST_CODE"]))
    order_id, user = numbers_of(rows["BASKET_ID"], 2_539_329), numbers_of(rows["CUST_CODE"], 1)
    days, hours = days_of(rows), rows["SHOP_HOUR"].to_pylist()
    orders = sorted({(u, day, int(hour), o) for u, day, hour, o in zip(user, days, hours, order_id, strict=True)})
    number, gap, kind = [], [], []
    for i, (u, day, _, _) in enumerate(orders):
        is_first = i == 0 or orders[i - 1][0] != u
        is_last = i + 1 == len(orders) or orders[i + 1][0] != u
        number.append(1 if is_first else number[-1] + 1)
        gap.append(None if is_first else float(min((day - orders[i - 1][1]).days, MOST_DAYS)))
        kind.append(("test" if u % 3 == 0 else "train") if is_last else "prior")
    write(
        folder,
        "orders.csv",
        {
            "order_id": [o for *_, o in orders],
            "user_id": [u for u, *_ in orders],
            "eval_set": kind,
            "order_number": number,
            "order_dow": [(day.weekday() + 2) % 7 for _, day, _, _ in orders],  # 0 is Saturday
            "order_hour_of_day": [f"{hour:02d}" for _, _, hour, _ in orders],
            "days_since_prior_order": gap,
        },
    )
    kind_of = dict(zip((o for *_, o in orders), kind, strict=True))
    product = numbers_of(rows["PROD_CODE"], 1)
    for name in ("prior", "train"):
        chosen = [i for i, o in enumerate(order_id) if kind_of[o] == name]
        lines = {"order_id": [order_id[i] for i in chosen], "product_id": [product[i] for i in chosen]}
        write(
            folder,
            f"order_products__{name}.csv",
            {**lines, "add_to_cart_order": chosen, "reordered": [0] * len(chosen)},
        )
    first = _first_of(rows["PROD_CODE"])
    aisles, departments = (rows.take(first)[f"PROD_CODE_{level}"] for level in (10, 30))
    write(
        folder,
        "products.csv",
        {
            "product_id": np.array(product)[first],
            "product_name": [f'"{code}", 500 g' for code in rows.take(first)["PROD_CODE"].to_pylist()],
            "aisle_id": numbers_of(aisles, 1),
            "department_id": numbers_of(departments, 1),
        },
    )


def ta_feng(raw: Path, folder: Path) -> None:
    """Ta-Feng's: a date without hour, no basket, no store; prices in New Taiwan dollars."""
    rows = receipts(raw)
    rows = rows.filter(pc.is_valid(rows["CUST_CODE"]))
    dollars = [max(1, round(30 * float(spend))) for spend in rows["SPEND"].to_pylist()]
    customers = numbers_of(rows["CUST_CODE"], 1_069)
    write(
        folder,
        "ta_feng_all_months_merged.csv",
        {
            "TRANSACTION_DT": [f"{day.month}/{day.day}/{day.year}" for day in days_of(rows)],
            "CUSTOMER_ID": [f"{customer:08d}" for customer in customers],
            "AGE_GROUP": [("25-29", "60-64", "Unknown")[customer % 3] for customer in customers],
            "PIN_CODE": ["115"] * len(rows),
            "PRODUCT_SUBCLASS": numbers_of(rows["PROD_CODE_10"], 110_411),
            "PRODUCT_ID": numbers_of(rows["PROD_CODE"], 4_710_000_000_000),
            "AMOUNT": rows["QUANTITY"],
            "ASSET": [round(0.8 * dollar) for dollar in dollars],
            "SALES_PRICE": dollars,
        },
    )


def _first_of(column: pa.ChunkedArray) -> np.ndarray:
    """Where each value stands first."""
    return np.sort(np.unique(column.combine_chunks().to_numpy(zero_copy_only=False), return_index=True)[1])
