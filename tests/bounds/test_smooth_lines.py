"""Lines around smooth functions: sound on any interval of their domain, and as tight as can be."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.bounds import AlphaCrown, Crown, Ibp, compute_bounds
from sensverify.bounds.domains import defined, require_defined
from sensverify.bounds.extremes import largest_gap, smallest_gap
from sensverify.bounds.ibp import interval
from sensverify.bounds.increments import secant_slopes
from sensverify.bounds.relaxation import Slope, line_intercepts, relax
from sensverify.bounds.rounding import slack
from sensverify.bounds.slopes import supporting_slopes
from sensverify.certificates.check.functions import ENCLOSURES
from sensverify.core.box import Box
from sensverify.errors import Unbounded
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import (
    Affine,
    Atan,
    Cos,
    Elu,
    Erf,
    Exp,
    Gelu,
    HardSwish,
    Log,
    Mish,
    Periodic,
    Pow,
    Reciprocal,
    Silu,
    Sin,
    Smooth,
    Softplus,
    Softsign,
    Sqrt,
    Square,
    TanhGelu,
)
from tests.bounds.test_relaxation import assert_lines_hold

F64 = torch.float64
ABOVE_ZERO = (1e-3, 1e6)

RANGES: dict[str, tuple[Smooth, float, float]] = {
    "exp": (Exp(), -60.0, 60.0),
    "log": (Log(), *ABOVE_ZERO),
    "sqrt": (Sqrt(), 0.0, 1e6),
    "reciprocal": (Reciprocal(), *ABOVE_ZERO),
    "reciprocal below": (Reciprocal(), -1e6, -1e-3),
    "square": (Square(), -1e3, 1e3),
    "cube": (Pow(3.0), -1e3, 1e3),
    "fourth power": (Pow(4.0), -1e3, 1e3),
    "root of a cube": (Pow(1.5), 0.0, 1e4),
    "falling power": (Pow(-2.0), *ABOVE_ZERO),
    "falling power below": (Pow(-3.0), -1e3, -1e-2),
    "sine": (Sin(), -1e3, 1e3),
    "cosine": (Cos(), -1e3, 1e3),
    "arc tangent": (Atan(), -1e6, 1e6),
    "error function": (Erf(), -1e6, 1e6),
    "softsign": (Softsign(), -1e6, 1e6),
    "softplus": (Softplus(3.0), -1e6, 1e6),
    "elu": (Elu(), -1e6, 1e6),
    "elu with a kink": (Elu(0.4, 1.5), -1e6, 1e6),
    "steep elu": (Elu(1.7), -1e6, 1e6),
    "falling elu": (Elu(-0.7), -1e6, 1e6),
    "gelu": (Gelu(), -1e6, 1e6),
    "gelu by tanh": (TanhGelu(), -1e6, 1e6),
    "silu": (Silu(), -1e6, 1e6),
    "mish": (Mish(), -1e6, 1e6),
    "hard swish": (HardSwish(), -1e6, 1e6),
}
"""Functions, and where they are tried."""

every_function = pytest.mark.parametrize("name", RANGES)


def intervals(low: float, high: float) -> st.SearchStrategy[list[tuple[float, float]]]:
    """Some of everywhere, wide and narrow ones, and points."""
    end = st.one_of(st.floats(max(low, -4), min(high, 4)), st.floats(low, high))
    width = st.sampled_from([0.0, 1e-12, 1e-3, 0.5, 3.0, 1e9])
    pair = st.tuples(end, width).map(lambda p: (p[0], min(p[0] + p[1], high)))
    return st.lists(pair, min_size=1, max_size=8)


@every_function
def test_lines_hold_on_any_interval(name: str) -> None:
    operator, low, high = RANGES[name]

    @given(intervals(low, high))
    @settings(max_examples=25)
    def check(pairs: list[tuple[float, float]]) -> None:
        lower, upper = torch.tensor(pairs, dtype=F64).T[:, None]
        for slope in Slope:
            assert_lines_hold(operator, lower, upper, relax(operator, lower, upper, slope))

    check()


@every_function
def test_lines_hold_whatever_their_slopes(name: str) -> None:
    operator, low, high = RANGES[name]

    @given(intervals(low, high), st.floats(-3, 3), st.floats(-3, 3))
    @settings(max_examples=25)
    def check(pairs: list[tuple[float, float]], below: float, above: float) -> None:
        lower, upper = torch.tensor(pairs, dtype=F64).T[:, None]
        slopes = (torch.full((1, 1, len(pairs)), slope, dtype=F64) for slope in (below, above))
        lines = line_intercepts(operator, *slopes, lower.unsqueeze(1), upper.unsqueeze(1))
        assert_lines_hold(operator, lower, upper, lines)

    check()


@every_function
def test_intervals_are_the_range(name: str) -> None:
    """Ends and dense points lie inside, and the ends of the interval are reached by points."""
    operator, low, high = RANGES[name]
    rng = np.random.default_rng(0)
    start = torch.from_numpy(rng.uniform(max(low, -8), min(high, 8), 40))
    end = (start + torch.from_numpy(rng.exponential(2.0, 40))).clamp(max=high)
    least, most = interval(operator, (start[None], end[None]))
    share = torch.linspace(0, 1, 20_001, dtype=F64)[:, None]
    values = operator.value(torch.lerp(start, end, share), torch)
    size = values.abs().amax(0)
    assert bool((values.amin(0) >= least[0] - 1e-13 * size).all())
    assert bool((values.amax(0) <= most[0] + 1e-13 * size).all())
    assert bool((values.amin(0) <= least[0] + 1e-3 * size + 1e-6).all())
    assert bool((values.amax(0) >= most[0] - 1e-3 * size - 1e-6).all())


@every_function
def test_tangent_points_are_right_to_the_last_digits(name: str) -> None:
    """Intercepts of given slopes, against 50 digits."""
    operator, low, high = RANGES[name]
    rng = np.random.default_rng(1)
    for _ in range(30):
        start = rng.uniform(max(low, -6), min(high, 6))
        end = min(start + rng.exponential(2.0), high)
        at = start + rng.random() * (end - start)
        slope = float(operator.derivative(torch.tensor(at, dtype=F64), torch))
        ends = (torch.full((1, 1, 1), end, dtype=F64) for end in (start, end))
        given_ = (operator, torch.full((1, 1, 1), slope, dtype=F64), *ends)
        found = float(smallest_gap(*given_)), float(largest_gap(*given_))
        with mpmath.workdps(50):
            gaps = [
                EXACT[type(operator)](mpmath, operator, mpmath.mpf(x))
                - mpmath.mpf(slope) * mpmath.mpf(x)
                for x in map(mpmath.mpf, (start, end, at))
            ]
            size = max(abs(g) for g in gaps) + abs(slope) * max(abs(start), abs(end)) + 1
            # The tangent at a point between is an extreme of a function bent to one side.
            assert found[0] <= min(gaps) + 1e-14 * size
            assert found[1] >= max(gaps) - 1e-14 * size
            if operator.inflections == () and not isinstance(operator, Periodic | Elu):
                assert found[0] >= min(gaps) - 1e-14 * size
                assert found[1] <= max(gaps) + 1e-14 * size


def _elu(mp, operator, x):
    alpha, rate = mp.mpf(operator.alpha), mp.mpf(operator.rate)
    return x if x > 0 else alpha * mp.expm1(rate * x)


EXACT = {
    Atan: lambda mp, op, x: mp.atan(x),
    Cos: lambda mp, op, x: mp.cos(x),
    Elu: _elu,
    Erf: lambda mp, op, x: mp.erf(x),
    Exp: lambda mp, op, x: mp.exp(x),
    Gelu: lambda mp, op, x: x * mp.ncdf(x),
    HardSwish: lambda mp, op, x: x * min(max(x / 6 + 0.5, 0), 1),
    Log: lambda mp, op, x: mp.log(x),
    Mish: lambda mp, op, x: x * mp.tanh(mp.log1p(mp.exp(x))),
    Pow: lambda mp, op, x: x**op.exponent,
    Reciprocal: lambda mp, op, x: 1 / x,
    Silu: lambda mp, op, x: x / (1 + mp.exp(-x)),
    Sin: lambda mp, op, x: mp.sin(x),
    Softplus: lambda mp, op, x: mp.log1p(mp.exp(op.beta * x)) / op.beta,
    Softsign: lambda mp, op, x: x / (1 + abs(x)),
    Sqrt: lambda mp, op, x: mp.sqrt(x),
    Square: lambda mp, op, x: x * x,
    TanhGelu: lambda mp, op, x: (
        x * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3))) / 2
    ),
}


@pytest.mark.parametrize("kind", [Gelu, TanhGelu, Silu, Mish], ids=lambda kind: kind.__name__)
def test_inflections_are_where_the_second_derivative_is_zero(kind: type[Smooth]) -> None:
    """Inside of the bracket that certificates take for granted, and nowhere else."""
    operator = kind()
    with mpmath.workdps(50):

        def bends(x: object) -> object:
            return mpmath.diff(lambda y: EXACT[kind](mpmath, operator, y), mpmath.mpf(x), 2)

        brackets = ENCLOSURES[kind](operator, ()).joints  # type: ignore[attr-defined]
        assert len(brackets) == len(operator.inflections) == 2
        for (low, high), place in zip(brackets, operator.inflections, strict=True):
            assert low < place < high < low + 1e-15 * (1 + abs(low))
            assert bends(low) * bends(high) < 0
        signs = [bends(x) > 0 for x in np.linspace(-12, 12, 401)]
        inside = [
            -12 < operator.inflections[0] < x < operator.inflections[1]
            for x in np.linspace(-12, 12, 401)
        ]
        assert signs == inside


def behind(operator: Smooth, shift: float = 0.0) -> Network:
    builder = NetworkBuilder((2,))
    node = builder.add(Affine(np.array([[1.0, 1.0], [1.0, -1.0]]), np.full(2, shift)), 0)
    return builder.build(builder.add(operator, node))


@pytest.mark.parametrize("operator", [Log(), Sqrt(), Reciprocal()], ids=lambda o: type(o).__name__)
def test_outside_of_its_domain_nothing_is_claimed(operator: Smooth) -> None:
    box = Box(np.array([[1.0, 1.0]]), np.array([[2.0, 3.0]]))
    for method in (Ibp(), Crown(), AlphaCrown(steps=2), Crown(intermediate=Ibp())):
        with pytest.raises(Unbounded) as caught:
            compute_bounds(behind(operator), box, method)
        name = type(operator).__name__
        assert f"operator {name} (node" in caught.value.problem, method
        assert "-2 to 1" in caught.value.problem
        found = compute_bounds(behind(operator, 5.0), box, method).outer
        assert bool(torch.isfinite(found.lower).all())
    rows = torch.eye(2, dtype=F64)[None]
    tensors = Box(torch.from_numpy(box.lower), torch.from_numpy(box.upper))
    assert bool(torch.isinf(slack(behind(operator), tensors, rows))[0, 1])
    assert bool(torch.isfinite(slack(behind(operator, 5.0), tensors, rows)).all())


def test_what_overflows_in_front_of_a_domain_is_said_to() -> None:
    lower, upper = torch.tensor([[1.0, float("nan")]]), torch.tensor([[2.0, float("nan")]])
    with pytest.raises(Unbounded, match=r"operator Log \(node 'last'\) .* overflow;"):
        require_defined(Log(), lower, upper, "last")


def test_ends_of_domains() -> None:
    lower = torch.tensor([-1.0, -0.0, 0.0, 0.0, 1.0, -2.0, float("nan")])
    upper = torch.tensor([1.0, 0.0, 0.0, 1.0, 2.0, -1.0, 1.0])
    expected = {
        Log: [False, False, False, False, True, False, False],
        Sqrt: [False, True, True, True, True, False, False],
        Reciprocal: [False, False, False, False, True, True, False],
    }
    for kind, answers in expected.items():
        found = defined(kind(), lower, upper)
        assert found is not None
        assert found.tolist() == answers
    assert defined(Exp(), lower, upper) is None


def test_sums_of_exponentials_stay_above_zero() -> None:
    """So that a softmax made of exponentials and a reciprocal has bounds."""
    builder = NetworkBuilder((3,))
    node = builder.add(Exp(), builder.add(Affine(4 * np.eye(3), None), 0))
    node = builder.add(Reciprocal(), builder.add(Affine(np.ones((1, 3)), None), node))
    box = Box(np.full((1, 3), -2.0), np.full((1, 3), 2.0))
    for method in (Ibp(), Crown(), AlphaCrown(steps=2)):
        found = compute_bounds(builder.build(node), box, method).outer
        assert bool((found.lower > 0).all())
        assert bool((found.lower <= 1e-9 + 1 / (3 * np.exp(8.0))).all())
        assert bool((found.upper >= 1 / (3 * np.exp(-8.0)) - 1e-9).all())


def test_squares_inside_a_root_stay_in_its_domain() -> None:
    """Where lines reach below zero, intervals do not: the length of a vector."""
    builder = NetworkBuilder((2,))
    node = builder.add(Affine(np.array([[1.0, 1.0]]), np.array([0.1])), builder.add(Square(), 0))
    network = builder.build(builder.add(Sqrt(), node))
    box = Box(np.array([[-1.0, -3.0]]), np.array([[3.0, 1.0]]))
    for method in (Ibp(), Crown(), AlphaCrown(steps=2)):
        found = compute_bounds(network, box, method).outer
        assert float(found.lower) <= 0.1**0.5 * (1 + 1e-15)
        assert float(found.upper) >= 18.1**0.5 * (1 - 1e-15)


def heights(
    operator: Smooth, slopes: torch.Tensor, ends: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the lines below and above with these slopes, in the middle of intervals."""
    middle = slopes * (ends[0] + ends[1]) / 2
    return tuple(gap(operator, slopes, *ends) + middle for gap in (smallest_gap, largest_gap))


@pytest.mark.parametrize("name", ["sine", "cosine", "gelu", "silu", "mish", "arc tangent"])
def test_lines_are_the_best_in_the_middle(name: str) -> None:
    """No other slope gives a line that cuts off less."""
    operator = RANGES[name][0]
    rng = np.random.default_rng(5)
    lower = torch.from_numpy(rng.uniform(-6, 6, 60))
    ends = lower, lower + torch.from_numpy(rng.exponential(1.5, 60))
    found = relax(operator, *(end[None] for end in ends), Slope.ADAPTIVE)
    low, high = (slope.reshape(-1) for slope in (found.lower_slope, found.upper_slope))
    own = heights(operator, low, ends)[0], heights(operator, high, ends)[1]
    best = heights(operator, torch.linspace(-1.2, 1.2, 801, dtype=F64)[:, None], ends)
    room = 2e-3 * (ends[1] - ends[0])
    assert bool((own[0] >= best[0].amax(0) - room).all())
    assert bool((own[1] <= best[1].amin(0) + room).all())


@given(st.lists(st.integers(-9, 9), min_size=3, max_size=9))
def test_the_highest_line_below_points_passes_through_two_of_them(heights: list[int]) -> None:
    values = torch.tensor(heights, dtype=F64)
    points = torch.linspace(-1, 1, len(heights), dtype=F64)
    pairs = [
        float(values[i] + (values[j] - values[i]) * -points[i] / (points[j] - points[i]))
        for i in range(len(heights))
        for j in range(i + 1, len(heights))
        if points[i] < 0 <= points[j]
    ]
    slope = supporting_slopes(points[:, None], values[:, None])
    assert float((values - slope * points).amin()) == pytest.approx(min(pairs), abs=1e-12)


@every_function
def test_slopes_of_secants_contain_the_derivative(name: str) -> None:
    operator, low, high = RANGES[name]
    rng = np.random.default_rng(2)
    start = torch.from_numpy(rng.uniform(max(low, -8), min(high, 8), 60))
    end = (start + torch.from_numpy(rng.exponential(2.0, 60))).clamp(max=high)
    least, most = secant_slopes(operator, start, end)
    steep = operator.derivative(torch.lerp(start, end, torch.rand(500, 1, dtype=F64)), torch)
    room = 1e-12 * (1 + steep.abs().amax(0))
    assert bool((steep.amin(0) >= least - room).all())
    assert bool((steep.amax(0) <= most + room).all())
