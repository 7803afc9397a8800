"""What the rules for ATen operators share: values, the emitter of nodes, and the registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from sensverify.errors import UnsupportedOperator
from sensverify.formats.modules.derived import Derived
from sensverify.network import NetworkBuilder
from sensverify.network.operators import Operator, Reshape, Select

BATCHES = 1009, 2003
"""Samples in the traced batches: primes that no layer's size is likely to equal, so that an axis of
this length is the batch axis. What differs between the two traces depends on the batch size."""

Shape = tuple[int, ...]
Constant = Tensor | Derived | float | int
Rule = Callable[..., Any]

RULES: dict[str, Rule] = {}
"""By the operator's name without namespace and overload, e.g. ``"conv2d"``."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule; it is called with an `Emitter` and the operator's arguments by name."""

    def register(function: Rule) -> Rule:
        for name in names:
            RULES[name] = function
        return function

    return register


@dataclass(frozen=True)
class Flow:
    """A value that depends on the input: a node of the network under construction."""

    position: int
    shape: Shape


class Emitter:
    """Adds the nodes that one traced operator becomes, and refuses what has no counterpart.

    Parameters
    ----------
    builder : NetworkBuilder
    operator, name : str
        The traced operator, without its namespace, and what messages call its place in the module.
    traced : the operator's traced output: a fake tensor ``[batch, *shape]`` or a sequence of them
    batch : int
        Samples in the traced batch.
    call : callable
        The traced operator itself, with every argument but the first bound.
    """

    def __init__(
        self,
        builder: NetworkBuilder,
        operator: str,
        name: str,
        traced: Any,
        batch: int,
        call: Callable[[Tensor], Any],
    ) -> None:
        self.traced = traced
        self.batch = batch
        self.call = call
        self._builder = builder
        self.operator = operator
        self._name = name
        self._added = 0

    def refuse(self, reason: str) -> NoReturn:
        """Raise the error that names the operator and the node."""
        raise UnsupportedOperator(
            f"operator {self.operator} at node '{self._name}' of the module {reason}"
        )

    def add(self, operator: Operator, *flows: Flow) -> Flow:
        """Append a node."""
        name = f"{self._name}.{self._added}" if self._added else self._name
        self._added += 1
        position = self._builder.add(operator, *(flow.position for flow in flows), name=name)
        return Flow(position, self._builder.shape(position))

    def flow(self, value: Any) -> Flow:
        """The value as one that depends on the input, or a refusal."""
        if not isinstance(value, Flow):
            self.refuse("is supported with a value computed from the input here, got a constant")
        return value

    def array(self, value: Any) -> Tensor | Derived:
        """The value as an array of parameters, or a refusal."""
        if isinstance(value, Flow):
            self.refuse(
                "multiplies or configures with a value computed from the input; only parameters "
                "and constants can stand there"
            )
        if isinstance(value, bool | int | float):
            return torch.tensor(value, dtype=torch.float64)
        if not isinstance(value, Tensor | Derived):
            self.refuse(f"is not supported with a constant of type {type(value).__name__}")
        return value

    def operand(self, value: Any, rank: int) -> Tensor | Derived:
        """A constant operand of an elementwise operator, without the batch axis.

        ``rank`` is the number of axes of one sample.
        """
        if isinstance(value, int | float) and abs(value) == self.batch:
            self.refuse("uses the number of samples in a batch, which bounds do not depend on")
        array = self.array(value)
        if array.ndim <= rank:
            return array
        if array.ndim > rank + 1 or array.shape[0] not in (1, self.batch):
            self.refuse(f"combines one sample with a constant of shape {tuple(array.shape)}")
        if array.shape[0] == self.batch:
            values = array.detach()
            if not bool((values == values[:1]).all()):
                self.refuse("adds or multiplies by a constant that differs between samples")
        return Derived.of(lambda values: values[0], array)

    def axis(self, dim: int, rank: int) -> int:
        """An axis of one sample from an axis of a batch of ``rank`` axes; never the batch axis."""
        dim = dim + rank if dim < 0 else dim
        if dim == 0:
            self.refuse("works across the samples of a batch, and bounds are per sample")
        return dim - 1

    def axes(self, dims: Sequence[int] | int | None, rank: int) -> tuple[int, ...]:
        """Several axes, sorted; all of them, the batch axis included, where none is named."""
        if isinstance(dims, int):
            dims = (dims,)
        return tuple(sorted(self.axis(dim, rank) for dim in dims or range(rank)))

    def reshape(self, flow: Flow, shape: Sequence[int]) -> Flow:
        """The flow under another shape."""
        shape = tuple(shape)
        return flow if shape == flow.shape else self.add(Reshape(shape), flow)

    def select(self, flow: Flow, indices: np.ndarray) -> Flow:
        """Entries of a flow, as a reshape where they are all of them in order."""
        if np.array_equal(indices.ravel(), np.arange(prod(flow.shape))):
            return self.reshape(flow, indices.shape)
        return self.add(Select(np.ascontiguousarray(indices)), flow)

    def expand(self, flow: Flow, shape: Sequence[int]) -> Flow:
        """The flow broadcast to a shape."""
        if flow.shape == tuple(shape):
            return flow
        indices = np.arange(prod(flow.shape)).reshape(flow.shape)
        return self.select(flow, np.broadcast_to(indices, tuple(shape)))


def pairs(values: Sequence[int] | int, count: int) -> tuple[int, ...]:
    """One number for every spatial axis; a single one stands for all."""
    values = (values,) if isinstance(values, int) else tuple(values)
    return values * count if len(values) == 1 else values
