"""C24: the audit on the small shop: its exit code and report, and each rule of the rebuilt road with its leak put back."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from retailsim.artifacts import CALENDAR, COMPANION_WEIGHTS, SUCCESSOR_IDS, TRANSACTIONS
from retailsim.data_pipeline.run_pipeline import prepare_transactions
from retailsim.errors import UserError
from retailsim.feature_engineering import customer_histories
from retailsim.reading import load_calendar
from retailsim.sources.mapping import load_mapping, parse_mapping, plain_mapping
from retailsim.sources.read import read_transactions
from retailsim.sources.sample import sample_customers
from retailsim.storage import Table, connect
from retailsim.tensor_preparation import run_tensor_preparation, t1_customer, t4_prices
from retailsim.training import audit, audit_rebuild
from retailsim.training.audit_future import future_rule, learned_rule, order_rule
from retailsim.training.audit_rebuild import ROAD, Shop, rebuild, take_receipts, with_another_future, write_raw
from retailsim.weeks import Calendar
from tests import recipe, retailers

FUTURE = 26


def audited(shop, *flags):
    return recipe.call("training.audit", ["--input", "RAW", "--data-dir", shop.data, *flags], shop)


@pytest.fixture
def not_rebuilt(shop, monkeypatch):
    """The road is walked in another test; here its end is the shop's own, whatever was changed."""

    def copy(made, calendar, seed):
        shutil.copytree(shop.data, made.root)
        return made

    monkeypatch.setattr(audit, "rebuild", copy)


def test_a_change_that_reaches_nothing_proves_nothing(shop, trained, not_rebuilt, tmp_path, capsys):
    """Rules whose check could not have failed say "not run", and the model's own rules pass."""
    path = tmp_path / "audit.json"
    assert audited(shop, "--checkpoint", trained / "best_model.pt", "--json", path) == 0
    record = json.loads(path.read_text())
    states = {rule["rule"]: rule["state"] for rule in record["rules"]}
    assert states["fit-on-train"] == "not run" and states["target-blind"] == states["label-in-input"] == "pass"
    assert [state for rule, state in states.items() if rule.startswith("future-shuffle")] == ["not run"]
    assert record["passed"] and record["rows"] > 5_000
    assert "best_model.pt" in next(rule["evidence"] for rule in record["rules"] if rule["rule"] == "target-blind")
    assert "rows of whole customers, run through the road again" in capsys.readouterr().out


def test_a_rule_that_fails_is_exit_code_1(shop, not_rebuilt, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "retailsim.training.audit_receipts.TWO_PLACES_LIMIT", 0.0
    )  # one customer of the shop is in two stores in an hour
    assert audited(shop, "--json", tmp_path / "audit.json") == 1
    record = json.loads((tmp_path / "audit.json").read_text())
    assert not record["passed"]
    assert [rule["rule"] for rule in record["rules"] if rule["state"] == "fail"] == ["two places at once"]


def test_a_missing_source_is_one_sentence(shop, tmp_path, capsys):  # C39
    flags = ["--input", tmp_path / "nowhere", "--data-dir", shop.data]
    assert recipe.call("training.audit", flags, shop) == 2
    assert "nowhere does not exist" in capsys.readouterr().err


def test_the_source_is_that_of_the_pipeline_when_it_is_left_out(shop, not_rebuilt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "audit.json"
    assert recipe.call("training.audit", ["--data-dir", shop.data, "--json", path], shop) == 0
    assert json.loads(path.read_text())["rows"] > 5_000


@pytest.mark.parametrize(
    "val, test, weeks",
    [
        ([21, 22, 24], [25, 26, 27], {25, 26}),
        ([21, 22, 24], [25, 25], {21, 22, 24}),  # one test week: it is the future of the validation weeks
        ([], [25, 25], set()),
        ([], [], set()),
    ],
)
def test_the_week_whose_future_is_changed_has_one(val, test, weeks):
    found = [audit.sampled_weeks(np.array(val), np.array(test), seed) for seed in range(20)]
    assert {week for drawn in found for week in drawn} == weeks
    assert {len(drawn) for drawn in found} == {min(len(weeks), 1)}


def test_where_no_week_has_a_future_the_audit_says_so(shop, not_rebuilt, tmp_path):
    _, findings = audit.rebuilt_rules(shop.raw, 500, shop.data, load_calendar(shop.data), [], tmp_path)
    (finding,) = [finding for finding in findings if finding.rule == "future-shuffle"]
    assert finding.state == "not run" and "fewer than two weeks" in finding.evidence


def test_a_small_sample_begins_in_the_first_week(shop):
    """Five rows are one customer, who does not shop in the first week; another one does, and is there whole."""
    engine, calendar = connect(), load_calendar(shop.data)
    rows = read_transactions(shop.raw, engine)
    alone, taken = sample_customers(rows, 5), take_receipts(shop.raw, 5, engine, calendar)
    week = audit_rebuild.week_of
    assert alone.select(week=week(alone, calendar)).week.min().execute() > 1
    assert taken.select(week=week(taken, calendar)).week.min().execute() == 1
    assert taken.count().execute() == taken.distinct().count().execute()
    customers, baskets = taken.customer_id.nunique().execute(), taken.basket_id.nunique().execute()
    whole = rows.semi_join(taken.filter(taken.customer_id.notnull()), "customer_id")
    assert customers <= 2 and whole.semi_join(taken, "basket_id").count().execute() == whole.count().execute()
    assert baskets > alone.basket_id.nunique().execute()
    enough = take_receipts(shop.raw, 3_000, connect(), calendar)
    assert enough.count().execute() == sample_customers(rows, 3_000).count().execute()  # nobody is added


def test_a_sample_that_counts_other_weeks_is_refused(shop):
    whole = load_calendar(shop.data)
    audit_rebuild.refuse_other_weeks(Calendar(whole.first_monday, whole.last_week - 1, 20, 24), whole)
    later = Calendar(whole.first_monday + timedelta(weeks=2), 10, 20, 24)
    with pytest.raises(UserError, match="--nrows takes receipts of weeks 3–12 only, and the data's are 1–30: give a"):
        audit_rebuild.refuse_other_weeks(later, whole)
    with pytest.raises(UserError, match="weeks 1–24 only"):
        audit_rebuild.refuse_other_weeks(Calendar(whole.first_monday, 24, 20, 24), whole)


@pytest.mark.parametrize("artifact", [COMPANION_WEIGHTS, SUCCESSOR_IDS], ids=lambda artifact: artifact.path)
def test_companions_of_other_baskets_fail(shop, tmp_path, artifact):  # C19
    shutil.copytree(shop.data, tmp_path / "data")
    artifact.write(tmp_path / "data", artifact.read(shop.data) * 2)
    finding = learned_rule(shop.data, tmp_path / "data", 20)
    assert (finding.state, finding.examples) == ("fail", (artifact.path,))


def test_mapped_receipts_are_the_same_under_our_names(shop, tmp_path):  # C2
    """What the audit writes of receipts that came through a mapping, and what the first stage makes of it."""
    mapping, engine = load_mapping("instacart"), connect()
    retailers.instacart(shop.raw, tmp_path / "raw")
    prepare_transactions(tmp_path / "raw", None, tmp_path / "once", (20, 24), mapping)
    receipts = take_receipts(tmp_path / "raw", 10**9, engine, load_calendar(tmp_path / "once"), mapping)
    write_raw(receipts, tmp_path / "again.parquet", engine, "shuffled", mapping)
    plain = parse_mapping(plain_mapping(mapping), "plain.yaml")
    prepare_transactions(tmp_path / "again.parquet", None, tmp_path / "again", (20, 24), plain)
    for artifact in (TRANSACTIONS, CALENDAR):
        assert artifact.at(tmp_path / "once").read_bytes() == artifact.at(tmp_path / "again").read_bytes()


@pytest.fixture(scope="module")
def rebuilt(shop, tmp_path_factory):
    """The roots that the audit compares, by name, and the findings of one whole run of it."""
    folder = tmp_path_factory.mktemp("audit")
    calendar = load_calendar(shop.data)
    with recipe.few_epochs():
        _, findings = audit.rebuilt_rules(shop.raw, 10_000, shop.data, calendar, [FUTURE], folder)
    names = {"base": "as it is", "order": "shuffled", "fit": "other test weeks", "future": f"from week {FUTURE}"}
    shops = {key: Shop(folder / name / "transactions.parquet", folder / name / "data") for key, name in names.items()}
    return shops, {finding.rule: finding for finding in findings}


@pytest.fixture
def again(shop, rebuilt, tmp_path, monkeypatch):
    """Walks the last `verbs` of the road again from copies of two of the roots, as the code is now; gives the roots."""

    def walk(one: str, other: str, verbs: tuple[str, ...]) -> list[Path]:
        monkeypatch.setattr(audit_rebuild, "ROAD", verbs)
        made = []
        for name in (one, other):
            shutil.copytree(rebuilt[0][name].root, tmp_path / name)
            copy = Shop(rebuilt[0][name].raw, tmp_path / name)
            for manifest in copy.root.rglob("*.manifest.json"):
                if manifest.name.split(".")[0].replace("_", "-") in verbs:
                    manifest.unlink()  # so that the stage runs again
            with recipe.few_epochs():
                made.append(rebuild(copy, load_calendar(shop.data), 0).root)
        return made

    return walk


@pytest.mark.slow
def test_the_road_as_it_is_passes(rebuilt):  # C19, C21, C40
    _, findings = rebuilt
    assert {rule: finding.state for rule, finding in findings.items()} == {
        "order-blind": "pass", "fit-on-train": "pass", f"future-shuffle, week {FUTURE}": "pass",
    }  # fmt: skip
    assert "later baskets did move" in findings[f"future-shuffle, week {FUTURE}"].evidence
    assert "products that only the changed weeks know stayed outside" in findings["fit-on-train"].evidence


@pytest.mark.slow
def test_the_rules_see_what_does_move(rebuilt):
    """A boundary a week too late: what the change touched is found, in tables and in tensors."""
    shops, _ = rebuilt
    finding = future_rule(shops["base"].root, shops["future"].root, FUTURE + 1)
    assert finding.state == "fail" and finding.examples[0].startswith("processed/transactions.parquet: ")
    assert learned_rule(shops["base"].root, shops["fit"].root, 20).state == "pass"
    assert order_rule(shops["base"].root, shops["fit"].root).state == "fail"


@pytest.mark.slow
def test_a_frame_that_holds_the_week_itself_fails(again, monkeypatch):  # C19
    monkeypatch.setattr(customer_histories, "as_of_sums", recipe.leaky_sums)
    finding = future_rule(*again("base", "future", ROAD[1:]), FUTURE)
    assert finding.state == "fail" and any("customer_embeddings" in example for example in finding.examples)


@pytest.mark.slow
def test_prices_of_the_week_itself_fail(again, monkeypatch):  # C19
    """A leak in the cache alone, which no table shows: each week's T4 is that of the week after."""
    honest = t4_prices.build

    def leaky(*inputs):
        prices, last_prices = honest(*inputs)
        prices[:, :-1], last_prices[:, :-1] = prices[:, 1:].copy(), last_prices[:, 1:].copy()
        return prices, last_prices

    monkeypatch.setattr(t4_prices, "build", leaky)
    finding = future_rule(*again("base", "future", ROAD[4:]), FUTURE)
    assert finding.state == "fail" and all(
        example.startswith("basket ") and "t4" in example for example in finding.examples
    )


@pytest.mark.slow
def test_a_vocabulary_of_all_weeks_fails(again, monkeypatch):  # C19
    honest = run_tensor_preparation.list_products
    monkeypatch.setattr(
        run_tensor_preparation,
        "list_products",
        lambda rows, calendar: honest(rows.mutate(week=rows.week * 0 + 1), calendar),
    )
    finding = learned_rule(*again("base", "fit", ROAD[2:3]), 20)
    assert (finding.state, finding.examples) == ("fail", ("tensors/vocabulary.parquet",))


@pytest.mark.slow
def test_scalers_of_all_weeks_fail(again, monkeypatch):  # C19
    honest = t1_customer.fit

    def leaky(customers, affinity, missions, calendar, engine):
        return honest(customers, affinity, missions, type(calendar)(calendar.first_monday, 30, 29, 30), engine)

    monkeypatch.setattr(t1_customer, "fit", leaky)
    finding = learned_rule(*again("base", "fit", ROAD[2:3]), 20)
    assert (finding.state, finding.examples) == ("fail", ("tensors/scalers.json",))


@pytest.mark.slow
def test_a_table_in_the_order_of_its_source_fails(again, monkeypatch):  # C21
    honest = Table.write
    monkeypatch.setattr(
        Table, "write", lambda self, root, table, engine, order_by: honest(self, root, table, engine, order_by[:1])
    )
    finding = order_rule(*again("base", "order", ROAD[:1]))
    assert finding.state == "fail" and "processed/transactions.parquet" in finding.examples


@pytest.mark.slow
def test_what_another_future_changes(shop, tmp_path):
    """All rows before the week, and the kept baskets of the week, are there as they were; later ones are others."""
    engine, calendar = connect(), load_calendar(shop.data)
    rows = take_receipts(shop.raw, 10_000, engine, calendar)
    write_raw(rows, tmp_path / "a.parquet", engine)
    write_raw(with_another_future(rows, FUTURE, calendar, False), tmp_path / "b.parquet", engine)
    before, after = (engine.read_parquet(tmp_path / f"{name}.parquet") for name in "ab")
    assert before.count().execute() == after.count().execute()
    monday = f"{calendar.monday_of(FUTURE):%Y%m%d}"
    gone = before.difference(after)
    assert gone.SHOP_DATE.min().execute() >= monday
    after_that = f"{calendar.monday_of(FUTURE + 1):%Y%m%d}"
    later = before.filter(before["SHOP_DATE"] >= after_that)
    assert gone.semi_join(later, "BASKET_ID").count().execute() == later.count().execute()  # every later row moved
    assert before.PROD_CODE.nunique().execute() == after.PROD_CODE.nunique().execute()
