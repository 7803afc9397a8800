"""ONNX functions of one number."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isnan
from typing import Any

import numpy as np

from sensverify.formats.onnx.call import Call, Value, Variable, handles
from sensverify.formats.onnx.constants import folded
from sensverify.formats.onnx.lowering import activated, aligned, broadcast_shape, scaled
from sensverify.network.operators import (
    Abs,
    Clip,
    Elementwise,
    Exp,
    LeakyRelu,
    Log,
    Reciprocal,
    Relu,
    Sigmoid,
    Sqrt,
    Square,
    Tanh,
)

SIMPLE: dict[str, Callable[[], Elementwise]] = {
    "Abs": Abs,
    "Exp": Exp,
    "Log": Log,
    "Reciprocal": Reciprocal,
    "Relu": Relu,
    "Sigmoid": Sigmoid,
    "Sqrt": Sqrt,
    "Tanh": Tanh,
}

ROUNDED: dict[str, Callable[..., Any]] = {"Reciprocal": np.reciprocal, "Sqrt": np.sqrt}
"""Those of `SIMPLE` whose results are correctly rounded, and the same everywhere."""

LARGEST_FLOAT = float(np.finfo(np.float32).max)


@handles(*(SIMPLE.keys() - ROUNDED.keys()))
def activation(call: Call) -> Value:
    """Functions that a network has an operator for."""
    return activated(call, call.variable(0), SIMPLE[call.operator_type]())


@handles(*ROUNDED, folds=True)
def rounded(call: Call) -> Value:
    """Such functions that constants are folded by, too."""
    if not isinstance(call.input(0), Variable):
        return folded(call, ROUNDED[call.operator_type])
    return activated(call, call.variable(0), SIMPLE[call.operator_type]())


@handles("LeakyRelu")
def leaky_relu(call: Call) -> Value:
    """``x`` above zero, ``alpha * x`` below."""
    slope = np.array(call.attribute("alpha", 0.01), np.float64)
    return activated(call, call.variable(0), LeakyRelu(slope))


@handles("PRelu")
def parametric_relu(call: Call) -> Value:
    """Like a leaky ReLU, with a slope for every channel or entry."""
    variable = call.variable(0)
    slope = call.constant(1, "the slope")
    if broadcast_shape(variable, slope) != variable.shape:
        raise call.invalid(f"a slope of shape {slope.shape} does not fit {variable.shape}")
    node, slope = aligned(call, variable, slope)
    return Variable(call.emit(LeakyRelu(slope), node), variable.shape)


@handles("Clip")
def clip(call: Call) -> Value:
    """``min(max(x, low), high)``; the ends are attributes before operator set 11, then inputs."""
    if call.opset < 11:
        low, high = call.attribute("min", -inf), call.attribute("max", inf)
        if low > high:
            raise call.invalid(f"cannot clip to [{low}, {high}]")
    else:
        low, high = (_end(call, i, d) for i, d in ((1, -inf), (2, inf)))
    if call.dtype == np.float32:
        # Exporters write the largest float where they mean no end.
        low = -inf if low <= -LARGEST_FLOAT else low
        high = inf if high >= LARGEST_FLOAT else high
    return clipped(call, call.variable(0), low, high)


def clipped(call: Call, variable: Variable, low: float, high: float) -> Variable:
    """``min(max(x, low), high)`` in the plainest operator for it."""
    if isnan(low) or isnan(high) or low == inf or high == -inf:
        raise call.invalid(f"cannot clip to [{low}, {high}]")
    if low == -inf and high == inf:
        return variable
    if low == 0 and high == inf:
        return activated(call, variable, Relu())
    return activated(call, variable, Clip(min(low, high), high))


def _end(call: Call, index: int, default: float) -> float:
    value = call.optional_constant(index, "an end of the interval")
    if value is None:
        return default
    if value.size != 1:
        raise call.invalid("an end of the interval must be one number")
    return float(value.reshape(-1)[0])


@handles("HardSigmoid")
def hard_sigmoid(call: Call) -> Value:
    """``clip(alpha * x + beta, 0, 1)``."""
    alpha, beta = call.attribute("alpha", 0.2), call.attribute("beta", 0.5)
    return clipped(call, scaled(call, call.variable(0), alpha, beta), 0.0, 1.0)


POWERS: dict[float, Callable[[], Elementwise]] = {2.0: Square, 0.5: Sqrt, -1.0: Reciprocal}
"""Constant exponents whose power is an operator of its own."""


@handles("Pow")
def power(call: Call) -> Value:
    """A power with a constant exponent, one for all entries."""
    variable, exponent = call.variable(0), call.constant(1, "the exponent")
    if exponent.size != 1:
        raise call.refusal("powers with an exponent for each entry are not supported")
    number = float(exponent.reshape(-1)[0])
    shape = broadcast_shape(variable, exponent)
    # More axes of length 1 are the same numbers.
    variable = Variable(variable.node, shape)
    if number == 1:
        return variable
    if number not in POWERS:
        raise call.refusal(f"a power of {number:g} is not supported")
    return activated(call, variable, POWERS[number]())
