"""`retailsim report` on the trained small shop: sections, what is missing is said, mistakes are sentences (C35, C39)."""

import inspect
import json
import re
import shutil
import subprocess
from datetime import date
from html import unescape

import pyarrow.parquet as pq
import pytest

from retailsim.artifacts import SAMPLE_TABLES
from retailsim.config import PRESETS
from retailsim.errors import UserError
from retailsim.manifest import fingerprint
from retailsim.report.ablation_section import ablation
from retailsim.report.belief_sections import breakdowns, calibration
from retailsim.report.model_sections import metrics, verdict
from retailsim.report.page import Figure
from retailsim.report.report import EVALUATION, KINDS, TRAINING_FLAGS, main, read_figures, training_command, weeks_of
from retailsim.training.train import configure, train
from retailsim.weeks import Calendar
from tests import recipe

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ALONE = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--virtual-time-budget=20000",
]  # fmt: skip


@pytest.fixture(scope="module")
def evaluated(shop, trained, tmp_path_factory):
    """A folder with the checkpoint and its evaluation."""
    folder = tmp_path_factory.mktemp("evaluated")
    for name in ("best_model.pt", "metrics.jsonl"):
        shutil.copy(trained / name, folder / name)
    flags = [folder / "best_model.pt", "--json", folder / "evaluation_test.json", "--data-dir", shop.data]
    assert recipe.call("training.evaluate", flags, shop) == 0
    return folder


@pytest.fixture(scope="module")
def page(shop, evaluated):
    flags = [evaluated / "best_model.pt", "--json", evaluated / "ablation.json", "--data-dir", shop.data]
    assert recipe.call("training.ablate", flags, shop) == 0
    output = evaluated / "page" / "report.html"
    assert main([str(evaluated / "best_model.pt"), "-o", str(output), "--data-dir", str(shop.data)]) == 0
    return output


def test_the_sections_and_what_they_say(page, evaluated):
    html = unescape(page.read_text(encoding="utf-8"))
    assert re.findall("<h2>(.*?)</h2>", html) == [
        "What was trained on what", "Training", "How good it is", "Where it is good", "Can its probabilities be believed",
        "What each tensor is worth", "Map of the products", "Prices and promotions", "One customer's story",
    ]  # fmt: skip
    found = json.loads((evaluated / "evaluation_test.json").read_text())
    top1 = f"{100 * found['views']['fresh']['trip_unknown']['top1']:.2f} %"
    assert f"<td>model, trip unknown</td><td class=number>{top1}</td>" in html
    assert all(f"<td>{name}</td>" in html for name in found["baselines"])
    assert "4 epochs; the best by validation loss is epoch" in html and "What spoke for " in html


def test_every_section_begins_with_how_to_read_it(page):
    html = unescape(page.read_text(encoding="utf-8"))
    readings = re.findall("<h2>.*?</h2><p>(.*?)</p>", html)
    assert len(readings) == 9 and all(len(text) > 60 and text.endswith((".", "?")) for text in readings)


def test_what_was_trained_on_what_is_of_this_data_and_this_training(page, shop):
    html = unescape(page.read_text(encoding="utf-8"))
    record = json.loads((shop.data / "processed/run_pipeline.manifest.json").read_text())
    assert f"processed/transactions.parquet {record['outputs']['transactions.parquet']}<" in html
    kinds = pq.read_table(shop.data / "tensors/vocabulary.parquet")["kind"].to_pylist()
    n, late = kinds.count("product"), kinds.count("late")
    assert f">{n:,} that can be predicted, {late:,} seen only after the training weeks<" in html


def test_the_command_trains_what_was_trained():
    assert set(TRAINING_FLAGS) == set(inspect.signature(train).parameters) & set(vars(PRESETS["tiny"].train))
    made = PRESETS["small"].with_train(epochs=7, seed=3, mask_prob=0.3)
    command = training_command("small", vars(made.train))
    assert command == "retailsim train --preset small --epochs 7 --mask-prob 0.3 --seed 3"
    assert configure("small", None, {"epochs": 7, "mask_prob": 0.3, "seed": 3}) == made


def test_the_weeks_are_those_that_the_checkpoint_knows():
    """Its receipts were split anew since: what it was trained and chosen on is not what the data says."""
    calendar = Calendar(date(2006, 4, 10), last_week=30, train_end=18, val_end=22)
    split = "30 weeks, of which those after 22 are the test's"
    assert (
        weeks_of(calendar, {"train_end": 20, "val_end": 24})
        == f"{split}; trained on those up to 20, chosen on those up to 24"
    )
    assert weeks_of(calendar, {}) == split  # of a version that did not say


@pytest.mark.parametrize(
    "low, high, said", [(0.01, 0.03, "is ahead of"), (-0.03, -0.01, "is behind"), (-0.01, 0.02, "cannot be told apart")]
)
def test_who_is_ahead_is_said_in_words(low, high, said):
    text = verdict("EASE", low, high)
    assert said in text and f"{low:+.4f} and {high:+.4f}" in text


@pytest.mark.parametrize("is_novel", [False, True])
def test_every_bar_has_the_interval_of_its_method(evaluated, is_novel):
    found = json.loads((evaluated / "evaluation_test.json").read_text())
    section = breakdowns(found) if is_novel else metrics(found, "")
    figure = [part for part in section.parts if isinstance(part, Figure)][-1]
    (bars,) = figure.data
    spans = {"model, trip unknown": found["intervals"]["fresh_trip_unknown"]["top10"]}
    spans |= {name: of["top10"] for name, of in found["intervals"]["baselines"].items()}
    if is_novel:
        spans = {name: of["top10"] for name, of in found["novel"]["intervals"].items()}
        assert bars["x"][::-1] == [100 * of["top10"] for of in found["novel"]["methods"].values()]
    ends = zip(bars["y"], bars["x"], bars["error_x"]["arrayminus"], bars["error_x"]["array"], strict=True)
    drawn = {name: [(x - low) / 100, (x + high) / 100] for name, x, low, high in ends}
    for name, span in spans.items():
        assert drawn[name] == pytest.approx(span) and span[0] < span[1]


def test_the_headline_weeks_have_a_verdict_of_their_own(evaluated):
    found = json.loads((evaluated / "evaluation_test.json").read_text())
    difference = found["intervals"]["difference"] | {"mrr": [0.0101, 0.0303]}
    clean = found["intervals"] | {"best_baseline": "EASE", "difference": difference}
    found |= {"replay_free_intervals": clean, "periods": {"replay_free": {"weeks": [25, 27]}}}
    fresh, ahead = metrics(found, "").parts[0].split(" (95 %). ")
    assert "with the trip unknown" in fresh and ahead.startswith("The model is ahead of the best baseline, EASE")
    assert "weeks 25–27" in ahead and "+0.0101 and +0.0303" in ahead
    for same in ({}, found["intervals"]):  # no such weeks, or no others than the fresh baskets'
        assert "weeks 25–27" not in metrics(found | {"replay_free_intervals": same}, "").parts[0]


def test_before_the_trip_stands_beside_the_baselines_that_can_be_asked(evaluated):
    found = json.loads((evaluated / "evaluation_test.json").read_text())
    before = found["before_trip"]
    *_, text, shown, _, _ = metrics(found, "").parts
    low, high = before["against_best"]["difference"]["mrr"]
    assert (
        "Before the trip" in text
        and f"{low:+.4f} and {high:+.4f}" in text
        and before["against_best"]["baseline"] in text
    )
    cells = re.findall("<td.*?>(.*?)</td>", shown)
    assert cells[::7] == ["model", *before["baselines"]]
    assert cells[4::7] == [f"{of['mrr']:.4f}" for of in (before["model"], *before["baselines"].values())]


@pytest.mark.parametrize(
    "beats, verdict",
    [
        (False, "does not beat both rivals on mission type."),
        (True, "it beats both rivals"),
        (None, "No label is known."),
    ],
)
def test_the_labels_stand_beside_both_rivals(evaluated, beats, verdict):
    found = json.loads((evaluated / "evaluation_test.json").read_text())
    label = {"accuracy": 0.5, "majority": 0.25, "regression": 0.625, "n": 1234, "beats_both": beats}
    text, shown = metrics({**found, "auxiliary": {"mission_type": label}}, "").parts[-2:]
    assert verdict in text
    assert re.findall("<td.*?>(.*?)</td>", shown) == ["mission type", "50.00 %", "25.00 %", "62.50 %", "1,234"]


def test_the_ablations_figures_are_its_files(page, evaluated):
    record = json.loads((evaluated / "ablation.json").read_text())
    without = {"metrics": {"mrr": {"drop": 0.25, "interval": [0.125, 0.5]}}}
    record["retrained"] = {"seeds": 3, "runs": {"without T1": without}}
    (figure,) = [part for part in ablation(record).parts if isinstance(part, Figure)]
    exchanged, retrained, claims = figure.data
    drops = {name: of["drops"]["mrr"] for name, of in record["exchanged"]["tensors"].items()}
    assert dict(zip(exchanged["x"], exchanged["y"], strict=True)) == {n: 100 * of["drop"] for n, of in drops.items()}
    for i, of in enumerate(drops.values()):
        low, high = exchanged["error_y"]["arrayminus"][i], exchanged["error_y"]["array"][i]
        assert [100 * of["drop"] - low, 100 * of["drop"] + high] == pytest.approx([100 * end for end in of["interval"]])
    assert (retrained["error_y"]["arrayminus"], retrained["error_y"]["array"]) == ([12.5], [25.0])
    assert (retrained["x"], retrained["y"]) == (["T1"], [25.0]) and claims["y"][0] == 15


def test_both_questions_are_calibrated_with_their_own_temperature(evaluated):
    found = json.loads((evaluated / "evaluation_test.json").read_text())
    told, drawn = calibration(found).parts[::2], calibration(found).parts[1::2]
    records = (found["calibration"]["trip_unknown"], found["before_trip"]["calibration"])
    for text, figure, record in zip(told, drawn, records, strict=True):
        assert f"temperature {record['temperature']:.2f}, fitted" in text
        assert figure.data[2]["x"] == [100 * b["confidence"] for b in record["after"]["reliability"]]
    assert "trip unknown" in told[0] and "before the trip" in told[1]
    assert "did not measure it" in calibration({}).parts[0]


def test_the_story_shows_the_models_own_prediction(page, evaluated, shop):
    html = unescape(page.read_text(encoding="utf-8"))
    assert re.search(r"without PRD\d+</td><td class=number>\d+\.\d\d %<", html)


def test_what_is_not_there_is_said(shop, trained, tmp_path):
    shutil.copy(trained / "best_model.pt", tmp_path / "best_model.pt")
    assert main([str(tmp_path / "best_model.pt"), "-o", str(tmp_path / "r.html"), "--data-dir", str(shop.data)]) == 0
    html = unescape((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "There is no metrics.jsonl" in html and "Not evaluated yet: retailsim evaluate" in html


def test_figures_of_another_model_are_left_out(shop, trained, evaluated, tmp_path, capsys):
    """Beside the checkpoint: with a warning; named by a flag: refused."""
    other, figures = tmp_path / "epoch_1.pt", tmp_path / "evaluation_test.json"
    shutil.copy(trained / "epoch_1.pt", other)
    shutil.copy(evaluated / "evaluation_test.json", figures)
    flags = [str(other), "-o", str(tmp_path / "r.html"), "--data-dir", str(shop.data)]
    assert main(flags) == 0
    assert f"{figures} is of another checkpoint than {other} and is left out: write it with" in capsys.readouterr().err
    assert "Not evaluated yet" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert main([*flags, "--evaluation", str(figures)]) == 2
    assert f"{figures} is of another checkpoint than {other}" in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_figures_of_another_split_are_left_out(shop, evaluated, tmp_path, capsys, kind):
    """The receipts were split anew: other baskets are tested, and what was said of the first ones is not said of these."""
    model, figures = evaluated / "best_model.pt", tmp_path / kind
    file = SAMPLE_TABLES["test"].at(shop.data)
    record = json.loads((evaluated / EVALUATION).read_text()) | {"exchanged": {}, "baskets": 1}
    assert record["samples"] == fingerprint(file)
    figures.write_text(json.dumps(record))
    assert read_figures(model, figures, kind, shop.data) == record
    figures.write_text(json.dumps(record | {"samples": fingerprint(SAMPLE_TABLES["val"].at(shop.data))}))
    with pytest.raises(UserError, match=f"{kind} is of other baskets than those of {file}: write it with .*--data-dir"):
        read_figures(model, figures, kind, shop.data)
    shutil.copy(model, tmp_path / "best_model.pt")
    assert read_figures(tmp_path / "best_model.pt", None, kind, shop.data) is None
    assert f"{figures} is of other baskets than those of {file} and is left out" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["--customer", "X"], "unknown customer 'X'"),
        (["--evaluation", "nowhere.json"], "nowhere.json does not exist"),
        (["--ablation", "nowhere.json"], "--ablation nowhere.json does not exist"),
        (["--ablation", "other.json"], "other.json is no ablation"),
        (["--evaluation", "torn.json"], "torn.json is no evaluation"),
        (["--evaluation", "other.json"], "other.json is no evaluation"),
    ],
)
def test_a_mistake_is_one_sentence_and_no_page(shop, trained, tmp_path, monkeypatch, capsys, flags, sentence):  # C39
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torn.json").write_text('{"views": ')
    (tmp_path / "other.json").write_text("[1]")
    capsys.readouterr()
    assert main([str(trained / "best_model.pt"), "--data-dir", str(shop.data), *flags]) == 2
    err = capsys.readouterr().err
    assert sentence in err and err.count("\n") == 1 and not list(tmp_path.glob("*.html"))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_draws_every_figure_without_an_error(page, tmp_path):
    done = subprocess.run(
        [CHROMIUM, *ALONE, f"--user-data-dir={tmp_path}", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0 and "CONSOLE" not in done.stderr, done.stderr
    n_figures = len(re.findall(r'class="figure', page.read_text(encoding="utf-8").split("<script>")[0]))
    assert n_figures >= 8 and done.stdout.count('class="main-svg"') >= n_figures
