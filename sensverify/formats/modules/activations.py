"""ATen operators of activation functions: nonlinear functions of one number."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sensverify.formats.modules.arithmetic import clipped, times
from sensverify.formats.modules.emitting import Emitter, Variable, contains_variable, rule, scalar
from sensverify.formats.modules.expressions import Expression
from sensverify.network.operators import (
    Abs,
    Add,
    Clip,
    Exp,
    LeakyRelu,
    Log,
    Operator,
    Reciprocal,
    Relu,
    Scale,
    Sigmoid,
    Sqrt,
    Square,
    Tanh,
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
    ("exp", Exp),
    ("log", Log),
    ("reciprocal", Reciprocal),
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
    if threshold != value:
        emit.refuse(
            f"jumps from {value} to {threshold}, and a network is continuous here; only a value "
            "equal to the threshold is supported"
        )
    return clipped(emit, self, threshold, None)


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
    if exponent == 1:
        return variable
    if exponent not in POWERS:
        emit.refuse(f"has the exponent {exponent:g}, and a network has {sorted(POWERS)}")
    for operator in POWERS[float(exponent)]:
        variable = emit.add(operator(), variable)
    return variable
