"""Slopes by rule: those of CROWN, and like them for other functions.

Nothing here has to be right: any slope is valid, these are good ones.
"""

from __future__ import annotations

import numpy as np

from sensverify.certificates.check.lines import kinks
from sensverify.certificates.check.program import Nonlinear
from sensverify.network.operators import Abs, Clip, LeakyRelu, Max, Relu, Sigmoid, Tanh


def rule_slopes(
    step: Nonlinear, lower: np.ndarray, upper: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of the lines with each candidate slope, those that are best in the middle of the interval."""
    if isinstance(step.operator, Max):
        return _window_slopes(step, lower, upper)
    middle = lower / 2 + upper / 2
    below = above = chord_slopes(step, lower, upper)
    best_low, best_high = np.full_like(lower, -np.inf), np.full_like(lower, np.inf)
    for slope in (below, *_pieces(step, lower, upper)):
        slope = np.broadcast_to(slope, lower.shape)
        gaps = [_plain(step, x) - slope * x for x in _looked_at(step, lower, upper, slope)]
        low, high = np.minimum.reduce(gaps), np.maximum.reduce(gaps)
        low, high = low + slope * middle, high + slope * middle
        # Not at a tie: rounding must not decide, or the same proof would differ by machine.
        enough = 1e-6 * (upper - lower)
        below = np.where(low > best_low + enough, slope, below)
        above = np.where(high < best_high - enough, slope, above)
        best_low, best_high = np.maximum(low, best_low), np.minimum(high, best_high)
    return below, above


def chord_slopes(step: Nonlinear, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Of the line through both ends; of a `Max`, as by `rule_slopes`."""
    if isinstance(step.operator, Max):
        return _window_slopes(step, lower, upper)[1]
    width = upper - lower
    rise = _plain(step, upper) - _plain(step, lower)
    return np.where(width > 0, rise / np.where(width > 0, width, 1.0), _derivative(step, lower))


def _pieces(step: Nonlinear, lower: np.ndarray, upper: np.ndarray) -> list[np.ndarray]:
    operator = step.operator
    if isinstance(operator, Sigmoid | Tanh):
        ends = np.minimum(_derivative(step, lower), _derivative(step, upper))
        return [ends, _derivative(step, lower / 2 + upper / 2)]
    pieces = [np.array(0.0), np.array(1.0)]
    if isinstance(operator, Abs):
        pieces = [np.array(-1.0), np.array(1.0)]
    elif isinstance(operator, LeakyRelu) and step.slope is not None:
        pieces = [step.slope, np.array(1.0)]
    elif isinstance(operator, Clip) and np.isfinite(operator.high - operator.low):
        rise = operator.high - operator.low
        for run in (upper - operator.low, operator.high - lower):
            pieces.append(np.where(run > rise, rise / np.maximum(run, max(rise, 1e-300)), 1.0))
    return pieces


def _looked_at(
    step: Nonlinear, lower: np.ndarray, upper: np.ndarray, slope: np.ndarray
) -> list[np.ndarray]:
    if not isinstance(step.operator, Sigmoid | Tanh):
        return [lower, upper, *(np.clip(k, lower, upper) for k in kinks(step))]
    most = 0.25 if isinstance(step.operator, Sigmoid) else 1.0
    root = np.sqrt(np.clip(1 - slope / most, 0, 1 - 1e-12))
    point = np.arctanh(root) if most == 1.0 else np.log((1 + root) / (1 - root))
    return [lower, upper, np.clip(point, lower, upper), np.clip(-point, lower, upper)]


def _plain(step: Nonlinear, x: np.ndarray) -> np.ndarray:
    """f in plain floating-point numbers."""
    operator = step.operator
    if isinstance(operator, Tanh):
        return np.tanh(x)
    if isinstance(operator, Sigmoid):
        return 0.5 + 0.5 * np.tanh(x / 2)
    if isinstance(operator, Relu):
        return np.maximum(x, 0)
    if isinstance(operator, Abs):
        return np.abs(x)
    if isinstance(operator, Clip):
        return np.clip(x, operator.low, operator.high)
    return np.where(x > 0, x, x * step.slope)


def _derivative(step: Nonlinear, x: np.ndarray) -> np.ndarray:
    value = _plain(step, x)
    if isinstance(step.operator, Tanh):
        return 1 - value**2
    if isinstance(step.operator, Sigmoid):
        return value * (1 - value)
    return np.where(x > 0, 1.0, 0.0)


def _window_slopes(
    step: Nonlinear, lower: np.ndarray, upper: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The number with the largest lower bound; above only where nothing else can be larger."""
    shape = (len(lower), step.size, step.window)
    low, high = lower.reshape(shape), upper.reshape(shape)
    winner = low.argmax(axis=2)[..., None]
    below = np.zeros(shape)
    np.put_along_axis(below, winner, 1.0, axis=2)
    others = np.where(below > 0, -np.inf, high).max(axis=2, keepdims=True)
    decided = np.take_along_axis(low, winner, axis=2) >= others
    return below.reshape(lower.shape), (below * decided).reshape(lower.shape)
