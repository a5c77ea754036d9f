"""`retailsim baselines` on the small shop: tuned on validation, kept, and stale when what they were made from changes."""

import json
import shutil

import numpy as np
import pytest

from retailsim.artifacts import BASELINE_RANKS, BASELINE_SETTINGS
from retailsim.errors import UserError
from retailsim.evaluation.line_up import LINE_UP, SPEAKS_OF_BASKETS, by_question
from retailsim.evaluation.settings import DEFAULTS, Settings
from retailsim.evaluation.tuning import GRIDS
from retailsim.reading import load_vocabulary
from retailsim.training import baseline_ranks, baselines, blend_ranks
from retailsim.training.protocol import load_protocol
from tests import recipe


@pytest.fixture(scope="module")
def tuned(shop, tmp_path_factory):
    """A data root with the shop's files, on which the command has run."""
    root = tmp_path_factory.mktemp("tuned")
    for name in ("processed", "tensors", "training"):
        (root / name).symlink_to(shop.data / name)
    assert recipe.call("training.baselines", ["--data-dir", root], shop) == 0
    return root


def test_the_best_trial_of_each_setting_is_kept(tuned):  # C33
    record = json.loads((tuned / BASELINE_SETTINGS.path).read_text())
    settings = Settings.from_json(record["settings"])
    assert settings == baseline_ranks.tuned_settings(tuned)
    for method, grid in GRIDS.items():
        trials = [trial for trial in record["trials"] if trial["method"] == method]
        last = list(grid)[-1]
        best = max(trials, key=lambda trial: trial["mrr"])
        assert best["value"] == getattr(settings, best["setting"]) or best["setting"] != last
        assert {trial["setting"] for trial in trials} == set(grid)


def test_what_is_kept_is_what_the_tuned_methods_rank(tuned):
    protocol = load_protocol(tuned, "val", load_vocabulary(tuned))
    kept = baseline_ranks.kept_ranks(tuned, "val")
    shown, before = by_question(kept)
    assert list(shown) == list(LINE_UP) and list(before) == [name for name in LINE_UP if name not in SPEAKS_OF_BASKETS]
    again = baseline_ranks.rank_line_up(tuned, "val", protocol, ["store popularity", "EASE"], lambda name: None)
    for name, ranks in again.items():
        assert np.array_equal(kept[name].overall, ranks.overall), name
        assert np.array_equal(kept[name].novel, ranks.novel, equal_nan=True), name
    assert baseline_ranks.fit_end_of(tuned, "val") == 20  # nothing of the validation weeks is fitted


def test_a_second_run_fits_nothing(tuned, shop, monkeypatch, capsys):
    monkeypatch.setattr(baseline_ranks, "LINE_UP", {})  # whatever is fitted now fails
    assert recipe.call("training.baselines", ["--data-dir", tuned], shop) == 0
    assert "EASE with histories" in capsys.readouterr().out


def test_other_code_makes_them_stale(tuned, monkeypatch):
    monkeypatch.setattr(baseline_ranks, "CODE", ("vocab.py",))
    assert baseline_ranks.tuned_settings(tuned) is None
    assert baseline_ranks.kept_ranks(tuned, "val") == {}


def test_no_more_baskets_are_tuned_on_than_are_asked_for(tuned, monkeypatch):
    protocol = load_protocol(tuned, "val", load_vocabulary(tuned))
    asked = []

    def tune(market, hidden, fit_end, on_trial):
        asked.append(len(hidden.week))
        raise UserError("enough")

    monkeypatch.setattr(baseline_ranks, "tune", tune)
    n = len(protocol.samples)
    for most in (n - 1, n, n + 1):
        monkeypatch.setattr(baseline_ranks, "TUNING_BASKETS", most)
        with pytest.raises(UserError, match="enough"):
            baseline_ranks.tune_settings(tuned, protocol, lambda trial: None)
    assert asked == [(n + 1) // 2, n, n]


@pytest.mark.parametrize("blend_follows", [False, True])
def test_a_blend_of_other_code_does_not_go_without_a_word(tuned, tmp_path, monkeypatch, capsys, blend_follows):  # C33
    root = shutil.copytree(tuned, tmp_path / "data", symlinks=True)
    ranks = baseline_ranks.kept_ranks(root, "val")
    baseline_ranks.keep_ranks(root, "val", {**ranks, "blend, trip known": ranks["EASE"]})
    protocol = load_protocol(root, "val", load_vocabulary(root))
    monkeypatch.setattr(baseline_ranks, "LINE_UP", {"popularity": LINE_UP["popularity"]})
    capsys.readouterr()
    assert "blend, trip known" in baseline_ranks.line_up_ranks(root, "val", protocol)
    assert "blend" not in capsys.readouterr().err  # it is kept
    monkeypatch.setattr(baseline_ranks, "CODE", ("vocab.py",))
    for warnings in (0 if blend_follows else 1, 0):  # the second time it is as if there had never been one
        assert "blend, trip known" not in baseline_ranks.line_up_ranks(root, "val", protocol, blend_follows)
        said = capsys.readouterr().err
        assert said.count("the blend that was kept of val is of other data or code") == warnings
        assert said.count(f"retailsim baselines --blend --data-dir {root}") == warnings


def test_ranks_that_cannot_be_read_say_nothing_of_a_blend(tuned, tmp_path, monkeypatch, capsys):
    root = shutil.copytree(tuned, tmp_path / "data", symlinks=True)
    (root / BASELINE_RANKS["val"].path).write_bytes(b"damaged")
    monkeypatch.setattr(baseline_ranks, "LINE_UP", {"popularity": LINE_UP["popularity"]})
    capsys.readouterr()
    assert list(baseline_ranks.line_up_ranks(root, "val", load_protocol(root, "val", load_vocabulary(root)))) == [
        "popularity", "popularity, before the trip",
    ]  # fmt: skip
    assert "blend" not in capsys.readouterr().err


def test_settings_survive_the_file():
    assert Settings.from_json(json.loads(json.dumps(DEFAULTS.to_json()))) == DEFAULTS


def test_the_ranker_is_taught_on_the_weeks_asked_for_and_no_later(shop):  # C19 C33
    taught = blend_ranks.hidden_between(shop.data, blend_ranks.EARLIER["test"], 18, 24)
    assert [set(hidden.week.tolist()) for hidden in taught] == [{19, 20}, {21, 22, 23, 24}]


def test_of_more_baskets_than_are_taught_evenly_spaced_ones_are_taken(shop, monkeypatch):
    (everything,) = blend_ranks.hidden_between(shop.data, ["val"], 20, 24)
    monkeypatch.setattr(blend_ranks, "BASKETS", len(everything.week) // 2)
    (some,) = blend_ranks.hidden_between(shop.data, ["val"], 20, 24)
    assert np.array_equal(some.week, everything.week[:: 2 + len(everything.week) % 2])


def test_the_blend_of_the_test_weeks_is_kept_though_that_of_validation_is_given_up(tuned, shop, monkeypatch, tmp_path):
    def rank_blend(root, split, protocol, on_step):
        if split == "val":
            raise UserError("given up")
        return {"blend, trip known": baseline_ranks.kept_ranks(root, split)["EASE"]}

    root = shutil.copytree(tuned, tmp_path / "data", symlinks=True)
    monkeypatch.setattr(baselines, "rank_blend", rank_blend)
    assert recipe.call("training.baselines", ["--blend", "--data-dir", root], shop) == 2
    assert "blend, trip known" in baseline_ranks.kept_ranks(root, "test")
    assert list(by_question(baseline_ranks.kept_ranks(root, "val"))[0]) == list(LINE_UP)


@pytest.mark.slow
def test_the_blend_is_kept_beside_the_others_and_printed(tuned, shop, capsys):  # C33
    before = baseline_ranks.kept_ranks(tuned, "test")
    assert recipe.call("training.baselines", ["--blend", "--data-dir", tuned], shop) == 0
    assert "blend, trip known" in capsys.readouterr().out
    kept = baseline_ranks.kept_ranks(tuned, "test")
    shown, unseen = by_question(kept)
    assert list(shown) == [*LINE_UP, "blend, trip known", "blend, trip unknown"]
    assert list(unseen) == [*(name for name in LINE_UP if name not in SPEAKS_OF_BASKETS), "blend"]
    assert np.isfinite(unseen["blend"].overall).any()
    assert all(np.array_equal(kept[name].overall, ranks.overall) for name, ranks in before.items())
    for of in ("overall", "novel"):
        ranked = [np.isfinite(getattr(kept[name], of)) for name in ("blend, trip unknown", "EASE")]
        assert np.array_equal(*ranked) and ranked[0].any()
