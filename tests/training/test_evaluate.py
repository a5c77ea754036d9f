"""A checkpoint knows on which weeks it was trained and chosen, and is not measured on them (C28, C32, C39)."""

import pytest

from retailsim.reading import load_calendar, load_vocabulary
from retailsim.training import checkpoint
from retailsim.training.evaluate import main
from retailsim.training.run import known_weeks
from retailsim.training.samples import load_baskets
from tests.training.small_protocol import samples_of
from tests.training.small_training import small_vocabulary, train_small


def of_weeks(*weeks):
    samples = samples_of([2] * len(weeks))
    samples.columns["week"][:] = weeks
    return samples


@pytest.mark.parametrize(
    "resumed, known",
    [
        (None, {"train_end": 8, "val_end": 10}),
        ({"train_end": 8, "val_end": 12}, {"train_end": 8, "val_end": 12}),  # epochs before were chosen on later weeks
        ({"train_end": 8, "val_end": 9}, {"train_end": 8, "val_end": 10}),
        ({}, {}),  # epochs before do not say on which weeks they were chosen
    ],
)
def test_a_training_knows_its_weeks_and_those_of_what_it_goes_on_from(resumed, known):
    assert known_weeks(of_weeks(8, 3), of_weeks(10, 9), resumed) == known


def test_a_checkpoint_keeps_them(tmp_path):
    """In the small world baskets of training and validation are of all weeks to the twelfth."""
    train_small(tmp_path)
    for name in ("best_model.pt", "epoch_1.pt"):
        state = checkpoint.load(tmp_path / name, small_vocabulary())
        assert {week: state[week] for week in checkpoint.WEEKS} == {"train_end": 12, "val_end": 12}


def test_a_checkpoint_that_does_not_say_is_read_and_one_that_says_half_is_not(tmp_path):
    train_small(tmp_path)
    state = checkpoint.load(tmp_path / "best_model.pt", small_vocabulary())
    without = {name: value for name, value in state.items() if name not in checkpoint.WEEKS}
    checkpoint.save(tmp_path / "earlier.pt", without)
    assert set(checkpoint.load(tmp_path / "earlier.pt", small_vocabulary())) == set(checkpoint.FIELDS)
    with pytest.raises(AssertionError):
        checkpoint.save(tmp_path / "half.pt", without | {"val_end": 3})


def test_weeks_that_chose_the_epoch_are_not_tested_on(shop, trained, tmp_path, capsys):
    """As after a split anew with an earlier --val-weeks: nothing is written, and the sentence says what helps."""
    state = checkpoint.load(trained / "best_model.pt", load_vocabulary(shop.data))
    calendar = load_calendar(shop.data)
    assert (state["train_end"], state["val_end"]) == (calendar.train_end, calendar.val_end)
    first = int(load_baskets(shop.data, "test").columns["week"].min())
    path = tmp_path / "of_another_split.pt"
    checkpoint.save(path, state | {"val_end": first})
    capsys.readouterr()
    assert main([str(path), "--json", str(tmp_path / "figures.json"), "--data-dir", str(shop.data)]) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert f"{path} was chosen on weeks up to {first}, and the test weeks begin with {first}" in err
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
