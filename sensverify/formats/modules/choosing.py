"""ATen comparisons of values that depend on the input, and choices by them or by masks.

What holds is 1, what does not is 0, as in `sensverify.formats.onnx.comparing`.
"""

from __future__ import annotations

from typing import Any

import torch

from sensverify.formats.modules.arithmetic import difference, times
from sensverify.formats.modules.bilinear import product_of
from sensverify.formats.modules.emitting import Emitter, Variable, rule, scalar
from sensverify.formats.modules.expressions import Expression
from sensverify.formats.modules.moves import rearranged
from sensverify.network.operators import Abs, Add, Heaviside, Relu, Scale, Sign

_NAMES = ("not", "and", "or", "xor")


@rule("gt", "ge", "lt", "le")
def _ordered(emit: Emitter, self: Any, other: Any) -> Variable:
    """Whether one number is larger than another, or as large."""
    first, second = (self, other) if emit.operator.startswith("g") else (other, self)
    at_zero = 1.0 if emit.operator.endswith("e") else 0.0
    return emit.add(Heaviside(at_zero), difference(emit, first, second))


@rule("eq", "ne")
def _equal(emit: Emitter, self: Any, other: Any) -> Variable:
    """``|sign(x - y)|``, or what is left of 1."""
    apart = emit.add(Abs(), emit.add(Sign(), difference(emit, self, other)))
    return apart if emit.operator == "ne" else _opposite(emit, apart)


@rule(*(f"{kind}_{name}" for kind in ("logical", "bitwise") for name in _NAMES))
def _logic(emit: Emitter, self: Variable, other: Any = None) -> Variable:
    """``1 - p``, ``max(0, p + q - 1)``, ``1 - max(0, 1 - p - q)`` or ``|p - q|``, of 0 and 1."""
    name = emit.operator.partition("_")[2]
    if emit.call.traced.dtype != torch.bool:
        emit.refuse("works on the bits of whole numbers, which a network has not")
    if name == "not":
        return _opposite(emit, self)
    first, second = emit.broadcast(self, other)
    pair = emit.variable(first), emit.as_variable(second, emit.variable(first).shape)
    if name == "xor":
        return emit.add(Abs(), difference(emit, *pair))
    both = emit.add(Add(), *pair) if pair[0] != pair[1] else times(emit, pair[0], 2.0)
    if name == "and":
        return emit.add(Relu(), emit.add(Scale(shift=scalar(-1.0)), both))
    return _opposite(emit, emit.add(Relu(), _opposite(emit, both)))


@rule("where")
def _where(emit: Emitter, condition: Any, self: Any, other: Any) -> Any:
    """``y + p (x - y)``, or entries of both by a constant condition."""
    return _chosen(emit, condition, self, other)


@rule("masked_fill")
def _masked_fill(emit: Emitter, self: Any, mask: Any, value: Any) -> Any:
    """A number in the place of the entries that a mask names."""
    return _chosen(emit, mask, value, self)


def _chosen(emit: Emitter, condition: Any, first: Any, second: Any) -> Any:
    constants = [emit.array(v).detach() for v in (first, second) if not isinstance(v, Variable)]
    finite = all(bool(values.isfinite().all()) for values in constants)
    if not isinstance(condition, Variable):
        if finite or len(constants) > 1:
            return rearranged(emit, **emit.call.arguments)
        return _placed(emit, *emit.broadcast(condition, first, second))
    if not finite:
        emit.refuse("chooses a number that is not finite, by a condition on the input")
    decided, first, second = emit.broadcast(condition, first, second)
    first, second = (emit.as_variable(value, decided.shape) for value in (first, second))
    apart = difference(emit, first, second)
    return emit.add(Add(), second, product_of(emit, emit.variable(decided), apart))


def _placed(emit: Emitter, condition: Any, first: Any, second: Any) -> Variable:
    """Parts of a value and of numbers that may be infinite, as masks of attention are."""
    parts: list[Variable | Expression] = []
    for value, wanted in ((first, True), (second, False)):
        if isinstance(value, Variable):
            mask = Expression.of(
                lambda c, w=wanted: ((c != 0) == w).double(), emit.array(condition)
            )
            parts.append(emit.add(Scale(mask), value))
        else:
            parts.append(
                Expression.of(
                    lambda c, v, w=wanted: torch.where((c != 0) == w, v.double(), 0.0),
                    emit.array(condition),
                    emit.array(value),
                )
            )
    one, other = parts
    if isinstance(one, Variable) and isinstance(other, Variable):
        return emit.add(Add(), one, other)
    variable, shift = (one, other) if isinstance(one, Variable) else (other, one)
    return emit.add(Scale(shift=shift), emit.variable(variable))


def _opposite(emit: Emitter, variable: Variable) -> Variable:
    return emit.add(Scale(scalar(-1.0), scalar(1.0)), variable)
