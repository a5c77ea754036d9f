"""What each tensor is worth: exchanged between baskets, missing since training; with a truth planted by construction."""

import json
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from retailsim.config import PRESETS, Config, TrainConfig
from retailsim.errors import UserError
from retailsim.evaluation.metrics import Metrics
from retailsim.model.basket_model import BasketModel
from retailsim.reading import load_vocabulary
from retailsim.training import ablation, ablation_runs
from retailsim.training.ablate import fresh
from retailsim.training.ablation_report import ablation_table, exchanged_record, retrained_record
from retailsim.training.ablation_runs import Trainer
from retailsim.training.dataset import make_batch
from retailsim.training.fabric import make_fabric
from retailsim.training.loop import fit
from retailsim.training.masking import Masking
from retailsim.training.protocol import load_protocol
from retailsim.training.run import Run
from retailsim.training.stopping import Stopped
from retailsim.vocab import EOS, Vocabulary
from tests import recipe
from tests.small_world import ROWS, SPECIALS, TINY, VOCAB_SIZE, make_model, make_samples, make_tables

LENGTHS = np.random.default_rng(0).integers(2, 9, 40)
COLUMNS = {"T1": {"customer_row"}, "T3": {"day", "hour", "recency"}, "T5": {"store_row"}}


@pytest.mark.parametrize("tensor", ablation.TENSORS)
def test_baskets_exchange_what_a_tensor_is_looked_up_by_and_nothing_else(tensor):  # C34
    samples = make_samples(LENGTHS)
    moved = ablation.exchange_columns(samples, tensor, seed=1)
    assert {n for n in samples.columns if not np.array_equal(samples.columns[n], moved.columns[n])} == COLUMNS.get(
        tensor, set()
    )
    assert np.array_equal(samples.trip, moved.trip) == (tensor != "T6")
    for one, other in ((samples, moved), (moved, ablation.exchange_columns(samples, tensor, seed=1))):
        rows = [
            sorted(zip(*(s.columns[n] for n in sorted(COLUMNS.get(tensor, {"week"}))), strict=True))
            for s in (one, other)
        ]
        assert rows[0] == rows[1]  # whole rows are exchanged, none is lost, the same by the same seed


def test_no_basket_keeps_its_own():  # C34
    """But one that is alone in its week, where the exchange is within weeks."""
    samples = make_samples(LENGTHS)
    week = np.repeat([3, 5, 6, 9], [1, 2, 7, 30])
    samples = replace(
        samples, columns={**samples.columns, "week": week, "store_row": np.arange(40), "day": np.arange(40)}
    )
    for tensor, name in (("T5", "store_row"), ("T3", "day")):
        moved = ablation.exchange_columns(samples, tensor, seed=1).columns[name]
        stays = np.flatnonzero(moved == np.arange(40))
        assert stays.tolist() == ([0] if tensor == "T5" else [])
        assert tensor == "T3" or (week[moved] == week).all()


@pytest.mark.parametrize("tensor", ["T2", "T4"])
def test_visible_places_exchange_rows_and_hidden_ones_keep_theirs(tensor):  # C20 C34
    samples, model = make_samples(LENGTHS), make_model(make_tables())
    batch = make_batch(samples, np.arange(40), Masking(VOCAB_SIZE, is_evaluation=True))
    before = model.lookup(batch)
    with ablation.exchanged_rows(model.lookup, tensor, seed=1):
        within = model.lookup(batch)
    after, visible, name = model.lookup(batch), batch.ids > EOS, tensor.lower()
    for field in ("t1", "t2", "t3", "t4", "t5", "t6"):
        assert torch.equal(getattr(before, field), getattr(within, field)) == (field != name)
        assert torch.equal(getattr(before, field), getattr(after, field))
    old, new = getattr(before, name), getattr(within, name)
    assert torch.equal(old[~visible], new[~visible])
    assert torch.equal(old[visible].sort(0).values, new[visible].sort(0).values)


def test_what_is_missing_says_nothing():  # C34
    samples, tables = make_samples(LENGTHS), make_tables()
    missing = ("T1", "T2", "T3", "T4", "T5")
    config = ablation.without_config(Config(model=TINY), ("T2", "T6"))
    assert config.train.hide_trip_prob == 1.0 and not config.model.learned_products
    model = BasketModel(config.model, ablation.without_tables(tables, missing), VOCAB_SIZE)
    assert not model.lookup.correction.weight.requires_grad
    masking = Masking(VOCAB_SIZE, is_evaluation=True)
    six = model.lookup(make_batch(ablation.without_samples(samples, missing), np.arange(40), masking))
    for name in ("t1", "t3", "t5", "t6"):
        rows = getattr(six, name)
        assert torch.equal(rows, rows[:1].expand_as(rows)), name
    visible = make_batch(samples, np.arange(40), masking).ids > EOS
    assert not six.t2[visible].any()
    assert not six.t4[visible].any()


def test_drops_are_shares_of_the_whole_models_figures():
    whole, worse = np.array([1.0, 1, 2, 4, 20, 1]), np.array([1.0, 2, 2, 4, 20, 20])
    record = exchanged_record({None: whole, "T1": worse, "T5": whole}, np.arange(6), seed=0)
    drops = record["tensors"]["T1"]["drops"]
    assert drops["top1"]["drop"] == pytest.approx(2 / 3) and record["tensors"]["T1"]["claim"] == 0.15
    low, high = drops["top1"]["interval"]
    assert 0 <= low < 2 / 3 < high
    assert record["tensors"]["T5"]["drops"]["mrr"] == {"drop": 0, "interval": [0, 0]}


def test_synergy_is_what_all_add_beyond_the_sum_of_each_alone():
    def level(mrr):
        return [{name: mrr + d for name in ("top1", "top5", "top10", "mrr", "ndcg10")} for d in (-0.01, 0.01)]

    runs = {"full": level(0.5), "without all": level(0.1), **{f"without {t}": level(0.4) for t in ablation.TENSORS}}
    runs |= {f"only {tensor}": level(0.1 + 0.01 * i) for i, tensor in enumerate(ablation.TENSORS)}
    record = retrained_record(runs)
    assert record["runs"]["full"]["metrics"]["mrr"]["sd"] == pytest.approx(np.sqrt(2) * 0.01)
    by_seed = np.array([0.1 / 0.49, 0.1 / 0.51])  # what each seed lost, as a share of its whole model's
    half = 12.7062 * by_seed.std(ddof=1) / np.sqrt(2)  # Student's with one degree of freedom
    found = record["runs"]["without T2"]["metrics"]["mrr"]
    assert found["drop"] == pytest.approx(by_seed.mean())
    assert found["interval"] == pytest.approx([by_seed.mean() - half, by_seed.mean() + half], rel=1e-4)
    assert (
        retrained_record({run: seeds[:1] for run, seeds in runs.items()})["runs"]["full"]["metrics"]["mrr"]["interval"]
        is None
    )
    assert record["synergy"]["mrr"]["synergy"] == pytest.approx(0.4 - 0.15)
    drops = {name: {"drop": 0.1, "interval": [0.05, 0.2]} for name in ("top1", "mrr")}
    exchanged = {"tensors": {tensor: {"drops": drops, "claim": 0.15} for tensor in ablation.TENSORS}}
    *_, claims, alone = ablation_table({"exchanged": exchanged, "retrained": record}).columns
    assert list(claims.cells) == ["-15.0%"] * 6 and list(alone.cells) == [f"+0.0{i}00" for i in range(6)]
    assert len(ablation_table({"exchanged": exchanged}).columns) == 5


def habits(n, seed):
    """Baskets of two: the hidden product is the customer's favourite, the visible one and everything else is by chance."""
    samples = make_samples(np.full(n, 2), seed)
    favourite = SPECIALS + samples.columns["customer_row"]
    other = np.random.default_rng(seed).integers(SPECIALS + 40, VOCAB_SIZE, n)
    return replace(samples, products=np.stack([favourite, other], axis=1).ravel())


def hits(model, samples):
    """Share of favourites that are the likeliest product."""
    batch = make_batch(samples, np.arange(len(samples)), Masking(VOCAB_SIZE, hide_trip_prob=0.0, is_evaluation=True))
    with torch.no_grad():
        return float((model(batch).product_logits.argmax(1) == batch.targets).float().mean())


@pytest.mark.slow
def test_the_tensor_that_decides_costs_most_and_the_others_little(tmp_path):  # C34
    ids = [f"P{i:03d}" for i in range(ROWS - SPECIALS)]
    vocabulary = Vocabulary(ids[: VOCAB_SIZE - SPECIALS], ids[VOCAB_SIZE - SPECIALS :])
    setting = TrainConfig(
        epochs=12, warmup_epochs=0, finetune_epochs=0, batch_size=64, learning_rate=4e-3, mask_prob=0.5
    )
    config, asked = Config("tiny", TINY, setting), habits(200, seed=2)

    def trained(*missing):
        run = Run(tmp_path / "-".join(("run", *missing)), make_fabric("cpu"))
        run.checkpoint_dir.mkdir()
        samples = (ablation.without_samples(habits(n, seed), missing) for n, seed in ((800, 0), (100, 1)))
        tables = ablation.without_tables(make_tables(), missing)
        one = ablation.without_config(config, missing)
        return fit(one, tables, vocabulary, *samples, run, None, None, lambda *done: None, lambda report: None).eval()

    model = trained()
    whole = hits(model, asked)
    lost = {t: whole - hits(model, ablation.exchange_columns(asked, t, seed=0)) for t in ("T1", "T3", "T5", "T6")}
    with ablation.exchanged_rows(model.lookup, "T2", seed=0):
        lost["T2"] = whole - hits(model, asked)
    assert whole > 0.8 and lost.pop("T1") > 0.6
    assert max(lost.values()) < 0.2, lost
    assert hits(trained("T1"), ablation.without_samples(asked, ("T1",))) < 0.2
    assert hits(trained("T5"), ablation.without_samples(asked, ("T5",))) > 0.8


def test_ablate_says_what_each_tensor_is_worth_beside_the_claims(shop, trained, tmp_path, capsys):  # C34
    path = tmp_path / "ablation.json"
    flags = [trained / "best_model.pt", "--data-dir", shop.data, "--json", path]
    assert recipe.call("training.ablate", flags, shop) == 0
    record = json.loads(path.read_text())
    assert list(record["exchanged"]["tensors"]) == list(ablation.TENSORS)
    printed = capsys.readouterr().out
    assert "document claims" in printed and "-40.0%" in printed
    assert record["baskets"] == 220


def test_baskets_are_evenly_spaced_no_more_than_asked_for_and_no_fewer_than_two(shop, trained, capsys):  # C34 C39
    protocol = load_protocol(shop.data, "test", load_vocabulary(shop.data))
    new = np.flatnonzero(~protocol.samples.columns["is_replay"])
    for most, step in ((None, 1), (len(new), 1), (len(new) - 1, 2), (2, (len(new) + 1) // 2)):
        taken = fresh(protocol, most).samples.columns["basket_id"]
        assert taken.tolist() == protocol.samples.columns["basket_id"][new[::step]].tolist()
    alone = protocol.select(np.arange(len(protocol.samples)) == new[0])
    with pytest.raises(UserError, match="repeat no earlier one: 1, and fewer than 2 can exchange nothing"):
        fresh(alone, None)
    flags = [trained / "best_model.pt", "--data-dir", shop.data, "--max-baskets", "1"]
    assert recipe.call("training.ablate", flags, shop) == 2
    assert "--max-baskets 1: give at least 2" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", '{"key": {}, "metr', "[]", '{"metrics": null}'])
def test_a_damaged_result_is_trained_anew(shop, tmp_path, monkeypatch, text):  # C34 C39
    vocabulary = load_vocabulary(shop.data)
    trainer = Trainer(
        shop.data, tmp_path, vocabulary, load_protocol(shop.data, "test", vocabulary), PRESETS["tiny"], "cpu"
    )
    (tmp_path / "full_seed0").mkdir()
    (tmp_path / "full_seed0" / "result.json").write_text(text)
    monkeypatch.setattr(trainer, "_train", lambda *arguments: None)
    monkeypatch.setattr(trainer, "_measure", lambda *arguments: {"mrr": 0.25})
    said = []
    for _ in range(2):
        assert trainer.result("full", (), 0, said.append, lambda *step: None) == {"mrr": 0.25}
    assert said == ["full, seed 0: training", "full, seed 0: kept"]
    kept = json.loads((tmp_path / "full_seed0" / "result.json").read_text())
    del kept["key"]["optimizer"]  # of a version in which other weights shrank
    (tmp_path / "full_seed0" / "result.json").write_text(json.dumps(kept))
    trainer.result("full", (), 0, said.append, lambda *step: None)
    assert said[2:] == ["full, seed 0: training"]


def test_a_run_that_is_stopped_goes_on_and_ends_as_if_it_had_not_been(shop, tmp_path, monkeypatch):  # C28 C34
    vocabulary = load_vocabulary(shop.data)
    protocol = fresh(load_protocol(shop.data, "test", vocabulary), 60)
    config = PRESETS["tiny"].with_train(epochs=1, warmup_epochs=0, finetune_epochs=0)
    said = []

    def metrics_in(name, on_step):
        trainer = Trainer(shop.data, tmp_path / name, vocabulary, protocol, config, "cpu")
        return trainer.result("without T4", ("T4",), 1, said.append, on_step)

    def stop(title, done, total):
        assert title == "without T4, seed 1, epoch 1/1"
        if done == 2:
            raise Stopped(signal.SIGINT)

    with pytest.raises(Stopped):
        metrics_in("stopped", stop)
    steps = []
    assert metrics_in("stopped", lambda title, done, total: steps.append(done)) == metrics_in(
        "whole", lambda *step: None
    )
    assert steps[0] == 3
    kept = metrics_in("stopped", lambda *step: pytest.fail("trained again"))
    assert said == [f"without T4, seed 1: {word}" for word in ("training", "going on", "training", "kept")]
    monkeypatch.setattr(ablation_runs.checkpoints, "FORMAT", 0)  # what another program trained is not kept
    assert metrics_in("stopped", lambda *step: None) == kept and said[-1].endswith("training")
    config = config.with_train(learning_rate=1e-4)
    assert metrics_in("stopped", lambda *step: None) != kept and said[-1].endswith("training")


def test_ctrl_c_says_how_to_go_on(shop, trained, tmp_path, monkeypatch, capsys):  # C29
    def stopped(*arguments):
        raise Stopped(signal.SIGINT)

    monkeypatch.setattr(ablation_runs, "fit", stopped)
    flags = [trained / "best_model.pt", "--data-dir", shop.data, "--retrain", "--max-baskets", "20", "--epochs", "1"]
    assert recipe.call("training.ablate", [*flags, "--checkpoint-dir", tmp_path], shop) == 130
    assert "SIGINT: saved; the same command goes on from here" in capsys.readouterr().out


@pytest.mark.slow
def test_runs_that_are_done_are_not_trained_again(shop, trained, tmp_path, monkeypatch, capsys):  # C34
    flags = [trained / "best_model.pt", "--data-dir", shop.data, "--retrain", "--seeds", "1", "--epochs", "1"]
    flags += ["--max-baskets", "100"]
    flags += ["--checkpoint-dir", tmp_path / "runs", "--json", tmp_path / "ablation.json"]
    assert recipe.call("training.ablate", flags, shop) == 0
    record = json.loads((tmp_path / "ablation.json").read_text())
    assert list(record["retrained"]["runs"]) == ["full", *(f"without {tensor}" for tensor in ablation.TENSORS)]
    monkeypatch.setattr(ablation_runs, "fit", None)  # whatever is trained now fails
    assert recipe.call("training.ablate", flags, shop) == 0
    assert capsys.readouterr().out.count(": kept") == 7
    assert json.loads((tmp_path / "ablation.json").read_text()) == record
    flags[flags.index("--max-baskets") + 1] = "50"  # other baskets: measured again, not trained again
    assert recipe.call("training.ablate", flags, shop) == 0
    assert capsys.readouterr().out.count(": measured on other baskets") == 7
    assert json.loads((tmp_path / "ablation.json").read_text())["retrained"] != record["retrained"]
    assert set(Metrics.from_ranks(np.array([1.0])).to_json()) >= set(record["retrained"]["runs"]["full"]["metrics"])
