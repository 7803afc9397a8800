"""A network's values without rounding: rational numbers, or balls where a function is smooth.

Written from the docstrings of the operators, on arrays of objects, and sharing no code with the
checker: this is what its claims are held against.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod
from typing import Any

import flint
import numpy as np
from flint import arb, fmpq

from sensverify.network import Network
from sensverify.network.operators import (
    Abs,
    Add,
    Affine,
    Atan,
    BatchNorm,
    Ceil,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Cos,
    Divide,
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
    Pad,
    Permute,
    Pow,
    Reciprocal,
    Relu,
    Reshape,
    Round,
    Scale,
    Select,
    Share,
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

PRECISION = 400
"""Bits of the balls."""

SMALLEST = 10_000
"""Ends of balls below 2 to the minus this are taken for it, or for 0."""


def rational(value: float) -> fmpq:
    return fmpq(*float(value).as_integer_ratio())


exactly = np.vectorize(rational, otypes=[object])
"""Floats as the rational numbers that they are."""


def values_at(network: Network, points: np.ndarray) -> list[list[tuple[fmpq, fmpq]]]:
    """Ends of balls that hold the outputs at points ``[points, features]``; often both the same."""
    before, flint.ctx.prec = flint.ctx.prec, PRECISION
    try:
        return [[_ends(y) for y in output_at(network, point).reshape(-1)] for point in points]
    finally:
        flint.ctx.prec = before


def row_values_at(
    network: Network, points: np.ndarray, rows: np.ndarray
) -> list[list[tuple[fmpq, fmpq]]]:
    """Likewise for rows ``[rows, outputs]`` times the output."""
    before, flint.ctx.prec = flint.ctx.prec, PRECISION
    try:
        result = []
        for point in points:
            output = output_at(network, point).reshape(-1)
            result.append([_ends(sum(exactly(row) * output)) for row in rows])
        return result
    finally:
        flint.ctx.prec = before


def _ends(value: Any) -> tuple[fmpq, fmpq]:
    if isinstance(value, fmpq):
        return value, value
    found = []
    for sign, end in ((-1, arb(value).lower()), (1, arb(value).upper())):
        mantissa, exponent = end.man_exp()
        if exponent + mantissa.bit_length() < -SMALLEST:
            # No rational number of a size that can be held; one on the right side can.
            found.append(fmpq(0) if mantissa * sign < 0 else sign * fmpq(1, 2) ** SMALLEST)
        else:
            found.append(fmpq(mantissa) * fmpq(2) ** int(exponent))
    return found[0], found[1]


def output_at(network: Network, point: np.ndarray) -> np.ndarray:
    """The output as an array of objects."""
    return node_outputs(network, point)[-1]


def node_outputs(network: Network, point: np.ndarray) -> list[np.ndarray]:
    """What every node gives."""
    values = [exactly(np.asarray(point, np.float64)).reshape(network.input_shape)]
    for node in network.nodes[1:]:
        result = apply(node.operator, *(values[i] for i in node.inputs))
        values.append(np.asarray(result, object).reshape(node.shape))
    return values


def apply(operator: Any, *inputs: np.ndarray) -> np.ndarray:
    """One operator on arrays of rational numbers or balls."""
    x = inputs[0]
    if isinstance(operator, Affine):
        y = np.dot(x, exactly(operator.weight).T)
        return y if operator.bias is None else y + exactly(operator.bias)
    if isinstance(operator, Conv | ConvTranspose):
        return _convolved(operator, x)
    if isinstance(operator, Scale):
        y = x if operator.scale is None else x * exactly(operator.scale)
        return y if operator.shift is None else y + exactly(operator.shift)
    if isinstance(operator, Divide):
        return x / exactly(operator.divisor)
    if isinstance(operator, BatchNorm):
        return _normalised(operator, x)
    if isinstance(operator, Pad):
        ends = list(zip(operator.before, operator.after, strict=True))
        return np.pad(x, ends, constant_values=rational(operator.value))
    if isinstance(operator, Select):
        return x.reshape(-1)[np.asarray(operator.indices)]
    if isinstance(operator, Permute):
        return x.transpose(operator.axes)
    if isinstance(operator, Reshape):
        return x.reshape(operator.shape)
    if isinstance(operator, Add):
        return sum(inputs[1:], start=x)
    if isinstance(operator, Concat):
        return np.concatenate(inputs, axis=operator.axis)
    if isinstance(operator, Max):
        return np.array(
            [_largest(list(window)) for window in x.reshape(-1, x.shape[-1])], object
        ).reshape(x.shape[:-1])
    if isinstance(operator, Share):
        powers = np.array([arb(v).exp() for v in x.reshape(-1)], object).reshape(x.shape)
        return 1 / (1 + powers.sum(axis=-1))
    return _elementwise(operator, x)


def _elementwise(operator: Any, x: np.ndarray) -> np.ndarray:
    if isinstance(operator, LeakyRelu):
        slope = np.broadcast_to(exactly(operator.slope), x.shape)
        # max(x, 0) + slope min(x, 0)
        return np.array(
            [
                _largest([v, fmpq(0)]) - s * _largest([-v, fmpq(0)])
                for v, s in zip(x.reshape(-1), slope.reshape(-1), strict=True)
            ],
            object,
        )
    return np.array([_function(operator, v) for v in x.reshape(-1)], object)


def _function(operator: Any, x: Any) -> Any:
    if isinstance(operator, Relu):
        return _largest([x, fmpq(0)])
    if isinstance(operator, Abs):
        return _largest([x, -x])
    if isinstance(operator, Clip):
        x = x if operator.low == -np.inf else _largest([x, rational(operator.low)])
        return x if operator.high == np.inf else -_largest([-x, rational(-operator.high)])
    if isinstance(operator, Steps):
        return _step(operator, arb(x))
    return SMOOTH[type(operator)](arb(x), operator)


def _step(operator: Steps, x: arb) -> Any:
    """The value of steps; all values on both sides where a ball reaches to a jump."""
    if isinstance(operator, Sign | Heaviside):
        low, middle = (-1, 0) if isinstance(operator, Sign) else (0, rational(operator.at_zero))
        if x.is_zero():
            return arb(middle)
        return arb(1) if x > 0 else arb(low) if x < 0 else arb(low).union(arb(1))
    if isinstance(operator, Ceil):
        return -(-x).floor()
    if isinstance(operator, Floor):
        return x.floor()
    assert isinstance(operator, Round)
    half = arb(1) / 2
    up, down = (x + half).floor(), -(half - x).floor()
    if not (x + half).is_integer():
        return up
    return up if (up / 2).is_integer() else down


def _elu(x: arb, operator: Any) -> arb:
    below = rational(operator.alpha) * (rational(operator.rate) * x).expm1()
    return x if x >= 0 else below if x < 0 else below.union(x.max(arb(0)))


def _pow(x: arb, operator: Any) -> arb:
    p = float(operator.exponent)
    return x ** int(p) if p.is_integer() else arb(0) if x.is_zero() else x ** arb(p)


def _bounded(x: arb) -> arb:
    """A share far out, without exponentials of numbers with many digits."""
    if abs(x) < 3000:
        return 1 / (1 + (-x).exp())
    rest = arb(0).union(arb(-3000).exp())
    return 1 - rest if x > 0 else rest


_CUBIC = arb(fmpq(44715, 1000000))

SMOOTH: dict[type, Callable[[arb, Any], arb]] = {
    Atan: lambda x, _: x.atan(),
    Cos: lambda x, _: x.cos(),
    Elu: _elu,
    Erf: lambda x, _: x.erf(),
    Exp: lambda x, _: x.exp(),
    Gelu: lambda x, _: x * (-x / arb(2).sqrt()).erfc() / 2,
    HardSwish: lambda x, _: x * (x / 6 + arb(1) / 2).max(arb(0)).min(arb(1)),
    Log: lambda x, _: x.log(),
    Mish: lambda x, _: x * ((x.max(arb(0)) + (-abs(x)).exp().log1p()).tanh()),
    Pow: _pow,
    Reciprocal: lambda x, _: 1 / x,
    Sigmoid: lambda x, _: 1 / (1 + (-x).exp()),
    Silu: lambda x, _: x * _bounded(x),
    Sin: lambda x, _: x.sin(),
    Softplus: lambda x, op: (
        x.max(arb(0)) + (-rational(op.beta) * abs(x)).exp().log1p() / rational(op.beta)
    ),
    Softsign: lambda x, _: x / (1 + abs(x)),
    Sqrt: lambda x, _: x.sqrt(),
    Square: lambda x, _: x * x,
    Tanh: lambda x, _: x.tanh(),
    TanhGelu: lambda x, _: x * _bounded(2 * (2 / arb.pi()).sqrt() * (x + _CUBIC * x**3)),
}


def _largest(values: list[Any]) -> Any:
    if all(isinstance(value, fmpq) for value in values):
        return max(values)
    result = arb(values[0])
    for value in values[1:]:
        result = result.max(arb(value))
    return result


def _normalised(operator: BatchNorm, x: np.ndarray) -> np.ndarray:
    def wide(values: np.ndarray) -> np.ndarray:
        return exactly(values).reshape(-1, *(1 for _ in x.shape[1:]))

    y = x - wide(operator.mean)
    square = wide(operator.variance) + rational(operator.epsilon)
    y = y / np.array([arb(v).sqrt() for v in square.reshape(-1)], object).reshape(square.shape)
    y = y if operator.weight is None else y * wide(operator.weight)
    return y if operator.bias is None else y + wide(operator.bias)


def _convolved(operator: Conv | ConvTranspose, x: np.ndarray) -> np.ndarray:
    """Number by number, as the definition says."""
    weight, spatial = exactly(operator.weight), x.shape[1:]
    kernel = weight.shape[2:]
    backward = isinstance(operator, ConvTranspose)
    first, second = weight.shape[0] // operator.groups, weight.shape[1]
    every = zip(spatial, kernel, operator.stride, operator.padding, operator.dilation, strict=True)
    if backward:
        sizes = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1 + e
            for (n, k, s, p, d), e in zip(every, operator.output_padding, strict=True)
        ]
        result = np.full((operator.groups * second, *sizes), fmpq(0), object)
    else:
        sizes = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in every]
        result = np.full((weight.shape[0], *sizes), fmpq(0), object)
    small, large = (spatial, sizes) if backward else (sizes, spatial)
    for place in product(*(range(n) for n in small)):
        for offset in product(*(range(k) for k in kernel)):
            at = tuple(
                i * s - p + o * d
                for i, s, p, o, d in zip(
                    place, operator.stride, operator.padding, offset, operator.dilation, strict=True
                )
            )
            if any(not 0 <= a < n for a, n in zip(at, large, strict=True)):
                continue
            for group, i, j in product(range(operator.groups), range(first), range(second)):
                factor = weight[(group * first + i, j, *offset)]
                if backward:
                    value = factor * x[(group * first + i, *place)]
                    result[(group * second + j, *at)] += value
                else:
                    value = factor * x[(group * second + j, *at)]
                    result[(group * first + i, *place)] += value
    if operator.bias is None:
        return result
    return result + exactly(operator.bias).reshape(-1, *(1 for _ in sizes))


def entries_of(network: Network) -> int:
    """How many numbers enter nonlinear nodes."""
    from sensverify.network.operators import Elementwise

    return sum(
        prod(network.nodes[node.inputs[0]].shape)
        for node in network.nodes
        if isinstance(node.operator, Elementwise | Max)
    )
