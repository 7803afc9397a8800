"""Good inputs, found fast: small values of linear functions of the output, each attained.

What is found here proves nothing about the other side; it is where an exact method starts from,
and what it may claim as attained.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod

import torch
from torch import Tensor

from sensverify.attacks.ascent import project, sign_step
from sensverify.bounds.forward import forward
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.core.sets import InputSet
from sensverify.network import Network
from sensverify.runs.watch import Watch

Loss = Callable[[Tensor], Tensor]

_NUMBERS = 1 << 24
"""Entries that one call of the network may keep for its gradient."""


def search(
    network: Network,
    box: Box,
    objectives: Tensor,
    *,
    seed: int = 0,
    starts: int = 64,
    steps: int = 24,
    watch: Watch | None = None,
) -> tuple[Tensor, Tensor]:
    """The smallest value of every objective that sampling and gradient steps find.

    Parameters
    ----------
    network : Network
        With tensors as parameters, of the box's dtype and device.
    box : Box of tensors, shape ``[batch, *input_shape]``
    objectives : Tensor, shape ``[batch or 1, rows, outputs]``
    seed : int
    starts : int
        Points of each box that are looked at first: its centre, corners and random ones.
    steps : int
        Projected sign-gradient steps from the best of them, each shorter than the last.
    watch : Watch, optional
        No further step is made once it is over.

    Returns
    -------
    values : Tensor, shape ``[batch, rows]``
        ``c · f(x)`` at the points; ESTIMATE of the minimum, attained.
    points : Tensor, shape ``[batch, rows, *input_shape]``
        Inside the box.
    """
    neurons = sum(prod(node.shape) for node in network.nodes)
    rows = objectives.shape[1]
    step = max(1, _NUMBERS // (neurons * max(rows, starts)))
    values, points = [], []
    for first in range(0, box.batch, step):
        part = slice(first, first + step)
        chosen = objectives[part] if len(objectives) > 1 else objectives
        samples = first_points(box[part], seed + first, starts)
        found = _search(network, box[part], chosen, samples, steps, watch)
        values.append(found[0])
        points.append(found[1])
    return torch.cat(values), torch.cat(points)


def descend(
    network: Network,
    box: Box,
    points: Tensor,
    loss: Loss,
    *,
    steps: int,
    first_step: float = 0.5,
    watch: Watch | None = None,
) -> tuple[Tensor, Tensor]:
    """Follow the gradient of a function of the output from each point down to a smaller value.

    Parameters
    ----------
    network : Network
        With tensors as parameters, of the box's dtype and device.
    box : Box of tensors, shape ``[points, *input_shape]``
    points : Tensor, shape ``[points, *input_shape]``
    loss : callable
        From outputs ``[points, outputs]`` to values ``[points]``, differentiable.
    steps : int
    first_step : float
        Length of the first step as a share of the box's width; later ones shrink to a thousandth
        of it.
    watch : Watch, optional
        No further step is made once it is over.

    Returns
    -------
    values : Tensor, shape ``[points]``
        The smallest on the way, never above that of the start.
    points : Tensor, shape ``[points, *input_shape]``
    """
    width = box.upper - box.lower
    decay = 1e-3 ** (1 / max(1, steps - 1))
    share = first_step
    function, labels = partial(forward, network), points.new_empty(0, dtype=torch.int64)
    best_values, best = points.new_full((len(points),), torch.inf), points
    for _ in range(steps):
        if watch is not None and watch.over:
            break
        _, gains, following = sign_step(
            function,
            points,
            labels,
            box,
            share * width,
            lambda outputs, _: -loss(outputs),
            needed=False,
        )
        best_values, best = _better(best_values, best, -gains, points)
        following = torch.where(points.isnan(), points, following)
        if torch.equal(following, points):
            # Shorter steps lead no further.
            return best_values, best
        points = following
        share *= decay
    with torch.no_grad():
        values = loss(flattened(function(points)))
    return _better(best_values, best, values, points)


def _better(
    best_values: Tensor, best: Tensor, values: Tensor, points: Tensor
) -> tuple[Tensor, Tensor]:
    """Values and points, of two for each, those with the smaller value."""
    better = values < best_values
    return torch.where(better, values, best_values), torch.where(
        _like(better, points), points, best
    )


def _search(
    network: Network,
    box: Box,
    objectives: Tensor,
    samples: Tensor,
    steps: int,
    watch: Watch | None,
) -> tuple[Tensor, Tensor]:
    batch, rows = box.batch, objectives.shape[1]
    with torch.no_grad():
        outputs = forward(network, samples.flatten(0, 1)).reshape(batch, samples.shape[1], -1)
        values = objectives @ outputs.transpose(1, 2)
    first = values.argmin(dim=2)
    points = samples[torch.arange(batch, device=first.device).unsqueeze(1), first]
    if isinstance(box, InputSet):
        many: Box = box[torch.arange(batch).repeat_interleave(rows)]
    else:
        ends = (
            end.unsqueeze(1).expand(batch, rows, *box.shape).flatten(0, 1)
            for end in (box.lower, box.upper)
        )
        many = Box(*ends)
    objective = objectives.expand(batch, -1, -1).flatten(0, 1)
    found, reached = descend(
        network,
        many,
        points.flatten(0, 1),
        lambda outputs: (outputs * objective).sum(1),
        steps=steps,
        watch=watch,
    )
    return found.reshape(batch, rows), reached.reshape(batch, rows, *box.shape)


def first_points(box: Box, seed: int, count: int) -> Tensor:
    """The centre, corners and random points, ``[batch, count, *input_shape]``."""
    generator = torch.Generator(device="cpu").manual_seed(seed)
    shape = (box.batch, count, *box.shape)
    share = torch.rand(shape, generator=generator, dtype=torch.float64)
    share[:, 1::2] = (share[:, 1::2] < 0.5).double()
    share[:, 0] = 0.5
    share = share.to(device=box.lower.device, dtype=box.lower.dtype)
    lower, upper = box.lower.unsqueeze(1), box.upper.unsqueeze(1)
    # Clamped, for rounding; written so that the upper corner is the end itself.
    points = torch.where(share == 1, upper, lower + share * (upper - lower))
    points = torch.minimum(torch.maximum(points, lower), upper)
    if not isinstance(box, InputSet):
        return points
    points[:, 0] = box.point
    return torch.stack([project(part, box) for part in points.unbind(1)], dim=1)


def _like(mask: Tensor, values: Tensor) -> Tensor:
    return mask.reshape(-1, *(1,) * (values.ndim - 1))
