"""Editing, shared by every rewrite: a walk that makes a network's successor, precise folding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from operator import is_
from typing import Any

import numpy as np

from sensverify.network.graph import Network, Node
from sensverify.network.operators import Operator
from sensverify.network.shapes import Shape


class Edit:
    """The successor of a network while a rewrite walks the old nodes in order.

    A rewrite decides for every old node whether it is kept, replaced, or answered by a node that
    is already there. What nobody reads in the end is left out, so the output stays last.
    """

    def __init__(self, network: Network) -> None:
        self.nodes: list[Node] = []
        self._old = network
        self._places: list[int] = []
        self._exclusive: list[bool] = []

    def source(self, node: Node, index: int = 0) -> Node:
        """The new node that an old node's input became."""
        return self.nodes[self._places[node.inputs[index]]]

    def place(self, node: Node, index: int = 0) -> int:
        """Position of `source`."""
        return self._places[node.inputs[index]]

    def exclusive(self, node: Node, index: int = 0) -> bool:
        """True where no other old node reads the input of this one."""
        return self._exclusive[node.inputs[index]]

    def forward(self, node: Node, index: int = 0) -> None:
        """Answer an old node by what its input became."""
        reader = len(self._places)
        self._places.append(self._places[node.inputs[index]])
        self._exclusive.append(
            self._exclusive[node.inputs[index]] and len(self._old.consumers[reader]) <= 1
        )

    def answer(self, node: Node, place: int) -> None:
        """Answer an old node by an earlier new one, which others may read too."""
        self._places.append(place)
        self._exclusive.append(False)

    def keep(self, node: Node) -> None:
        """Take over an old node as it is."""
        self._put(_reading(node, tuple(self._places[i] for i in node.inputs)))

    def put(self, node: Node, operator: Operator, inputs: tuple[int, ...], shape: Shape) -> None:
        """Answer an old node by a new operator on new positions."""
        self._put(Node(node.name, operator, inputs, shape))

    def _put(self, node: Node) -> None:
        reader = len(self._places)
        self.nodes.append(node)
        self._places.append(len(self.nodes) - 1)
        self._exclusive.append(len(self._old.consumers[reader]) <= 1)

    def finish(self) -> Network:
        """The successor, without the nodes that the output does not need."""
        output = self._places[-1]
        needed = {0, output}
        for position in range(output, -1, -1):
            if position in needed:
                needed.update(self.nodes[position].inputs)
        order = sorted(needed)
        places = {old: new for new, old in enumerate(order)}
        nodes = tuple(
            _reading(self.nodes[old], tuple(places[i] for i in self.nodes[old].inputs))
            for old in order
        )
        same = len(nodes) == len(self._old.nodes) and all(map(is_, nodes, self._old.nodes))
        return self._old if same else Network(nodes)


def _reading(node: Node, inputs: tuple[int, ...]) -> Node:
    return node if inputs == node.inputs else replace(node, inputs=inputs)


def rewrite(network: Network, rule: Callable[[Edit, Node], bool]) -> Network:
    """Walk a network once; ``rule`` answers a node and says True, or False to keep it.

    Where nothing changes, the network itself is the answer.
    """
    edit = Edit(network)
    for node in network.nodes:
        if not node.inputs or not rule(edit, node):
            edit.keep(node)
    return edit.finish()


def wide(values: Any) -> Any:
    """Numpy floats in float64, so that folding keeps every digit; tensors as they are."""
    if isinstance(values, np.ndarray | np.generic) and values.dtype.kind == "f":
        return values.astype(np.float64)
    return values


def expand(values: Any, shape: Shape) -> Any:
    """``values`` broadcast to ``shape``: numpy, as an array of its own, or torch."""
    if isinstance(values, np.ndarray | np.generic):
        return np.array(np.broadcast_to(values, shape))
    return values.expand(shape)
