"""Lines below and above nonlinear functions, against their values without rounding."""

from __future__ import annotations

from itertools import product

import flint
import numpy as np
import pytest
from flint import fmpq
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.certificates.check.arithmetic import ARITHMETICS, rational
from sensverify.certificates.check.enclosure import Enclosure
from sensverify.certificates.check.functions import ENCLOSURES
from sensverify.network.operators import (
    Abs,
    Atan,
    Ceil,
    Clip,
    Cos,
    Elementwise,
    Elu,
    Erf,
    Exp,
    Floor,
    Gelu,
    HardSwish,
    Heaviside,
    LeakyRelu,
    Log,
    Max,
    Mish,
    Pow,
    Reciprocal,
    Relu,
    Round,
    Sigmoid,
    Sign,
    Silu,
    Sin,
    Softplus,
    Softsign,
    Sqrt,
    Square,
    Steps,
    Tanh,
    TanhGelu,
)
from tests.certificates.exact_values import PRECISION, _ends, apply, exactly
from tests.contracts.networks import random_generators

INFINITY = float("inf")
OPERATORS = (
    Relu(),
    Abs(),
    LeakyRelu(np.array(0.1)),
    LeakyRelu(np.array(-3.7)),
    LeakyRelu(np.array(1e300)),
    Clip(-0.3, 0.7),
    Clip(0.5, INFINITY),
    Clip(-INFINITY, -0.1),
    Clip(1.0, -1.0),
    Clip(-1e-310, 1e200),
    Sigmoid(),
    Tanh(),
    Exp(),
    Log(),
    Sqrt(),
    Reciprocal(),
    Square(),
    Pow(3.0),
    Pow(-2.0),
    Pow(0.75),
    Sin(),
    Cos(),
    Atan(),
    Erf(),
    Softsign(),
    Softplus(3.0),
    Elu(),
    Elu(0.3, 2.0),
    Elu(1.7),
    Elu(-0.6),
    Gelu(),
    TanhGelu(),
    Silu(),
    Mish(),
    HardSwish(),
    Sign(),
    Heaviside(0.25),
    Floor(),
    Ceil(),
    Round(),
)
LIMITS: dict[type[Elementwise], tuple[float, float]] = {
    Exp: (-INFINITY, 300.0),
    Log: (5e-324, INFINITY),
    Reciprocal: (1e-300, INFINITY),
    Sqrt: (0.0, INFINITY),
}
"""Where a function is defined, and its values are no larger than numbers that are held."""
pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")


def limits_of(operator: Elementwise) -> tuple[float, float]:
    """Where lines are asked for."""
    if isinstance(operator, Pow) and operator.exponent == -2:
        return 1e-150, 1e150
    if isinstance(operator, Pow):
        return (-1e90, 1e90) if operator.exponent == 3 else (0.0, INFINITY)
    if isinstance(operator, Sin | Cos | Gelu | TanhGelu | Mish | Erf):
        # Farther out, the balls of the reference need more digits than they have.
        return -1e6, 1e6
    return LIMITS.get(type(operator), (-INFINITY, INFINITY))


def enclosure(operator: Elementwise | Max, *shape: int) -> Enclosure:
    return ENCLOSURES[type(operator)](operator, shape)


def intervals(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Of all sizes and places: points, one unit wide, tiny, huge, about zero and far from it."""
    centre = rng.normal(size=count) * 10.0 ** rng.choice([-310, -100, -8, -1, 0, 1, 2, 150], count)
    radius = np.abs(rng.normal(size=count)) * 10.0 ** rng.choice([-310, -17, -3, 0, 1, 150], count)
    radius = radius * rng.integers(0, 2, count)
    lower, upper = centre - radius, centre + radius
    kind = rng.integers(0, 8, count)
    upper = np.where(kind == 0, np.nextafter(lower, np.inf), upper)
    lower, upper = np.where(kind == 1, 0.0, lower), np.where(kind == 1, abs(upper), upper)
    lower, upper = np.where(kind == 2, -abs(lower), lower), np.where(kind == 2, 0.0, upper)
    return lower, upper


def slopes_for(
    rng: np.random.Generator, function: Enclosure, lower: np.ndarray, upper: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sensible and absurd ones."""
    size = lower.shape
    wild = rng.normal(size=(2, *size)) * 10.0 ** rng.choice(
        [-320, -20, -2, 0, 1, 20, 140], (2, *size)
    )
    plain = rng.choice([0.0, 1.0, -1.0, 0.25, 0.5, 1 - 2.0**-53, 2.0**-60], (2, *size))
    rule, chord = function.rule_slopes(lower, upper), function.chord_slopes(lower, upper)
    kind = rng.integers(0, 4, (2, *size))
    rule = np.stack(rule), np.stack([chord, chord])
    both = np.select([kind == 0, kind == 1, kind == 2], [wild, plain, rule[0]], rule[1])
    return tuple(np.where(np.isfinite(both), both, 0.0))


def points_in(
    rng: np.random.Generator, lower: float, upper: float, kinks: list[float]
) -> list[fmpq]:
    """Both ends, kinks, numbers beside them, and others."""
    low, high = rational(lower), rational(upper)
    shares = [*rng.random(6), *(10.0 ** -rng.uniform(0, 20, 3))]
    found = [low + rational(share) * (high - low) for share in shares]
    found += [high - rational(share) * (high - low) for share in shares]
    found += [rational(x + d) for x in kinks for d in (0, 1e-9, -1e-9, 1e-300)]
    found += [rational(x) for x in (-1.0, 1.0, 0.3, -0.2)]
    return [low, high, *(x for x in found if low <= x <= high)]


def gaps(operator: Elementwise, slope: float, points: list[fmpq]) -> list[tuple[fmpq, fmpq]]:
    """Ends of ``f(x) - slope x`` at points."""
    values = apply(operator, np.array(points, object)).reshape(-1)
    pairs = [_ends(value) for value in values]
    line = [rational(slope) * x for x in points]
    return [(low - y, high - y) for (low, high), y in zip(pairs, line, strict=True)]


def as_rational(value: object) -> fmpq:
    return value if isinstance(value, fmpq) else fmpq(0) if value == 0 else rational(float(value))


@pytest.mark.parametrize("name", ARITHMETICS)
@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_lines_hold_everywhere(operator: Elementwise, name: str) -> None:
    kinks = [0.0]
    limits = limits_of(operator)
    if isinstance(operator, Clip):
        kinks = [end for end in (operator.low, operator.high) if np.isfinite(end)]

    @given(random_generators())
    @settings(max_examples=6)
    def check(rng: np.random.Generator) -> None:
        before, flint.ctx.prec = flint.ctx.prec, 53
        count = 12
        lower, upper = (np.clip(x, *limits) for x in intervals(rng, count))
        function = enclosure(operator, count)
        slopes = slopes_for(rng, function, lower[None], upper[None])
        arithmetic = ARITHMETICS[name]()
        lines = function.lines(arithmetic, lower[None], upper[None], slopes)
        taken = function.image(arithmetic, lower[None], upper[None])
        flint.ctx.prec = PRECISION
        try:
            for i in range(count):
                points = points_in(rng, lower[i], upper[i], kinks)
                for slope, end, sign in (
                    (slopes[0][0, i], lines.lower[0, i], 1),
                    (slopes[1][0, i], lines.upper[0, i], -1),
                    (0.0, taken[0][0, i], 1),
                    (0.0, taken[1][0, i], -1),
                ):
                    assert_holds(
                        gaps(operator, slope, points), end, sign, (lower[i], upper[i], slope)
                    )
        finally:
            flint.ctx.prec = before

    check()


def assert_holds(found: list[tuple[fmpq, fmpq]], end: object, sign: int, what: object) -> None:
    """That an intercept is on the right side; NaN and infinity say nothing."""
    if not isinstance(end, fmpq | int) and not np.isfinite(end):
        return
    value = as_rational(end)
    for low, high in found:
        # The balls' far ends: a true intercept may lie within a ball.
        assert value <= high if sign > 0 else value >= low, what


@pytest.mark.parametrize("name", ARITHMETICS)
@pytest.mark.parametrize("operator", [Elu(0.3, 2.0), Elu(0.6), Elu()], ids=str)
def test_a_line_beside_a_kink_is_none_through_it(operator: Elu, name: str) -> None:
    """Slopes that are hardly those at a kink, or hardly not, on small intervals beside it."""
    left = operator.alpha * operator.rate
    steps = [0.0, *(sign * 10.0**-k for k in range(6, 16) for sign in (-1, 1))]
    slopes = [side * (1 + step) for side in (left, 1.0) for step in steps]
    slopes.append(0.5999999999261627)
    starts = [-1.2306225948683113e-10, *(-(10.0**-k) for k in range(6, 14))]
    slope, lower = (part.reshape(1, -1) for part in np.meshgrid(slopes, starts))
    for upper in (np.zeros_like(lower), -lower):
        lines = enclosure(operator, lower.size).lines(
            ARITHMETICS[name](), lower, upper, (slope, slope)
        )
        before, flint.ctx.prec = flint.ctx.prec, PRECISION
        try:
            for i in range(lower.size):
                low, high = rational(lower[0, i]), rational(upper[0, i])
                points = [low + fmpq(k, 8) * (high - low) for k in range(9)] + [fmpq(0)]
                found = gaps(operator, slope[0, i], points)
                what = (lower[0, i], upper[0, i], slope[0, i])
                assert_holds(found, lines.lower[0, i], 1, what)
                assert_holds(found, lines.upper[0, i], -1, what)
        finally:
            flint.ctx.prec = before


@pytest.mark.parametrize("operator", OPERATORS[:10], ids=str)
def test_rational_lines_touch(operator: Elementwise) -> None:
    """A piecewise linear function meets its lines at an end or at a kink."""

    @given(random_generators())
    @settings(max_examples=12)
    def check(rng: np.random.Generator) -> None:
        count = 12
        lower, upper = intervals(rng, count)
        function, exact = enclosure(operator, count), ARITHMETICS["exact"]()
        slopes = slopes_for(rng, function, lower[None], upper[None])
        lines = function.lines(exact, lower[None], upper[None], slopes)
        clip = isinstance(operator, Clip)
        kinks = [e for e in (operator.low, operator.high) if np.isfinite(e)] if clip else [0.0]
        for i in range(count):
            inside = [k for k in kinks if lower[i] <= k <= upper[i]]
            places = [rational(x) for x in (lower[i], upper[i], *inside)]
            assert as_rational(lines.lower[0, i]) == min(gaps(operator, slopes[0][0, i], places))[0]
            assert as_rational(lines.upper[0, i]) == max(gaps(operator, slopes[1][0, i], places))[0]

    check()


@pytest.mark.parametrize("name", ARITHMETICS)
@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_ordinary_lines_are_near(operator: Elementwise, name: str) -> None:
    """With slopes by rule on ordinary intervals, no line is far from the function."""
    if isinstance(operator, LeakyRelu) and operator.slope > 10:
        operator = LeakyRelu(np.array(2.0))
    rng = np.random.default_rng(0)
    count = 20
    lower = rng.uniform(-3, 2, (1, count))
    if limits_of(operator)[0] >= 0:
        lower = abs(lower) + 0.3
    upper = lower + rng.uniform(0, 2, (1, count))
    function = enclosure(operator, count)
    slopes = function.rule_slopes(lower, upper)
    lines = function.lines(ARITHMETICS[name](), lower, upper, slopes)
    before, flint.ctx.prec = flint.ctx.prec, PRECISION
    try:
        for i in range(count):
            dense = [rational(x) for x in np.linspace(lower[0, i], upper[0, i], 101)]
            for slope, end, sign in (
                (slopes[0][0, i], lines.lower[0, i], 1),
                (slopes[1][0, i], lines.upper[0, i], -1),
            ):
                found = [low for low, _ in gaps(operator, slope, dense)]
                nearest = min(found) if sign > 0 else max(found)
                room = 1.1 if isinstance(operator, Steps) else 0.03
                assert abs(nearest - as_rational(end)) <= rational(room)
    finally:
        flint.ctx.prec = before


def windowed(
    rng: np.random.Generator, size: int, window: int
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Bounds of windows; some are one number many times. And slopes, some of which sum to 1."""
    shape = (1, size, window)
    lower = rng.normal(size=shape) * 10.0 ** rng.choice([-310, -3, 0, 3], shape)
    upper = lower + np.abs(rng.normal(size=shape)) * rng.integers(0, 2, shape)
    if rng.random() < 0.4:
        lower, upper = (np.repeat(end[..., :1], window, axis=2) for end in (lower, upper))
    slopes = []
    for _ in range(2):
        raw = rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4, shape)
        convex = np.abs(raw) / np.abs(raw).sum(axis=2, keepdims=True)
        one = np.eye(window)[rng.integers(0, window, size)][None]
        slopes.append([raw, convex, one, convex * 0.7][rng.integers(4)].reshape(1, -1))
    return lower.reshape(1, -1), upper.reshape(1, -1), (slopes[0], slopes[1])


@pytest.mark.parametrize("name", ARITHMETICS)
@given(random_generators(), st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=60)
def test_lines_of_windows_hold(name: str, rng: np.random.Generator, size: int, window: int) -> None:
    lower, upper, slopes = windowed(rng, size, window)
    function = enclosure(Max(), size, window)
    arithmetic = ARITHMETICS[name]()
    lines = function.lines(arithmetic, lower, upper, slopes)
    taken = function.image(arithmetic, lower, upper)
    for i in range(size):
        part = slice(i * window, (i + 1) * window)
        low, high = exactly(lower[0, part]), exactly(upper[0, part])
        corners = [np.array(c, object) for c in product(*zip(low, high, strict=True))]
        shares = [exactly(rng.random(window)) for _ in range(20)]
        points = corners + [low + share * (high - low) for share in shares]
        below, above = (exactly(s[0, part]) for s in slopes)
        for x in points:
            top = max(x)
            assert as_rational(lines.lower[0, i]) <= top - sum(below * x)
            assert as_rational(lines.upper[0, i]) >= top - sum(above * x)
            assert as_rational(taken[0][0, i]) <= top <= as_rational(taken[1][0, i])
        if name == "exact":
            # Convex, so largest at a corner.
            assert as_rational(lines.upper[0, i]) == max(max(x) - sum(above * x) for x in corners)
            vertices = vertices_of_maximum(low, high)
            assert as_rational(lines.lower[0, i]) == min(max(x) - sum(below * x) for x in vertices)


def vertices_of_maximum(low: np.ndarray, high: np.ndarray) -> list[np.ndarray]:
    """Of the parts of a box in which one number is the largest, all vertices and some more."""
    found = []
    for top in {*low, *high}:
        if top < max(low):
            continue
        choices = [
            {end for end in (lower, upper, top) if lower <= end <= min(upper, top)}
            for lower, upper in zip(low, high, strict=True)
        ]
        found += [np.array(x, object) for x in product(*choices)]
    return found


@pytest.mark.parametrize("operator", [Sigmoid(), Tanh()], ids=str)
@pytest.mark.parametrize("name", ARITHMETICS)
def test_far_out_numbers_stay_small(operator: Elementwise, name: str) -> None:
    """The exponential of a large number is no rational number that fits a computer."""
    lower, upper = np.array([[-1e7, -1e6, -1e7]]), np.array([[-5e6, 1e7, 0.0]])
    for slope in (0.0, 0.1):
        flat = np.full_like(lower, slope)
        lines = enclosure(operator, 3).lines(ARITHMETICS[name](), lower, upper, (flat, flat))
        found = [as_rational(value) for value in (*lines.lower[0], *lines.upper[0])]
        small = [int(value.q).bit_length() < 100_000 for value in found]
        assert all(small)
