"""ONNX functions of one number."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isnan

import numpy as np

from sensverify.formats.onnx.call import Call, Value, Variable, handles
from sensverify.formats.onnx.lowering import activated, aligned, broadcast_shape, scaled
from sensverify.network.operators import (
    Abs,
    Clip,
    Elementwise,
    LeakyRelu,
    Relu,
    Sigmoid,
    Tanh,
)

SIMPLE: dict[str, Callable[[], Elementwise]] = {
    "Abs": Abs,
    "Relu": Relu,
    "Sigmoid": Sigmoid,
    "Tanh": Tanh,
}

LARGEST_FLOAT = float(np.finfo(np.float32).max)


@handles(*SIMPLE)
def activation(call: Call) -> Value:
    """Functions that a network has an operator for."""
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
