"""ONNX functions of one number."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf, isnan
from typing import Any

import numpy as np

from sensverify.formats.onnx.call import Call, Value, Variable, handles
from sensverify.formats.onnx.constants import folded
from sensverify.formats.onnx.lowering import (
    activated,
    added,
    aligned,
    broadcast,
    broadcast_shape,
    divided,
    joined,
    rearranged,
    reshaped,
    scaled,
)
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
    Tanh,
    TanhGelu,
)

SIMPLE: dict[str, Callable[[], Elementwise]] = {
    "Abs": Abs,
    "Atan": Atan,
    "Ceil": Ceil,
    "Cos": Cos,
    "Erf": Erf,
    "Exp": Exp,
    "Floor": Floor,
    "HardSwish": HardSwish,
    "Log": Log,
    "Mish": Mish,
    "Reciprocal": Reciprocal,
    "Relu": Relu,
    "Round": Round,
    "Sigmoid": Sigmoid,
    "Sign": Sign,
    "Sin": Sin,
    "Softplus": Softplus,
    "Softsign": Softsign,
    "Sqrt": Sqrt,
    "Tanh": Tanh,
}

ROUNDED: dict[str, Callable[..., Any]] = {
    "Ceil": np.ceil,
    "Floor": np.floor,
    "Reciprocal": np.reciprocal,
    "Round": np.round,
    "Sign": np.sign,
    "Sqrt": np.sqrt,
}
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
    """A power with constant exponents, one for all entries or one for each."""
    variable, exponent = call.variable(0), call.constant(1, "the exponent")
    shape, numbers = broadcast_shape(variable, exponent), np.unique(exponent)
    variable = Variable(broadcast(call, variable, shape).node, shape)  # type: ignore[union-attr]
    if len(numbers) == 1:
        return _powered(call, variable, float(numbers[0]))
    exponents = np.broadcast_to(exponent, shape).reshape(-1)
    flat, parts, places = Variable(variable.node, exponents.shape), [], []
    for number in numbers:
        chosen = np.flatnonzero(exponents == number)
        part = rearranged(call, flat, lambda values, chosen=chosen: values[chosen])  # type: ignore[misc]
        parts.append(_powered(call, call.as_variable(part), float(number)))
        places.append(chosen)
    back = np.argsort(np.concatenate(places))
    whole = joined(call, parts, 0)
    return reshaped(call, rearranged(call, whole, lambda values: values[back]), shape)


def _powered(call: Call, variable: Variable, number: float) -> Variable:
    """A power with one exponent."""
    if number == 1:
        return variable
    if number == 0:
        return scaled(call, variable, 0.0, 1.0)
    return activated(call, variable, POWERS.get(number, partial(Pow, number))())


@handles("Gelu")
def gelu(call: Call) -> Value:
    """A number times the normal distribution function of it, or an approximation of that."""
    form = call.attribute("approximate", "none")
    form = form.decode() if isinstance(form, bytes) else form
    if form not in ("none", "tanh"):
        raise call.invalid(f"there is no approximation '{form}'")
    return activated(call, call.variable(0), Gelu() if form == "none" else TanhGelu())


@handles("Elu")
def elu(call: Call) -> Value:
    """``x`` above zero, ``alpha * (exp(x) - 1)`` below."""
    return activated(call, call.variable(0), Elu(float(call.attribute("alpha", 1.0))))


@handles("Celu")
def celu(call: Call) -> Value:
    """``x`` above zero, ``alpha * (exp(x / alpha) - 1)`` below."""
    alpha = float(call.attribute("alpha", 1.0))
    if not alpha > 0:
        raise call.refusal(f"an alpha of {alpha:g} is not supported", "give one above 0")
    # Not with 1 / alpha, which would be rounded.
    return scaled(call, activated(call, divided(call, call.variable(0), alpha), Elu()), alpha)


@handles("Selu")
def selu(call: Call) -> Value:
    """``gamma`` times an ELU."""
    alpha = call.attribute("alpha", 1.67326319217681884765625)
    gamma = call.attribute("gamma", 1.05070102214813232421875)
    return scaled(call, activated(call, call.variable(0), Elu(float(alpha))), gamma)


@handles("ThresholdedRelu")
def thresholded_relu(call: Call) -> Value:
    """``x`` above ``alpha``, else 0: a ReLU behind ``alpha``, and a step as high as ``alpha``."""
    alpha = call.attribute("alpha", 1.0)
    behind = scaled(call, call.variable(0), shift=-alpha)
    ramp, step = (activated(call, behind, operator) for operator in (Relu(), Heaviside()))
    return added(call, ramp, scaled(call, step, alpha))


@handles("Swish")
def swish(call: Call) -> Value:
    """``x * sigmoid(alpha * x)``."""
    alpha = call.attribute("alpha", 1.0)
    if alpha == 0:
        return scaled(call, call.variable(0), 0.5)
    inner = call.variable(0) if alpha == 1 else scaled(call, call.variable(0), alpha)
    result = activated(call, inner, Silu())
    return result if alpha == 1 else divided(call, result, alpha)
