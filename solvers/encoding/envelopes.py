"""Envelopes of curves: where an interval is cut, and the lines on both sides of every segment.

Cut is first where a function changes between convex and concave, then where its chord is the
furthest from it, until there are as many segments as asked for: so every cut is also one of all
finer envelopes. On a segment the curve lies between its chord and its tangents at both ends, which
hold as any lines of these slopes do: with the intercepts that `line_intercepts` finds for CROWN. A
finer envelope is within every coarser one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.forward import apply
from sensverify.bounds.relaxation import Relaxation, Slope, line_intercepts, relax
from sensverify.network import Network
from sensverify.network.operators import (
    Elementwise,
    Increment,
    Operator,
    Periodic,
    PiecewiseLinear,
    Product,
    Share,
    Smooth,
    Steps,
)

Cut = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Where to cut intervals between these ends, and the gap that is left if they are not cut."""

FLAT = 1e-8
"""Gaps up to this, relative to a curve's values, are not worth a binary."""

_TURNS = 64
"""Most inflections inside of an interval: around more of them lines are flat anyway."""

_NEAR = 1e-6
"""Share of an interval within which an inflection counts as its end."""

_BISECTIONS = 30
"""Steps towards the point of a curve that is furthest from its chord."""

_STEEP = 1e4
"""Most that a tangent may rise on its segment, relative to the curve: solvers want coefficients of
similar size."""


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines on one side of a curve, one for each segment: ``starts + slopes * way``.

    Parameters
    ----------
    below : bool
    slopes, starts : numpy array, shape ``[segments, numbers]``
        ``starts``: the values of the lines at the segments' starts.
    """

    below: bool
    slopes: np.ndarray
    starts: np.ndarray


def has_curves(network: Network) -> bool:
    """Whether the exact form holds some operator of a network in an envelope only."""
    kinds = (node.operator for node in network.nodes)
    return any(isinstance(kind, Share) or _cut(kind) for kind in kinds)


def has_segments(network: Network) -> bool:
    """Whether some of these envelopes are in segments."""
    return any(_cut(node.operator) for node in network.nodes)


def _cut(operator: Operator) -> bool:
    if isinstance(operator, Increment):
        return _cut(operator.function)
    exact = isinstance(operator, PiecewiseLinear | Steps)
    return isinstance(operator, Product) or (isinstance(operator, Elementwise) and not exact)


def refined(ends: np.ndarray, count: int, cut: Cut) -> np.ndarray:
    """Intervals ``[ends, numbers]`` cut where their gap is the largest, until there are as many."""
    low, high = ends[:-1], ends[1:]
    points, gaps = cut(low, high)
    every = np.arange(ends.shape[1])
    while len(low) < count:
        widest = gaps.argmax(axis=0), every
        middle, last = points[widest], high[widest]
        halves = np.stack([low[widest], middle]), np.stack([middle, last])
        new_points, new_gaps = cut(*halves)
        high = high.copy()
        high[widest], points[widest], gaps[widest] = middle, new_points[0], new_gaps[0]
        low, high = np.vstack([low, middle]), np.vstack([high, last])
        points, gaps = np.vstack([points, new_points[1]]), np.vstack([gaps, new_gaps[1]])
    return np.sort(np.vstack([low, ends[-1:]]), axis=0)


def halved(lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The `Cut` in the middle; the gap is the width."""
    return lower / 2 + upper / 2, upper - lower


def curve_cut(operator: Elementwise) -> Cut:
    """The `Cut` at the point of a curve that is the furthest from its chord."""
    if not isinstance(operator, Smooth):
        return halved

    def cut(lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low, high = torch.from_numpy(lower), torch.from_numpy(upper)
        first, last = apply(operator, low), apply(operator, high)
        chord = (last - first) / (high - low).clamp(min=torch.finfo(low.dtype).tiny)
        convex = _convex(operator, low, high)
        near, far = low, high
        for _ in range(_BISECTIONS):
            middle = near / 2 + far / 2
            before = (operator.derivative(middle, torch) < chord) == convex
            near, far = torch.where(before, middle, near), torch.where(before, far, middle)
        # A cut at an end is none.
        point = near.clamp(min=torch.lerp(low, high, 0.01), max=torch.lerp(low, high, 0.99))
        gap = (apply(operator, point) - first - chord * (point - low)).abs()
        return point.numpy(), gap.nan_to_num(0.0, 0.0, 0.0).numpy()

    return cut


def turns(operator: Elementwise, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Inflections inside of intervals, ascending, ``[turns, numbers]``; infinite where fewer."""
    if isinstance(operator, Periodic):
        places = _repeated(operator, lower, upper)
    elif isinstance(operator, Smooth):
        ones = np.ones(len(lower))
        places = np.array([place * ones for place in operator.inflections])
    else:
        places = np.zeros((0, len(lower)))
    near = _NEAR * (upper - lower)
    places = places.reshape(-1, len(lower))
    inside = (places > lower + near) & (places < upper - near)
    places = np.sort(np.where(inside, places, np.inf), axis=0)
    return places[: int(np.isfinite(places).sum(axis=0).max(initial=0))]


def _repeated(operator: Periodic, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """The places where a function is steepest, of intervals that hold few of them."""
    found = []
    few = (upper - lower) / operator.period * 2 < _TURNS
    most = int(np.ceil((upper - lower)[few].max(initial=0.0) / operator.period))
    for slope in (operator.steepest, -operator.steepest):
        for point in operator.tangents(torch.tensor([slope], dtype=torch.float64), torch) or []:
            start = float(point)
            first = start + np.ceil((lower - start) / operator.period) * operator.period
            found += [np.where(few, first + k * operator.period, np.inf) for k in range(most + 1)]
    if not found:
        return np.zeros((0, len(lower)))
    places = np.sort(np.array(found), axis=0)
    # One place may be found twice, rounded otherwise.
    with np.errstate(invalid="ignore"):
        again = np.diff(places, axis=0, prepend=-np.inf) < _NEAR * operator.period
    return np.where(again, np.inf, places)


def lines_around(operator: Elementwise, ends: np.ndarray) -> list[Lines]:
    """Lines below and above a curve on the segments between ends ``[segments + 1, numbers]``."""
    shape = (len(ends) - 1, ends.shape[1])
    low, high = (torch.from_numpy(part.reshape(1, -1)) for part in (ends[:-1], ends[1:]))
    with torch.no_grad():
        found = [
            (below, slope.reshape(shape).numpy(), start.reshape(shape).numpy())
            for relaxation in _relaxations(operator, low, high)
            for below, slope, start in _sides(relaxation, low)
        ]
    return [Lines(*each) for each in found]


def _sides(relaxation: Relaxation, start: Tensor) -> list[tuple[bool, Tensor, Tensor]]:
    """Slopes, and values at the segments' starts, of the lines below and above."""
    found = []
    for below, slope, intercept in (
        (True, relaxation.lower_slope, relaxation.lower_intercept),
        (False, relaxation.upper_slope, relaxation.upper_intercept),
    ):
        value = slope * start.unsqueeze(1)
        found.append((below, slope, value if intercept is None else value + intercept))
    return found


def _relaxations(operator: Elementwise, low: Tensor, high: Tensor) -> list[Relaxation]:
    """Chord and tangents where the curve is known; else the lines of LP-dual and of CROWN."""
    if not isinstance(operator, Smooth):
        return [relax(operator, low, high, slope) for slope in Slope]
    parallel = relax(operator, low, high, Slope.PARALLEL)
    chord, convex = parallel.lower_slope, _convex(operator, low, high).unsqueeze(1)
    size = torch.maximum(apply(operator, low).abs(), apply(operator, high).abs()).clamp(min=1.0)
    most = _STEEP * size / (high - low).clamp(min=torch.finfo(low.dtype).tiny)
    found = []
    for end in (low, high):
        tangent = operator.derivative(end, torch)
        # Written so that a NaN fails it.
        tangent = torch.where(tangent.abs() <= most, tangent, chord.squeeze(1)).unsqueeze(1)
        below, above = torch.where(convex, tangent, chord), torch.where(convex, chord, tangent)
        found.append(line_intercepts(operator, below, above, low.unsqueeze(1), high.unsqueeze(1)))
    return found


def _convex(operator: Smooth, low: Tensor, high: Tensor) -> Tensor:
    """Whether a function that bends to one side is convex between these."""
    return operator.derivative(high, torch) >= operator.derivative(low, torch)
