"""What an evaluation's JSON says of how sure it is, on planted ranks (C32)."""

import numpy as np
import pytest

from retailsim.evaluation.intervals import intervals
from retailsim.evaluation.ranking import Ranks
from retailsim.labels import TRIP_LABELS
from retailsim.training.auxiliary import LabelRivals
from retailsim.training.report_card import SEED, Findings, to_json
from retailsim.training.report_tables import gap_lines
from retailsim.training.scoring import Scored
from retailsim.training.temperature import KINDS
from tests.training.small_protocol import protocol_of, samples_of

BASKETS = 160
WEEK, CUSTOMER = np.repeat([1, 2, 3, 4], BASKETS // 4), np.arange(BASKETS) // 2
RNG = np.random.default_rng(0)
EASE = RNG.integers(2, 9, BASKETS).astype(float)
OWN = np.where(WEEK > 2, 40.0, EASE - RNG.integers(0, 2, BASKETS))  # better in weeks 1 and 2, far worse later


def record_of(is_replay):
    """The JSON where each basket hides one product: the model has ranks OWN, two baselines EASE and worse ones."""
    samples = samples_of([4] * BASKETS)
    samples.columns["week"][:], samples.columns["is_replay"][:] = WEEK, is_replay
    rows = {"known": np.arange(BASKETS), "before": np.flatnonzero(~is_replay)}
    known, before = (
        Scored(Ranks(OWN[of], OWN[of]), np.full(len(of), 0.5), np.full(len(of), 0.5), samples.trip[of])
        for of in rows.values()
    )
    scored = {"trip_known": known, "trip_unknown": known, "before_trip": before}
    baselines = {"popularity": Ranks(EASE + 30, EASE + 30), "EASE": Ranks(EASE, EASE)}
    rivals = LabelRivals(np.zeros(len(TRIP_LABELS), dtype=int), samples.trip, (1.0,) * len(TRIP_LABELS))
    temperatures = dict.fromkeys(KINDS, 1.0)
    found = Findings(protocol_of(samples, CUSTOMER), scored, temperatures, baselines, baselines, rivals, train_end=0)
    return to_json(found, "test", "best_model.pt")


def test_the_replay_free_weeks_have_intervals_of_their_own():
    """A single replay is in weeks 1 and 2, and three of four baskets are some later."""
    record = record_of((WEEK > 2) & (np.arange(BASKETS) % 4 > 0) | (np.arange(BASKETS) == 0))
    assert record["periods"]["replay_free"]["weeks"] == [1, 2] and record["periods"]["replay_free"]["EASE"]["n"] == 80
    ends = intervals({"mrr": 1 / OWN[:80] - 1 / EASE[:80]}, CUSTOMER[:80], SEED)["mrr"]
    found, of_fresh = (record[name]["against_best_trip_unknown"] for name in ("replay_free_intervals", "intervals"))
    assert found["baseline"] == "EASE" and found["difference"]["mrr"] == pytest.approx(list(ends))
    assert of_fresh["difference"]["mrr"][0] < 0 < found["difference"]["mrr"][0]
    fresh, weeks = gap_lines(record, "trip_unknown")
    assert ", fresh baskets: " in fresh and ": ahead (" not in fresh
    assert ", all baskets of weeks 1–2: " in weeks and ": ahead (" in weeks


def test_without_a_replay_free_week_there_are_no_intervals_of_them():
    record = record_of(np.arange(BASKETS) % 2 == 0)
    assert record["replay_free_intervals"] == {} and set(record["periods"]) == {"replayed"}
    assert len(gap_lines(record, "trip_known")) == 1
