"""Raw rows as published, typed by hand: one good row, what a test changes of it, and a small good file."""

import csv
import io
from collections.abc import Callable

import ibis
import ibis.expr.types as ir
import pytest

from retailsim.sources.schema import SPELLINGS
from retailsim.storage import connect

PUBLISHED = {
    "SHOP_WEEK": "200607",
    "SHOP_DATE": "20060413",
    "SHOP_WEEKDAY": "5",
    "SHOP_HOUR": "14",
    "QUANTITY": "2",
    "SPEND": "1.90",
    "PROD_CODE": "PRD0900001",
    "PROD_CODE_10": "CL00001",
    "PROD_CODE_20": "DEP00001",
    "PROD_CODE_30": "G00001",
    "PROD_CODE_40": "D00001",
    "CUST_CODE": "CUST0000000001",
    "seg_1": "CT",
    "seg_2": "BU",
    "BASKET_ID": "994100100532897",
    "BASKET_SIZE": "L",
    "BASKET_PRICE_SENSITIVITY": "MM",
    "BASKET_TYPE": "Top Up",
    "BASKET_DOMINANT_MISSION": "Fresh",
    "STORE_CODE": "STORE00001",
    "STORE_FORMAT": "LS",
    "STORE_REGION": "E02",
}


def good_file() -> bytes:
    """Sixty rows: twelve baskets of five products over two weeks, three stores, a quarter of them anonymous."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(PUBLISHED)
    for basket in range(12):
        week = basket % 2
        shared = {
            "SHOP_WEEK": f"20060{7 + week}", "SHOP_DATE": f"200604{10 + basket % 7 + 7 * week}", "SHOP_HOUR": f"{8 + basket}",
            "CUST_CODE": f"CUST{basket % 5}" if basket % 4 else "", "BASKET_ID": f"9941001005328{basket:02}",
            "STORE_CODE": f"STORE0000{basket % 3}",
        }  # fmt: skip
        for product in range(basket, basket + 5):
            row = {
                "PROD_CODE": f"PRD{product:07}",
                "PROD_CODE_10": f"CL{product % 4}",
                "SPEND": f"{1 + product % 9}.25",
            }
            writer.writerow({**PUBLISHED, **shared, **row}.values())
    return buffer.getvalue().encode()


GOOD = good_file()


@pytest.fixture
def engine() -> ibis.BaseBackend:
    return connect()


@pytest.fixture
def published() -> Callable[..., dict[str, str]]:
    """A raw row under the published names, with changes."""
    return lambda **changes: {**PUBLISHED, **changes}


@pytest.fixture
def text() -> Callable[..., ir.Table]:
    """Rows of text under our names, as `read_transactions` gives them: one per dictionary of changes."""
    good = {
        name: next(PUBLISHED[spelling] for spelling in spellings if spelling in PUBLISHED)
        for name, spellings in SPELLINGS.items()
    }
    schema = ibis.schema({"file": "string", "row": "int64", "line": "string", **dict.fromkeys(SPELLINGS, "string")})

    def table(*changes: dict[str, str | int | None]) -> ir.Table:
        place = {"file": "transactions.csv", "line": None}
        rows = [{**place, "row": row, **good, **change} for row, change in enumerate(changes, start=1)]
        return ibis.memtable(rows, schema=schema)

    return table
