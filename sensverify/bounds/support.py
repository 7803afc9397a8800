"""The least value of a linear function over an input set: where a backward pass ends.

Every value is evaluated from multipliers by weak duality, so that it is a lower bound whatever they
are: the set's own constraint moves into the cost, and what is left is least at a corner of the box
around the set. The multipliers are the best ones, but for several linear constraints and very many
functions (see `constrained_multipliers`).
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sensverify.bounds.clipped_images import least_of_images
from sensverify.bounds.tensors import flattened
from sensverify.core.sets import Ball, Constrained, InputSet, Patch, Varied
from sensverify.errors import MissingRule

_SOLVED = 1 << 22
"""Numbers in the costs of the linear programs that one call solves exactly."""

_SWEEPS = 3
"""Passes over all constraints, of which one after the other gets its best multiplier."""

_TIED = 1e-12
"""Share of the largest reduced cost up to which one is 0 but for rounding."""

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
    multipliers, at = constrained_multipliers(inside, coefficients)
    matrix = inside.matrix.double()
    low, high = _ends(inside)
    cost = coefficients + multipliers @ matrix
    room = _room(inside).unsqueeze(1)
    corner = torch.where(cost > 0, low, high)
    value = (cost * corner).sum(-1) - (multipliers * room).sum(-1)
    if at is None:
        at = (
            _kept(cost, corner, matrix, room.squeeze(2), low, high)
            if matrix.shape[1] == 1
            else corner
        )
    return value, at


def _kept(
    cost: Tensor, corner: Tensor, matrix: Tensor, room: Tensor, low: Tensor, high: Tensor
) -> Tensor:
    """The move that keeps one constraint: features without a reduced cost go as far as it lets."""
    size = cost.abs().amax(-1, keepdim=True)
    tied = (cost.abs() <= _TIED * size) & (matrix != 0)
    start = torch.where(matrix > 0, low, high)
    at = torch.where(tied, start, corner)
    left = (room - (at * matrix).sum(-1)).unsqueeze(-1)
    reach = (torch.where(tied, matrix.abs(), 0.0) * (high - low)).sum(-1, keepdim=True)
    share = (left / reach.clamp(min=1e-300)).clamp(0, 1)
    return torch.where(tied, start + share * (low + high - 2 * start), at)


def _room(inside: Constrained) -> Tensor:
    """Room that the constraints leave at the set's point, ``[batch, constraints]``."""
    own = flattened(inside.point).double().unsqueeze(2)
    return inside.limits.double() - (inside.matrix.double() @ own).squeeze(2)


def constrained_multipliers(
    inside: Constrained, coefficients: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Multipliers of the constraints, ``[batch, rows, constraints]``, and the inputs, where known.

    One constraint has the best multiplier in closed form: the dual is a concave function of one
    number, bent where a reduced cost changes its sign. With several, linear programs find the best
    ones where there are not too many; else one after the other gets its best, a few times over,
    which can end short of the best.
    """
    count = inside.matrix.shape[1]
    if count > 1 and coefficients.numel() <= _SOLVED:
        return _solved(inside, coefficients)
    low, high = _ends(inside)
    matrix, room = inside.matrix.double(), _room(inside)
    multipliers = coefficients.new_zeros(*coefficients.shape[:2], count)
    for _ in range(1 if count == 1 else _SWEEPS):
        for row in range(count):
            multipliers[..., row] = 0.0
            cost = coefficients + multipliers @ matrix
            best = _best(cost, matrix[:, row], room[:, row], low, high)
            multipliers[..., row] = best if inside.equal[row] else best.clamp(min=0)
    return multipliers, None


def _best(cost: Tensor, row: Tensor, room: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The best multiplier of one constraint, ``[batch, rows]``, of any sign.

    The slope of the dual falls at every number where a reduced cost changes its sign.
    """
    factor = row.unsqueeze(1)
    some = factor != 0
    turns = torch.where(some, -cost / torch.where(some, factor, 1.0), torch.inf)
    first = torch.maximum(factor * low, factor * high).sum(-1) - room.unsqueeze(1)
    falls = (factor.abs() * (high - low)).expand_as(turns)
    ordered, order = turns.sort(dim=-1)
    slopes = first.unsqueeze(-1) - falls.gather(-1, order).cumsum(-1)
    place = (slopes > 0).sum(-1, keepdim=True)
    last = (some.sum(-1, keepdim=True) - 1).clamp(min=0).expand_as(place)
    found = ordered.gather(-1, torch.minimum(place, last)).squeeze(-1)
    return torch.where(torch.isfinite(found) & (first > 0), found, 0.0)


def _solved(inside: Constrained, coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """The same by HiGHS; the multipliers are evaluated by whoever asked, so nothing is believed."""
    low, high = (end.squeeze(1).cpu().numpy() for end in _ends(inside))
    matrix, room = inside.matrix.double().cpu().numpy(), _room(inside).cpu().numpy()
    costs = coefficients.cpu().numpy()
    equal = np.array(inside.equal)
    multipliers = np.zeros((*costs.shape[:2], len(equal)))
    moves = np.zeros_like(costs)
    for number in range(len(costs)):
        program = _Program(matrix[number], room[number], equal, low[number], high[number])
        for row, cost in enumerate(costs[number]):
            multipliers[number, row], moves[number, row] = program.solve(cost)
    multipliers = np.where(equal, multipliers, np.maximum(multipliers, 0))
    like = coefficients
    return torch.from_numpy(multipliers).to(like), torch.from_numpy(moves).to(like)


class _Program:
    """One linear program with many costs."""

    def __init__(
        self,
        matrix: np.ndarray,
        room: np.ndarray,
        equal: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
    ) -> None:
        import highspy

        self._solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        self._error, self._optimal = highspy.HighsStatus.kError, highspy.HighsModelStatus.kOptimal
        self._solver.setOptionValue("output_flag", False)
        self._solver.setOptionValue("threads", 1)
        self._rows, self._columns = matrix.shape
        count = self._rows
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = self._columns, count
        model.col_cost_ = np.zeros(self._columns)
        model.col_lower_, model.col_upper_ = low, high
        room = np.where(equal, room, np.maximum(room, 0.0))
        model.row_lower_ = np.where(equal, room, -highspy.kHighsInf)
        model.row_upper_ = room
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        rows, columns = np.nonzero(matrix)
        starts = np.concatenate([[0], np.bincount(rows, minlength=count).cumsum()])
        model.a_matrix_.start_ = starts
        model.a_matrix_.index_, model.a_matrix_.value_ = columns, matrix[rows, columns]
        # A program that is not taken is one without a solution.
        self._taken = self._solver.passModel(model) != self._error
        self._indices = np.arange(self._columns, dtype=np.int32)

    def solve(self, cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Multipliers and the move; zeros where the solver gives none that are finite."""
        scale = max(float(abs(cost).max(initial=0.0)), 1e-300)
        solver = self._solver
        done = (
            self._taken
            and solver.changeColsCost(self._columns, self._indices, cost / scale) != self._error
            and solver.run() != self._error
            and solver.getModelStatus() == self._optimal
        )
        nothing = np.zeros(self._rows), np.zeros(self._columns)
        if not done:
            return nothing
        found = solver.getSolution()
        duals = -np.array(found.row_dual, dtype=np.float64) * scale
        moves = np.array(found.col_value, dtype=np.float64)
        return (duals, moves) if np.isfinite(duals).all() else nothing
