"""Which weeks of an evaluation are free of replays, by the rule of `prepare-samples` and `audit`, and which the model knows."""

from pathlib import Path

import ibis
import numpy as np
import pytest

from retailsim.errors import UserError
from retailsim.training.protocol import refuse_known_weeks
from tests.training.small_protocol import protocol_of, samples_of


@pytest.mark.parametrize(
    "n_products, replays, weeks",
    [
        (2, {3: 40}, (1, 4)),  # the same two products again are no sign of a flood
        (4, {3: 3}, (1, 2)),
        (4, {3: 2}, (1, 4)),  # 5 % are not too many
        (4, {1: 40}, None),
        (4, {2: 40}, (1, 1)),  # calm weeks after a flood are not counted
    ],
)
def test_replay_free_weeks_are_judged_by_their_larger_baskets(n_products, replays, weeks):
    """Four weeks of forty baskets of `n_products`; so many of a week's are `replays`."""
    week, number = np.repeat([1, 2, 3, 4], 40).tolist(), np.tile(np.arange(40), 4).tolist()
    samples = samples_of([n_products] * 160)
    samples.columns["week"][:] = week
    samples.columns["is_replay"][:] = [n < replays.get(w, 0) for w, n in zip(week, number, strict=True)]
    assert protocol_of(samples).replay_free_weeks() == weeks


def test_no_engine_is_left_open_behind_the_protocol(monkeypatch):
    """DuckDB complains at the end of a process of an engine that Ibis has opened by itself."""
    monkeypatch.setattr(ibis.options, "default_backend", None)
    assert protocol_of(samples_of([4, 4])).replay_free_weeks() is not None
    assert ibis.options.default_backend is None


@pytest.mark.parametrize(
    "split, state, said",
    [
        (
            "test",
            {"train_end": 20, "val_end": 24},
            "best.pt was chosen on weeks up to 24, and the test weeks begin with 23",
        ),
        (
            "test",
            {"train_end": 20, "val_end": 23},
            "up to 23, and the test weeks begin with 23: .*",
        ),
        ("test", {"train_end": 20, "val_end": 22}, None),
        ("val", {"train_end": 20, "val_end": 24}, None),
        (
            "val",
            {"train_end": 23, "val_end": 24},
            "best.pt was trained on weeks up to 23, and the val weeks begin with 23",
        ),
        ("test", {}, None),  # of a version that did not say
    ],
)
def test_weeks_that_the_model_knows_are_refused(split, state, said):
    """After another split of the same receipts the test would begin in weeks on which the best epoch was chosen."""
    samples = samples_of([2, 2, 2])
    samples.columns["week"][:] = [25, 23, 24]
    if said is None:
        return refuse_known_weeks(Path("best.pt"), state, split, samples)
    with pytest.raises(UserError, match=said):
        refuse_known_weeks(Path("best.pt"), state, split, samples)
