"""When an end counts as exact."""

import pytest
import torch

from sensverify.errors import BadSetting
from sensverify.solvers.gap import check_limits, tolerance


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


@pytest.mark.parametrize("gap", [-1e-9, float("nan"), float("inf")])
def test_gaps_that_are_none(gap: float) -> None:
    with pytest.raises(BadSetting, match="milp needs a gap"):
        check_limits("milp", gap)


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_time_limits_that_are_none(seconds: float) -> None:
    with pytest.raises(BadSetting, match="milp needs a time limit"):
        check_limits("milp", 0.0, None, seconds)


def test_no_limit_and_no_time_are_limits() -> None:
    check_limits("milp", 0.0, None, 0.0, float("inf"))
