"""The network: an immutable graph of operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from math import prod
from typing import Any, TypeVar

import numpy as np

from sensverify.core.brief import count_of
from sensverify.core.digests import array_parts, sha256_of_all
from sensverify.errors import BadShape, MissingRule
from sensverify.network.opaque import Opaque
from sensverify.network.operators import Input, Operator
from sensverify.network.shapes import Shape, output_shape

Kind = TypeVar("Kind", bound=Operator)


@dataclass(frozen=True, eq=False)
class Node:
    """One operator applied to the outputs of earlier nodes.

    Parameters
    ----------
    name : str
        What messages call it: the node's name in the ONNX file or the module's path.
    operator : Operator
    inputs : tuple of int
        Positions of earlier nodes in `Network.nodes`.
    shape : tuple of int
        Shape of the output, without the batch axis.
    """

    name: str
    operator: Operator
    inputs: tuple[int, ...]
    shape: Shape

    def __repr__(self) -> str:
        sources = f" of {', '.join(map(str, self.inputs))}" if self.inputs else ""
        return f"Node('{self.name}': {type(self.operator).__name__}{sources}, shape {self.shape})"


@dataclass(frozen=True, eq=False)
class Network:
    """An immutable graph of operators in topological order, with one input and one output.

    Node 0 is the `Input`; the last node is the output. Build one with `NetworkBuilder`, or read
    one with ``sensverify.load`` or ``sensverify.from_module``.
    """

    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        if not self.nodes or not isinstance(self.nodes[0].operator, Input):
            raise BadShape("a network starts with its one Input node")
        for position, node in enumerate(self.nodes):
            if any(not 0 <= source < position for source in node.inputs):
                raise BadShape(f"node '{node.name}' reads a node that does not come before it")

    def __repr__(self) -> str:
        kinds = Counter(type(node.operator).__name__ for node in self.nodes[1:])
        operators = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "no operators"
        ends = f"{self.input_shape} to {self.output_shape}"
        return f"Network({ends}, {count_of(self.parameters, 'parameter')}: {operators})"

    @property
    def input_shape(self) -> Shape:
        """Shape of one input sample."""
        return self.nodes[0].shape

    @property
    def output_shape(self) -> Shape:
        """Shape of one output."""
        return self.nodes[-1].shape

    @cached_property
    def consumers(self) -> tuple[tuple[int, ...], ...]:
        """For every node, the positions of the nodes that read it, in order; each of them once."""
        readers: list[list[int]] = [[] for _ in self.nodes]
        for position, node in enumerate(self.nodes):
            for source in dict.fromkeys(node.inputs):
                readers[source].append(position)
        return tuple(tuple(r) for r in readers)

    @property
    def parameters(self) -> int:
        """The count of numbers in weights and biases, those of average pooling included."""
        own = sum(int(np.prod(values.shape)) for _, values in self.arrays() if _is_float(values))
        return own if self.opaque is None else own + self.opaque.parameters

    @property
    def entries(self) -> int:
        """The count of numbers that all nodes hold for one sample."""
        own = sum(prod(node.shape) for node in self.nodes)
        return own if self.opaque is None else own + self.opaque.entries

    @cached_property
    def opaque(self) -> Opaque | None:
        """The function that stands for operators which are not known; None where all are."""
        found = (node.operator for node in self.nodes if isinstance(node.operator, Opaque))
        return next(found, None)

    def require_operators(self) -> None:
        """Refuse a network of which only values are known.

        Raises
        ------
        MissingRule
            It stands for a function; says why.
        """
        if self.opaque is not None:
            raise MissingRule(
                f"bounds and measures of weights need every operator: {self.opaque.reason}",
                "'sensverify list operators' shows those that are known",
            )

    def arrays(self) -> Iterator[tuple[str, Any]]:
        """Every array in the network as ``(node name.field, array)``, in order."""
        for node in self.nodes:
            for name, values in _fields(node.operator):
                if hasattr(values, "dtype"):
                    yield f"{node.name}.{name}", values

    def map_arrays(self, function: Callable[[Any], Any]) -> Network:
        """The same graph with ``function`` applied to every array of parameters.

        The network itself where that changes none of them.
        """
        operators = [mapped(node.operator, function) for node in self.nodes]
        pairs = list(zip(self.nodes, operators, strict=True))
        if all(operator is node.operator for node, operator in pairs):
            return self
        return Network(tuple(replace(node, operator=operator) for node, operator in pairs))

    @property
    def digest(self) -> str:
        """SHA-256 over the structure and every parameter's bytes."""
        return sha256_of_all(self._digested())

    def _digested(self) -> Iterator[bytes | str]:
        for node in self.nodes:
            yield repr((type(node.operator).__name__, node.inputs, node.shape))
            for name, values in _fields(node.operator):
                if hasattr(values, "dtype"):
                    if hasattr(values, "detach"):
                        values = values.detach().cpu().numpy()
                    yield name
                    yield from array_parts(values)
                else:
                    yield repr((name, values))


def _fields(operator: Operator) -> Iterator[tuple[str, Any]]:
    """Names and values of an operator's fields; those of an operator in it behind its kind."""
    for item in fields(operator):
        values = getattr(operator, item.name)
        if isinstance(values, Operator):
            yield item.name, type(values).__name__
            yield from ((f"{item.name}.{name}", value) for name, value in _fields(values))
        else:
            yield item.name, values


def mapped(operator: Kind, function: Callable[[Any], Any]) -> Kind:
    """The operator with ``function`` applied to every array; itself where that changes none."""
    values = {item.name: getattr(operator, item.name) for item in fields(operator)}
    changes = {name: function(v) for name, v in values.items() if hasattr(v, "dtype")}
    changes |= {n: mapped(v, function) for n, v in values.items() if isinstance(v, Operator)}
    changes = {name: value for name, value in changes.items() if value is not values[name]}
    return replace(operator, **changes) if changes else operator


class NetworkBuilder:
    """Collects nodes, infers their shapes, and makes a `Network`."""

    def __init__(self, input_shape: Shape, *, name: str = "input") -> None:
        self._nodes = [Node(name, Input(tuple(input_shape)), (), tuple(input_shape))]

    @property
    def input(self) -> int:
        """Position of the input node."""
        return 0

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes added so far."""
        return tuple(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def shape(self, position: int) -> Shape:
        """Output shape of a node added before."""
        return self._nodes[position].shape

    def add(self, operator: Operator, *inputs: int, name: str | None = None) -> int:
        """Append a node and return its position.

        Raises
        ------
        BadShape
            The operator does not fit its inputs; the message names the node.
        """
        name = name or f"{type(operator).__name__.lower()}_{len(self._nodes)}"
        try:
            shape = output_shape(operator, *(self._nodes[i].shape for i in inputs))
        except BadShape as error:
            raise error.about(f"node '{name}'") from None
        self._nodes.append(Node(name, operator, inputs, shape))
        return len(self._nodes) - 1

    def build(self, output: int) -> Network:
        """The network that ends at ``output``; nodes it does not need are left out."""
        needed = {0, output}
        for position in range(output, -1, -1):
            if position in needed:
                needed.update(self._nodes[position].inputs)
        order = sorted(needed)
        places = {old: new for new, old in enumerate(order)}
        return Network(
            tuple(
                replace(self._nodes[old], inputs=tuple(places[i] for i in self._nodes[old].inputs))
                for old in order
            )
        )


def _is_float(values: Any) -> bool:
    return "float" in str(values.dtype)
