"""One ONNX node on its way into a network, and the table of the functions that lower them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeGuard

import numpy as np
from onnx import GraphProto, NodeProto

from sensverify.errors import BadModelFile, BadShape, UnsupportedOperator
from sensverify.network import NetworkBuilder
from sensverify.network.opaque import REMEDY
from sensverify.network.operators import Operator, Reshape, Scale, Select
from sensverify.network.shapes import Shape

MAX_ELEMENTS = 2**28
"""Most numbers that one array, or all that are computed while reading a file, may hold."""

INTEGERS = 2**53
"""Below this, float64 holds every integer."""


@dataclass(frozen=True)
class Variable:
    """A value that depends on the network's input.

    Parameters
    ----------
    node : int
        Position in the builder. Its shape may differ from ``shape`` in how the same numbers, in
        the same row-major order, are grouped: reshaping is free until an operator needs a shape.
    shape : tuple of int
        The full shape in the ONNX model, with a batch axis of 1.
    """

    node: int
    shape: Shape

    @property
    def size(self) -> int:
        """Number of entries."""
        return prod(self.shape)


Value = np.ndarray | Variable


@dataclass(frozen=True)
class ValueSequence:
    """An ONNX sequence: several values under one name."""

    values: tuple[Value, ...]


Result = Value | ValueSequence
Handler = Callable[["Call"], Result | Sequence[Result]]

HANDLERS: dict[str, Handler] = {}
"""ONNX operator type -> the function that lowers a node of it."""

FOLDING: set[str] = set()
"""Operator types whose handlers also compute with constants alone, in numpy."""


def handles(*operator_types: str, folds: bool = False) -> Callable[[Handler], Handler]:
    """Register a function that lowers ONNX operators of the given types.

    With ``folds`` it is called for constants alone as well, and computes from them what every
    runtime does: entries are moved and compared, integers computed with, and real numbers with one
    rounding for each. Other nodes that read constants alone are computed by onnxruntime.
    """

    def register(handler: Handler) -> Handler:
        for operator_type in operator_types:
            HANDLERS[operator_type] = handler
        if folds:
            FOLDING.update(operator_types)
        return handler

    return register


@dataclass
class Budget:
    """Number of entries that may still be computed while one file is read."""

    left: int = MAX_ELEMENTS

    def spend(self, elements: int, what: str) -> None:
        """Count numbers before they are allocated.

        Raises
        ------
        BadModelFile
            The model asks for more than any network of a sensible size.
        """
        self.left -= elements
        if self.left < 0:
            raise BadModelFile(
                f"{what} asks for arrays of {elements} numbers; a file may ask for "
                f"{MAX_ELEMENTS} in all"
            )


@dataclass(kw_only=True)
class Context:
    """State that all nodes of one file share: above all the network under construction.

    Handlers put the numbers of the file into operators as they are, and leave arithmetic on them
    to the rewrites of `sensverify.network`. ``exact`` says that nothing may stand in for them,
    ``four_bits`` that the file holds integers of 4 bits, which stand in 8 here.
    """

    opset: int
    builder: NetworkBuilder
    budget: Budget
    dtype: Any
    element: int
    exact: bool = False
    four_bits: bool = False


@dataclass(kw_only=True)
class Call(Context):
    """One ONNX node: its inputs and its attributes.

    ``walk`` lowers a graph that is an attribute, for the inputs given; it gives its outputs, and
    the graph without the nodes that were not needed. ``reduced`` is the node with only those parts
    of its graphs that were lowered.
    """

    node: NodeProto
    inputs: list[Result | None]
    attributes: dict[str, Any]
    walk: Callable[..., tuple[list[Result], GraphProto]] | None = None
    reduced: NodeProto | None = None
    read: set[str] = field(default_factory=set)

    @property
    def operator_type(self) -> str:
        """Type of the operator in ONNX."""
        return self.node.op_type

    @property
    def name(self) -> str:
        """Name of the node in messages."""
        return self.node.name or next((n for n in self.node.output if n), self.node.op_type)

    @property
    def outputs(self) -> int:
        """Number of outputs that the node names."""
        return len(self.node.output)

    @property
    def arrays(self) -> list[np.ndarray]:
        """The inputs that are constants."""
        return [value for value in self.inputs if isinstance(value, np.ndarray)]

    @property
    def constant_alone(self) -> bool:
        """True where no input depends on the network's."""
        return not any(isinstance(value, Variable | ValueSequence) for value in self.inputs)

    def __str__(self) -> str:
        return f"operator {self.operator_type} (node '{self.name}')"

    def refusal(self, reason: str, remedy: str = "") -> UnsupportedOperator:
        """The error for a node that has no counterpart here."""
        return UnsupportedOperator(f"{self}: {reason}", remedy or REMEDY)

    def invalid(self, problem: str, remedy: str = "") -> BadModelFile:
        """The error for a node that the standard does not allow."""
        return BadModelFile(f"{self}: {problem}", remedy)

    def refuse_inexact(self, *values: Value) -> None:
        """Refuse arithmetic on constants whose result is not fixed, where parameters are exact.

        Its last digits depend on the library (a logarithm) or on the order of a sum.

        Raises
        ------
        UnsupportedOperator
            The values are real numbers, and parameters are wanted exactly as the file has them.
        """
        if self.exact and any(
            value.dtype.kind == "f" and value.size > 0 for value in values if _constant(value)
        ):
            raise self.refusal(
                "what it computes from constants differs between runtimes in the last digits, so "
                "the file does not define its weights exactly",
                "fold the constants before exporting",
            )

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute's value. One that no handler asks for is refused, never ignored."""
        self.read.add(name)
        if isinstance(default, float):
            # ONNX declares its defaults in single precision, like the attributes themselves.
            default = float(np.float32(default))
        return self.attributes.get(name, default)

    def check_attributes(self) -> None:
        """Refuse a node with an attribute that its handler did not ask for."""
        if ignored := sorted(set(self.attributes) - self.read):
            raise self.refusal(f"attribute '{ignored[0]}' is not supported", "export without it")

    def optional(self, index: int) -> Value | None:
        """An input, or None where it is not given."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if isinstance(value, ValueSequence):
            raise self.refusal(f"input {index} is a sequence, which it does not take")
        return value

    def sequence(self, index: int) -> tuple[Value, ...]:
        """The values of an input that is a sequence."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if not isinstance(value, ValueSequence):
            raise self.invalid(f"input {index} is no sequence")
        return value.values

    def input(self, index: int) -> Value:
        """An input that must be given."""
        value = self.optional(index)
        if value is None:
            raise self.invalid(f"input {index} is missing")
        return value

    def constant(self, index: int, what: str) -> np.ndarray:
        """An input whose value must be known."""
        value = self.input(index)
        if isinstance(value, Variable):
            raise self.refusal(
                f"{what} depends on the network's input; it must be a constant of the model"
            )
        return value

    def optional_constant(self, index: int, what: str) -> np.ndarray | None:
        """Like `constant`, or None where it is not given."""
        return None if self.optional(index) is None else self.constant(index, what)

    def integers(self, index: int, what: str) -> list[int]:
        """A constant input of integers, as a list."""
        values = self.constant(index, what)
        if values.dtype.kind not in "iu" or values.ndim > 1:
            raise self.invalid(f"{what} must be a list of integers")
        return [int(n) for n in values.reshape(-1)]

    def variable(self, index: int) -> Variable:
        """An input as a node of the network; a constant becomes one that ignores its input."""
        return self.as_variable(self.input(index))

    def as_variable(self, value: Value) -> Variable:
        """A value as a node of the network."""
        if isinstance(value, Variable):
            return value
        if value.size == 0:
            raise self.refusal("an array without entries is not supported")
        self.reserve(value.shape)
        node = self.emit(Select(np.zeros(value.shape, np.int64)), self.builder.input)
        zero = np.zeros((), np.float64)
        return Variable(self.emit(Scale(zero, self.real(value)), node), value.shape)

    def real(self, values: Any) -> np.ndarray:
        """Numbers as parameters, unchanged: floats keep their precision, others take float64.

        Raises
        ------
        UnsupportedOperator
            An integer is too large for float64.
        """
        array = np.asarray(values)
        if array.dtype.kind == "f":
            return array
        result = array.astype(np.float64)
        if array.dtype.kind in "iu" and (abs(result) >= INTEGERS).any():
            raise self.refusal("integers from 2 to the 53 on cannot be computed with")
        return result

    def reserve(self, shape: Sequence[int]) -> None:
        """Count an array before it is allocated."""
        self.budget.spend(prod(int(n) for n in shape), str(self))

    def emit(self, operator: Operator, *nodes: int) -> int:
        """Append an operator to the network and return its position."""
        node = self.builder.add(operator, *nodes, name=self.name)
        shape = self.builder.shape(node)
        if not 0 < prod(shape) <= MAX_ELEMENTS:
            raise self.invalid(f"an array of shape {shape} cannot be computed with")
        return node

    def shape(self, node: int) -> Shape:
        """The shape of a node's numbers."""
        return self.builder.shape(node)

    def parameter(self, values: np.ndarray) -> np.ndarray:
        """Numbers as parameters, in the file's own type where that holds them exactly."""
        array = np.asarray(values)
        with np.errstate(over="ignore"):
            own = array.astype(self.dtype)
        return own if np.array_equal(own, array) else array

    def node_of(self, variable: Variable, shape: Shape) -> int:
        """The position of a node that holds a variable's numbers in the shape given."""
        if prod(shape) != variable.size:
            raise BadShape(f"{self}: cannot reshape {variable.shape} to {shape}")
        if self.builder.shape(variable.node) == shape:
            return variable.node
        return self.emit(Reshape(shape), variable.node)


def _constant(value: Value) -> TypeGuard[np.ndarray]:
    return not isinstance(value, Variable)


def without_batch_axis(shape: Shape) -> Shape:
    """A shape without its batch axis of 1."""
    return shape[1:] if len(shape) >= 2 and shape[0] == 1 else shape
