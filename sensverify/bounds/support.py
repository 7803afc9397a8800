"""The least value of a linear function over an input set: where a backward pass ends.

Every value is evaluated from multipliers by weak duality, so that it is a lower bound whatever they
are: the set's own constraint moves into the cost, and what is left is least at a corner of the box
around the set. The multipliers are the best ones.
"""

from __future__ import annotations

from functools import singledispatch

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sensverify.bounds.clipped_images import least_of_images
from sensverify.bounds.tensors import flattened
from sensverify.core.multipliers import best_multipliers
from sensverify.core.sets import Ball, Constrained, InputSet, Patch, Varied
from sensverify.errors import MissingRule

Least = tuple[Tensor, Tensor]
"""Lower bounds ``[batch, rows]``, and moves from the set's point that nearly attain them."""


def least_value(inside: InputSet, coefficients: Tensor) -> Tensor:
    """The least values of linear functions over sets, ``[batch, rows]``.

    Parameters
    ----------
    inside : InputSet of tensors, shape ``[batch, *features]``
    coefficients : Tensor, shape ``[batch or 1, rows, *features]``

    Returns
    -------
    Tensor, shape ``[batch, rows]``
        SOUND. Differentiable in the coefficients: the gradient is the input where the function is
        the least. Not in the set.
    """
    flat = flattened(coefficients, 2)
    with torch.no_grad():
        wide = flat.detach().double().expand(inside.batch, -1, -1)
        start = flattened(inside.point).double().unsqueeze(2)
        moves, at = least_move(inside, wide)
        value = (wide @ start).squeeze(2) + moves
    if not (torch.is_grad_enabled() and flat.requires_grad):
        return value.to(flat.dtype)
    attained = start.transpose(1, 2) + at
    linear = (flat * attained.to(flat.dtype)).sum(-1)
    return value.to(flat.dtype) + linear - linear.detach()


def _ends(inside: InputSet) -> tuple[Tensor, Tensor]:
    """Ends of the box around the set as moves from its point, ``[batch, 1, features]``."""
    own = flattened(inside.point).double()
    ends = (flattened(end.detach()).double() - own for end in (inside.lower, inside.upper))
    low, high = (end.unsqueeze(1) for end in ends)
    return low, high


@singledispatch
def least_move(inside: InputSet, coefficients: Tensor) -> Least:
    """As `least_value`, of moves from the set's point, ``[batch, rows, features]`` in float64."""
    raise MissingRule(
        f"no support function known for the input set {type(inside).__name__}",
        "register one with sensverify.bounds.support.least_move.register",
    )


@least_move.register
def _(inside: Ball, coefficients: Tensor) -> Least:
    low, high = _ends(inside)
    size = coefficients.abs()
    # How far each feature can move in the direction that lowers the function.
    room = torch.where(coefficients > 0, -low, high).clamp(min=0)
    reach = inside.reach.double().reshape(-1, 1, 1)
    step = _level(size, room, reach) if inside.order == 1 else _euclidean(size, room, reach)
    if inside.order == 1:
        kept = torch.minimum(size, step)
        lost = reach.squeeze(2) * step.squeeze(2)
        moved = torch.where(size > step, room, 0.0)
        # At the level itself what is left of the distance is spent.
        spare = (reach - moved.sum(-1, keepdim=True)).clamp(min=0)
        first = ((size == step) & (size > 0)).to(size)
        share = first * room
        moved = moved + share * (spare / share.sum(-1, keepdim=True).clamp(min=1e-300)).clamp(max=1)
    else:
        # step is the common ratio of move and coefficient where the box does not cut.
        kept = torch.minimum(size, room / step.clamp(min=1e-300))
        kept = torch.where(torch.isinf(step), 0.0, kept)
        lost = reach.squeeze(2) * kept.norm(dim=-1)
        moved = torch.minimum(torch.where(size > 0, step * size, 0.0), room)
    value = -((size - kept) * room).sum(-1) - lost
    return value, -coefficients.sign() * moved


def _level(size: Tensor, room: Tensor, reach: Tensor) -> Tensor:
    """The coefficient down to which features move as far as they can, ``[batch, rows, 1]``."""
    ordered, order = size.sort(dim=-1, descending=True)
    spent = room.expand_as(size).gather(-1, order).cumsum(-1)
    place = (spent < reach).sum(-1, keepdim=True)
    inner = ordered.gather(-1, place.clamp(max=size.shape[-1] - 1))
    return torch.where(place < size.shape[-1], inner, 0.0)


def _euclidean(size: Tensor, room: Tensor, reach: Tensor) -> Tensor:
    """The ratio s for which the moves ``min(s size, room)`` have the length ``reach``.

    Infinite where all can move as far as the box lets them.
    """
    ratio = torch.where(size > 0, room / size.clamp(min=1e-300), torch.inf)
    ordered, order = ratio.sort(dim=-1)
    squares = (room.expand_as(size) * (size > 0)).gather(-1, order) ** 2
    slopes = size.gather(-1, order) ** 2
    cut = squares.cumsum(-1)
    zero = torch.zeros_like(cut[..., :1])
    before = torch.cat([zero, cut], dim=-1)
    rest = torch.cat([slopes.flip(-1).cumsum(-1).flip(-1), zero], dim=-1)
    finite = torch.where(torch.isinf(ordered), 0.0, ordered)
    # The squared length once the features up to this one are cut.
    length = before[..., :-1] + torch.where(
        torch.isinf(ordered), torch.inf, finite**2 * rest[..., :-1]
    )
    place = (length < reach**2).sum(-1, keepdim=True)
    left = (reach**2 - before.gather(-1, place)).clamp(min=0)
    slope = rest.gather(-1, place)
    step = (left / slope.clamp(min=1e-300)).sqrt()
    return torch.where(slope > 0, step, torch.inf)


@least_move.register
def _(inside: Patch, coefficients: Tensor) -> Least:
    low, high = _ends(inside)
    farthest = torch.where(coefficients > 0, low, high)
    # A coefficient of 0 moves nothing.
    farthest = torch.where(coefficients == 0, 0.0, farthest)
    gains = inside.by_pixel(-coefficients * farthest).sum(-3)
    if inside.count is not None:
        flat = gains.flatten(2)
        best = flat.topk(inside.count, dim=-1)
        value = -best.values.sum(-1)
        mask = torch.zeros_like(flat).scatter(-1, best.indices, 1.0).reshape(gains.shape)
    else:
        assert inside.window is not None
        ones = gains.new_ones(1, 1, *inside.window)
        sums = functional.conv2d(gains.flatten(0, 1).unsqueeze(1), ones).flatten(1)
        most = sums.max(dim=1)
        value = -most.values.reshape(gains.shape[:2])
        places = torch.from_numpy(inside.windows()).to(gains)
        mask = places[most.indices].reshape(gains.shape)
    moved = inside.by_pixel(farthest.expand_as(coefficients)) * mask.unsqueeze(-3)
    return value, moved.reshape(coefficients.shape)


@least_move.register
def _(inside: Varied, coefficients: Tensor) -> Least:
    if inside.clip is not None:
        return least_of_images(inside, inside.clip, coefficients)
    patterns = inside.patterns.double()
    weights = coefficients @ patterns.transpose(1, 2)
    least, most = (end.double().unsqueeze(1) for end in (inside.least, inside.most))
    chosen = torch.where(weights > 0, least, most)
    return (weights * chosen).sum(-1), chosen @ patterns


@least_move.register
def _(inside: Constrained, coefficients: Tensor) -> Least:
    low, high = _ends(inside)
    own = flattened(inside.point).double().unsqueeze(2)
    matrix = inside.matrix.double()
    room = inside.limits.double() - (matrix @ own).squeeze(2)
    arrays = [part.cpu().numpy() for part in (matrix, room, coefficients, low, high)]
    equal = np.array(inside.equal)
    found = best_multipliers(arrays[0], arrays[1], equal, arrays[2], (arrays[3], arrays[4]))
    multipliers, at = (torch.from_numpy(part).to(coefficients) for part in found)
    cost = coefficients + multipliers @ matrix
    corner = torch.where(cost > 0, low, high)
    return (cost * corner).sum(-1) - (multipliers * room.unsqueeze(1)).sum(-1), at
