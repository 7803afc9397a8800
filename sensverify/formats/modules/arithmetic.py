"""ATen operators of arithmetic: sums, products, quotients, the larger of two."""

from __future__ import annotations

from math import inf
from typing import Any

from sensverify.formats.modules.derived import Derived, Origin, origin
from sensverify.formats.modules.emitting import Emitter, Flow, number, rule
from sensverify.network.operators import Add, Clip, Concat, Divide, Max, Relu, Scale


def times(emit: Emitter, flow: Flow, factor: float) -> Flow:
    """A flow times a number."""
    return flow if factor == 1 else emit.add(Scale(number(factor)), flow)


def _sum(emit: Emitter, first: Any, second: Any, sign: Any) -> Flow:
    """``first + sign * second``, where at least one depends on the input."""
    if not isinstance(sign, int | float):
        emit.refuse("takes its factor alpha from an array, which is not supported")
    first, second = emit.together(first, second)
    if isinstance(first, Flow) and isinstance(second, Flow):
        if first == second:
            return times(emit, first, 1 + sign)
        return emit.add(Add(), first, times(emit, second, sign))
    if isinstance(first, Flow):
        shift = second if sign == 1 else Derived.of(lambda values: values * sign, second)
        return emit.add(Scale(shift=shift), first)
    return emit.add(Scale(shift=first), times(emit, second, sign))


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
    first, second = emit.together(self, other)
    flow, factor = (first, second) if isinstance(first, Flow) else (second, first)
    return emit.add(Scale(emit.array(factor)), emit.flow(flow))


@rule("div", "divide", "true_divide")
def _div(emit: Emitter, self: Any, other: Any, rounding_mode: str | None = None) -> Flow:
    if rounding_mode is not None:
        emit.refuse("rounds, which has no bounds here")
    flow, divisor = emit.together(self, other)
    divisor = emit.array(divisor)
    if bool((divisor.detach() == 0).any()):
        emit.refuse("divides by zero")
    return emit.add(Divide(divisor), emit.flow(flow))


@rule("neg", "negative")
def _neg(emit: Emitter, self: Any) -> Flow:
    return times(emit, emit.flow(self), -1.0)


@rule("positive")
def _positive(emit: Emitter, self: Any) -> Flow:
    return emit.flow(self)


@rule("lerp")
def _lerp(emit: Emitter, self: Any, end: Any, weight: Any) -> Flow:
    first, second, weight = emit.together(self, end, weight)
    share = emit.array(weight)
    rest = Derived.of(lambda values: 1 - values, share)
    shape = first.shape if isinstance(first, Flow) else second.shape
    flows = [emit.placed(value, shape) for value in (first, second)]
    return emit.add(Add(), emit.add(Scale(rest), flows[0]), emit.add(Scale(share), flows[1]))


@rule("maximum", "minimum", "fmax", "fmin")
def maximum(emit: Emitter, self: Any, other: Any) -> Flow:
    """The larger, or smaller, of two values."""
    values = emit.together(self, other)
    smallest = emit.operator in ("minimum", "fmin", "min")
    flow, bound = values if isinstance(values[0], Flow) else values[::-1]
    if isinstance(bound, Flow):
        return _largest_of(emit, values, smallest=smallest)
    ends = (None, bound) if smallest else (bound, None)
    return clipped(emit, emit.flow(flow), *ends)


def clipped(emit: Emitter, flow: Flow, low: Any, high: Any) -> Flow:
    """``min(max(x, low), high)``; the ends are numbers, arrays of the flow's shape, or None."""
    low, high = _end(low, -inf), _end(high, inf)
    if isinstance(low, float) and isinstance(high, float):
        if not low <= high:
            emit.refuse(f"clips to an empty interval [{low}, {high}]")
        if (low, high) == (-inf, inf):
            return flow
        return emit.add(Relu() if (low, high) == (0, inf) else Clip(low, high), flow)
    for end, smallest in ((low, False), (high, True)):
        if isinstance(end, float):
            flow = (
                flow
                if abs(end) == inf
                else clipped(emit, flow, *((None, end) if smallest else (end, None)))
            )
        else:
            flow = _largest_of(emit, [flow, end], smallest=smallest)
    return flow


def _end(value: Any, default: float) -> Any:
    """An end of an interval: a number where all its entries are one that cannot change."""
    if value is None:
        return default
    if isinstance(value, int | float):
        return float(value)
    if origin(value) is Origin.FIXED and value.detach().unique().numel() == 1:
        return float(value.detach().flatten()[0])
    return value


def _largest_of(emit: Emitter, values: list[Any], *, smallest: bool) -> Flow:
    shape = next(value.shape for value in values if isinstance(value, Flow))
    flows = [emit.placed(value, shape) for value in values]
    if flows[0] == flows[1]:
        return flows[0]
    apart = [emit.reshape(flow, (*shape, 1)) for flow in flows]
    return largest(emit, emit.add(Concat(len(shape)), *apart), smallest=smallest)


def largest(emit: Emitter, flow: Flow, *, smallest: bool) -> Flow:
    """The maximum, or minimum, along the last axis."""
    if flow.shape[-1] == 1:
        return emit.reshape(flow, flow.shape[:-1])
    if not smallest:
        return emit.add(Max(), flow)
    return times(emit, emit.add(Max(), times(emit, flow, -1.0)), -1.0)
