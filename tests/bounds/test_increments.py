"""Planes around increments: what lies between them, and how close they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sensverify.bounds.forward import apply
from sensverify.bounds.ibp import interval
from sensverify.bounds.increments import secant_slopes
from sensverify.bounds.relaxation import Slope, line_intercepts, relax
from sensverify.errors import MissingRule
from sensverify.network import NetworkBuilder
from sensverify.network.operators import (
    Abs,
    Clip,
    Cos,
    Elementwise,
    Elu,
    Erf,
    Floor,
    Gelu,
    HardSwish,
    Increment,
    LeakyRelu,
    Mish,
    Relu,
    Sigmoid,
    Sin,
    Smooth,
    Softsign,
    Tanh,
)

INFINITY = float("inf")


class Softplus(Smooth):
    """A function of one's own, which declares facts and nothing about increments."""

    convex = True
    rising = True

    def value(self, x, xp):
        return xp.relu(x) + xp.log1p(xp.exp(-xp.abs(x)))

    def derivative(self, x, xp):
        return xp.sigmoid(x)


FUNCTIONS = [
    Relu(),
    LeakyRelu(torch.tensor(0.1).double()),
    LeakyRelu(torch.tensor(-0.5).double()),
    Clip(-0.3, 0.5),
    Clip(-INFINITY, 0.2),
    Abs(),
    Sigmoid(),
    Tanh(),
    Softplus(),
    Sin(),
    Cos(),
    Gelu(),
    Mish(),
    HardSwish(),
    Elu(),
    Softsign(),
    Erf(),
]
every_function = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: type(f).__name__)


def boxes(scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes of (x, d) whose d is of that size; some of them points, or at kinks."""
    generator = torch.Generator().manual_seed(0)
    center = torch.randn(1000, 2, generator=generator).double()
    radius = torch.rand(1000, 2, generator=generator).double()
    center[:, 1] *= scale
    radius[:, 1] *= scale
    radius[:200] *= 0.01
    radius[200:260, 1] = 0
    radius[260:320, 0] = 0
    center[320:360] = 0
    return center - radius, center + radius


def points(lower: torch.Tensor, upper: torch.Tensor, count: int = 100) -> torch.Tensor:
    share = torch.rand(count, *lower.shape, generator=torch.Generator().manual_seed(1)).double()
    share[: count // 2] = share[: count // 2].round()
    return lower + share * (upper - lower)


@pytest.mark.parametrize("scale", [1e-6, 0.1, 2.0])
@every_function
def test_increments_lie_between_planes(function: Elementwise, scale: float) -> None:
    operator = Increment(function)
    lower, upper = boxes(scale)
    x = points(lower, upper)
    values = apply(operator, x)
    room = 1e-14
    for slope in Slope:
        found = relax(operator, lower, upper, slope)
        below = (found.lower_slope[:, 0] * x).sum(-1) + found.lower_intercept[:, 0]
        above = (found.upper_slope[:, 0] * x).sum(-1) + found.upper_intercept[:, 0]
        assert bool((below <= values + room).all())
        assert bool((values <= above + room).all())
    low, high = interval(operator, (lower, upper))
    assert bool((low <= values + room).all())
    assert bool((values <= high + room).all())


@every_function
def test_any_slopes_are_sound(function: Elementwise) -> None:
    operator = Increment(function)
    lower, upper = boxes(0.3)
    generator = torch.Generator().manual_seed(2)
    low, high = (torch.randn(1000, 1, 2, generator=generator).double() for _ in range(2))
    found = line_intercepts(operator, low, high, lower.unsqueeze(1), upper.unsqueeze(1))
    x = points(lower, upper)
    values = apply(operator, x)
    below = (low[:, 0] * x).sum(-1) + found.lower_intercept[:, 0]
    above = (high[:, 0] * x).sum(-1) + found.upper_intercept[:, 0]
    assert bool((below <= values + 1e-13).all())
    assert bool((values <= above + 1e-13).all())


@every_function
def test_a_small_change_has_a_small_interval(function: Elementwise) -> None:
    """At most steepest slope times change, whatever x is; nothing where nothing changes."""
    operator = Increment(function)
    lower, upper = boxes(1e-8)
    low, high = interval(operator, (lower, upper))
    flat, steep = secant_slopes(function, lower[..., 0] - 1e-6, upper[..., 0] + 1e-6)
    most = torch.maximum(flat.abs(), steep.abs()) * upper[..., 1].abs().maximum(lower[..., 1].abs())
    assert bool((torch.maximum(low.abs(), high.abs()) <= most + 1e-15).all())
    still = torch.stack([lower[..., 0], torch.zeros(1000).double()], dim=-1)
    moved = torch.stack([upper[..., 0], torch.zeros(1000).double()], dim=-1)
    for end in interval(operator, (still, moved)):
        assert bool((end == 0).all())


def test_slopes_by_hand() -> None:
    ends = torch.tensor([-1.0, 0.5, -1.0, 0.0]), torch.tensor([-0.5, 1.0, 1.0, 0.0])
    flat, steep = secant_slopes(Relu(), *ends)
    assert flat.tolist() == [0, 1, 0, 0]
    assert steep.tolist() == [0, 1, 1, 1]


def test_slopes_of_a_periodic_function_hold_over_its_inflections() -> None:
    lower, upper = torch.tensor([0.1]), torch.tensor([6.2])
    flat, steep = secant_slopes(Sin(), lower, upper)
    assert flat.item() <= -1
    assert steep.item() >= 1


def test_functions_that_jump_have_no_slopes() -> None:
    with pytest.raises(MissingRule):
        secant_slopes(Floor(), torch.zeros(1), torch.ones(1))


def test_functions_without_facts_are_refused() -> None:
    class Sine(Elementwise):
        def value(self, x, xp):
            return xp.sin(x)

    with pytest.raises(MissingRule):
        interval(Increment(Sine()), (torch.zeros(1, 2), torch.ones(1, 2)))


def test_parameters_of_the_function_count() -> None:
    """In the digest, among the arrays, and where arrays become tensors."""

    def of(slope: float):
        builder = NetworkBuilder((2, 2))
        return builder.build(builder.add(Increment(LeakyRelu(np.array(slope))), builder.input))

    first, second = of(0.1), of(0.2)
    assert first.digest != second.digest
    assert first.digest == of(0.1).digest
    assert [name for name, _ in first.arrays()] == ["increment_1.function.slope"]
    doubled = first.map_arrays(lambda values: 2 * values)
    assert doubled.digest == second.digest
