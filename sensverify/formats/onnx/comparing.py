"""ONNX comparisons of values that depend on the input, what is made of them, and choices by them.

What holds is 1, what does not is 0: a comparison is a step of a difference. Bounds take both for
attained where the two sides are equal, so none depends on how rounding decides there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sensverify.formats.onnx.arithmetic import negated, total
from sensverify.formats.onnx.bilinear import times
from sensverify.formats.onnx.call import Call, Value, Variable, handles
from sensverify.formats.onnx.constants import folded
from sensverify.formats.onnx.lowering import (
    activated,
    broadcast,
    broadcast_shape,
    empty,
    scaled,
)
from sensverify.network.operators import Abs, Add, Heaviside, Relu, Scale, Sign

CONSTANTS: dict[str, Callable[..., Any]] = {
    "And": np.logical_and,
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Not": np.logical_not,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
}
"""The functions that these operators are of constants alone, the same everywhere."""


@handles(*CONSTANTS, folds=True)
def compared(call: Call) -> Value:
    """Of constants true or false; of what depends on the input 1 or 0."""
    if call.constant_alone:
        return folded(call, CONSTANTS[call.operator_type])
    return _VARIABLE[call.operator_type](call)


def _ordered(call: Call) -> Value:
    """Whether one number is larger than another, or as large."""
    first, second = call.input(0), call.input(1)
    if call.operator_type.startswith("Less"):
        first, second = second, first
    at_zero = 1.0 if call.operator_type.endswith("Equal") else 0.0
    return activated(call, _difference(call, first, second), Heaviside(at_zero))


def _equal(call: Call) -> Value:
    """Whether two numbers are the same: ``1 - |sign(x - y)|``."""
    apart = activated(call, _difference(call, call.input(0), call.input(1)), Sign())
    return _opposite(call, activated(call, apart, Abs()))


def _not(call: Call) -> Value:
    """1 for 0, and 0 for 1."""
    return _opposite(call, call.variable(0))


def _together(call: Call) -> Value:
    """``max(0, p + q - 1)``, ``1 - max(0, 1 - p - q)`` or ``|p - q|``, of 0 and 1."""
    first, second = (_number(value) for value in (call.input(0), call.input(1)))
    if call.operator_type == "Xor":
        return activated(call, _difference(call, first, second), Abs())
    both = call.as_variable(total(call, [first, second]))
    if call.operator_type == "And":
        return activated(call, scaled(call, both, shift=-1.0), Relu())
    return _opposite(call, activated(call, _opposite(call, both), Relu()))


_VARIABLE: dict[str, Callable[[Call], Value]] = {
    **dict.fromkeys(("Greater", "GreaterOrEqual", "Less", "LessOrEqual"), _ordered),
    **dict.fromkeys(("And", "Or", "Xor"), _together),
    "Equal": _equal,
    "Not": _not,
}


@handles("IsNaN")
def not_a_number(call: Call) -> Value:
    """No value that depends on the input is NaN where it has bounds.

    Bounds are refused where a function may leave what it is defined on, and rows of attention in
    which a mask hides everything when a file is read: PyTorch's exporters write this operator
    behind masks of truths.
    """
    variable = call.variable(0)
    call.reserve(variable.shape)
    return np.zeros(variable.shape, bool)


@handles("Where", folds=True)
def where(call: Call) -> Value:
    """Entries of one value or another."""
    first, second, decided = call.input(1), call.input(2), call.input(0)
    if isinstance(decided, Variable):
        return decided_by(call, decided, first, second)
    condition = decided.astype(bool)
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return folded(call, np.where)
    if (nothing := empty(call, condition, first, second)) is not None:
        return nothing
    if condition.all() or not condition.any():
        shape = broadcast_shape(condition, first, second)
        return broadcast(call, first if condition.all() else second, shape)
    chosen: list[Value] = []
    for value, mask in ((first, condition), (second, ~condition)):
        if isinstance(value, Variable):
            chosen.append(scaled(call, value, mask.astype(np.float64)))
        else:
            chosen.append(np.where(mask, value, np.zeros((), value.dtype)))
    return total(call, chosen)


def decided_by(call: Call, condition: Variable, first: Value, second: Value) -> Value:
    """Entries of one value where a condition is 1, of the other where it is 0.

    ``y + p (x - y)``; where the condition is that x is larger, the larger of the two.
    """
    for value in (first, second):
        if isinstance(value, np.ndarray) and not np.isfinite(value).all():
            raise call.refusal(
                "a condition that depends on the input chooses a number that is not finite"
            )
    shape = broadcast_shape(condition, first, second)
    condition, first, second = (broadcast(call, each, shape) for each in (condition, first, second))  # type: ignore[assignment]
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return scaled(call, condition, call.real(first) - call.real(second), second)
    apart = call.as_variable(total(call, [first, negated(call, second)]))
    for sign in (1, -1):
        if _is_larger(call, condition, apart, sign):
            larger = activated(call, apart if sign > 0 else scaled(call, apart, -1.0), Relu())
            rest = larger if sign > 0 else scaled(call, larger, -1.0)
            return total(call, [second, rest])
    return total(call, [second, times(call, condition, apart)])


def _is_larger(call: Call, condition: Variable, apart: Variable, sign: int) -> bool:
    """Whether a condition holds where a difference, times a sign, is above 0 (or is 0)."""
    nodes = call.builder.nodes
    node = nodes[condition.node]
    if not isinstance(node.operator, Heaviside) or nodes[apart.node].shape != node.shape:
        return False
    terms = _terms(call, node.inputs[0], 1), _terms(call, apart.node, sign)
    return terms[0] is not None and terms[0] == terms[1]


def _terms(call: Call, node: int, sign: int) -> frozenset[tuple[int, int]] | None:
    """A sum of two nodes, as these and their signs; None of anything else."""
    found = call.builder.nodes[node]
    if not isinstance(found.operator, Add) or len(found.inputs) != 2:
        return None
    terms = []
    for source in found.inputs:
        operator, place, own = call.builder.nodes[source].operator, source, sign
        if isinstance(operator, Scale) and operator.shift is None and operator.scale is not None:
            factor = np.asarray(operator.scale)
            if factor.size == 1 and float(factor.reshape(())) == -1:
                (place,), own = call.builder.nodes[source].inputs, -sign
        terms.append((place, own))
    return frozenset(terms)


def _difference(call: Call, first: Value, second: Value) -> Variable:
    return call.as_variable(total(call, [_number(first), negated(call, _number(second))]))


def _number(value: Value) -> Value:
    """Constants that are true or false as 1 or 0."""
    is_truth = isinstance(value, np.ndarray) and value.dtype.kind == "b"
    return value.astype(np.float64) if is_truth else value  # type: ignore[union-attr]


def _opposite(call: Call, variable: Variable) -> Variable:
    return scaled(call, variable, -1.0, 1.0)
