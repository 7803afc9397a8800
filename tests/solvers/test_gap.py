"""When an end counts as exact."""

from typing import Any

import pytest
import torch

from sensverify.errors import BadSetting
from sensverify.solvers.gap import tolerance
from sensverify.solvers.milp import Milp


def test_a_gap_is_relative_to_the_larger_magnitude() -> None:
    lower, upper = torch.tensor([-4.0, 1.0, -3.0]), torch.tensor([2.0, 5.0, -1.0])
    assert tolerance(lower, upper, 0.5).tolist() == [2.0, 2.5, 1.5]


def test_near_zero_a_gap_is_absolute() -> None:
    nothing = torch.tensor([0.0, 1e-9])
    torch.testing.assert_close(tolerance(-nothing, nothing, 1e-3), torch.full((2,), 1e-9))


def test_a_gap_of_zero_tolerates_nothing() -> None:
    assert float(tolerance(torch.ones(1), torch.ones(1), 0.0)) == 0


def test_no_number_tolerates_nothing() -> None:
    value = tolerance(torch.tensor([float("nan")]), torch.ones(1), 1e-6)
    assert not bool(torch.zeros(1) <= value)


@pytest.mark.parametrize(
    "settings",
    [
        *({"gap": gap} for gap in (-1e-9, float("nan"), float("inf"))),
        *({"seconds": seconds} for seconds in (-1.0, float("nan"))),
        *({"objective_seconds": seconds} for seconds in (-1.0, float("nan"))),
    ],
    ids=str,
)
def test_gaps_and_time_limits_that_are_none(settings: dict[str, Any]) -> None:
    with pytest.raises(BadSetting, match=f"milp: {next(iter(settings))} takes a number"):
        Milp(**settings)


def test_no_limit_and_no_time_are_limits() -> None:
    Milp(gap=0.0, seconds=0.0, objective_seconds=float("inf"))
    Milp(seconds=None)
