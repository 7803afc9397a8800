"""A network evaluated in numpy, with a bound on how far another evaluation may be off.

Every value carries a *running error bound* (Higham 2002, *Accuracy and stability of numerical
algorithms*, Section 3.3): magnitudes go through the network beside the values, so that what
cancels in a sum still counts. Independent of what bounds are computed with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import singledispatch
from itertools import product
from math import prod, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sensverify.errors import MissingRule
from sensverify.network.functions import NUMPY
from sensverify.network.graph import Network
from sensverify.network.operators import (
    Abs,
    Add,
    Affine,
    BatchNorm,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Divide,
    LeakyRelu,
    Max,
    Operator,
    Pad,
    Periodic,
    Permute,
    PiecewiseLinear,
    Product,
    Relu,
    Reshape,
    Scale,
    Select,
    Share,
    Smooth,
    Steps,
)

_LIBRARY = 16
"""Units by which another library's exponentials may be off."""


@dataclass(frozen=True)
class Precision:
    """The arithmetic of the other evaluation.

    Parameters
    ----------
    unit : float
        Half the distance from 1 to the next number.
    largest, least : float
        Where it overflows, and what it may lose to underflow.
    weights : float
        How far its weights may be from ours, relative to the largest one of an array.
    """

    unit: float
    largest: float
    least: float
    weights: float = 0.0

    def gamma(self, terms: int) -> float:
        """Relative error of a sum of products; infinite where the bound says nothing.

        In any order, for float32 and float64. With 16 bits that bound would say nothing of a
        hundred terms: there it is what is left of independent errors (Higham & Mary 2019, *A new
        approach to probabilistic rounding error analysis*), and sums are taken in float32 anyway.
        """
        loss = self.unit * (terms + 4 if self.unit < 2.0**-20 else 4 + sqrt(terms))
        return loss / (1 - loss) if loss < 0.25 else np.inf


FLOAT64 = Precision(2.0**-52, float(np.finfo(np.float64).max), 2.0**-1022)
"""Twice the unit: our own evaluation rounds as much."""
FLOAT32 = Precision(2.0**-24, float(np.finfo(np.float32).max), 2.0**-126)
FLOAT16 = Precision(2.0**-11, float(np.finfo(np.float16).max), 2.0**-24)
BFLOAT16 = Precision(2.0**-8, float(np.finfo(np.float32).max), 2.0**-126)


class Running(NamedTuple):
    """Values, and how far the other evaluation's may be from them; infinite: nothing is known."""

    value: np.ndarray
    error: np.ndarray


def known(values: Any) -> Running:
    """Numbers that both evaluations start from."""
    value = np.asarray(values, np.float64)
    return Running(value, np.zeros_like(value))


def apply(operator: Operator, inputs: Sequence[Running], precision: Precision) -> Running:
    """One operator on batched values ``[batch, *shape]``, in float64."""
    with np.errstate(all="ignore"):
        value, error = step(operator, inputs, precision)
        error = np.where(abs(value) + error <= precision.largest / 2, error, np.inf)
    return Running(value, error)


def evaluate(network: Network, points: np.ndarray, precision: Precision = FLOAT64) -> Running:
    """The outputs of a network on points ``[batch, *shape]``, in float64."""
    values = [known(points)]
    for node in network.nodes[1:]:
        values.append(apply(node.operator, [values[i] for i in node.inputs], precision))
    return values[-1]


@singledispatch
def step(operator: Operator, inputs: Sequence[Running], precision: Precision) -> Running:
    """The rule of an operator; its parameters are numpy arrays."""
    raise MissingRule(
        f"no running rule for operator {type(operator).__name__}",
        "register one with sensverify.network.running.step.register",
    )


def _linear(
    function: Callable[[np.ndarray, np.ndarray], np.ndarray],
    x: Running,
    weight: Any,
    bias: np.ndarray | None,
    terms: int,
    precision: Precision,
) -> Running:
    """``function(x, weight) + bias`` for a function that sums ``terms`` products."""
    weight = np.asarray(weight, np.float64)
    gamma, size = precision.gamma(terms), abs(x.value)
    value, error = function(x.value, weight), function(gamma * size + 2 * x.error, abs(weight))
    if precision.weights:
        off = precision.weights * abs(weight).max(initial=0.0)
        error = error + function(size + x.error, np.full_like(weight, off))
    error = error + terms * precision.least
    if bias is not None:
        value = value + bias
        error = error + (gamma + precision.weights) * abs(bias)
    # The error is gamma times what is summed up, or more: sums may overflow on the way.
    return Running(value, np.where(error <= gamma * precision.largest / 2, error, np.inf))


def _wide(values: Any, axes: int) -> Any:
    """A bias for every channel, beside a batch axis and so many spatial ones."""
    return None if values is None else np.asarray(values, np.float64).reshape(-1, *(1,) * axes)


@step.register
def _(operator: Affine, inputs: Sequence[Running], precision: Precision) -> Running:
    bias = _wide(operator.bias, 0)
    terms = operator.weight.shape[1]
    return _linear(lambda x, w: x @ w.T, inputs[0], operator.weight, bias, terms, precision)


@step.register
def _(operator: Conv, inputs: Sequence[Running], precision: Precision) -> Running:
    bias = _wide(operator.bias, len(operator.stride))

    def convolve(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return np.stack([_convolved(operator, sample, weight) for sample in x])

    terms = prod(operator.weight.shape[1:])
    return _linear(convolve, inputs[0], operator.weight, bias, terms, precision)


def _convolved(operator: Conv, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Cross-correlation of one sample: every window a column of a matrix."""
    kernel = weight.shape[2:]
    count, groups = len(kernel), operator.groups
    x = np.pad(x, [(0, 0), *((p, p) for p in operator.padding)])
    extents = tuple((k - 1) * d + 1 for k, d in zip(kernel, operator.dilation, strict=True))
    found = sliding_window_view(x, extents, axis=tuple(range(1, count + 1)))
    strides = tuple(slice(None, None, s) for s in operator.stride)
    found = found[(slice(None), *strides, *(slice(None, None, d) for d in operator.dilation))]
    places = found.shape[1 : count + 1]
    order = (0, *range(count + 1, 2 * count + 1), *range(1, count + 1))
    columns = found.transpose(order).reshape(groups, -1, prod(places))
    rows = weight.reshape(groups, len(weight) // groups, -1)
    return (rows @ columns).reshape(len(weight), *places)


@step.register
def _(operator: ConvTranspose, inputs: Sequence[Running], precision: Precision) -> Running:
    bias = _wide(operator.bias, len(operator.stride))

    def spread(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return np.stack([_transposed(operator, sample, weight) for sample in x])

    terms = operator.weight.shape[0] // operator.groups * prod(operator.weight.shape[2:])
    return _linear(spread, inputs[0], operator.weight, bias, terms, precision)


def _transposed(operator: ConvTranspose, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Transposed convolution of one sample: every entry of the kernel adds where it lands."""
    channels, outputs, *kernel = weight.shape
    groups, spatial = operator.groups, x.shape[1:]
    steps = (operator.stride, operator.dilation, operator.output_padding)
    full = [
        (n - 1) * s + (k - 1) * d + 1 + extra
        for n, k, s, d, extra in zip(spatial, kernel, *steps, strict=True)
    ]
    result = np.zeros((outputs * groups, *full))
    columns = x.reshape(groups, channels // groups, -1)
    taps = weight.reshape(groups, channels // groups, outputs, -1).transpose(3, 0, 2, 1)
    for at, tap in zip(product(*(range(k) for k in kernel)), taps, strict=True):
        place = tuple(
            slice(a * d, a * d + (n - 1) * s + 1, s)
            for a, d, n, s in zip(at, operator.dilation, spatial, operator.stride, strict=True)
        )
        result[(slice(None), *place)] += (tap @ columns).reshape(outputs * groups, *spatial)
    inside = (slice(p, n - p) for p, n in zip(operator.padding, full, strict=True))
    return result[(slice(None), *inside)]


@step.register
def _(operator: Scale, inputs: Sequence[Running], precision: Precision) -> Running:
    (value, error), off = inputs[0], 4 * precision.unit + precision.weights
    if operator.scale is not None:
        scale = np.asarray(operator.scale, np.float64)
        error = 2 * abs(scale) * error + off * abs(value * scale) + precision.least
        value = value * scale
    if operator.shift is not None:
        shift = np.asarray(operator.shift, np.float64)
        error = error + off * (abs(value) + abs(shift))
        value = value + shift
    return Running(value, error)


@step.register
def _(operator: Divide, inputs: Sequence[Running], precision: Precision) -> Running:
    divisor = np.asarray(operator.divisor, np.float64)
    value = inputs[0].value / divisor
    off = 4 * precision.unit + precision.weights
    error = 2 * inputs[0].error / abs(divisor) + off * abs(value) + precision.least
    return Running(value, error)


@step.register
def _(operator: BatchNorm, inputs: Sequence[Running], precision: Precision) -> Running:
    (x, error), axes = inputs[0], inputs[0].value.ndim - 2
    mean, variance = _wide(operator.mean, axes), _wide(operator.variance, axes)
    weight, bias = _wide(operator.weight, axes), _wide(operator.bias, axes)
    under = variance + operator.epsilon
    factor = (1.0 if weight is None else weight) / np.sqrt(under)
    bias = np.zeros(()) if bias is None else bias
    # The sum under the root loses what cancels there; others subtract the scaled mean.
    off = (12 + 4 * (abs(variance) + operator.epsilon) / under) * precision.unit
    off = off + precision.weights
    size = abs(factor) * (abs(x) + abs(mean))
    loss = 2 * abs(factor) * error + off * (size + abs(bias)) + precision.least
    return Running((x - mean) * factor + bias, loss)


@step.register
def _(operator: Pad, inputs: Sequence[Running], precision: Precision) -> Running:
    ends = [(0, 0), *zip(operator.before, operator.after, strict=True)]
    value, error = inputs[0]
    lost = precision.unit * abs(operator.value)
    return Running(
        np.pad(value, ends, constant_values=operator.value),
        np.pad(error, ends, constant_values=lost),
    )


def _moved(x: Running, function: Callable[[np.ndarray], np.ndarray]) -> Running:
    return Running(function(x.value), function(x.error))


@step.register
def _(operator: Select, inputs: Sequence[Running], precision: Precision) -> Running:
    indices = np.asarray(operator.indices)
    return _moved(inputs[0], lambda v: v.reshape(len(v), -1)[:, indices])


@step.register
def _(operator: Permute, inputs: Sequence[Running], precision: Precision) -> Running:
    axes = (0, *(axis + 1 for axis in operator.axes))
    return _moved(inputs[0], lambda v: v.transpose(axes))


@step.register
def _(operator: Reshape, inputs: Sequence[Running], precision: Precision) -> Running:
    return _moved(inputs[0], lambda v: v.reshape(len(v), *operator.shape))


@step.register
def _(operator: Add, inputs: Sequence[Running], precision: Precision) -> Running:
    size = sum(abs(x.value) for x in inputs)
    error = 2 * sum(x.error for x in inputs) + precision.gamma(len(inputs)) * size
    return Running(np.asarray(sum(x.value for x in inputs)), np.asarray(error))


@step.register
def _(operator: Concat, inputs: Sequence[Running], precision: Precision) -> Running:
    axis = operator.axis + 1
    values = np.concatenate([x.value for x in inputs], axis)
    return Running(values, np.concatenate([x.error for x in inputs], axis))


@step.register(Relu)
@step.register(Abs)
def _(operator: Relu | Abs, inputs: Sequence[Running], precision: Precision) -> Running:
    return Running(operator.value(inputs[0].value, NUMPY), inputs[0].error)


@step.register
def _(operator: LeakyRelu, inputs: Sequence[Running], precision: Precision) -> Running:
    (value, error), slope = inputs[0], np.asarray(operator.slope, np.float64)
    off = (4 * precision.unit + precision.weights) * abs(value * slope) + precision.least
    result = operator.value(value, NUMPY)
    return Running(result, 2 * np.maximum(1, abs(slope)) * error + off)


@step.register
def _(operator: Clip, inputs: Sequence[Running], precision: Precision) -> Running:
    ends = sum(abs(end) for end in operator.kinks if np.isfinite(end))
    value = operator.value(inputs[0].value, NUMPY)
    return Running(value, inputs[0].error + (precision.unit + precision.weights) * ends)


@step.register
def _(operator: PiecewiseLinear, inputs: Sequence[Running], precision: Precision) -> Running:
    (x, error), value = inputs[0], operator.value(inputs[0].value, NUMPY)
    steep = np.maximum(1, abs(np.stack(np.broadcast_arrays(*operator.slopes))).max(axis=0))
    size = abs(x) + sum(abs(kink) for kink in operator.kinks if np.isfinite(kink))
    off = (_LIBRARY * precision.unit + precision.weights) * (abs(value) + steep * size)
    return Running(value, 2 * steep * error + off + precision.least)


@step.register
def _(operator: Steps, inputs: Sequence[Running], precision: Precision) -> Running:
    (x, error), value = inputs[0], operator.value(inputs[0].value, NUMPY)
    # The other evaluation may be on the other side of a jump.
    crossed = (operator.jump_from(x - error, NUMPY) <= x + error) & (error > 0)
    jumps = np.floor(2 * error / operator.spacing) + 1
    return Running(value, np.where(crossed, jumps * operator.height, 0.0))


@step.register
def _(operator: Smooth, inputs: Sequence[Running], precision: Precision) -> Running:
    (x, error), value = inputs[0], operator.value(inputs[0].value, NUMPY)
    # The derivative is the steepest at an end, at an inflection or beside a kink.
    steep = np.maximum(1, abs(operator.derivative(x - error, NUMPY)))
    steep = np.maximum(steep, abs(operator.derivative(x + error, NUMPY)))
    beside = [np.nextafter(kink, far) for kink in operator.kinks for far in (-np.inf, np.inf)]
    for point in (*operator.inflections, *beside):
        slope = abs(operator.derivative(np.float64(point), NUMPY))
        steep = np.where(abs(x - point) <= error, np.maximum(steep, slope), steep)
    if isinstance(operator, Periodic):
        steep = np.maximum(1, operator.steepest)
    off = _LIBRARY * precision.unit * np.maximum(1, abs(value))
    # Beyond the end of a branch the derivative says nothing.
    inside = [(x - error >= start) & (x + error <= end) for start, end in operator.branches]
    moved = np.where(np.logical_or.reduce(inside), steep * error, np.inf)
    return Running(value, np.where(error == 0, 0.0, moved) + off)


@step.register
def _(operator: Max, inputs: Sequence[Running], precision: Precision) -> Running:
    return Running(inputs[0].value.max(axis=-1), inputs[0].error.max(axis=-1))


@step.register
def _(operator: Share, inputs: Sequence[Running], precision: Precision) -> Running:
    (x, error), top = inputs[0], np.maximum(inputs[0].value.max(axis=-1), 0)
    one = np.exp(-top)
    value = one / (one + np.exp(x - top[..., None]).sum(axis=-1))
    # The slopes' magnitudes sum to p (1 - p); an exponential that is off is an argument that is.
    units = (2 * _LIBRARY + x.shape[-1] + 2) * precision.unit
    moved = error.max(axis=-1) + 4 * precision.unit * abs(x).max(axis=-1) + units
    return Running(value, moved / 2 + precision.unit + precision.least)


@step.register
def _(operator: Product, inputs: Sequence[Running], precision: Precision) -> Running:
    (x, y), (off, other) = (np.moveaxis(part, -1, 0) for part in inputs[0])
    error = 2 * (abs(x) * other + abs(y) * off + off * other)
    return Running(x * y, error + 2 * precision.unit * abs(x * y) + precision.least)
