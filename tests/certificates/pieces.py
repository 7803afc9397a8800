"""Piecewise linear networks of one or two inputs, cut into the pieces on which they are linear.

In rational numbers: the least value over a box is that of a vertex. This judges claims without
anything of the checker.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import isfinite

import numpy as np
from flint import fmpq

from sensverify.network import Network
from sensverify.network.operators import (
    Abs,
    Add,
    Affine,
    Clip,
    Elementwise,
    LeakyRelu,
    Max,
    Relu,
    Reshape,
)
from tests.certificates.exact_values import apply, exactly, rational

Piece = np.ndarray
"""What the nodes give at the vertices of a polygon, in order around it, ``[vertices, numbers]``."""


class Pieces:
    """The outputs at the vertices of all pieces over a box.

    Parameters
    ----------
    network : Network
        Of `Affine`, `Add`, `Reshape`, `Max` and piecewise linear nodes.
    lower, upper : numpy array, shape ``[features]``, float64
        One or two features.
    """

    def __init__(self, network: Network, lower: np.ndarray, upper: np.ndarray) -> None:
        low, high = exactly(lower), exactly(upper)
        corners = [[low[0]], [high[0]]]
        if len(low) == 2:
            corners = [[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]]
        pieces, places = [np.array(corners, object)], [slice(0, len(low))]
        for node in network.nodes[1:]:
            sources = [(places[i], network.nodes[i].shape) for i in node.inputs]
            for kind in _bends(node.operator, *sources[0]):
                pieces = [part for piece in pieces for part in cut(piece, kind(piece))]
            width = pieces[0].shape[1]
            pieces = [np.hstack([piece, _step(node.operator, piece, sources)]) for piece in pieces]
            places.append(slice(width, pieces[0].shape[1]))
        self.vertices = [piece[:, places[0]] for piece in pieces]
        self.outputs = [piece[:, places[-1]] for piece in pieces]

    def least(self, row: np.ndarray) -> fmpq:
        """The least of a row times the output."""
        factors = exactly(row)
        return min(value for output in self.outputs for value in output @ factors)

    def least_of_largest(self, rows: np.ndarray, limits: np.ndarray) -> fmpq:
        """The least, over the box, of the largest ``row · f(x) - limit``."""
        factors, limits = exactly(rows), exactly(limits)
        pieces = [output @ factors.T - limits for output in self.outputs]
        for i, j in combinations(range(len(rows)), 2):
            pieces = [part for p in pieces for part in cut(p, p[:, i] - p[:, j])]
        return min(max(vertex) for piece in pieces for vertex in piece)

    def bends(self) -> np.ndarray:
        """The first feature of all vertices, sorted."""
        return np.unique([float(v.p) / float(v.q) for part in self.vertices for v in part[:, 0]])


def cut(piece: Piece, values: np.ndarray) -> list[Piece]:
    """A polygon, cut where a linear function with these values at its vertices is zero."""
    if all(value >= 0 for value in values) or all(value <= 0 for value in values):
        return [piece]
    above, below = [], []
    for i, value in enumerate(values):
        j = (i + 1) % len(values)
        if value >= 0:
            above.append(piece[i])
        if value <= 0:
            below.append(piece[i])
        if value * values[j] < 0:
            share = value / (value - values[j])
            between = piece[i] + share * (piece[j] - piece[i])
            above.append(between)
            below.append(between)
    return [np.array(above, object), np.array(below, object)]


def _bends(operator: object, place: slice, shape: tuple[int, ...]) -> Iterator[object]:
    """Functions of a piece that are zero where an operator bends."""
    numbers = range(place.start, place.stop)
    if isinstance(operator, Max):
        for first in range(0, len(numbers), shape[-1]):
            for i, j in combinations(numbers[first : first + shape[-1]], 2):
                yield lambda piece, i=i, j=j: piece[:, i] - piece[:, j]
    elif isinstance(operator, Relu | LeakyRelu | Abs | Clip):
        kinks = [0.0] if not isinstance(operator, Clip) else [operator.low, operator.high]
        for i in numbers:
            for kink in filter(isfinite, kinks):
                yield lambda piece, i=i, kink=kink: piece[:, i] - rational(kink)
    else:
        assert isinstance(operator, Affine | Add | Reshape), operator


def _step(operator: object, piece: Piece, sources: list[tuple[slice, tuple[int, ...]]]) -> Piece:
    if isinstance(operator, Reshape):
        return piece[:, sources[0][0]]
    assert isinstance(operator, Affine | Add | Max | Elementwise)
    inputs = [piece[:, place].reshape(len(piece), *shape) for place, shape in sources]
    return np.asarray(apply(operator, *inputs), object).reshape(len(piece), -1)
