"""ONNX arithmetic: sums, differences, products and quotients with constants."""

from __future__ import annotations

from functools import reduce
from math import inf

import numpy as np

from sensverify.formats.onnx.activations import clipped
from sensverify.formats.onnx.bilinear import times
from sensverify.formats.onnx.call import Call, Value, Variable, handles
from sensverify.formats.onnx.constants import folded
from sensverify.formats.onnx.gates import gated, softsign
from sensverify.formats.onnx.lowering import (
    activated,
    added,
    broadcast,
    broadcast_shape,
    divided,
    empty,
    grouped_last,
    joined,
    largest,
    reshaped,
    scaled,
)
from sensverify.network.operators import Reciprocal


def total(call: Call, values: list[Value]) -> Value:
    """The sum of values; the constants among them become shifts."""
    variables = [v for v in values if isinstance(v, Variable)]
    constants = [v for v in values if not isinstance(v, Variable)]
    shape = broadcast_shape(*values)
    call.reserve(shape)
    if not variables:
        if len(constants) > 2:
            call.refuse_inexact(*constants)
        return np.asarray(sum(constants[1:], start=constants[0]))
    if (nothing := empty(call, *values)) is not None:
        return nothing
    result = variables[0] if len(variables) == 1 else added(call, *variables)
    if constants:
        result = broadcast(call, result, shape)  # type: ignore[assignment]
    for constant in constants:
        result = scaled(call, result, shift=constant)
    return result


def negated(call: Call, value: Value) -> Value:
    """``-x``."""
    return scaled(call, value, -1.0) if isinstance(value, Variable) else -value


def all_inputs(call: Call) -> list[Value]:
    """All inputs, of an operator that takes any number of them.

    Raises
    ------
    BadModelFile
        They would have to be broadcast, which such operators did not do before operator set 8.
    """
    values = [call.input(i) for i in range(len(call.inputs))]
    if call.opset < 8 and len({tuple(value.shape) for value in values}) > 1:
        raise call.invalid(
            f"inputs of shapes {', '.join(str(tuple(v.shape)) for v in values)} are not "
            "broadcast in operator set 7",
            "convert the model with onnx.version_converter",
        )
    return values


@handles("Add", folds=True)
def add(call: Call) -> Value:
    """The sum of both inputs."""
    return total(call, [call.input(0), call.input(1)])


@handles("Sum", folds=True)
def sum_(call: Call) -> Value:
    """The sum of all inputs."""
    return total(call, all_inputs(call))


@handles("Mean", folds=True)
def mean(call: Call) -> Value:
    """The mean of all inputs."""
    result = total(call, all_inputs(call))
    count = len(call.inputs)
    if isinstance(result, Variable):
        return divided(call, result, count)
    call.refuse_inexact(result)
    return np.asarray(result / np.asarray(count, result.dtype))


@handles("Sub", folds=True)
def subtract(call: Call) -> Value:
    """The difference of two inputs."""
    first, second = call.input(0), call.input(1)
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return folded(call, np.subtract)
    return total(call, [first, negated(call, second)])


@handles("Neg", folds=True)
def negate(call: Call) -> Value:
    """``-x``."""
    return negated(call, call.input(0))


@handles("Mul", folds=True)
def multiply(call: Call) -> Value:
    """The product of two inputs."""
    first, second = call.input(0), call.input(1)
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return folded(call, np.multiply)
    if (nothing := empty(call, first, second)) is not None:
        return nothing
    if isinstance(first, Variable) and isinstance(second, Variable):
        known = gated(call, first, second)
        return times(call, first, second) if known is None else known
    variable, factor = (first, second) if isinstance(first, Variable) else (second, first)
    return scaled(call, variable, factor)  # type: ignore[arg-type]


@handles("Div", folds=True)
def divide(call: Call) -> Value:
    """The quotient of two inputs: by one that depends on the input, a product."""
    first, divisor = call.input(0), call.input(1)
    if isinstance(divisor, Variable):
        known = softsign(call, first, divisor) if isinstance(first, Variable) else None
        return _divided_by(call, first, divisor) if known is None else known
    second = call.constant(1, "the divisor")
    if isinstance(first, Variable):
        nothing = empty(call, first, second)
        return divided(call, first, second) if nothing is None else nothing
    if (second == 0).any():
        raise call.invalid("division by zero")
    if first.dtype.kind == "f":
        return folded(call, np.divide)
    # Integers are divided towards zero in ONNX, downwards in numpy.
    return folded(call, lambda a, b: (np.sign(a) * np.sign(b) * (abs(a) // abs(b))).astype(a.dtype))


def _divided_by(call: Call, value: Value, divisor: Variable) -> Value:
    """``x * (1 / y)``, on boxes that keep y away from 0."""
    if (nothing := empty(call, value, divisor)) is not None:
        return nothing
    if isinstance(value, Variable) and value == divisor:
        raise call.refusal("a value divided by itself is 1, or undefined", "leave the node out")
    reciprocal = activated(call, divisor, Reciprocal())
    if isinstance(value, Variable):
        return times(call, value, reciprocal)
    return scaled(call, reciprocal, value)


@handles("Mod", folds=True)
def modulo(call: Call) -> Value:
    """The remainder, of constants."""
    if (call.constant(1, "the divisor") == 0).any():
        raise call.invalid("division by zero")
    return folded(call, np.fmod if call.attribute("fmod", 0) else np.mod)


@handles("Max", "Min", folds=True)
def extreme(call: Call) -> Value:
    """The largest, or smallest, of several inputs; ``min(x) = -max(-x)``."""
    values = all_inputs(call)
    smallest = call.operator_type == "Min"
    constants = [v for v in values if isinstance(v, np.ndarray)]
    function = np.minimum if smallest else np.maximum
    call.reserve(broadcast_shape(*values))
    bound = reduce(function, constants) if constants else None
    # A value beside itself is itself: as two rivals, neither would ever win.
    variables = list(dict.fromkeys(v for v in values if isinstance(v, Variable)))
    if not variables:
        return bound  # type: ignore[return-value]
    if (nothing := empty(call, *values)) is not None:
        return nothing
    if smallest:
        variables = [scaled(call, v, -1.0) for v in variables]
        bound = None if bound is None else -bound
    result = _maximum(call, variables, broadcast_shape(*variables))
    if bound is not None:
        result = _at_least(call, result, bound)
    return scaled(call, result, -1.0) if smallest else result


def _at_least(call: Call, variable: Variable, bound: np.ndarray) -> Variable:
    """``max(x, c)`` for a constant c."""
    shape = broadcast_shape(variable, bound)
    if bound.size and (bound == bound.flat[0]).all():
        # Exact for every c, as the stack below; relu(x - c) + c would lose what is small beside c.
        whole: Variable = broadcast(call, variable, shape)  # type: ignore[assignment]
        return clipped(call, whole, float(bound.flat[0]), inf)
    return _maximum(call, [variable, call.as_variable(bound)], shape)


def _maximum(call: Call, variables: list[Variable], shape: tuple[int, ...]) -> Variable:
    if len(variables) == 1:
        return variables[0]
    parts = [reshaped(call, broadcast(call, v, shape), (1, 1, *shape)) for v in variables]
    stacked = joined(call, parts, 1)  # type: ignore[arg-type]
    result = largest(call, grouped_last(call, stacked, [1]))
    return Variable(result.node, shape)
