"""Small networks, and what is true of them, for the tests of branch and bound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box
from sensverify.core.queries import Query
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Elementwise, Relu

Piece = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Rows ``[a, b]`` with ``a · x <= b`` inside, and the affine map ``weight, bias`` there."""


def chain(*layers: tuple[Any, Any], activation: Elementwise | None = None) -> Network:
    """Affine layers ``(weight, bias or None)`` with an activation between each two."""
    builder = NetworkBuilder((np.shape(layers[0][0])[1],))
    node = builder.input
    for place, (weight, bias) in enumerate(layers):
        if place:
            node = builder.add(activation or Relu(), node)
        shift = None if bias is None else np.array(bias, dtype=np.float64)
        node = builder.add(Affine(np.array(weight, dtype=np.float64), shift), node)
    return builder.build(node)


def random_chain(
    seed: int, *sizes: int, gain: float = 1.0, activation: Elementwise | None = None
) -> Network:
    rng = np.random.default_rng(seed)
    layers = [
        (gain * rng.normal(size=(after, before)), rng.normal(size=after) / 2)
        for before, after in pairwise(sizes or (2, 4, 3, 2))
    ]
    return chain(*layers, activation=activation)


def valley(*weight: float, at: float = 0.0) -> Network:
    """``|weight · x - at|``: at least 0, and 0 on a plane."""
    up = np.array([weight])
    return chain((np.concatenate([up, -up]), [-at, at]), ([[1.0, 1.0]], None))


def unit_box(features: int, radius: float = 1.0, batch: int = 1) -> Box:
    ends = np.full((batch, features), radius)
    return Box(-ends, ends)


def tensors(network: Network, box: Box) -> tuple[Network, Box]:
    """Both as float64 tensors, as the parts of a method get them."""
    live = tensor_network(network, dtype=torch.float64, device=torch.device("cpu"))
    return live, Box(*(torch.tensor(np.asarray(end)) for end in (box.lower, box.upper)))


def points_in(lower: Tensor, upper: Tensor, count: int, *, seed: int = 0) -> Tensor:
    """Corners and random points of boxes ``[..., features]``, as ``[count, ..., features]``."""
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(count, *lower.shape, generator=generator, dtype=torch.float64)
    share[::3] = (share[::3] < 0.5).double()
    return torch.minimum(torch.maximum(lower + share * (upper - lower), lower), upper)


def as_float64(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)


def pieces(network: Network) -> Iterator[Piece]:
    """The affine pieces of a chain of `Affine` and `Relu`; some may be empty."""
    # A decider is asked about networks of tensors.
    layers = [node.operator for node in network.map_arrays(as_float64).nodes[1:]]
    neurons = sum(node.shape[0] for node in network.nodes if isinstance(node.operator, Relu))
    features = network.input_shape[0]
    for pattern in product((False, True), repeat=neurons):
        weight, bias, rows, seen = np.eye(features), np.zeros(features), [], 0
        for layer in layers:
            if isinstance(layer, Affine):
                shift = 0.0 if layer.bias is None else layer.bias
                weight, bias = layer.weight @ weight, layer.weight @ bias + shift
                continue
            on = np.array(pattern[seen : seen + len(bias)])
            seen += len(bias)
            sign = np.where(on, -1.0, 1.0)[:, None]
            rows.append(np.concatenate([sign * weight, -sign * bias[:, None]], axis=1))
            weight, bias = weight * on[:, None], bias * on
        yield np.concatenate(rows) if rows else np.zeros((0, features + 1)), weight, bias


@cache
def _choices(count: int, size: int) -> np.ndarray:
    """All ways to take so many of a count of things."""
    return np.array(list(combinations(range(count), size)))


def vertices(table: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """The points of ``table @ x <= limits`` where as many faces meet as there are unknowns.

    To 1e-9; a linear function that is bounded below there is smallest at one of them.
    """
    size = np.linalg.norm(table, axis=1)
    # Rows of zeros hold everywhere or nowhere, and have no face.
    size[size == 0] = 1.0
    table, limits = table / size[:, None], limits / size
    meet = _choices(len(table), table.shape[1])
    clear = abs(np.linalg.det(table[meet])) > 1e-9
    faces, ends = table[meet[clear]], limits[meet[clear]]
    points = np.linalg.solve(faces, ends[..., None])[..., 0]
    return points[(points @ table.T <= limits + 1e-9).all(axis=1)]


def piece_vertices(network: Network, lower: Any, upper: Any) -> Iterator[tuple[np.ndarray, Piece]]:
    """The vertices of every piece that has inputs in a box, and the piece cut to the box.

    Of a chain of `Affine` and `Relu`: each layer's pieces are cut by the neurons of the next one
    that are on and off at vertices of theirs.
    """
    lower, upper = (np.ravel(end).astype(np.float64) for end in (lower, upper))
    one = np.eye(len(lower))
    table = np.column_stack([np.concatenate([one, -one]), np.concatenate([upper, -lower])])
    parts = [(vertices(table[:, :-1], table[:, -1]), (table, one, np.zeros(len(lower))))]
    for node in network.map_arrays(as_float64).nodes[1:]:
        layer = node.operator
        if isinstance(layer, Affine):
            shift = 0.0 if layer.bias is None else layer.bias
            parts = [
                (points, (table, layer.weight @ weight, layer.weight @ bias + shift))
                for points, (table, weight, bias) in parts
            ]
        else:
            parts = [part for points, piece in parts for part in _cut(points, piece)]
    yield from parts


def _cut(points: np.ndarray, piece: Piece) -> Iterator[tuple[np.ndarray, Piece]]:
    """A piece with its vertices, cut by neurons that follow, which are on or off in each part."""
    table, weight, bias = piece
    values = points @ weight.T + bias
    sure_on, sure_off = (values > 1e-9).all(axis=0), (values < -1e-9).all(axis=0)
    choices = zip(sure_on, sure_off, strict=True)
    for pattern in product(*((on,) if on or off else (False, True) for on, off in choices)):
        active, bent = np.array(pattern), ~(sure_on | sure_off)
        sign = np.where(active, -1.0, 1.0)[bent, None]
        more = np.concatenate([sign * weight[bent], -sign * bias[bent, None]], axis=1)
        cut = np.concatenate([table, more])
        found = vertices(cut[:, :-1], cut[:, -1]) if bent.any() else points
        if len(found):
            yield found, (cut, weight * active[:, None], bias * active)


def least_violation(network: Network, box: Box, rows: Any, limits: Any) -> float:
    """The smallest of ``max_i rows[i] · f(x) - limits[i]`` over one box."""
    rows, limits = np.atleast_2d(rows).astype(np.float64), np.asarray(limits, dtype=np.float64)
    best = np.inf
    for _, (table, weight, bias) in piece_vertices(network, box.lower, box.upper):
        above = np.concatenate([rows @ weight, -np.ones((len(rows), 1))], axis=1)
        inside = np.concatenate([table[:, :-1], np.zeros((len(table), 1))], axis=1)
        ends = np.concatenate([limits - rows @ bias, table[:, -1]])
        best = min(best, vertices(np.concatenate([above, inside]), ends)[:, -1].min())
    return float(best)


def exact_ends(network: Network, box: Box, rows: Any) -> np.ndarray:
    """Exact ``[batch, rows, 2]``: smallest and largest ``rows[i] · f(x)`` over each box."""
    found = []
    for ends in zip(box.lower, box.upper, strict=True):
        values = np.concatenate(
            [
                (points @ weight.T + bias) @ np.atleast_2d(rows).T
                for points, (_, weight, bias) in piece_vertices(network, *ends)
            ]
        )
        found.append(np.stack([values.min(axis=0), values.max(axis=0)], axis=1))
    return np.array(found)


def query(
    box: Box, rows: Any, limits: Any, alternatives: Sequence[Sequence[int]], **more: Any
) -> Query:
    parts = tuple(tuple(part) for part in alternatives)
    table = np.array(rows, dtype=np.float64)
    return Query(box, table, np.array(limits, dtype=np.float64), parts, **more)
