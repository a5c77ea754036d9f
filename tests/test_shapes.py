"""The checker of shapes is on while testing: a wrong shape or dtype at the border of the model raises."""

import dataclasses

import jaxtyping
import pytest
import torch

from retailsim.model.batch import Batch
from retailsim.training import losses


def batch(**changes: torch.Tensor) -> Batch:
    """Two baskets of three places; the last product of the first is hidden."""
    numbers = {
        name: torch.ones(2, dtype=torch.int64)
        for name in ("sample", "customer", "store", "week", "day", "hour", "recency", "chance")
    }
    return Batch(
        **numbers
        | {
            "trip": torch.zeros(2, 4, dtype=torch.int64),
            "hide_trip": torch.zeros(2, dtype=torch.bool),
            "ids": torch.ones(2, 3, dtype=torch.int64),
            "paid": torch.ones(2, 3),
            "quantity": torch.ones(2, 3),
            "places": torch.tensor([2]),
            "within": torch.tensor([0]),
            "slots": torch.tensor([[0], [1]]),
            "targets": torch.tensor([5]),
            "bought": torch.zeros(2, 1, dtype=torch.int64),
            "habits": torch.zeros(2, 1, 16),
            "store_counts": torch.zeros(2, 9),
            "labels": torch.zeros(2, 4, dtype=torch.int64),
            "anchors": torch.tensor([3]),
            "partners": torch.tensor([4]),
            "partner": torch.tensor([0]),
        }
        | changes
    )


def test_a_batch_of_the_right_shapes_is_made():
    assert batch().ids.shape == (2, 3)
    assert {field.name for field in dataclasses.fields(Batch)} == set(vars(batch()))


@pytest.mark.parametrize(
    "changes",
    [
        {"ids": torch.ones(3, 3, dtype=torch.int64)},  # B is 2 elsewhere
        {"paid": torch.ones(2, 4)},  # S is 3 in `ids`
        {"paid": torch.ones(2, 3, dtype=torch.int64)},  # float is asked for
        {"hour": torch.ones(2, 1, dtype=torch.int64)},
    ],
)
def test_a_wrong_shape_or_dtype_in_the_model_raises(changes):
    with pytest.raises(jaxtyping.TypeCheckError):
        batch(**changes)


def test_a_wrong_shape_in_training_raises():
    logits, targets = torch.zeros(3, 7), torch.tensor([0, 1, 2])
    assert losses.focal_loss(logits, targets, gamma=0.0).item() == pytest.approx(1.9459, abs=1e-4)  # log 7
    with pytest.raises(jaxtyping.TypeCheckError):
        losses.focal_loss(logits, targets[:2], gamma=0.0)
