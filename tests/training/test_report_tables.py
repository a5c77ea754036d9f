"""An evaluation's figures as they stand on the terminal: by hand."""

import io

import pytest
from rich.console import Console

from retailsim.training.report_tables import TITLES, breakdowns, headline

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
