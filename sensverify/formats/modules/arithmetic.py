"""ATen operators of arithmetic, and the activation functions."""

from __future__ import annotations

from math import inf
from typing import Any

import torch

from sensverify.formats.modules.derived import Derived
from sensverify.formats.modules.emitting import Emitter, Flow, rule
from sensverify.network.operators import (
    Abs,
    Add,
    Clip,
    LeakyRelu,
    Operator,
    Relu,
    Scale,
    Sigmoid,
    Tanh,
)


def _number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def _times(emit: Emitter, flow: Flow, factor: float) -> Flow:
    return flow if factor == 1 else emit.add(Scale(_number(factor)), flow)


def _sum(emit: Emitter, first: Any, second: Any, sign: float) -> Flow:
    """``first + sign * second``, where at least one depends on the input."""
    shape = tuple(emit.traced.shape[1:])
    if isinstance(first, Flow) and isinstance(second, Flow):
        flows = emit.expand(first, shape), _times(emit, emit.expand(second, shape), sign)
        return emit.add(Add(), *flows)
    if isinstance(first, Flow):
        shift = emit.operand(second, len(shape))
        if sign != 1:
            shift = Derived.of(lambda values: values * sign, shift)
        return emit.add(Scale(shift=shift), emit.expand(first, shape))
    flow = _times(emit, emit.expand(emit.flow(second), shape), sign)
    return emit.add(Scale(shift=emit.operand(first, len(shape))), flow)


@rule("add")
def _add(emit: Emitter, self: Any, other: Any, alpha: float = 1) -> Flow:
    return _sum(emit, self, other, alpha)


@rule("sub", "subtract")
def _sub(emit: Emitter, self: Any, other: Any, alpha: float = 1) -> Flow:
    return _sum(emit, self, other, -alpha)


@rule("rsub")
def _rsub(emit: Emitter, self: Any, other: Any, alpha: float = 1) -> Flow:
    return _sum(emit, other, self, -alpha)


@rule("mul", "multiply")
def _mul(emit: Emitter, self: Any, other: Any) -> Flow:
    flow, factor = (self, other) if isinstance(self, Flow) else (other, self)
    shape = tuple(emit.traced.shape[1:])
    scale = Scale(emit.operand(factor, len(shape)))
    return emit.add(scale, emit.expand(emit.flow(flow), shape))


@rule("div", "divide", "true_divide")
def _div(emit: Emitter, self: Any, other: Any, rounding_mode: str | None = None) -> Flow:
    if rounding_mode is not None:
        emit.refuse("rounds, which has no bounds here")
    shape = tuple(emit.traced.shape[1:])
    divisor = emit.operand(other, len(shape))
    scale = Scale(Derived.of(torch.reciprocal, divisor))
    return emit.add(scale, emit.expand(emit.flow(self), shape))


@rule("neg", "negative")
def _neg(emit: Emitter, self: Any) -> Flow:
    return _times(emit, emit.flow(self), -1.0)


@rule("positive")
def _positive(emit: Emitter, self: Any) -> Flow:
    return emit.flow(self)


def _activation(name: str, operator: type[Operator]) -> None:
    @rule(name)
    def apply(emit: Emitter, self: Any) -> Flow:
        return emit.add(operator(), emit.flow(self))


for _name, _operator in (
    ("relu", Relu),
    ("sigmoid", Sigmoid),
    ("tanh", Tanh),
    ("abs", Abs),
    ("absolute", Abs),
):
    _activation(_name, _operator)


@rule("leaky_relu")
def _leaky_relu(emit: Emitter, self: Any, negative_slope: float = 0.01) -> Flow:
    return emit.add(LeakyRelu(_number(negative_slope)), emit.flow(self))


@rule("rrelu", "rrelu_with_noise")
def _rrelu(
    emit: Emitter,
    self: Any,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    **_: Any,
) -> Flow:
    if training:
        emit.refuse("draws slopes at random in evaluation too; pass training=self.training to it")
    return emit.add(LeakyRelu(_number((lower + upper) / 2)), emit.flow(self))


@rule("prelu", "_prelu_kernel")
def _prelu(emit: Emitter, self: Any, weight: Any) -> Flow:
    flow, slope = emit.flow(self), emit.array(weight)
    rank = len(flow.shape)
    if slope.ndim == 1 and slope.shape[0] > 1 and rank > 1:
        ones = (1,) * (rank - 1)
        slope = Derived.of(lambda values: values.reshape(-1, *ones), slope)
    elif slope.ndim > 1:
        slope = emit.operand(slope, rank)
    return emit.add(LeakyRelu(slope), flow)


@rule("hardtanh")
def _hardtanh(emit: Emitter, self: Any, min_val: float = -1, max_val: float = 1) -> Flow:
    return _clip(emit, self, min_val, max_val)


@rule("relu6")
def _relu6(emit: Emitter, self: Any) -> Flow:
    return _clip(emit, self, 0.0, 6.0)


@rule("clamp", "clip", "clamp_min", "clamp_max")
def _clamp(emit: Emitter, self: Any, min: Any = None, max: Any = None) -> Flow:
    return _clip(emit, self, -inf if min is None else min, inf if max is None else max)


def _clip(emit: Emitter, value: Any, low: Any, high: Any) -> Flow:
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        emit.refuse("clips at tensors; only numbers are supported")
    if not low <= high:
        emit.refuse(f"clips to an empty interval [{low}, {high}]")
    return emit.add(Clip(float(low), float(high)), emit.flow(value))


@rule("hardsigmoid")
def _hardsigmoid(emit: Emitter, self: Any) -> Flow:
    sixth, half = _number(1 / 6), _number(0.5)
    return emit.add(Clip(0.0, 1.0), emit.add(Scale(sixth, half), emit.flow(self)))
