"""Values, emitter of nodes and registry of the rules for ATen operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from math import prod
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from sensverify.errors import UnsupportedOperator
from sensverify.formats.modules.expressions import Expression, Origin, current, origin
from sensverify.network import NetworkBuilder
from sensverify.network.operators import Operator, Reshape, Scale, Select

BATCHES = 1009, 2003
"""Samples in the traced batches: primes that no layer's size is likely to equal, so that an axis of
this length is the batch axis. What differs between the two traces depends on the batch size."""

MOST = 2**28
"""Numbers that an array of indices or weights may hold."""

Shape = tuple[int, ...]
Constant = Tensor | Expression | float | int
Rule = Callable[..., Any]

RULES: dict[str, Rule] = {}
"""Rules by the operator's name without namespace and overload, e.g. ``"conv2d"``."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule; it is called with an `Emitter` and the operator's arguments by name.

    Constants are refused as arguments that the rule annotates as `Variable`.
    """

    def register(function: Rule) -> Rule:
        parameters = signature(function).parameters.values()
        variables = {each.name for each in parameters if each.annotation == "Variable"}

        def checked(emit: Emitter, **arguments: Any) -> Any:
            for name in variables & arguments.keys():
                arguments[name] = emit.variable(arguments[name])
            return function(emit, **arguments)

        checked.__module__ = function.__module__
        RULES.update(dict.fromkeys(names, checked))
        return function

    return register


@dataclass(frozen=True)
class Variable:
    """A value that depends on the input: a node of the network under construction.

    ``unset`` holds the positions of entries that the module has not written to yet.
    """

    position: int
    shape: Shape
    unset: tuple[int, ...] = ()

    @property
    def ndim(self) -> int:
        """Number of axes, the batch axis included."""
        return len(self.shape) + 1


@dataclass(frozen=True)
class Call:
    """One operator of a traced graph, with its arguments' values.

    Parameters
    ----------
    operator : str
        Its name, without namespace and overload.
    place, line : str
        Its place in the module for messages, and the line of source that calls it (empty where
        that is not known).
    target : callable
        The operator itself.
    arguments : dict
        By name.
    traced : fake tensor ``[batch, *shape]`` or sequence of them
        Outcome according to the trace. Sizes that depend on a mask's values are symbolic.
    batch : int
        Samples in the traced batch.
    """

    operator: str
    place: str
    line: str
    target: Callable[..., Any]
    arguments: dict[str, Any]
    traced: Any
    batch: int

    def refuse(self, reason: str, remedy: str = "") -> NoReturn:
        """Raise the error that names the operator, the node and the line of source."""
        where = f" ({self.line})" if self.line else ""
        raise UnsupportedOperator(
            f"operator {self.operator} at node '{self.place}' of the module{where} {reason}", remedy
        )

    def refuse_mixing(self) -> NoReturn:
        """Raise the error for what does not treat every sample by itself."""
        self.refuse(
            "works across the samples of a batch, and bounds are per sample: axis 0 has to stay "
            "the batch, and nothing may move, merge or reduce it"
        )


class Emitter:
    """Adds the nodes that one traced operator becomes, and refuses what has no counterpart."""

    def __init__(self, builder: NetworkBuilder, call: Call) -> None:
        self.call = call
        self.operator = call.operator
        self.batch = call.batch
        self.refuse = call.refuse
        self.refuse_mixing = call.refuse_mixing
        self._builder = builder
        self._added = 0

    def add(self, operator: Operator, *variables: Variable) -> Variable:
        """Append a node."""
        name = f"{self.call.place}.{self._added}" if self._added else self.call.place
        self._added += 1
        position = self._builder.add(
            operator, *(variable.position for variable in variables), name=name
        )
        return Variable(position, self._builder.shape(position))

    def emit(self, operator: Operator, *nodes: int) -> int:
        """`add` by positions, as `sensverify.formats.composites` asks for it."""
        return self.add(operator, *(self.node(position) for position in nodes)).position

    def node(self, position: int) -> Variable:
        """The variable at a position."""
        return Variable(position, self.shape(position))

    def shape(self, position: int) -> Shape:
        """The shape of one sample at a position."""
        return self._builder.shape(position)

    def parameter(self, values: np.ndarray) -> Tensor:
        """Numbers as an operator holds them."""
        return torch.tensor(np.asarray(values, np.float64))

    def reserve(self, shape: Shape) -> None:
        """Refuse an array that is too large for any network of a sensible size."""
        if prod(shape) > MOST:
            self.refuse(f"asks for {prod(shape):,} numbers at once, more than {MOST:,}")

    def behind(self, variable: Variable) -> tuple[Operator, tuple[int, ...]]:
        """The operator that a variable is the outcome of, and the positions of what it takes."""
        node = self._builder.nodes[variable.position]
        return node.operator, node.inputs

    def variable(self, value: Any) -> Variable:
        """The value as one that depends on the input, or a refusal."""
        if not isinstance(value, Variable):
            self.refuse("is supported with a value computed from the input here, got a constant")
        return value

    def array(self, value: Any) -> Tensor | Expression:
        """The value as an array of parameters, or a refusal."""
        if isinstance(value, Variable):
            self.refuse(
                "multiplies or configures with a value computed from the input; only parameters "
                "and constants can stand there"
            )
        if isinstance(value, bool | int | float):
            return Expression.fixed(scalar(value))
        if not isinstance(value, Tensor | Expression):
            self.refuse(f"is not supported with a constant of type {type(value).__name__}")
        if value.dtype.is_complex:
            self.refuse("computes with complex numbers, and a network has real ones")
        if not value.dtype.is_floating_point:
            return Expression.of(lambda values: values.to(torch.float64), value)
        return value

    def optional_array(self, value: Any) -> Tensor | Expression | None:
        """Like `array`, or None where the value is None."""
        return None if value is None else self.array(value)

    def sample(self, array: Tensor | Expression) -> Tensor | Expression:
        """A constant as one sample sees it: without the batch axis, where it has one."""
        if array.ndim == 0 or array.shape[0] != self.batch:
            return array
        if not _rows_equal(array.detach()):
            self.refuse("uses a constant that differs between the samples of a batch")
        return Expression.of(lambda values: values[0], array)

    def operand(self, value: Any, rank: int) -> Tensor | Expression:
        """A constant operand of an elementwise operator, without the batch axis.

        ``rank`` is the number of axes of one sample.
        """
        if isinstance(value, int | float) and abs(value) == self.batch:
            self.refuse("uses the number of samples in a batch, which bounds do not depend on")
        array = self.array(value)
        if origin(array) is Origin.FIXED and bool(array.detach().isnan().any()):
            self.refuse("reads numbers that were never set")
        if array.ndim <= rank:
            return array
        if array.ndim > rank + 1 or array.shape[0] not in (1, self.batch):
            self.refuse(f"combines one sample with a constant of shape {tuple(array.shape)}")
        if array.shape[0] == self.batch:
            return self.sample(array)
        return Expression.of(lambda values: values[0], array)

    def axis(self, dim: int, rank: int) -> int:
        """An axis of one sample from an axis of a batch of ``rank`` axes; never the batch axis."""
        dim = dim + rank if dim < 0 else dim
        if dim == 0:
            self.refuse_mixing()
        return dim - 1

    def axes(self, dims: Sequence[int] | int | None, rank: int) -> tuple[int, ...]:
        """Several axes, sorted; all of them, the batch axis included, where none is named."""
        if isinstance(dims, int):
            dims = (dims,)
        return tuple(sorted(self.axis(dim, rank) for dim in dims or range(rank)))

    def reshape(self, variable: Variable, shape: Sequence[int]) -> Variable:
        """The variable under another shape."""
        shape = tuple(shape)
        return variable if shape == variable.shape else self.add(Reshape(shape), variable)

    def select(self, variable: Variable, indices: np.ndarray) -> Variable:
        """Entries of a variable, as a reshape where they are all of them in order."""
        if indices.size == 0:
            self.refuse("leaves no entries at all")
        if np.array_equal(indices.ravel(), np.arange(prod(variable.shape))):
            return self.reshape(variable, indices.shape)
        return self.add(Select(np.array(indices, order="C")), variable)

    def expand(self, variable: Variable, shape: Sequence[int]) -> Variable:
        """The variable broadcast to a shape."""
        if variable.shape == tuple(shape):
            return variable
        indices = np.arange(prod(variable.shape)).reshape(variable.shape)
        return self.select(variable, np.broadcast_to(indices, tuple(shape)))

    def broadcast(self, *values: Any) -> list[Variable | Tensor | Expression]:
        """The operands of an elementwise operator: variables of its outcome's shape, and constants.

        The constants are without the batch axis, and broadcast to that shape.
        """
        rank = max(len(value.shape) for value in values if isinstance(value, Variable))
        parts = [v if isinstance(v, Variable) else self.operand(v, rank) for v in values]
        shape = np.broadcast_shapes(*(tuple(part.shape) for part in parts))
        return [self.expand(p, shape) if isinstance(p, Variable) else p for p in parts]

    def as_variable(self, value: Any, shape: Sequence[int]) -> Variable:
        """A variable as it is, and a constant as one that depends on the input by a factor of 0."""
        if isinstance(value, Variable):
            return value
        shift = Expression.of(lambda v: v.expand(tuple(shape)), self.operand(value, len(shape)))
        nothing = self.select(Variable(self._builder.input, self._builder.shape(0)), _zeros(shape))
        return self.add(Scale(scalar(0.0), shift), nothing)


def scalar(value: float) -> Tensor:
    """A number as an operator holds it."""
    return torch.tensor(value, dtype=torch.float64)


def _zeros(shape: Sequence[int]) -> np.ndarray:
    return np.zeros(tuple(shape), dtype=np.int64)


def resampled(call: Call, arguments: dict[str, Any], count: int) -> dict[str, Any]:
    """An operator's arguments as they would be in a batch of another number of samples.

    Constants that hold a row for every sample lose or gain rows: they are one row, repeated, or
    the samples' own positions.
    """
    return {name: _resampled(call, value, count) for name, value in arguments.items()}


def _resampled(call: Call, value: Any, count: int) -> Any:
    if isinstance(value, list | tuple):
        items = [_resampled(call, item, count) for item in value]
        sizes = bool(value) and type(value[0]) is int and value[0] == call.batch
        return [count, *items[1:]] if sizes else items
    if not isinstance(value, Tensor | Expression):
        return value
    if not value.dtype.is_floating_point and origin(value) is Origin.PARAMETER:
        call.refuse("chooses entries by the values of parameters, which training changes")
    array = current(value)
    if array.ndim == 0 or array.shape[0] != call.batch:
        return array
    if _rows_equal(array):
        return array[:1].expand(count, *array.shape[1:])
    if array.ndim == 1 and torch.equal(array, torch.arange(call.batch).to(array)):
        return torch.arange(count).to(array)
    return call.refuse("uses a constant that differs between the samples of a batch")


def _rows_equal(rows: Tensor) -> bool:
    """True where all rows equal the first one, NaN for NaN."""
    return rows.stride(0) == 0 or bool(((rows == rows[:1]) | (rows != rows)).all())


def contains_variable(value: Any) -> bool:
    """True where an argument is, or holds, a value that depends on the input."""
    if isinstance(value, list | tuple):
        return any(contains_variable(item) for item in value)
    return isinstance(value, Variable)


def per_axis(values: Sequence[int] | int, count: int) -> tuple[int, ...]:
    """One number for every spatial axis; a single one stands for all."""
    values = (values,) if isinstance(values, int) else tuple(values)
    return values * count if len(values) == 1 else values
