"""Every file between the stages: where it lies, who writes it, its columns with dtype and unit.

Column names stand here once; `docs/artifacts.md` is generated from this module.
"""

from retailsim.labels import TRIP_LABELS
from retailsim.storage import Array, Artifact, Record, Table
from retailsim.weeks import SPLITS

PIPELINE = "data_pipeline.run_pipeline"
FEATURES = "feature_engineering.run_feature_engineering"
TENSORS = "tensor_preparation.run_tensor_preparation"
SAMPLES = "training.prepare_samples"
CACHE = "training.prepare_tensor_cache"
BASELINES = "training.baselines"

WEEK = ("int32", "1 … last week of the data")
AS_OF = ("int32", "the row describes what was known before this week (weeks ≤ week − 1)")
PRODUCT = ("string", "product id, the shop's PROD_CODE")
CUSTOMER = ("string", "customer id, the shop's CUST_CODE")
STORE = ("string", "store id, the shop's STORE_CODE")

TRANSACTIONS = Table(
    "processed/transactions.parquet",
    PIPELINE,
    "one row per basket and product",
    {
        "basket_id": ("string", "the shop's BASKET_ID"),
        "week": WEEK,
        "shop_week": ("int32", "raw label yyyyww, for display; null: the source has none"),
        "date": ("date", "day of the trip"),
        "weekday": ("int32", "1 Monday … 7 Sunday"),
        "hour": ("int32", "0–23; null in all rows: the source has none"),
        "product_id": PRODUCT,
        "hierarchy_10": ("string", "sub-category, PROD_CODE_10; null: not known, as at the other levels"),
        "hierarchy_20": ("string", "category, PROD_CODE_20"),
        "hierarchy_30": ("string", "group, PROD_CODE_30"),
        "hierarchy_40": ("string", "department, PROD_CODE_40"),
        "customer_id": ("string", "CUST_CODE; null: anonymous basket"),
        "price_segment": ("string", "customer's price sensitivity segment (seg_1); null: not known"),
        "lifestage": ("string", "customer's life stage segment (seg_2); null: not known"),
        "store_id": ("string", "STORE_CODE; null in all rows: the source has none"),
        "store_format": ("string", "LS, MS, XLS, SS in the published data; null: not known"),
        "store_region": ("string", "region code; null: not known"),
        "quantity": ("int64", "items"),
        "spend": ("decimal(18, 2)", "£ for all items of the row; null in all rows: the source has none"),
        "mission_type": ("string", "BASKET_TYPE as one of labels.MISSION_TYPES; null: unknown"),
        "mission_focus": ("string", "BASKET_DOMINANT_MISSION as one of labels.MISSION_FOCI; null: unknown"),
        "price_sensitivity": ("string", "BASKET_PRICE_SENSITIVITY as one of labels.PRICE_SENSITIVITIES; null: unknown"),
        "basket_size": ("string", "BASKET_SIZE as one of labels.BASKET_SIZES; null: unknown"),
    },
)
QUARANTINE = Table(
    "quarantine/rows.parquet",
    PIPELINE,
    "one row per raw row that could not be used",
    {
        "file": ("string", "name of the raw file"),
        "row": (
            "int64",
            "row in the file, from 1; its line in a CSV is row + 1, if no value before it holds a line break",
        ),
        "column": ("string", "raw name of the column at fault"),
        "value": ("string", "what stood there; null: nothing"),
        "reason": ("string", "what is wrong with it"),
        **{name: TRANSACTIONS.columns[name] for name in ("basket_id", "product_id", "customer_id", "store_id")},
    },
)
CALENDAR = Record("processed/calendar.json", PIPELINE, "first Monday, last week and split weeks (weeks.Calendar)")

PRICES = Table(
    "processed/prices_derived.parquet",
    PIPELINE,
    "one row per product, store and week with a sale",
    {
        "product_id": PRODUCT,
        "store_id": ("string", "STORE_CODE; null: the source has no stores, so that the chain is one"),
        "week": WEEK,
        "actual_price": (
            "float64",
            "£ per item: median of spend / quantity, or imputed; null: never yet sold for money",
        ),
        "base_price": ("float64", "£ per item: regular price, from earlier weeks where there are any"),
        "discount": (
            "float64",
            "1 − actual / base, 0–1; 0 where the price is not below the base; null: no price known",
        ),
        "is_promotion": (
            "boolean",
            "a sale of this week a tenth or more under the base, of a product with a steady shelf price; null: no price known",
        ),
        "imputed_from": (
            "string",
            "product-store-week (a real sale), product-store, product-region-week, product-chain",
        ),
        "quality": ("string", "good, few-sales, imputed or suspect; unknown: no price known"),
        "n_sales": ("int64", "rows with a usable price behind actual_price"),
    },
)
PRODUCT_GRAPH = Table(
    "processed/product_graph.parquet",
    PIPELINE,
    "one row per edge; fitted on the training weeks",
    {
        "edge_type": (
            "string",
            "co_purchase, substitution (source < target, undirected) or hierarchy (child to parent)",
        ),
        "source": ("string", "product id, or hierarchy code"),
        "target": ("string", "product id, or hierarchy code"),
        "source_level": ("int32", "0 product, else 10, 20, 30 of the hierarchy"),
        "target_level": ("int32", "0 product, else 10, 20, 30, 40 of the hierarchy"),
        "weight": ("float64", "strength in (0, 1]"),
        "lift": ("float64", "seen together / expected by chance; null for hierarchy"),
        "count": ("int64", "baskets (co_purchase) or customers (substitution, hierarchy: products) behind the edge"),
        "significance": ("float64", "log-likelihood ratio G² of the count against chance; null for hierarchy"),
    },
)
AFFINITY = Table(
    "processed/customer_store_affinity.parquet",
    PIPELINE,
    "one row per customer and week in which the customer shops, and one as of the week after the data",
    {
        "customer_id": CUSTOMER,
        "week": AS_OF,
        "trips": ("int64", "baskets before this week"),
        "primary_store": ("string", "store with most trips so far; null: none yet"),
        "primary_share": ("float64", "share 0–1 of trips in the primary store; null: none yet"),
        "concentration": ("float64", "Herfindahl index of the store shares, 0–1; null: none yet"),
        "n_stores": ("int64", "stores visited so far; null: trips, but no store known"),
        "switching_rate": (
            "float64",
            "share 0–1 of trips in another store than the trip before; null: fewer than two trips",
        ),
        "loyalty": ("float64", "primary share × (1 − switching rate), 0–1; null: none yet"),
        "store_shares": ("array<struct<store_id: string, share: float64>>", "all stores so far, sorted by store id"),
    },
)
MISSIONS = Table(
    "processed/customer_mission_patterns.parquet",
    PIPELINE,
    "one row per customer and week in which the customer shops, and one as of the week after the data",
    {
        "customer_id": CUSTOMER,
        "week": AS_OF,
        "trips": ("int64", "baskets before this week"),
        **{
            f"{label}_{name.lower().replace(' ', '_')}": (
                "float64",
                f"share 0–1 of earlier trips with {label} {name}; null: none known",
            )
            for label, names in TRIP_LABELS.items()
            for name in names
        },
    },
)

PSEUDO_BRANDS = Table(
    "features/pseudo_brands.parquet",
    FEATURES,
    "one row per product; fitted on the training weeks",
    {
        "product_id": PRODUCT,
        "brand": ("string", "pseudo-brand: sub-category and price tier, one of which may be unknown; null: both are"),
        "price_tier": (
            "int32",
            "0 cheapest … 4 dearest of its sub-category; 2 where it stands alone; null: no price to compare",
        ),
        "relative_price": (
            "float64",
            "log of the product's price over its sub-category's median; null: as the tier",
        ),
        "tier_price": ("float64", "£ per item: median price in the training weeks (late product: first weeks known)"),
        "is_fitted": ("boolean", "sold in the training weeks; false: assigned afterwards"),
    },
)
PRICE_FEATURES = Table(
    "features/price_features.parquet",
    FEATURES,
    "one row per product and week, from the week after its first sale to the last week + 1",
    {
        "product_id": PRODUCT,
        "week": AS_OF,
        "last_price": ("float64", "£ per item: chain's median price of the last week with a sale"),
        "features": ("array<float32>", "64 numbers, laid out as T4 (tensor_preparation.layout)"),
    },
)
PRODUCT_EMBEDDINGS = Table(
    "features/product_embeddings.parquet",
    FEATURES,
    "one row per product; fitted on the training weeks",
    {
        "product_id": PRODUCT,
        "is_fitted": ("boolean", "sold in the training weeks; false: embedded inductively"),
        "embedding": ("array<float32>", "256 numbers, laid out as T2 (tensor_preparation.layout)"),
    },
)
EMBEDDING_REPORT = Record(
    "features/product_embeddings.json", FEATURES, "AUC on held-out edges by edge type, losses, counts"
)
# Numbers of the two history tables: column → meaning. T1 and T5 standardise them; null: nothing known yet.
# "leaning": leans on the customer's segment (the store's kind) while little is known (SPEC C13).
DIRECTIONS = 106  # of the customers' purchases (feature_engineering.product_projection)
STORE_DIRECTIONS = 24
GROUPS = 16  # largest groups (hierarchy_30) of the training weeks
PRICE_TIERS = 5  # of PSEUDO_BRANDS.price_tier
SEASONS = ("spring", "summer", "autumn", "winter")
CUSTOMER_NUMBERS = {
    "recent_trips": "baskets, decayed with a half-life of 8 weeks",
    "latest_trips": "baskets of the last 4 weeks",
    "active_share": "share 0–1 of the weeks since the first trip in which the customer shopped",
    "trips_per_active_week": "baskets per week in which the customer shopped",
    "tenure": "weeks since the first trip",
    "weekend_share": "share 0–1 of trips on Saturday or Sunday, decayed, leaning",
    "evening_share": "share 0–1 of trips from 17 h on, decayed, leaning",
    "recent_purchases": "products of all baskets, decayed with a half-life of 8 weeks",
    "products_per_trip": "distinct products per basket, decayed, leaning",
    "spend_per_trip": "£ per basket, decayed, leaning",
    "spend_per_product": "£ per product of a basket, decayed, leaning",
    "products_spread": "standard deviation of the products per basket, decayed, leaning",
    "products_trend": "log of recent over all-time products per basket",
    "spend_trend": "log of recent over all-time £ per basket",
    **{
        f"tier_{tier}": f"share 0–1 of purchases in price tier {tier}, of those with a tier, decayed, leaning"
        for tier in range(PRICE_TIERS)
    },
    **{season: f"share 0–1 of trips in {season}, half-life 52 weeks, leaning" for season in SEASONS},
}
STORE_SHARES = {
    "anonymous": "of trips without a customer",
    **{f"weekday_{day}": f"of trips on weekday {day} (1 Monday)" for day in range(1, 8)},
    **{f"hours_{band}": f"of trips in hour band {band} (before 11, before 14, before 17, later)" for band in range(4)},
    **{
        f"{label}_{name.lower().replace(' ', '_')}": f"of trips with {label} {name}"
        for label in ("mission_type", "price_sensitivity", "basket_size")
        for name in TRIP_LABELS[label]
    },
}
STORE_NUMBERS = {
    "recent_trips": "baskets, decayed with a half-life of 8 weeks",
    "weeks_open": "weeks since the store's first basket",
    "range_size": "distinct products sold so far",
    "growth": "log of the weekly baskets with half-life 8 weeks over those with half-life 26",
    "customers": "distinct identified customers so far",
    "trips_per_customer": "baskets per identified customer so far",
    "products_per_trip": "distinct products per basket, decayed, leaning",
    "spend_per_trip": "£ per basket, decayed, leaning",
    "spend_per_product": "£ per product of a basket, decayed, leaning",
    **{name: f"share 0–1 {meaning}, decayed, leaning" for name, meaning in STORE_SHARES.items()},
}
CUSTOMER_EMBEDDINGS = Table(
    "features/customer_embeddings.parquet",
    FEATURES,
    "one row per customer and week in which the customer shops, and one as of the week after the data",
    {
        "row": ("int64", "1 … n in the order of customer and week; row 0 of T1 is the unknown customer"),
        "customer_id": CUSTOMER,
        "week": AS_OF,
        "price_segment": ("string", "seg_1 as known before the week, or with its first trip; null: not known"),
        "lifestage": ("string", "seg_2 as known before the week, or with its first trip; null: not known"),
        "trips": ("int64", "baskets before this week"),
        "weeks_since_last": ("int32", "weeks since the last trip; null: first trip"),
        **{name: ("float64", meaning) for name, meaning in CUSTOMER_NUMBERS.items()},
        "directions": ("array<float32>", f"{DIRECTIONS} places along the directions of purchases, per trip, leaning"),
        "groups": ("array<float32>", f"shares 0–1 of purchases in the {GROUPS} largest product groups, leaning"),
    },
)
STORE_FEATURES = Table(
    "features/store_features.parquet",
    FEATURES,
    "one row per store and week with a sale, and one as of the week after the data",
    {
        "row": ("int64", "1 … n in the order of store and week; row 0 of T5 is the unknown store"),
        "store_id": STORE,
        "week": AS_OF,
        "store_format": ("string", "as known before the week, or with its first sale; null: not known"),
        "store_region": ("string", "as known before the week, or with its first sale; null: not known"),
        **{name: ("float64", meaning) for name, meaning in STORE_NUMBERS.items()},
        "price_segments": (
            "array<float32>",
            "shares 0–1 of identified trips by price segment (first 7 of the training weeks, then others), leaning",
        ),
        "lifestages": (
            "array<float32>",
            "shares 0–1 of identified trips by life stage (first 7 of the training weeks, then others), leaning",
        ),
        "directions": ("array<float32>", f"{STORE_DIRECTIONS} places along the directions of sales, per trip, leaning"),
    },
)

VOCABULARY = Table(
    "tensors/vocabulary.parquet",
    TENSORS,
    "one row per product row; special tokens first, late products last",
    {
        "row": ("int64", "row of T2"),
        "product_id": ("string", "product id, or the special token's name"),
        "kind": ("string", "special, product or late"),
    },
)
SCALERS = Record("tensors/scalers.json", TENSORS, "mean and deviation of T1's and T5's numbers over the training weeks")


def _samples(split: str) -> Table:
    return Table(
        f"training/samples_{split}.parquet",
        SAMPLES,
        f"one row per basket of the {split} weeks",
        {
            "sample": ("int64", "0 … n − 1 in the order of week and basket id"),
            "basket_id": ("string", "the shop's BASKET_ID"),
            "customer_id": ("string", "null: anonymous"),
            "week": WEEK,
            "day": ("int32", "days since the first Monday"),
            "hour": ("int32", "0–23; −1 unknown"),
            "customer_row": ("int64", "row of T1; 0: unknown customer"),
            "store_row": ("int64", "row of T5; 0: unknown store"),
            "recency": ("int32", "weeks since the customer's last trip in an earlier week; −1: none or anonymous"),
            "trips": ("int64", "the customer's baskets in earlier weeks; −1: anonymous"),
            **{label: ("int32", f"position in labels.TRIP_LABELS[{label!r}]; −1 unknown") for label in TRIP_LABELS},
            "n_products": ("int32", "distinct products of the basket, before it is cut"),
            "is_replay": (
                "boolean",
                "repeats an earlier basket of the same customer exactly (products, quantities, spend)",
            ),
            "products": (
                "array<int64>",
                "rows of the vocabulary, in the order of md5(basket id:product id), the first 50",
            ),
            "prices": ("array<float32>", "£ per item paid, beside `products`; null: no usable price"),
            "quantities": ("array<float32>", "items bought, beside `products`; null: not above 0"),
        },
    )


SAMPLE_TABLES: dict[str, Table] = {split: _samples(split) for split in SPLITS}
TEMPORAL_METADATA = Table(
    "training/temporal_metadata.parquet",
    SAMPLES,
    "one row per basket",
    {
        "basket_id": ("string", "the shop's BASKET_ID"),
        "week": WEEK,
        "shop_week": ("int32", "raw label yyyyww; null: the source has none"),
        "date": ("date", "day of the trip"),
        "weekday": ("int32", "1 Monday … 7 Sunday"),
        "hour": ("int32", "0–23; null: unknown"),
        "split": ("string", "train, val or test"),
    },
)

CUSTOMER_CACHE = Array(
    "training/cache/customer_embeddings.npy", CACHE, "T1; row 0 unknown customer", "float32", "rows 192"
)
STORE_CACHE = Array("training/cache/store_embeddings.npy", CACHE, "T5; row 0 unknown store", "float32", "rows 96")
PRODUCT_CACHE = Array(
    "training/cache/product_embeddings.npy", CACHE, "T2 by vocabulary row; special rows 0", "float32", "rows 256"
)
PRICE_CACHE = Array(
    "training/cache/price_features.npy",
    CACHE,
    "T4 by vocabulary row and week − 1; 0 where nothing is known",
    "float32",
    "rows weeks 64",
)
LAST_PRICE_CACHE = Array(
    "training/cache/last_prices.npy",
    CACHE,
    "£ per item, last known before the week; NaN: none",
    "float32",
    "rows weeks",
)
CUSTOMER_HISTORIES = Array(
    "training/cache/customer_histories.npy",
    CACHE,
    "by row of T1: where the customer's purchases of the weeks before begin and end in customer_purchases",
    "int64",
    "rows 2",
)
CUSTOMER_PURCHASES = Array(
    "training/cache/customer_purchases.npy",
    CACHE,
    "week, vocabulary row (0: the trip itself), which of the week's baskets, and of a trip its kind, in the order of T1's rows",
    "int32",
    "purchases 4",
)
STORE_HISTORIES = Array(
    "training/cache/store_histories.npy",
    CACHE,
    "by row of T5: where the store's purchases of the 26 weeks before begin and end in store_purchases",
    "int64",
    "rows 2",
)
STORE_PURCHASES = Array(
    "training/cache/store_purchases.npy",
    CACHE,
    "week, vocabulary row (0: the trip itself) and baskets, in the order of T5's rows",
    "int32",
    "purchases 3",
)
CHAIN_POPULARITY = Array(
    "training/cache/chain_popularity.npy",
    CACHE,
    "long-run, recent and current shares 0–1 of the chain's baskets with each product by week − 1 (of weeks ≤ week − 1)",
    "float32",
    "weeks 3 vocabulary",
)
COMPANION_IDS = Array(
    "training/cache/companion_ids.npy",
    CACHE,
    "vocabulary rows of the products that go with each product, by fold of the training baskets",
    "int32",
    "folds vocabulary companions",
)
COMPANION_WEIGHTS = Array(
    "training/cache/companion_weights.npy",
    CACHE,
    "by how much each companion's share of baskets rises, beside companion_ids",
    "float32",
    "folds vocabulary companions",
)
SUCCESSOR_IDS = Array(
    "training/cache/successor_ids.npy",
    CACHE,
    "vocabulary rows of the products that go with each product bought before, by fold of the training baskets",
    "int32",
    "folds vocabulary companions",
)
SUCCESSOR_WEIGHTS = Array(
    "training/cache/successor_weights.npy",
    CACHE,
    "by how much each successor's share of baskets rises, beside successor_ids",
    "float32",
    "folds vocabulary companions",
)
PRODUCT_GROUPS = Array(
    "training/cache/product_groups.npy",
    CACHE,
    "group of each product in the training weeks, a code of the finest level of the hierarchy with at most 63; 0: none known",
    "int64",
    "vocabulary",
)
INDEX_MAPPINGS = Table(
    "training/cache/index_mappings.parquet",
    CACHE,
    "one row per cached row",
    {
        "kind": ("string", "customer, store or product"),
        "id": ("string", "customer, store or product id"),
        "week": ("int32", "as of; null for products"),
        "row": ("int64", "row of the array of that kind"),
    },
)

BASELINE_SETTINGS = Record(
    "evaluation/baselines.json", BASELINES, "the baselines' settings chosen on the validation weeks, and every trial"
)
BASELINE_RANKS: dict[str, Table] = {
    split: Table(
        f"evaluation/baseline_ranks_{split}.parquet",
        BASELINES,
        f"one row per method and hidden product of the {split} weeks; `evaluate` writes it too where it is missing",
        {
            "method": ("string", "name of the baseline"),
            "hidden": ("int64", "0 … M − 1, the hidden product in the order of the samples"),
            "rank": ("float64", "from 1 among all products that compete; null: outside the vocabulary, a miss"),
            "novel_rank": ("float64", "of a first-time purchase, among novel products; null for all others"),
        },
    )
    for split in ("val", "test")
}

ALL: tuple[Artifact, ...] = (
    TRANSACTIONS, CALENDAR, PRICES, PRODUCT_GRAPH, AFFINITY, MISSIONS,
    PSEUDO_BRANDS, PRICE_FEATURES, PRODUCT_EMBEDDINGS, EMBEDDING_REPORT, CUSTOMER_EMBEDDINGS, STORE_FEATURES,
    VOCABULARY, SCALERS, *SAMPLE_TABLES.values(), TEMPORAL_METADATA,
    CUSTOMER_CACHE, STORE_CACHE, PRODUCT_CACHE, PRICE_CACHE, LAST_PRICE_CACHE,
    CUSTOMER_HISTORIES, CUSTOMER_PURCHASES, STORE_HISTORIES, STORE_PURCHASES, CHAIN_POPULARITY,
    COMPANION_IDS, COMPANION_WEIGHTS, SUCCESSOR_IDS, SUCCESSOR_WEIGHTS, PRODUCT_GROUPS, INDEX_MAPPINGS,
)  # fmt: skip
# What some commands write and no later stage needs.
ASIDE: tuple[Artifact, ...] = (QUARANTINE, BASELINE_SETTINGS, *BASELINE_RANKS.values())
