"""ATen operators of activation functions: nonlinear functions of one number."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sensverify.formats.modules.arithmetic import clipped, times
from sensverify.formats.modules.derived import Derived
from sensverify.formats.modules.emitting import Emitter, Flow, contains_flow, number, rule
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
    return emit.add(LeakyRelu(number(negative_slope)), emit.flow(self))


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
    return emit.add(LeakyRelu(number((lower + upper) / 2)), emit.flow(self))


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
    return clipped(emit, emit.flow(self), min_val, max_val)


@rule("relu6")
def _relu6(emit: Emitter, self: Any) -> Flow:
    return clipped(emit, emit.flow(self), 0.0, 6.0)


@rule("clamp", "clip", "clamp_min", "clamp_max")
def _clamp(emit: Emitter, self: Any, min: Any = None, max: Any = None) -> Flow:
    if contains_flow([min, max]):
        emit.refuse("clips at values computed from the input; use torch.maximum and torch.minimum")
    ends = [end for end in (min, max) if isinstance(end, Tensor | Derived)]
    flow, *arrays = emit.together(self, *ends)
    low, high = (arrays.pop(0) if isinstance(end, Tensor | Derived) else end for end in (min, max))
    return clipped(emit, emit.flow(flow), low, high)


@rule("threshold")
def _threshold(emit: Emitter, self: Any, threshold: float, value: float) -> Flow:
    if threshold != value:
        emit.refuse(
            f"jumps from {value} to {threshold}, and a network is continuous here; only a value "
            "equal to the threshold is supported"
        )
    return clipped(emit, emit.flow(self), threshold, None)


@rule("softshrink")
def _softshrink(emit: Emitter, self: Any, lambd: float = 0.5) -> Flow:
    flow = emit.flow(self)
    inside = emit.add(Clip(-lambd, lambd), flow)
    return emit.add(Add(), flow, times(emit, inside, -1.0))


@rule("hardsigmoid")
def _hardsigmoid(emit: Emitter, self: Any) -> Flow:
    sixth, half = number(1 / 6), number(0.5)
    return emit.add(Clip(0.0, 1.0), emit.add(Scale(sixth, half), emit.flow(self)))
