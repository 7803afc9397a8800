"""Functions made of several operators, as both importers write them: softmax and normalisation.

``p_i = 1 / (1 + sum_(j != i) exp(x_j - x_i))``: what all inputs have in common cancels before any
bound is taken, and on independent inputs intervals are exact. It is a `Share` of differences, of
two entries a sigmoid. Differences are picked, not multiplied: n entries take n times n numbers.
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import NamedTuple

import numpy as np

from sensverify.formats.graph import Graph, negated, picked, places_of, summed
from sensverify.formats.products import product
from sensverify.network.operators import (
    Add,
    Affine,
    Clip,
    Concat,
    Divide,
    Exp,
    Log,
    Reciprocal,
    Reshape,
    Scale,
    Share,
    Sigmoid,
    Sqrt,
    Square,
)

FAINT = -64.0
"""What is added to an entry, less what is added to the one that shows most, below which a mask all
but hides it: a share relative to that entry would overflow."""


def shares(graph: Graph, node: int) -> int:
    """``exp(x_i) / sum_j exp(x_j)`` along the last axis."""
    return _first_shares(graph, node, graph.shape(node)[-1])


def _first_shares(graph: Graph, node: int, count: int) -> int:
    """`shares` of the first entries of the last axis."""
    shape = graph.shape(node)
    if shape[-1] == 1:
        return _ones(graph, node)
    apart = _differences(graph, node, count)
    if shape[-1] > 2:
        return graph.emit(Share(), apart)
    alone = graph.emit(Reshape((*shape[:-1], count)), negated(graph, apart))
    return graph.emit(Sigmoid(), alone)


def log_shares(graph: Graph, node: int) -> int:
    """The logarithm of `shares`."""
    sums = _relative_sums(graph, node, graph.shape(node)[-1])
    return negated(graph, graph.emit(Log(), sums))


def log_sum_exp(graph: Graph, node: int) -> int:
    """``log(sum_j exp(x_j))`` along the last axis, which stays with length 1."""
    first = picked(graph, node, places_of(graph, node)[..., :1])
    return graph.emit(Add(), first, graph.emit(Log(), _relative_sums(graph, node, 1)))


def _relative_sums(graph: Graph, node: int, count: int) -> int:
    """``1 + sum_(j != i) exp(x_j - x_i)`` for the first entries i of the last axis."""
    shape = graph.shape(node)
    n = shape[-1]
    if n == 1:
        return _ones(graph, node)
    ones = graph.parameter(np.ones((1, n - 1)))
    powers = graph.emit(Exp(), _differences(graph, node, count))
    sums = graph.emit(Affine(ones, graph.parameter(np.ones(1))), powers)
    return graph.emit(Reshape((*shape[:-1], count)), sums)


def _ones(graph: Graph, node: int) -> int:
    """exp(0) for an entry that has none beside it: a constant that reads its input."""
    zero, one = (graph.parameter(np.full((), value)) for value in (0.0, 1.0))
    return graph.emit(Scale(zero, one), node)


def _differences(graph: Graph, node: int, count: int) -> int:
    """``x_j - x_i`` for the first entries i of the last axis, j != i along a new one."""
    shape = graph.shape(node)
    n = shape[-1]
    graph.reserve((2, *shape[:-1], count, n - 1))
    others = np.array([[j for j in range(n) if j != i] for i in range(count)])
    places = places_of(graph, node)
    own = np.broadcast_to(places[..., :count, None], (*shape[:-1], count, n - 1))
    less = negated(graph, node)
    return graph.emit(Add(), picked(graph, node, places[..., others]), picked(graph, less, own))


class Mask(NamedTuple):
    """A mask of attention, settled entry by entry.

    Parameters
    ----------
    shift : numpy array
        What is added to entries that are seen; 0 elsewhere.
    seen : numpy array of bool
        Entries that have a share.
    faint : numpy array of bool
        Entries that are seen, and have hardly any share beside another one.
    """

    shift: np.ndarray
    seen: np.ndarray
    faint: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, *, hidden: float = -np.inf) -> Mask:
        """The mask of numbers that are added along the last axis; up to ``hidden`` they hide."""
        # Written so that NaN is no number that hides.
        seen = ~(values <= hidden)
        most = np.where(seen, values, -np.inf).max(axis=-1, keepdims=True)
        with np.errstate(invalid="ignore"):
            faint = seen & (values - most < FAINT)
        return cls(np.where(seen, values, np.zeros((), values.dtype)), seen, faint)

    @property
    def plain(self) -> bool:
        """Whether nothing is hidden, not even nearly."""
        return bool(self.seen.all() and not self.faint.any())


def masked_shares(graph: Graph, node: int, mask: Mask) -> int | None:
    """`shares` of entries plus a mask; None where a row has nothing to see.

    Of a faint entry h and the first one s that is not, ``p_h = p_s exp(x_h - x_s)``.
    """
    if mask.shift.any():
        node = graph.emit(Scale(None, graph.parameter(mask.shift)), node)
    if mask.plain:
        return shares(graph, node)
    size, seen = mask.seen.size, mask.seen.reshape(-1, mask.seen.shape[-1])
    faint = mask.faint.reshape(seen.shape)
    counts = np.stack([seen.sum(axis=1), faint.sum(axis=1)], axis=1)
    if not counts[:, 0].all():
        return None
    parts: list[int] = []
    order = np.full(seen.shape, int(counts[:, 0].sum()))
    places, start = np.arange(size).reshape(seen.shape), 0
    for count in np.unique(counts, axis=0):
        rows = np.flatnonzero((counts == count).all(axis=1))
        # What is not faint comes first in every row.
        own = np.argsort(np.where(seen, faint, 2)[rows], axis=1, kind="stable")[:, : count[0]]
        chosen = np.take_along_axis(places[rows], own, axis=1)
        found = _with_faint(graph, picked(graph, node, chosen), int(count[1]))
        parts.append(graph.emit(Reshape((chosen.size,)), found))
        order.reshape(-1)[chosen.ravel()] = start + np.arange(chosen.size)
        start += chosen.size
    nothing = graph.emit(
        Scale(graph.parameter(np.full((), 0.0))), picked(graph, node, np.zeros(1, np.int64))
    )
    return picked(graph, graph.emit(Concat(0), *parts, nothing), order.reshape(mask.seen.shape))


def _with_faint(graph: Graph, node: int, faint: int) -> int:
    """`shares` of rows of which that many entries, the last ones, are faint."""
    if not faint:
        return shares(graph, node)
    rows, n = graph.shape(node)
    clear = _first_shares(graph, node, n - faint)
    places, repeated = places_of(graph, node), np.repeat(np.arange(rows)[:, None], faint, axis=1)
    first = picked(graph, node, repeated * n)
    less = negated(graph, first)
    apart = graph.emit(Add(), picked(graph, node, places[:, n - faint :]), less)
    beside = picked(graph, clear, repeated * (n - faint))
    rest = product(graph, beside, graph.emit(Exp(), apart))
    return graph.emit(Concat(1), clear, rest)


def normalised(graph: Graph, node: int, epsilon: float, *, centre: bool) -> int:
    """``d / sqrt(mean(d^2) + epsilon)`` along the last axis, d being x or ``x - mean(x)``.

    No entry is larger than ``sqrt(n)``, nor than ``sqrt(n - 1)`` where all sum to 0. Bounds on a
    quotient lose that as soon as its numbers vary much, so it is said by a `Clip` to the next whole
    number, which changes no value.
    """
    shape = graph.shape(node)
    if centre:
        node = centred(graph, node)
    mean = _divided(graph, summed(graph, graph.emit(Square(), node)), shape[-1])
    root = graph.emit(Sqrt(), graph.emit(Scale(None, graph.parameter(np.full((), epsilon))), mean))
    inverse = graph.emit(Reciprocal(), root)
    places = places_of(graph, inverse).reshape(*shape[:-1], 1)
    result = product(graph, node, picked(graph, inverse, np.broadcast_to(places, shape)))
    largest = float(max(1, ceil(sqrt(shape[-1] - centre))))
    return graph.emit(Clip(-largest, largest), result)


def centred(graph: Graph, node: int) -> int:
    """``x - mean(x)`` along the last axis: whole numbers ``n x - sum(x)``, divided by n."""
    size = graph.shape(node)[-1]
    graph.reserve((size, size))
    matrix = size * np.eye(size) - np.ones((size, size))
    return _divided(graph, graph.emit(Affine(graph.parameter(matrix)), node), size)


def _divided(graph: Graph, node: int, count: int) -> int:
    return graph.emit(Divide(graph.parameter(np.full((), float(count)))), node)
