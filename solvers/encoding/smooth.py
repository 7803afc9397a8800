"""The rule of the functions that no program of finite size holds: lines around each.

In the relaxed form these are the lines of CROWN and of LP-dual. In the exact form there are also
lines on segments of the interval, with a binary for each place where it is cut: the envelope holds
the function, and more, the less the more segments there are.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import diags

from sensverify.bounds.forward import apply
from sensverify.bounds.ibp import interval
from sensverify.bounds.relaxation import Slope, relax
from sensverify.network.operators import Elementwise
from sensverify.solvers.encoding.envelopes import FLAT, curve_cut, lines_around, refined, turns
from sensverify.solvers.encoding.expression import Expression, columns_of, constants, scattered
from sensverify.solvers.encoding.piecewise import ROUNDING
from sensverify.solvers.encoding.rules import Place, encode_operator
from sensverify.solvers.encoding.segments import Segments, add_segments, in_groups


@encode_operator.register
def _(operator: Elementwise, place: Place, x: Expression) -> Expression:
    return encode_curve(operator, place, x, place.bounds, np.arange(len(x)))


def encode_curve(
    operator: Elementwise,
    place: Place,
    x: Expression,
    bounds: tuple[np.ndarray, np.ndarray],
    entries: np.ndarray,
) -> Expression:
    """The function of numbers within bounds, each ``[numbers]``.

    ``entries``: by which entry of the node's input each number is known.
    """
    lower, upper = bounds
    fixed, open_ = np.flatnonzero(lower == upper), np.flatnonzero(lower < upper)
    value = apply(operator, torch.from_numpy(lower[fixed])).numpy()
    parts = [(fixed, constants(value))]
    if len(open_):
        ends = lower[open_], upper[open_]
        parts.append((open_, _between(operator, place, x[open_], ends, entries[open_])))
    return scattered(len(x), *parts)


def _between(
    operator: Elementwise,
    place: Place,
    x: Expression,
    bounds: tuple[np.ndarray, np.ndarray],
    entries: np.ndarray,
) -> Expression:
    """A column for each value, between the ends' values and the lines of CROWN and of LP-dual."""
    builder, (lower, upper) = place.builder, bounds
    ends = torch.from_numpy(lower)[None], torch.from_numpy(upper)[None]
    with torch.no_grad():
        lines = [relax(operator, *ends, slope) for slope in Slope]
        low, high = (end[0].numpy() for end in interval(operator, ends))
    margin = ROUNDING * np.maximum(1.0, np.maximum(np.abs(low), np.abs(high)))
    positions = builder.add_columns(low - margin, high + margin, "value", entries)
    once = builder.define_heavy(x)
    ones = diags(np.ones(len(x)))
    for line in lines:
        for below, slope, intercept in (
            (True, line.lower_slope, line.lower_intercept),
            (False, line.upper_slope, line.upper_intercept),
        ):
            factor = slope.reshape(-1).numpy()
            start = 0.0 if intercept is None else intercept.reshape(-1).numpy()
            shift = start + factor * once.offset
            rows = builder.add_rows(
                (ones, positions),
                (-(diags(factor) @ once.matrix), None),
                lower=shift - margin if below else -np.inf,
                upper=np.inf if below else shift + margin,
            )
            builder.remember(place.position, entries, rows, factor)

    def fill(values: np.ndarray) -> None:
        inputs = torch.from_numpy(np.ascontiguousarray(x.values(values)))
        values[positions] = apply(operator, inputs).numpy()

    builder.fills.append(fill)
    if builder.exact and builder.segments > 1:
        _enclose(operator, place, once, bounds, (entries, positions))
    return columns_of(positions)


def _enclose(
    operator: Elementwise,
    place: Place,
    x: Expression,
    bounds: tuple[np.ndarray, np.ndarray],
    columns: tuple[np.ndarray, np.ndarray],
) -> None:
    """Keep values between the lines on the segments of their arguments.

    ``columns``: the arguments' entries, and the values' positions.
    """
    entries, positions = columns
    cut, places = curve_cut(operator), turns(operator, *bounds)
    counts = np.isfinite(places).sum(axis=0)
    for count, group in in_groups(counts):
        lower, upper = (end[group] for end in bounds)
        ends = np.concatenate([lower[None], places[:count, group], upper[None]])
        size = np.abs(apply(operator, torch.from_numpy(ends)).numpy()).max(axis=0)
        bent = np.flatnonzero(cut(ends[:-1], ends[1:])[1].max(axis=0) > FLAT * np.maximum(1, size))
        if not len(bent):
            continue
        chosen, ends = group[bent], refined(ends[:, bent], place.builder.segments, cut)
        segments = add_segments(place, ends, x[chosen], entries[chosen])
        _add_lines(operator, place, segments, ends, positions[chosen])


def _add_lines(
    operator: Elementwise, place: Place, segments: Segments, ends: np.ndarray, values: np.ndarray
) -> None:
    """Keep values between the lines of the segments that are on."""
    size = np.abs(apply(operator, torch.from_numpy(ends)).numpy()).max(axis=0)
    reach = np.abs(ends).max(axis=0)
    known: dict[bool, np.ndarray] = {}
    for lines in lines_around(operator, ends):
        steep = np.abs(lines.slopes).max(axis=0) * reach
        margin = 2 * ROUNDING * np.maximum(1.0, np.maximum(size, steep))
        # Where both tangents are the chord, one line is enough.
        before = known.setdefault(lines.below, np.full_like(lines.slopes, np.nan))
        new = np.flatnonzero((before != lines.slopes).any(axis=0))
        known[lines.below] = lines.slopes
        if not len(new):
            continue
        own = segments[new]
        first = lines.starts[0, new]
        place.builder.add_rows(
            (diags(np.ones(len(new))), values[new]),
            *own.chosen(-lines.starts[:, new]),
            *own.sloped(-lines.slopes[:, new]),
            lower=first - margin[new] if lines.below else -np.inf,
            upper=np.inf if lines.below else first + margin[new],
        )
