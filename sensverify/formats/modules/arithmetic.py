"""ATen operators of arithmetic: sums, products, quotients, the larger of two."""

from __future__ import annotations

from math import inf
from typing import Any

from torch import Tensor

from sensverify.formats.modules.bilinear import product_of
from sensverify.formats.modules.emitting import Emitter, Variable, rule, scalar
from sensverify.formats.modules.expressions import Expression, Origin, current, origin
from sensverify.network.operators import (
    Abs,
    Add,
    Clip,
    Concat,
    Divide,
    Max,
    Reciprocal,
    Relu,
    Scale,
    Sigmoid,
    Silu,
    Softsign,
)


def times(emit: Emitter, variable: Variable, factor: float) -> Variable:
    """A variable times a number."""
    return variable if factor == 1 else emit.add(Scale(scalar(factor)), variable)


def _sum(emit: Emitter, first: Any, second: Any, sign: Any) -> Variable:
    """``first + sign * second``, where at least one depends on the input."""
    if not isinstance(sign, int | float):
        emit.refuse("takes its factor alpha from an array, which is not supported")
    first, second = emit.broadcast(first, second)
    if isinstance(first, Variable) and isinstance(second, Variable):
        if first == second:
            return times(emit, first, 1 + sign)
        return emit.add(Add(), first, times(emit, second, sign))
    if isinstance(first, Variable):
        shift = second if sign == 1 else Expression.of(lambda values: values * sign, second)
        return emit.add(Scale(shift=shift), first)
    return emit.add(Scale(shift=first), times(emit, second, sign))


def difference(emit: Emitter, first: Any, second: Any) -> Variable:
    """``first - second``, where at least one depends on the input."""
    return _sum(emit, first, second, -1)


@rule("add")
def _add(emit: Emitter, self: Any, other: Any, alpha: float = 1) -> Variable:
    return _sum(emit, self, other, alpha)


@rule("sub", "subtract")
def _sub(emit: Emitter, self: Any, other: Any, alpha: float = 1) -> Variable:
    return _sum(emit, self, other, -alpha)


@rule("rsub")
def _rsub(emit: Emitter, self: Any, other: Any, alpha: float = 1) -> Variable:
    return _sum(emit, other, self, -alpha)


@rule("mul", "multiply")
def _mul(emit: Emitter, self: Any, other: Any) -> Variable:
    first, second = emit.broadcast(self, other)
    if isinstance(first, Variable) and isinstance(second, Variable):
        known = _gated(emit, first, second)
        return product_of(emit, first, second) if known is None else known
    variable, factor = (first, second) if isinstance(first, Variable) else (second, first)
    return emit.add(Scale(emit.array(factor)), emit.variable(variable))


@rule("div", "divide", "true_divide")
def _div(emit: Emitter, self: Any, other: Any, rounding_mode: str | None = None) -> Variable:
    if rounding_mode is not None:
        emit.refuse("rounds, which has no bounds here")
    variable, divisor = emit.broadcast(self, other)
    if isinstance(variable, Variable) and _is_share(emit, variable, divisor):
        return emit.add(Softsign(), variable)
    if isinstance(divisor, Variable):
        inverse = emit.add(Reciprocal(), divisor)
        if isinstance(variable, Variable):
            return product_of(emit, variable, inverse)
        return emit.add(Scale(emit.array(variable)), inverse)
    divisor = emit.array(divisor)
    if bool((divisor.detach() == 0).any()):
        emit.refuse("divides by zero")
    return emit.add(Divide(divisor), emit.variable(variable))


def _gated(emit: Emitter, first: Variable, second: Variable) -> Variable | None:
    """A product that is one function of one number, whose bounds are tighter."""
    for factor, share in ((first, second), (second, first)):
        operator, inputs = emit.behind(share)
        if isinstance(operator, Sigmoid) and inputs == (factor.position,):
            return emit.add(Silu(), factor)
    return None


def _is_share(emit: Emitter, variable: Variable, divisor: Any) -> bool:
    """True where the divisor is ``1 + |x|`` for the variable x."""
    if not isinstance(divisor, Variable):
        return False
    plus, (source,) = emit.behind(divisor)[0], emit.behind(divisor)[1][:1] or (-1,)
    if not isinstance(plus, Scale) or plus.scale is not None or plus.shift is None:
        return False
    size, inputs = emit.behind(Variable(source, variable.shape))
    shift = current(plus.shift)
    ones = isinstance(shift, Tensor) and bool((shift == 1).all())
    return ones and isinstance(size, Abs) and inputs == (variable.position,)


@rule("neg", "negative")
def _neg(emit: Emitter, self: Variable) -> Variable:
    return times(emit, self, -1.0)


@rule("positive")
def _positive(emit: Emitter, self: Variable) -> Variable:
    return self


@rule("lerp")
def _lerp(emit: Emitter, self: Any, end: Any, weight: Any) -> Variable:
    first, second, weight = emit.broadcast(self, end, weight)
    share = emit.array(weight)
    rest = Expression.of(lambda values: 1 - values, share)
    shape = first.shape if isinstance(first, Variable) else second.shape
    variables = [emit.as_variable(value, shape) for value in (first, second)]
    return emit.add(
        Add(), emit.add(Scale(rest), variables[0]), emit.add(Scale(share), variables[1])
    )


@rule("maximum", "minimum", "fmax", "fmin")
def maximum(emit: Emitter, self: Any, other: Any) -> Variable:
    """The larger, or smaller, of two values."""
    values = emit.broadcast(self, other)
    smallest = emit.operator in ("minimum", "fmin", "min")
    variable, bound = values if isinstance(values[0], Variable) else values[::-1]
    if isinstance(bound, Variable):
        return _largest_of(emit, values, smallest=smallest)
    ends = (None, bound) if smallest else (bound, None)
    return clipped(emit, emit.variable(variable), *ends)


def clipped(emit: Emitter, variable: Variable, low: Any, high: Any) -> Variable:
    """``min(max(x, low), high)``; the ends are numbers, arrays of the variable's shape, or None."""
    low, high = _end(low, -inf), _end(high, inf)
    if isinstance(low, float) and isinstance(high, float):
        if not low <= high:
            emit.refuse(f"clips to an empty interval [{low}, {high}]")
        if (low, high) == (-inf, inf):
            return variable
        return emit.add(Relu() if (low, high) == (0, inf) else Clip(low, high), variable)
    for end, smallest in ((low, False), (high, True)):
        if isinstance(end, float):
            variable = (
                variable
                if abs(end) == inf
                else clipped(emit, variable, *((None, end) if smallest else (end, None)))
            )
        else:
            variable = _largest_of(emit, [variable, end], smallest=smallest)
    return variable


def _end(value: Any, default: float) -> Any:
    """An end of an interval: a number where all its entries are one that cannot change."""
    if value is None:
        return default
    if isinstance(value, int | float):
        return float(value)
    if origin(value) is Origin.FIXED and value.detach().unique().numel() == 1:
        return float(value.detach().flatten()[0])
    return value


def _largest_of(emit: Emitter, values: list[Any], *, smallest: bool) -> Variable:
    shape = next(value.shape for value in values if isinstance(value, Variable))
    variables = [emit.as_variable(value, shape) for value in values]
    if variables[0] == variables[1]:
        return variables[0]
    apart = [emit.reshape(variable, (*shape, 1)) for variable in variables]
    return largest(emit, emit.add(Concat(len(shape)), *apart), smallest=smallest)


def largest(emit: Emitter, variable: Variable, *, smallest: bool) -> Variable:
    """The maximum, or minimum, along the last axis."""
    if variable.shape[-1] == 1:
        return emit.reshape(variable, variable.shape[:-1])
    if not smallest:
        return emit.add(Max(), variable)
    return times(emit, emit.add(Max(), times(emit, variable, -1.0)), -1.0)
