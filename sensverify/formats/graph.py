"""A network under construction, as what is common to both importers sees it."""

from __future__ import annotations

from math import prod
from typing import Any, Protocol

import numpy as np

from sensverify.network.operators import Affine, Operator, Reshape, Scale, Select
from sensverify.network.shapes import Shape


class Graph(Protocol):
    """A network under construction, of either importer: nodes are positions."""

    def emit(self, operator: Operator, *nodes: int) -> int:
        """Append an operator, and return its position."""

    def shape(self, node: int) -> Shape:
        """The shape of one sample at a node."""

    def parameter(self, values: np.ndarray) -> Any:
        """Numbers as an operator of this importer holds them."""

    def reserve(self, shape: Shape) -> None:
        """Count an array before it is allocated, or refuse it."""


def places_of(graph: Graph, node: int) -> np.ndarray:
    """The places of all entries of a node, in its shape."""
    shape = graph.shape(node)
    return np.arange(prod(shape)).reshape(shape)


def picked(graph: Graph, node: int, places: np.ndarray) -> int:
    """Entries of a node, by their places; a reshape where they are all of them in order."""
    if places.size == prod(graph.shape(node)) and (places.ravel() == np.arange(places.size)).all():
        return (
            node if places.shape == graph.shape(node) else graph.emit(Reshape(places.shape), node)
        )
    graph.reserve(places.shape)
    return graph.emit(Select(np.array(places, order="C")), node)


def negated(graph: Graph, node: int) -> int:
    """``-x``."""
    return graph.emit(Scale(graph.parameter(np.full((), -1.0))), node)


def summed(graph: Graph, node: int) -> int:
    """The sum along the last axis, which stays with length 1."""
    return graph.emit(Affine(graph.parameter(np.ones((1, graph.shape(node)[-1])))), node)
