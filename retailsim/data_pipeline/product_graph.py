"""Which products are bought together, replace each other and belong together (SPEC C7, stage 2).

Reads the training weeks of `artifacts.TRANSACTIONS`, gives `artifacts.PRODUCT_GRAPH`: one row per edge.

- co_purchase: products that share baskets more often than chance. Weight: normalised pointwise mutual information
  (Bouma 2009), 0 at chance, 1 for two products that are bought with each other and nothing else.
- substitution: products of one sub-category and of similar price that the same customers buy, but not together. Where no
  price is known of one of them, price tells nothing and counts as at the limit of what is similar.
  Weight: customer overlap × price similarity × how far the pair avoids the same basket, each in [0, 1].
- hierarchy: product → sub-category → category → group → department, as the shop files them. Weight 1.

Chance is the configuration model (Newman & Girvan 2004): each product keeps its number of companions, who are dealt
anew. So a large basket, in which everything meets everything, makes no pair look close. (Against popularity alone the
median real pair has lift 3.4, against this model 1.6; the strongest edges foretell later weeks' pairs better by it, and
lead to 226 products from the greatest hub, not to 1,750.)
"""

from itertools import pairwise

import ibis
import ibis.expr.types as ir

from retailsim.artifacts import PRODUCT_GRAPH

# χ² with one degree of freedom exceeds 10.83 with probability 0.001, 3.84 with 0.05. Millions of pairs stand for
# co-purchase, so at 0.05 chance would fill the lists; substitutes are sought among the similar products of a
# sub-category (29,000 real pairs, of which chance alone would let 700 pass at lift > 1).
SIGNIFICANT_CO_PURCHASE = 10.83
SIGNIFICANT_OVERLAP = 3.84
MIN_TOGETHER = 5  # baskets or customers behind an edge; fewer are anecdotes
CO_PURCHASES = 20  # edges kept per product, strongest first; a pair stays if it is among them for either product
SUBSTITUTES = 10
MAX_PRICE_RATIO = 2.0  # dearer than twice the other is another product, not a substitute
MAX_TOGETHERNESS = 0.8  # of the baskets that two independent habits of the shared customers would have in common
FINE = 1_000_000  # expectations are added up as integers of this fineness, so that their sum has no order

LEVELS = {0: "product_id", 10: "hierarchy_10", 20: "hierarchy_20", 30: "hierarchy_30", 40: "hierarchy_40"}


def build_graph(transactions: ir.Table, train_end: int) -> ir.Table:
    """PRODUCT_GRAPH from TRANSACTIONS, fitted on weeks ≤ `train_end`."""
    rows = transactions.filter(transactions.week <= train_end)
    return ibis.union(co_purchase_edges(rows), substitution_edges(rows), hierarchy_edges(rows))


def co_purchase_edges(rows: ir.Table) -> ir.Table:
    """The strongest significant pairs of products that share baskets; anonymous baskets count."""
    lines = rows.select("basket_id", "product_id").distinct()
    pairs = pairs_within(lines, ["basket_id"]).group_by("source", "target").agg(count=ibis._.count())
    edges = with_association(pairs.filter(pairs["count"] >= MIN_TOGETHER), companions(lines, "basket_id"))
    edges = edges.mutate(weight=edges.lift.ln() / -(edges["count"] / edges.total).ln())
    return as_edges(
        strongest(significant(edges, SIGNIFICANT_CO_PURCHASE), "significance", CO_PURCHASES), "co_purchase", 0, 0
    )


def substitution_edges(rows: ir.Table) -> ir.Table:
    """Pairs of one sub-category and similar price with shared customers who seldom put both into one basket."""
    known = rows.filter(rows.customer_id.notnull() & rows.hierarchy_10.notnull())
    lines = known.select("customer_id", "basket_id", "hierarchy_10", "product_id").distinct()
    pairs = shared_customers(lines, typical_prices(rows))
    together = pairs_within(lines, ["basket_id", "hierarchy_10"]).group_by("source", "target").agg(both=ibis._.count())
    pairs = pairs.left_join(together, ["source", "target"]).drop("source_right", "target_right")
    edges = with_association(pairs, companions(lines.select("customer_id", "product_id").distinct(), "customer_id"))
    # One basket more on both sides: a pair that was to be seen together half a time says nothing by never being so.
    edges = edges.mutate(togetherness=(edges.both.fill_null(0) + 1) / (edges.expected / FINE + 1))
    overlap = edges["count"] / (edges.n_source + edges.n_target - edges["count"])  # Jaccard index
    edges = edges.mutate(weight=overlap * edges.price_similarity * (1 - edges.togetherness))
    edges = significant(edges, SIGNIFICANT_OVERLAP).filter(ibis._.togetherness <= MAX_TOGETHERNESS)
    return as_edges(strongest(edges, "weight", SUBSTITUTES), "substitution", 0, 0)


def hierarchy_edges(rows: ir.Table) -> ir.Table:
    """Child → parent from product to department; `count` is the number of products below the child."""
    known = rows.select(*LEVELS.values()).distinct()
    steps = []
    for child, parent in pairwise(LEVELS):
        named = known.select(source=LEVELS[child], target=LEVELS[parent], below="product_id").drop_null()
        edges = named.group_by("source", "target").agg(count=named.below.nunique())
        unknown = ibis.null("float64")
        edges = edges.mutate(weight=ibis.literal(1.0), lift=unknown, significance=unknown)
        steps.append(as_edges(edges, "hierarchy", child, parent))
    return ibis.union(*steps)


def pairs_within(lines: ir.Table, group: list[str]) -> ir.Table:
    """All pairs `source` < `target` of products that share a `group`, once for each group that they share."""
    other = lines.view()
    same = [lines[name] == other[name] for name in group]
    pairs = lines.inner_join(other, [*same, lines.product_id < other.product_id])
    return pairs.select(source=lines.product_id, target=other.product_id)


def shared_customers(lines: ir.Table, prices: ir.Table) -> ir.Table:
    """Pairs of one sub-category and similar price: `count` of shared customers and baskets `expected` to hold both.

    A customer who buys one product in x and the other in y of b baskets would, if the two habits were independent,
    have both in x·y/b of them. `expected` is the sum over customers, in units of 1 / FINE baskets.
    """
    trips = lines.group_by("customer_id").agg(trips=lines.basket_id.nunique())
    habits = lines.group_by("customer_id", "hierarchy_10", "product_id").agg(bought=lines.count())
    habits = habits.inner_join(trips, "customer_id").left_join(prices, "product_id").drop("product_id_right")
    other = habits.view()
    same = [habits.customer_id == other.customer_id, habits.hierarchy_10 == other.hierarchy_10]
    ratio = habits.price / other.price
    pairs = habits.inner_join(other, [*same, habits.product_id < other.product_id]).select(
        source=habits.product_id,
        target=other.product_id,
        price_similarity=ibis.least(ratio, 1 / ratio).fill_null(1 / MAX_PRICE_RATIO),
        expected=(FINE * habits.bought * other.bought / habits.trips).round().cast("int64"),
    )
    similar = pairs.filter(pairs.price_similarity >= 1 / MAX_PRICE_RATIO)
    counted = similar.group_by("source", "target").agg(
        count=similar.count(), expected=similar.expected.sum(), price_similarity=similar.price_similarity.min()
    )
    return counted.filter(counted["count"] >= MIN_TOGETHER)


def typical_prices(rows: ir.Table) -> ir.Table:
    """One row per product: `price`, the median £ per item of its sales."""
    sold = rows.filter((rows.spend > 0) & (rows.quantity > 0))
    priced = sold.select("product_id", price=sold.spend.cast("float64") / sold.quantity.cast("float64"))
    return priced.group_by("product_id").agg(price=priced.price.median())


def companions(lines: ir.Table, group: str) -> ir.Table:
    """One row per product: the groups that it is in, `n`, and the other products met there, `degree`, with repeats."""
    sizes = lines.group_by(group).agg(size=lines.count())
    sized = lines.inner_join(sizes, group)
    return sized.group_by("product_id").agg(n=sized.count(), degree=(sized["size"] - 1).sum())


def with_association(pairs: ir.Table, degrees: ir.Table) -> ir.Table:
    """`pairs` with `lift` and `significance` of their `count` against the configuration model.

    With d companions of either product and D of all products, d·d′/D meetings are expected. The significance is the
    log-likelihood ratio of the count as a Poisson number: G² = 2 (k ln(k/E) − (k − E)), χ² with one degree of freedom.

    Args:
        pairs: columns source, target, count.
        degrees: `companions` of the products.

    Returns:
        `pairs` with n_source, n_target (groups of each), total (D, float), lift and significance.
    """
    source = degrees.select(source="product_id", n_source="n", d_source="degree")
    target = degrees.select(target="product_id", n_target="n", d_target="degree")
    total = degrees.aggregate(total=degrees.degree.sum().cast("float64"))
    rows = pairs.inner_join(source, "source").inner_join(target, "target").cross_join(total)
    expected = rows.d_source.cast("float64") * rows.d_target.cast("float64") / rows.total
    lift = rows["count"] / expected
    return rows.mutate(lift=lift, significance=2 * (rows["count"] * lift.ln() - (rows["count"] - expected)))


def significant(edges: ir.Table, threshold: float) -> ir.Table:
    """The edges seen together more often than chance, with a G² above `threshold`."""
    return edges.filter((edges.lift > 1) & (edges.significance > threshold))


def strongest(edges: ir.Table, by: str, k: int) -> ir.Table:
    """The edges that are among the `k` highest in `by` of either end; ties go to the lower id."""
    ends = ibis.union(
        edges.select("source", "target", by, end="source", other="target"),
        edges.select("source", "target", by, end="target", other="source"),
    )
    rank = ibis.row_number().over(group_by="end", order_by=[ends[by].desc(), ends.other])
    kept = ends.mutate(rank=rank).filter(ibis._.rank < k).select("source", "target").distinct()
    return edges.semi_join(kept, ["source", "target"])


def as_edges(edges: ir.Table, edge_type: str, source_level: int, target_level: int) -> ir.Table:
    """`edges` in the columns of PRODUCT_GRAPH."""
    constants = {
        "edge_type": ibis.literal(edge_type),
        "source_level": ibis.literal(source_level, "int32"),
        "target_level": ibis.literal(target_level, "int32"),
    }
    return edges.mutate(**constants).select(*PRODUCT_GRAPH.columns)
