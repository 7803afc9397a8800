"""ATen operators of activation functions: nonlinear functions of one number."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from sensverify.formats.modules.arithmetic import clipped, times
from sensverify.formats.modules.emitting import Emitter, Variable, contains_variable, rule, scalar
from sensverify.formats.modules.expressions import Expression, current
from sensverify.network.operators import (
    Abs,
    Add,
    Atan,
    Ceil,
    Clip,
    Cos,
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
    Operator,
    Pow,
    Reciprocal,
    Relu,
    Round,
    Scale,
    Sigmoid,
    Sign,
    Silu,
    Sin,
    Softplus,
    Sqrt,
    Square,
    Tanh,
    TanhGelu,
)


def _activation(name: str, operator: type[Operator]) -> None:
    @rule(name)
    def apply(emit: Emitter, self: Variable) -> Variable:
        return emit.add(operator(), self)


for _name, _operator in (
    ("relu", Relu),
    ("sigmoid", Sigmoid),
    ("tanh", Tanh),
    ("abs", Abs),
    ("absolute", Abs),
    ("arctan", Atan),
    ("atan", Atan),
    ("ceil", Ceil),
    ("cos", Cos),
    ("erf", Erf),
    ("special_erf", Erf),
    ("exp", Exp),
    ("floor", Floor),
    ("hardswish", HardSwish),
    ("log", Log),
    ("mish", Mish),
    ("reciprocal", Reciprocal),
    ("sgn", Sign),
    ("sign", Sign),
    ("silu", Silu),
    ("sin", Sin),
    ("sqrt", Sqrt),
    ("square", Square),
):
    _activation(_name, _operator)


@rule("leaky_relu")
def _leaky_relu(emit: Emitter, self: Variable, negative_slope: float = 0.01) -> Variable:
    return emit.add(LeakyRelu(scalar(negative_slope)), self)


@rule("rrelu", "rrelu_with_noise")
def _rrelu(
    emit: Emitter,
    self: Variable,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    **_: Any,
) -> Variable:
    if training:
        emit.refuse("draws slopes at random in evaluation too", "pass training=self.training to it")
    return emit.add(LeakyRelu(scalar((lower + upper) / 2)), self)


@rule("prelu", "_prelu_kernel")
def _prelu(emit: Emitter, self: Any, weight: Any) -> Variable:
    variable, slope = emit.variable(self), emit.array(weight)
    rank = len(variable.shape)
    if slope.ndim == 1 and slope.shape[0] > 1 and rank > 1:
        ones = (1,) * (rank - 1)
        slope = Expression.of(lambda values: values.reshape(-1, *ones), slope)
    elif slope.ndim > 1:
        slope = emit.operand(slope, rank)
    return emit.add(LeakyRelu(slope), variable)


@rule("hardtanh")
def _hardtanh(emit: Emitter, self: Variable, min_val: float = -1, max_val: float = 1) -> Variable:
    return clipped(emit, self, min_val, max_val)


@rule("relu6")
def _relu6(emit: Emitter, self: Variable) -> Variable:
    return clipped(emit, self, 0.0, 6.0)


@rule("clamp", "clip", "clamp_min", "clamp_max")
def _clamp(emit: Emitter, self: Any, min: Any = None, max: Any = None) -> Variable:
    if contains_variable([min, max]):
        emit.refuse(
            "clips at values computed from the input", "use torch.maximum and torch.minimum"
        )
    ends = [end for end in (min, max) if isinstance(end, Tensor | Expression)]
    variable, *arrays = emit.broadcast(self, *ends)
    low, high = (
        arrays.pop(0) if isinstance(end, Tensor | Expression) else end for end in (min, max)
    )
    return clipped(emit, emit.variable(variable), low, high)


@rule("threshold")
def _threshold(emit: Emitter, self: Variable, threshold: float, value: float) -> Variable:
    if threshold == value:
        return clipped(emit, self, threshold, None)
    # max(x - t, 0) + v + (t - v) [x > t]
    behind = emit.add(Scale(None, scalar(-threshold)), self)
    step = emit.add(Heaviside(), behind)
    jump = emit.add(Scale(scalar(threshold - value), scalar(value)), step)
    return emit.add(Add(), emit.add(Relu(), behind), jump)


@rule("hardshrink")
def _hardshrink(emit: Emitter, self: Variable, lambd: float = 0.5) -> Variable:
    # A soft one, and steps: down at -lambd, whose value is 0 there, and up at lambd.
    above = emit.add(Heaviside(), emit.add(Scale(None, scalar(-lambd)), self))
    below = emit.add(Heaviside(), emit.add(Scale(scalar(-1.0), scalar(-lambd)), self))
    jumps = emit.add(Scale(scalar(lambd)), above), emit.add(Scale(scalar(-lambd)), below)
    return emit.add(Add(), _softshrink(emit, self, lambd), *jumps)


@rule("softshrink")
def _softshrink(emit: Emitter, self: Variable, lambd: float = 0.5) -> Variable:
    inside = emit.add(Clip(-lambd, lambd), self)
    return emit.add(Add(), self, times(emit, inside, -1.0))


@rule("hardsigmoid")
def _hardsigmoid(emit: Emitter, self: Variable) -> Variable:
    sixth, half = scalar(1 / 6), scalar(0.5)
    return emit.add(Clip(0.0, 1.0), emit.add(Scale(sixth, half), self))


@rule("rsqrt")
def _rsqrt(emit: Emitter, self: Variable) -> Variable:
    return emit.add(Reciprocal(), emit.add(Sqrt(), self))


@rule("expm1")
def _expm1(emit: Emitter, self: Variable) -> Variable:
    return emit.add(Scale(None, scalar(-1.0)), emit.add(Exp(), self))


@rule("log1p")
def _log1p(emit: Emitter, self: Variable) -> Variable:
    return emit.add(Log(), emit.add(Scale(None, scalar(1.0)), self))


POWERS = {2.0: (Square,), 0.5: (Sqrt,), -1.0: (Reciprocal,), -0.5: (Sqrt, Reciprocal)}
"""Constant exponents whose power is operators one after the other."""


@rule("pow")
def _pow(emit: Emitter, self: Any, exponent: Any) -> Variable:
    if not isinstance(exponent, int | float):
        emit.refuse("has an exponent that is no constant number")
    variable = emit.variable(self)
    if exponent == 0:
        emit.refuse("has the exponent 0, so its values do not depend on the input")
    if exponent == 1:
        return variable
    for operator in POWERS.get(float(exponent), (partial(Pow, float(exponent)),)):
        variable = emit.add(operator(), variable)
    return variable


@rule("gelu")
def _gelu(emit: Emitter, self: Variable, approximate: str = "none") -> Variable:
    return emit.add(TanhGelu() if approximate == "tanh" else Gelu(), self)


@rule("elu")
def _elu(
    emit: Emitter, self: Variable, alpha: float = 1, scale: float = 1, input_scale: float = 1
) -> Variable:
    if not input_scale > 0:
        emit.refuse(f"scales its input by {input_scale:g}, and only numbers above 0 are known")
    result = emit.add(Elu(float(alpha), float(input_scale)), self)
    return result if scale == 1 else times(emit, result, float(scale))


@rule("celu")
def _celu(emit: Emitter, self: Variable, alpha: float = 1.0) -> Variable:
    if not alpha > 0:
        emit.refuse(f"has an alpha of {alpha:g}, and only numbers above 0 are known")
    return emit.add(Elu(float(alpha), 1 / alpha), self)


@rule("selu")
def _selu(emit: Emitter, self: Variable) -> Variable:
    return times(emit, emit.add(Elu(_SELU_ALPHA), self), _SELU_SCALE)


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


@rule("softplus")
def _softplus(emit: Emitter, self: Variable, beta: float = 1, threshold: float = 20) -> Variable:
    if not beta > 0:
        emit.refuse(f"has a beta of {beta:g}, and only numbers above 0 are known")
    if threshold < 20:
        emit.refuse(
            f"takes the number itself from {threshold:g} on, where that is another one",
            "leave its threshold at 20",
        )
    return emit.add(Softplus(float(beta)), self)


@rule("log_sigmoid", "log_sigmoid_forward")
def _log_sigmoid(emit: Emitter, self: Variable) -> Variable:
    return times(emit, emit.add(Softplus(), times(emit, self, -1.0)), -1.0)


@rule("round")
def _round(emit: Emitter, self: Variable, decimals: int = 0) -> Variable:
    if decimals:
        emit.refuse("rounds to decimals, and only whole numbers are known")
    return emit.add(Round(), self)


@rule("heaviside")
def _heaviside(emit: Emitter, self: Variable, values: Any) -> Variable:
    at_zero = current(emit.array(values))
    if at_zero.numel() != 1 or not 0 <= float(at_zero) <= 1:
        emit.refuse("has a value at zero that is not one number from 0 to 1")
    return emit.add(Heaviside(float(at_zero)), self)
