"""Small networks, and what is true of them, for the tests of branch and bound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
import torch
from scipy.optimize import linprog
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


def pieces(network: Network) -> Iterator[Piece]:
    """The affine pieces of a chain of `Affine` and `Relu`; some may be empty."""
    layers = [node.operator for node in network.nodes[1:]]
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


def least_violation(network: Network, box: Box, rows: Any, limits: Any) -> float:
    """The smallest of ``max_i rows[i] · f(x) - limits[i]`` over one box, solved to 1e-9."""
    rows, limits = np.atleast_2d(rows).astype(np.float64), np.asarray(limits, dtype=np.float64)
    ends = np.stack([np.ravel(box.lower), np.ravel(box.upper)], axis=1)
    best = np.inf
    for table, weight, bias in pieces(network):
        above = np.concatenate([rows @ weight, -np.ones((len(rows), 1))], axis=1)
        inside = np.concatenate([table[:, :-1], np.zeros((len(table), 1))], axis=1)
        done = linprog(
            np.eye(len(ends) + 1)[-1],
            A_ub=np.concatenate([above, inside]),
            b_ub=np.concatenate([limits - rows @ bias, table[:, -1]]),
            bounds=[*map(tuple, ends), (None, None)],
            options={"presolve": False, "primal_feasibility_tolerance": 1e-10},
        )
        if done.status == 0:
            best = min(best, float(done.fun))
    return best


def exact_ends(network: Network, box: Box, rows: Any) -> np.ndarray:
    """Exact ``[batch, rows, 2]``: smallest and largest ``rows[i] · f(x)`` over each box."""
    return np.array(
        [
            [
                [sign * least_violation(network, Box(low, high), sign * row, [0.0]) for sign in s]
                for row in np.atleast_2d(rows)
            ]
            for low, high in zip(box.lower, box.upper, strict=True)
            for s in [(1.0, -1.0)]
        ]
    )


def query(
    box: Box, rows: Any, limits: Any, alternatives: Sequence[Sequence[int]], **more: Any
) -> Query:
    parts = tuple(tuple(part) for part in alternatives)
    table = np.array(rows, dtype=np.float64)
    return Query(box, table, np.array(limits, dtype=np.float64), parts, **more)
