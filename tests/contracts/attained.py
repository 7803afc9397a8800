"""What a network does inside a box: attained values, and exact ranges of small ReLU networks."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor

from sensverify.bounds import forward_pass
from sensverify.core.box import Box
from sensverify.network import Network
from sensverify.network.operators import Affine, Relu
from tests.contracts.networks import node_values

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
"""What `compute_bounds` promises: how far outside of its bounds an attained value may be,
relative to the largest magnitude on the way."""


def attained(network: Network, box: Box, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Outputs at corners, at samples and at points that gradients lead to, in float64.

    Returns
    -------
    values : Tensor, shape ``[points, batch, outputs]``
    magnitude : Tensor, shape ``[batch, 1]``
        Largest magnitude of any node's value at any of these points.
    """
    generator = torch.Generator().manual_seed(seed)
    points = torch.cat([_corners(box, generator), _samples(box, generator), _climb(network, box)])
    count, batch = points.shape[:2]
    values = node_values(network, points.flatten(0, 1))
    sizes = torch.stack([v.abs().reshape(len(v), -1).amax(1) for v in values]).amax(0)
    return values[-1].reshape(count, batch, -1), sizes.reshape(count, batch).amax(0)[:, None]


def _samples(box: Box, generator: torch.Generator, count: int = 40) -> Tensor:
    share = torch.rand(count, *box.lower.shape, generator=generator, dtype=torch.float64)
    return _inside(box.lower + share * (box.upper - box.lower), box)


def _corners(box: Box, generator: torch.Generator, most: int = 32) -> Tensor:
    features = prod(box.shape)
    if 2**features <= most:
        high = torch.tensor(list(product([False, True], repeat=features)))
        high = high.reshape(-1, 1, *box.shape)
    else:
        high = torch.rand(most, *box.lower.shape, generator=generator) < 0.5
    return torch.where(high, box.upper, box.lower)


def _climb(network: Network, box: Box, steps: int = 6) -> Tensor:
    """Projected sign-gradient steps from the centre up and down every output."""
    outputs = prod(network.output_shape)
    signs = torch.cat([torch.eye(outputs), -torch.eye(outputs)]).double()
    x = box.center.expand(2 * outputs, *box.lower.shape)
    found = [x]
    for step in range(steps):
        x = x.detach().requires_grad_()
        values = forward_pass(network, x.flatten(0, 1)).reshape(*x.shape[:2], outputs)
        (gradient,) = torch.autograd.grad((values * signs[:, None]).sum(), x)
        # The first step goes to the corner that the gradient points at, the rest refine.
        size = (box.upper - box.lower) / 2**step
        x = _inside(x.detach() + size * gradient.sign(), box)
        found.append(x)
    return torch.cat(found)


def _inside(points: Tensor, box: Box) -> Tensor:
    return torch.minimum(torch.maximum(points, box.lower), box.upper)


def largest_violation(outer: Box, values: Tensor) -> Tensor:
    """How far values ``[points, batch, rows]`` reach outside, ``[batch, rows]``; NaN counts."""
    lower, upper = outer.lower.detach().double(), outer.upper.detach().double()
    outside = torch.maximum(lower - values, values - upper).amax(0)
    return torch.where(torch.isnan(outside), torch.inf, outside)


def exact_range(network: Network, box: Box) -> Box:
    """The exact range of every output of a chain of `Affine` and `Relu`, for one box.

    Every pattern of active neurons that some input has is a linear program; the patterns are
    enumerated layer by layer, each branch cut where no input is left.
    """
    size = network.input_shape[0]
    lower, upper = box.lower.numpy().ravel(), box.upper.numpy().ravel()
    layers = [n.operator for n in network.nodes[1:]]
    outputs = network.output_shape[0]
    ranges = np.stack([np.full(outputs, np.inf), np.full(outputs, -np.inf)])

    def solve(cost: np.ndarray, rows: list[np.ndarray]) -> float | None:
        table = np.array(rows).reshape(-1, size + 1)
        done = linprog(
            cost,
            A_ub=table[:, :size] if rows else None,
            b_ub=table[:, size] if rows else None,
            bounds=np.stack([lower, upper], axis=1),
        )
        return done.fun if done.status == 0 else None

    def visit(depth: int, weight: np.ndarray, bias: np.ndarray, rows: list[np.ndarray]) -> None:
        if depth == len(layers):
            for j in range(outputs):
                low, high = solve(weight[j], rows), solve(-weight[j], rows)
                if low is not None and high is not None:
                    ranges[0, j] = min(ranges[0, j], low + bias[j])
                    ranges[1, j] = max(ranges[1, j], -high + bias[j])
            return
        operator = layers[depth]
        if isinstance(operator, Affine):
            shift = 0.0 if operator.bias is None else operator.bias
            visit(depth + 1, operator.weight @ weight, operator.weight @ bias + shift, rows)
            return
        assert isinstance(operator, Relu)
        split(depth, weight, bias, rows, 0, [])

    def split(
        depth: int,
        weight: np.ndarray,
        bias: np.ndarray,
        rows: list[np.ndarray],
        neuron: int,
        active: list[float],
    ) -> None:
        if neuron == len(weight):
            mask = np.array(active)
            visit(depth + 1, weight * mask[:, None], bias * mask, rows)
            return
        for on, sign in ((1.0, -1.0), (0.0, 1.0)):
            # On where weight x + bias >= 0, off where it is <= 0.
            row = np.append(sign * weight[neuron], -sign * bias[neuron])
            if solve(np.zeros(size), [*rows, row]) is not None:
                split(depth, weight, bias, [*rows, row], neuron + 1, [*active, on])

    visit(0, np.eye(size), np.zeros(size), [])
    return Box(ranges[:1], ranges[1:])
