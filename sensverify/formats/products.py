"""Products of two values that are computed from the input, as both importers write them."""

from __future__ import annotations

from math import prod

import numpy as np

from sensverify.formats.graph import Graph, picked, places_of, summed
from sensverify.network.operators import Concat, Product, Select, Square

Entries = tuple[int, np.ndarray]
"""A node, and places in it."""


def product(graph: Graph, first: int, second: int) -> int:
    """``x * y`` of nodes of one shape."""
    if first == second:
        return graph.emit(Square(), first)
    places = places_of(graph, first)
    return products(graph, (first, places), (second, places))


def products(graph: Graph, first: Entries, second: Entries) -> int:
    """``x_i * y_j`` of entries of two nodes, with broadcasting of their places."""
    (node, left), (other, right) = first, second
    shape = np.broadcast_shapes(left.shape, right.shape)
    graph.reserve((*shape, 2))
    if node != other:
        sizes = [prod(graph.shape(each)) for each in (node, other)]
        flat = [picked(graph, k, np.arange(n)) for k, n in zip((node, other), sizes, strict=True)]
        node, right = graph.emit(Concat(0), *flat), right + sizes[0]
    pairs = np.stack([np.broadcast_to(each, shape) for each in (left, right)], axis=-1)
    return graph.emit(Product(), graph.emit(Select(pairs), node))


def contracted(graph: Graph, first: Entries, second: Entries) -> int:
    """The sum of `products` along the last axis, which stays with length 1."""
    terms = products(graph, first, second)
    return terms if graph.shape(terms)[-1] == 1 else summed(graph, terms)


def matrix_product(graph: Graph, first: Entries, second: Entries) -> int:
    """``X @ Y`` of matrices of entries, with an axis of length 1 behind it."""
    (node, left), (other, right) = first, second
    columns = np.swapaxes(right, -1, -2)[..., None, :, :]
    return contracted(graph, (node, left[..., :, None, :]), (other, columns))
