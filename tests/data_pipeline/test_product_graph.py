"""Stage 2: co-purchase, substitution and hierarchy edges of the training weeks."""

from math import log

import ibis
import pyarrow as pa
import pytest

from retailsim.artifacts import PRODUCT_GRAPH, TRANSACTIONS
from retailsim.data_pipeline.product_graph import build_graph, strongest
from retailsim.storage import connect

TRAIN_END = 80
KEYS = ["edge_type", "source", "target"]
# Ten of four times two and a half: k = 10 meetings, 10 companions of each product, 40 of all, so 10·10/40 expected.
LIFT, G2 = 4.0, 2 * (10 * log(4) - 7.5)


def edges_of(transactions, edge_type=None):
    rows = build_graph(transactions, TRAIN_END).to_pyarrow().sort_by([(key, "ascending") for key in KEYS]).to_pylist()
    return [row for row in rows if edge_type in (None, row["edge_type"])]


def basket(number, *products, **constants):
    return [{"basket_id": f"b{number:03}", "product_id": product, **constants} for product in products]


def exactly(rows):
    """`rows` with floats that compare within rounding."""
    return [
        {name: pytest.approx(value) if isinstance(value, float) else value for name, value in row.items()}
        for row in rows
    ]


def hierarchy(source, target, source_level, target_level, count):
    return {
        "edge_type": "hierarchy", "source": source, "target": target, "source_level": source_level,
        "target_level": target_level, "weight": 1.0, "lift": None, "count": count, "significance": None,
    }  # fmt: skip


def test_products_that_share_baskets_are_joined(receipts):  # C7
    rows = []
    for number in range(10):
        rows += basket(number, "A", "B", customer_id=None if number % 2 else "ann")
        rows += basket(100 + number, "C", "D")
        rows += basket(200 + number, "E", hierarchy_10="t2")
        rows += basket(300 + number, "A", "C", "E", week=TRAIN_END + 1)  # too late to count
    common = {"edge_type": "co_purchase", "source_level": 0, "target_level": 0}
    figures = {"weight": 1.0, "lift": LIFT, "count": 10, "significance": G2}
    assert edges_of(receipts(rows)) == exactly(
        [
            {**common, "source": "A", "target": "B", **figures},
            {**common, "source": "C", "target": "D", **figures},
            hierarchy("A", "t1", 0, 10, 1),
            hierarchy("B", "t1", 0, 10, 1),
            hierarchy("C", "t1", 0, 10, 1),
            hierarchy("D", "t1", 0, 10, 1),
            hierarchy("E", "t2", 0, 10, 1),
            hierarchy("c1", "g1", 20, 30, 5),
            hierarchy("g1", "d1", 30, 40, 5),
            hierarchy("t1", "c1", 10, 20, 4),
            hierarchy("t2", "c1", 10, 20, 1),
        ]
    )


def switchers(n=10, x="X", y="Y", number=0, **constants):
    """`n` customers with two baskets each: one with product `x` at £1, one with `y` at £1.25."""
    rows = []
    for customer in range(number, number + n):
        who = {"customer_id": f"c{customer:03}", **constants}
        rows += basket(2 * customer, x, **who) + basket(2 * customer + 1, y, **{"spend": 1.25, **who})
    return rows


def others():
    """Ten customers who buy V and W, of two sub-categories."""
    rows = switchers(x="V", y="W", number=500)
    return [{**row, "hierarchy_10": f"t{row['product_id']}"} for row in rows]


def test_products_that_the_same_customers_buy_apart_are_substitutes(receipts):  # C7
    # Customers overlap fully (1), prices by 1 / 1.25. Ten customers with 1·1/2 expected joint baskets make 5, none was
    # seen: (0 + 1) / (5 + 1) together.
    assert edges_of(receipts(switchers() + others()), "substitution") == exactly(
        [
            {
                "edge_type": "substitution", "source": "X", "target": "Y", "source_level": 0, "target_level": 0,
                "weight": 1.0 * 0.8 * (1 - 1 / 6), "lift": LIFT, "count": 10, "significance": G2,
            }
        ]
    )  # fmt: skip


def together(rows):
    """`rows` with both baskets of a customer made one, beside an empty-handed trip for a third product."""
    joined = [{**row, "basket_id": f"j{row['customer_id']}"} for row in rows]
    return joined + [{**row, "product_id": "Z", "hierarchy_10": "t9"} for row in rows]


@pytest.mark.parametrize(
    "reason, rows",
    [
        ("bought together", together(switchers())),
        ("another sub-category", [{**row, "hierarchy_10": row["product_id"]} for row in switchers()]),
        (
            "more than twice as dear",
            [{**row, "spend": 1.0 if row["product_id"] == "X" else 2.01} for row in switchers()],
        ),
        ("too few customers", switchers(n=4)),
        ("anonymous", [{**row, "customer_id": None} for row in switchers()]),
        ("after the training weeks", switchers(week=TRAIN_END + 1)),
    ],
)
def test_no_substitutes(receipts, reason, rows):
    assert edges_of(receipts(rows + others()), "substitution") == [], reason


def test_a_staple_of_all_baskets_is_nobodys_companion(receipts):
    rows = []
    for number in range(20):
        rows += basket(number, "bag", "bread", "butter") + basket(100 + number, "bag", "paper", "pencil")
    found = {(edge["source"], edge["target"]) for edge in edges_of(receipts(rows), "co_purchase")}
    assert found == {("bread", "butter"), ("paper", "pencil")}


def test_the_strongest_edges_of_either_end_stay():
    rows = [("A", "B", 5.0), ("A", "C", 4.0), ("A", "D", 4.0), ("B", "C", 3.0), ("D", "E", 1.0)]
    edges = ibis.memtable(
        pa.Table.from_pylist([dict(zip(("source", "target", "g"), row, strict=True)) for row in rows])
    )
    kept = strongest(edges, "g", 1).to_pyarrow().to_pylist()
    # A–B leads at A and B, A–C at C, A–D at D, D–E at E; B–C leads nowhere
    assert sorted((edge["source"], edge["target"]) for edge in kept) == [("A", "B"), ("A", "C"), ("A", "D"), ("D", "E")]


def test_a_missing_hierarchy_has_no_edges(receipts):  # C2
    unknown = {f"hierarchy_{level}": None for level in (10, 20, 30, 40)}
    assert edges_of(receipts(switchers(**unknown))) == []


def test_later_weeks_do_not_reach_the_graph(receipts, busy_rows):  # C19
    rows = busy_rows + switchers() + others()
    later = [{**row, "basket_id": f"late{row['basket_id']}", "week": TRAIN_END + 1, "spend": 9.0} for row in rows[::2]]
    before = edges_of(receipts(rows))
    assert {edge["edge_type"] for edge in before} == {"co_purchase", "substitution", "hierarchy"}
    assert all(0 < edge["weight"] <= 1 for edge in before)
    assert edges_of(receipts(rows + later)) == before


def test_planted_companions_are_found_and_little_else(receipts, busy_rows):
    found = {(edge["source"], edge["target"]) for edge in edges_of(receipts(busy_rows), "co_purchase")}
    planted = {("P00", "P01"), ("P02", "P03"), ("P04", "P05")}
    assert found >= planted and len(found) <= 5


def test_row_order_leaves_the_file_as_it_is(receipts, busy_rows, tmp_path):  # C40
    for name, rows in (("one", busy_rows), ("other", busy_rows[::-1]), ("again", busy_rows)):
        PRODUCT_GRAPH.write(tmp_path / name, build_graph(receipts(rows + switchers()), TRAIN_END), connect(), KEYS)
    one, other, again = ((tmp_path / name / PRODUCT_GRAPH.path).read_bytes() for name in ("one", "other", "again"))
    assert one == other == again


def test_the_stage_compiles_for_spark():  # C38
    pytest.importorskip("pyspark")
    graph = build_graph(ibis.table(TRANSACTIONS.schema, name="transactions"), TRAIN_END)
    assert graph.schema() == PRODUCT_GRAPH.schema
    assert "co_purchase" in ibis.pyspark.compile(graph)


def test_without_spend_substitutes_are_told_by_customers_and_baskets(receipts, busy_rows):  # C2
    rows = receipts(busy_rows)
    columns = ["edge_type", "source", "target", "count", "lift"]
    edges = [
        {tuple(row.values()) for row in build_graph(table, 30).select(*columns).to_pyarrow().to_pylist()}
        for table in (rows, rows.mutate(spend=ibis.null("decimal(18, 2)")))
    ]
    same = [{edge for edge in some if edge[0] != "substitution"} for some in edges]
    assert same[0] == same[1] and len(same[0]) > 40
    assert {edge for edge in edges[1] if edge[0] == "substitution"} >= {
        edge for edge in edges[0] if edge[0] == "substitution"
    }


def test_without_a_hierarchy_there_is_none_in_the_graph(receipts, busy_rows):  # C2
    levels = [f"hierarchy_{level}" for level in (10, 20, 30, 40)]
    rows = receipts(busy_rows).mutate(**{level: ibis.null("string") for level in levels})
    assert set(build_graph(rows, 30).to_pyarrow()["edge_type"].to_pylist()) == {"co_purchase"}
