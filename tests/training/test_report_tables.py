"""An evaluation's figures as they stand on the terminal: by hand."""

import io

import pytest
from rich.console import Console

from retailsim.training.report_tables import TITLES, breakdowns, gap_lines, headline, labels_table

FIRST = {"top1": 0.125, "top5": 0.25, "top10": 0.5, "mrr": 0.2, "ndcg10": 0.25, "n": 40}
SECOND = {"top1": 0.25, "top5": 0.375, "top10": 0.75, "mrr": 0.3, "ndcg10": 0.375, "n": 40}


def record(**periods):
    slices = {key: {} for key in TITLES}
    return {
        "views": {"fresh": {"trip_unknown": FIRST, "trip_known": SECOND}},
        "baselines": {"EASE": SECOND},
        "intervals": {"best_baseline": "EASE"},
        "periods": periods,
        "auxiliary": {},
        "slices": {**slices, "weekday": {"Monday": FIRST}},
        "rival_slices": {**slices, "weekday": {"Monday": SECOND}},
        "trip_known_slices": {**slices, "weekday": {"Monday": {**SECOND, "top1": 0.375}}},
    }


def test_a_breakdown_names_the_baseline_and_the_trip_known_beside_it():
    (line,) = [line for line in breakdowns(record()) if line.startswith("Monday")]
    assert line == (
        "Monday:      Top-1: 12.50%  |  Top-5: 25.00%  |  Top-10: 50.00%  |  40 hidden  |  EASE: Top-1 25.00%, Top-10 75.00%"
        "  |  trip known: Top-1 37.50%, Top-10 75.00%"
    )


@pytest.mark.parametrize("n, tables", [(40, 1), (41, 2)])
def test_a_period_with_the_same_figures_is_named_and_not_drawn_again(n, tables):
    period = {"weeks": [25, 30], "model, trip known": SECOND, "model, trip unknown": FIRST, "EASE": {**SECOND, "n": n}}
    page = Console(file=io.StringIO(), width=160)
    for grid in headline(record(replay_free=period)):
        page.print(grid)
    text = page.file.getvalue()
    assert text.count("│ EASE ") == tables and text.count("eeks 25–30, in which at most 5 % of the baskets") == 1
    assert ("The same figures: weeks 25–30" in text) == (tables == 1)


def spans(low, high):
    return {
        "against_best_trip_unknown": {
            "baseline": "EASE",
            "difference": dict.fromkeys(("top1", "top10", "mrr"), [low, high]),
        }
    }


def test_the_lead_is_said_of_fresh_baskets_and_of_the_replay_free_weeks():
    period = {"weeks": [25, 26], "model, trip unknown": {**SECOND, "mrr": 0.5}, "EASE": SECOND}
    found = {**record(replay_free=period), "intervals": spans(-0.2, -0.05), "replay_free_intervals": spans(0.1, 0.3)}
    fresh, weeks = gap_lines(found, "trip_unknown")
    assert "− EASE, fresh baskets: Top-1 -12.50 (-20.00 … -5.00)" in fresh and ": BEHIND (95 %" in fresh
    assert "− EASE, all baskets of weeks 25–26: Top-1 +0.00 (+10.00 … +30.00)" in weeks
    assert "MRR +0.2000 (+0.1000 … +0.3000): ahead (95 %" in weeks
    same = {**found, "replay_free_intervals": found["intervals"]}
    assert gap_lines(same, "trip_unknown") == [fresh]
    assert gap_lines({**found, "intervals": {}}, "trip_unknown") == [weeks]
    assert gap_lines({**found, "intervals": {}, "replay_free_intervals": {}}, "trip_unknown") == []


def test_a_label_shows_how_sure_its_lead_over_the_regression_is():
    label = {"accuracy": 0.75, "majority": 0.5, "regression": 0.7, "n": 9}
    leads = {"majority": [0.2, 0.3], "regression": [-0.01, 0.11]}
    labels = {
        "basket_size": {**label, "beats_both": False, "leads": leads},
        "mission_type": {**label, "n": 0, "beats_both": None, "leads": {}},
    }
    page = Console(file=io.StringIO(), width=160)
    page.print(labels_table(labels))
    cells = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in page.file.getvalue().splitlines() if "│" in line
    ]
    assert cells == [
        ["basket size", "75.00%", "50.00%", "70.00%", "-1.00 … +11.00", "NO", "9"],
        ["mission type", "75.00%", "50.00%", "70.00%", "–", "–", "0"],
    ]
