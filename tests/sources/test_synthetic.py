"""The synthetic retailer: the published form, and every planted truth found again in its rows (SPEC C6)."""

import csv
import hashlib
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from retailsim.errors import UserError
from retailsim.sources import make_data as command
from retailsim.sources.make_data import main, make_data
from retailsim.sources.read import source_files
from retailsim.sources.synthetic_draws import Choices, first_distinct, rank_within, round_at_random
from retailsim.sources.synthetic_files import shop_week_of
from retailsim.sources.synthetic_prices import appeal, takes_first
from retailsim.sources.synthetic_shopping import HABIT, Retailer, monday_of, time_of_year
from retailsim.sources.synthetic_truth import elasticities

PUBLISHED = (
    "SHOP_WEEK,SHOP_DATE,SHOP_WEEKDAY,SHOP_HOUR,QUANTITY,SPEND,PROD_CODE,PROD_CODE_10,PROD_CODE_20,PROD_CODE_30,"
    "PROD_CODE_40,CUST_CODE,seg_1,seg_2,BASKET_ID,BASKET_SIZE,BASKET_PRICE_SENSITIVITY,BASKET_TYPE,"
    "BASKET_DOMINANT_MISSION,STORE_CODE,STORE_FORMAT,STORE_REGION"
)
SMALL = {"customers": 40, "products": 60, "stores": 4}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    make_data(folder, customers=500, products=240, stores=6, weeks=104, seed=3)
    return folder


@pytest.fixture(scope="module")
def rows(shop: Path) -> pd.DataFrame:
    table = duckdb.sql(
        f"""select *, (strptime(SHOP_DATE::varchar, '%Y%m%d')::date - date '2006-04-10') // 7 + 1 as week
        from read_csv('{shop}/transactions_*.csv', header = true)"""
    ).df()
    return table.rename(columns=str.lower)


def truth(shop: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(shop / "truth" / f"{name}.parquet")


def digests(folder: Path) -> dict[str, str]:
    files = (f for f in folder.rglob("*") if f.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_columns_labels_and_order_are_the_published_ones(shop: Path):  # C1, C6
    files = sorted(f.name for f in shop.glob("transactions_*.csv"))
    assert len(files) == 104
    assert [files[0], files[45], files[46], files[-1]] == [
        f"transactions_{week}.csv" for week in (200607, 200652, 200701, 200806)
    ]
    with open(shop / files[46]) as file:
        assert file.readline() == PUBLISHED + "\n"
        found = list(csv.DictReader(file, PUBLISHED.split(",")))
    keys = [(row["STORE_CODE"], row["PROD_CODE"]) for row in found]
    assert keys == sorted(keys)
    monday = date(2007, 2, 26)  # of the published week 200701
    for row in found:
        day = date(int(row["SHOP_DATE"][:4]), int(row["SHOP_DATE"][4:6]), int(row["SHOP_DATE"][6:]))
        assert row["SHOP_WEEK"] == "200701"
        assert 0 <= (day - monday).days < 7
        assert int(row["SHOP_WEEKDAY"]) == day.isoweekday() % 7 + 1  # 1 is Sunday
    assert '"' not in (shop / files[46]).read_text()


def test_values_are_within_the_published_ones(rows: pd.DataFrame):  # C1, C6
    classes = {
        "basket_size": {"S", "M", "L"},
        "basket_type": {"Top Up", "Full Shop", "Small Shop", "XX"},
        "basket_dominant_mission": {"Fresh", "Grocery", "Mixed", "Nonfood", "XX"},
        "basket_price_sensitivity": {"LA", "MM", "UM", "XX"},
        "store_format": {"XLS", "LS", "MS", "SS"},
    }
    for column, names in classes.items():
        assert set(rows[column]) == names
    assert rows.shop_hour.between(8, 21).all()
    assert set(rows.seg_1.dropna()) == {"CT", "BG", "AZ", "DY"}
    assert set(rows.seg_2.dropna()) == {"BU", "DI", "AT", "CZ", "FN", "EQ"}
    assert (rows.spend > 0).all() and (rows.quantity >= 1).all()


def test_a_basket_has_one_customer_store_day_hour_and_each_product_once(rows: pd.DataFrame):  # C4, C6
    assert not rows.duplicated(["basket_id", "prod_code"]).any()
    columns = ["cust_code", "store_code", "shop_date", "shop_hour", "basket_type", "basket_size"]
    assert (rows.groupby("basket_id")[columns].nunique(dropna=False) == 1).all(axis=None)


def test_shares_and_sizes_are_like_the_real_ones(rows: pd.DataFrame):  # C6
    sizes = rows.groupby("basket_id").size()
    assert rows.cust_code.isna().mean() == pytest.approx(0.2, abs=0.03)
    assert sizes.median() in (4, 5)
    assert sizes.mean() == pytest.approx(6, abs=0.7)
    assert rows.cust_code.nunique() == 500
    known = rows[rows.cust_code.notna()]
    assert 0.05 < known.seg_2.isna().mean() < 0.25
    means = rows.groupby(["basket_id", "basket_type"]).size().groupby("basket_type").mean()
    assert means["Full Shop"] > 1.5 * means["Top Up"] > 3 * means["XX"]


def test_hierarchy_is_a_tree(rows: pd.DataFrame):  # C4, C6
    levels = ["prod_code", "prod_code_10", "prod_code_20", "prod_code_30", "prod_code_40"]
    for child, parent in zip(levels, levels[1:], strict=False):
        assert (rows.groupby(child)[parent].nunique() == 1).all()
    assert rows.groupby("prod_code_10").prod_code.nunique().between(10, 14).all()


def test_planted_promotions_show_in_the_median_price(shop: Path, rows: pd.DataFrame):  # C6, C7
    rows = rows.assign(price=rows.spend / rows.quantity)
    prices = rows.groupby(["prod_code", "week"]).price.median()
    regular = truth(shop, "regular_prices").sort_values(["product_id", "week"])
    promotions = truth(shop, "promotions")
    assert promotions.depth.between(0.1, 0.4).all()
    assert (promotions.last_week - promotions.first_week).between(0, 2).all()
    off = []
    for promotion in promotions.itertuples():
        known = regular[(regular.product_id == promotion.product_id) & (regular.week <= promotion.first_week)]
        for week in range(promotion.first_week, promotion.last_week + 1):
            if (promotion.product_id, week) in prices.index:
                expected = known.price.iloc[-1] * (1 - promotion.depth)
                off.append(prices[promotion.product_id, week] / expected - 1)
    assert len(off) > 0.7 * (promotions.last_week - promotions.first_week + 1).sum()
    assert np.abs(off).max() < 0.06  # a store's price level and rounding to pence
    weeks = (promotions.last_week - promotions.first_week + 1).sum()
    assert 0.01 < weeks / (240 * 104) < 0.035


def test_habits_come_back_after_their_period(shop: Path, rows: pd.DataFrame):  # C6
    weeks = rows[["cust_code", "prod_code", "week"]].drop_duplicates()
    weekly = rows.groupby("cust_code").week.nunique()
    regulars = weekly[weekly > 0.85 * 104].index
    habits = truth(shop, "habits")
    substitutes = set(truth(shop, "substitutes")[["product_a", "product_b"]].to_numpy().ravel())
    habits = habits[habits.customer_id.isin(regulars) & ~habits.product_id.isin(substitutes)]
    bought = habits.merge(weeks, left_on=["customer_id", "product_id"], right_on=["cust_code", "prod_code"])
    bought = bought.sort_values(["customer_id", "product_id", "week"])
    gaps = bought.assign(gap=bought.groupby(["customer_id", "product_id"]).week.diff()).dropna(subset="gap")
    common = gaps.groupby("period").gap.agg(lambda gap: gap.mode()[0])
    assert common.to_dict() == {1: 1, 2: 2, 3: 3, 4: 4}
    means = gaps.groupby("period").gap.mean()
    assert (means - means.index).between(0, 0.95).all()  # trips on which nobody thinks of it
    assert (gaps.gap < gaps.period - 1).mean() < 0.06  # now and then it comes into the basket another way


def test_habits_are_bought_far_more_than_other_products(shop: Path, rows: pd.DataFrame):  # C6
    trips = rows.groupby("cust_code").basket_id.nunique()
    counts = rows.groupby(["cust_code", "prod_code"]).size()
    habits = truth(shop, "habits")
    hits = counts.reindex(pd.MultiIndex.from_frame(habits[["customer_id", "product_id"]]), fill_value=0)
    per_trip = (hits.to_numpy() / trips[habits.customer_id].to_numpy()).mean()
    assert per_trip > 8 * counts.sum() / trips.sum() / 240


def test_about_half_of_a_basket_is_habit():  # C6
    retailer = Retailer(400, 300, 8, seed=0)
    reasons = np.concatenate([retailer.shop(week)[1].reason for week in range(1, 31)])
    assert np.mean(reasons == HABIT) == pytest.approx(0.47, abs=0.08)


def lifts(rows: pd.DataFrame, pairs: pd.DataFrame) -> np.ndarray:
    """Baskets with both over those expected by chance."""
    baskets = rows.groupby("prod_code").basket_id.agg(set)
    both = [len(baskets[a] & baskets[b]) for a, b in pairs[["product_a", "product_b"]].to_numpy()]
    single = baskets.map(len)
    expected = single[pairs.product_a].to_numpy() * single[pairs.product_b].to_numpy() / rows.basket_id.nunique()
    return np.array(both) / expected


def test_complements_are_bought_together_and_substitutes_are_not(shop: Path, rows: pd.DataFrame):  # C6
    complements, substitutes = truth(shop, "complements"), truth(shop, "substitutes")
    assert len(complements) > 10 and len(substitutes) == 60
    found = lifts(rows, complements)
    assert found.min() > 1.5 and np.median(found) > 5 and np.mean(found > 3) > 0.8
    assert lifts(rows, substitutes).max() < 0.2
    products = rows.drop_duplicates("prod_code").set_index("prod_code").prod_code_10
    for pairs, is_same in ((substitutes, True), (complements, False)):
        same = products[pairs.product_a].to_numpy() == products[pairs.product_b].to_numpy()
        assert (same == is_same).all()


def test_seasonal_products_sell_at_their_peak(shop: Path, rows: pd.DataFrame):  # C6
    seasons = truth(shop, "seasons")
    units = rows.groupby(["prod_code", "week"]).quantity.sum()
    ratios = []
    for season in seasons.itertuples():
        sold = units.get(season.product_id, pd.Series(dtype=float)).reindex(range(1, 105), fill_value=0)
        away = np.cos(2 * np.pi * (np.array([time_of_year(week) for week in range(1, 105)]) - season.peak))
        ratios.append((sold[away > 0.7].mean() + 0.1) / (sold[away < -0.7].mean() + 0.1))
    assert np.mean(np.array(ratios) > 1.5) > 0.9
    assert np.median(ratios) == pytest.approx(seasons.uplift.median() ** 0.85, rel=0.35)


def log_log(shop: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """Weekly units, chain price and time of each product on sale from the start."""
    weeks = range(1, 105)
    rows = rows.assign(price=rows.spend / rows.quantity)
    weekly = rows.groupby(["prod_code", "week"]).agg(units=("quantity", "sum"), price=("price", "median")).reset_index()
    seasonal = set(truth(shop, "seasons").product_id)
    busy = weekly.groupby("prod_code").units.sum() > 8 * len(weeks)
    weekly = weekly[weekly.prod_code.map(busy) & ~weekly.prod_code.isin(seasonal)]
    return weekly.assign(trade=weekly.week.map(rows.groupby("week").basket_id.nunique()))


def slope(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sum(x * y) / np.sum(x * x))


def test_own_price_elasticity_is_found_by_a_log_log_regression(shop: Path, rows: pd.DataFrame):  # C6
    weekly = log_log(shop, rows)
    planted = truth(shop, "elasticities")
    own = planted[planted.product_id == planted.price_of].set_index("product_id").elasticity
    singles = own[own > -2.6].index  # substitutes react more strongly, to each other too
    weekly = weekly[weekly.prod_code.isin(singles)]
    logs = np.log(pd.DataFrame({"price": weekly.price, "units": weekly.units / weekly.trade}))
    centred = logs - logs.groupby(weekly.prod_code).transform("mean")
    x = centred.price * weekly.prod_code.map(own)  # slope 1 where each product has its planted elasticity
    assert slope(x, centred.units) == pytest.approx(1, abs=0.2)


def test_a_substitute_gains_when_the_other_gets_cheaper(shop: Path, rows: pd.DataFrame):  # C6
    weekly = log_log(shop, rows).set_index(["prod_code", "week"])
    planted = truth(shop, "elasticities")
    cross = planted[planted.product_id != planted.price_of]
    assert (cross.elasticity > 0).all()
    x, y = [], []
    for pair in cross[cross.product_id < cross.price_of].itertuples():
        if {pair.product_id, pair.price_of} <= set(weekly.index.get_level_values(0)):
            both = weekly.loc[pair.product_id].join(weekly.loc[pair.price_of].add_suffix("_other"), how="inner")
            price, units = np.log(both.price / both.price_other), np.log(both.units / both.units_other)
            x.append(price - price.mean())
            y.append(units - units.mean())
    # The split between two substitutes follows the ratio of their prices with −θ, which is 3 to 6.5.
    assert -6.5 < slope(np.concatenate(x), np.concatenate(y)) < -2.5


def test_elasticities_are_derivatives_of_the_demand_rule():  # C6
    cat = Retailer(10, 48, 2, seed=1).catalogue
    need = np.flatnonzero(cat.is_pair)[:1]
    a, b = cat.members[need[0]]

    def demand(price_a: float, price_b: float) -> np.ndarray:
        relative = np.ones(48)
        relative[a], relative[b] = price_a, price_b
        share = takes_first(cat, relative, need, cat.first_share[need])
        return np.log(appeal(cat, relative, need, cat.first_share[need]) * np.array([share, 1 - share]).ravel())

    step = 1e-5
    by_a = (demand(np.exp(step), 1) - demand(np.exp(-step), 1)) / (2 * step)
    planted = pd.DataFrame(elasticities(cat)).set_index(["product_id", "price_of"]).elasticity
    ids = cat.product_id
    assert by_a == pytest.approx([planted[ids[a], ids[a]], planted[ids[b], ids[a]]], abs=1e-6)


def test_formats_sell_their_ranges_at_their_level(shop: Path, rows: pd.DataFrame):  # C6
    ranges = truth(shop, "ranges").groupby("store_format").product_id.agg(set)
    assert ranges["SS"] < ranges["MS"] < ranges["LS"] <= ranges["XLS"]
    for name, sold in rows.groupby("store_format").prod_code.agg(set).items():
        assert sold <= ranges[name]
    levels = rows.assign(price=rows.spend / rows.quantity).groupby(["prod_code", "week", "store_format"]).price.median()
    wide = levels.unstack()
    assert (wide.SS / wide.LS).median() == pytest.approx(1.03 / 0.985, abs=0.01)


def test_late_products_are_not_sold_before_their_launch(shop: Path, rows: pd.DataFrame):  # C3, C6
    launch = truth(shop, "products").set_index("product_id").launch
    first = rows.groupby("prod_code").week.min()
    assert (launch > 1).sum() >= 3
    assert (first >= launch[first.index]).all()


def test_same_seed_same_bytes_and_more_weeks_change_none(tmp_path: Path):  # C6, C40
    make_data(tmp_path / "a", **SMALL, weeks=6, seed=5)
    make_data(tmp_path / "b", **SMALL, weeks=6, seed=5)
    make_data(tmp_path / "longer", **SMALL, weeks=9, seed=5)
    make_data(tmp_path / "other", **SMALL, weeks=6, seed=6)
    a = digests(tmp_path / "a")
    assert a == digests(tmp_path / "b")
    weekly = {name: digest for name, digest in a.items() if name.startswith("transactions")}
    assert len(weekly) == 6
    assert weekly.items() <= digests(tmp_path / "longer").items()
    assert not weekly.items() & digests(tmp_path / "other").items()


def test_a_run_replaces_an_earlier_one_and_nothing_else(tmp_path: Path):  # C6, C39
    make_data(tmp_path / "ours", **SMALL, weeks=4)
    make_data(tmp_path / "ours", **SMALL, weeks=2)
    assert len(list((tmp_path / "ours").glob("transactions*"))) == 2
    theirs = tmp_path / "theirs" / "transactions_200701.csv"
    theirs.parent.mkdir()
    theirs.write_text("real data")
    with pytest.raises(UserError, match="transactions_200701.csv was not made by make-data.*--output"):
        make_data(tmp_path / "theirs", **SMALL, weeks=2)
    assert theirs.read_text() == "real data"


@pytest.mark.parametrize(
    "flag, value", [("customers", 0), ("products", 23), ("stores", -1), ("weeks", 0), ("weeks", 4_891), ("seed", -1)]
)
def test_sizes_that_make_no_retailer_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture, flag: str, value: int
):  # C39
    assert main([f"--{flag}", str(value), "--output", str(tmp_path / "raw")]) == 2
    assert f"--{flag} {value}" in capsys.readouterr().err
    assert not (tmp_path / "raw").exists()


def test_the_last_week_ends_before_2100():
    assert monday_of(command.MOST["weeks"]) + timedelta(days=6) == date(2099, 12, 27)


def test_a_run_cut_short_leaves_whole_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # C6, law 7
    write = command.write_week

    def stop_at_three(folder: Path, week: int, table: object) -> None:
        if week == 3:
            raise KeyboardInterrupt
        write(folder, week, table)

    monkeypatch.setattr(command, "write_week", stop_at_three)
    assert main(["--output", str(tmp_path), "--customers", "40", "--products", "60", "--weeks", "5"]) == 130
    assert sorted(f.name for f in tmp_path.iterdir()) == ["transactions_200607.csv", "transactions_200608.csv", "truth"]
    assert [f.name for f in (tmp_path / "truth").iterdir()] == ["unfinished.json"]
    with pytest.raises(UserError, match="weeks may be missing, as make-data was stopped: run .*make-data --output"):
        source_files(tmp_path)
    monkeypatch.undo()
    make_data(tmp_path, **SMALL, weeks=5)
    assert len(source_files(tmp_path)) == 5 and (tmp_path / "truth" / "retailer.json").exists()
    monkeypatch.setattr(command, "write_week", stop_at_three)
    with pytest.raises(KeyboardInterrupt):  # the earlier retailer is gone, and its mark with it
        make_data(tmp_path, **SMALL, weeks=5)
    assert [f.name for f in (tmp_path / "truth").glob("*.json")] == ["unfinished.json"]
    assert len(list(tmp_path.glob("transactions*"))) == 2


def test_the_smallest_retailer_is_made(tmp_path: Path):  # C6
    make_data(tmp_path, customers=1, products=24, stores=1, weeks=3)
    assert len(list(tmp_path.glob("transactions_*.csv"))) == 3


def test_shop_weeks_follow_the_published_calendar():
    assert [shop_week_of(week) for week in (1, 46, 47, 98, 99, 117)] == [200607, 200652, 200701, 200752, 200801, 200819]


def test_draws_follow_their_weights():
    rng = np.random.default_rng(0)
    choices = Choices(np.array([[1.0, 0.0, 3.0], [0.0, 5.0, 0.0]]))
    drawn = choices.draw(np.repeat([0, 1], 4000), rng)
    assert np.bincount(drawn[:4000], minlength=3) / 4000 == pytest.approx([0.25, 0, 0.75], abs=0.03)
    assert set(drawn[4000:]) == {1}
    assert round_at_random(np.full(4000, 1.3), rng).mean() == pytest.approx(1.3, abs=0.03)


def test_first_distinct_items_of_each_owner():
    owner, item = np.array([0, 0, 0, 2, 2, 2, 2]), np.array([5, 5, 6, 6, 1, 6, 0])
    assert first_distinct(owner, item).tolist() == [0, 2, 3, 4, 6]
    assert first_distinct(owner, item, np.array([1, 0, 2])).tolist() == [0, 3, 4]
    assert rank_within(owner).tolist() == [0, 1, 2, 0, 1, 2, 3]


def test_a_week_without_a_trip_is_a_file_without_rows(tmp_path):
    flags = ["--customers", "1", "--stores", "1", "--products", "24", "--weeks", "12", "--output", str(tmp_path)]
    assert main(flags) == 0
    lines = {path.name: path.read_text().count("\n") for path in tmp_path.glob("transactions*.csv")}
    assert len(lines) == 12 and min(lines.values()) == 1 < max(lines.values())
