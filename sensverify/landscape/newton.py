"""The last steps to a stationary point, by Newton's method, and the curvatures there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sensverify.errors import BadSetting
from sensverify.landscape.curvature import check_dense
from sensverify.landscape.energy import Energy

_ROUNDING = 1e-13
_SHORT = 0.1
"""Share of the longest step."""
_AGAIN = 1e-7
"""Share of a point's length: after a longer step the Hessian is taken anew."""


@dataclass(frozen=True)
class Newton:
    """Settings of the last steps.

    Parameters
    ----------
    tolerance : float
        Of the gradient's length at the end.
    steps : int
        Hessians, at most.
    longest : float
        Length of a step, at most.
    zero : float
        Share of the largest curvature below which one counts as 0.
    """

    tolerance: float = 1e-8
    steps: int = 30
    longest: float = 0.5
    zero: float = 1e-9

    def __post_init__(self) -> None:
        if not (self.tolerance > 0 and self.longest > 0 and 0 < self.zero < 1 and self.steps >= 1):
            raise BadSetting(
                "Newton's method needs a `tolerance`, a `longest` step and at least one step, and "
                f"`zero` between 0 and 1, got {self}"
            )


@dataclass(frozen=True, eq=False)
class Polished:
    """A point at the end of Newton's method.

    Parameters
    ----------
    point : Tensor, shape ``[size]``
    value, norm : float
        The energy, and the length of the gradient.
    spectrum : Tensor, shape ``[size]``
        Eigenvalues of the Hessian, ascending: at the point, or so near that it is the same to some
        seven digits.
    lowest : Tensor, shape ``[size]``
        The unit eigenvector of the first of them; 0 at a minimum.
    negative, zero : int
        How many eigenvalues are negative, and how many are 0 within the tolerance.
    converged : bool
        Whether the gradient is within the tolerance.
    """

    point: Tensor
    value: float
    norm: float
    spectrum: Tensor
    lowest: Tensor
    negative: int
    zero: int
    converged: bool


def polish(
    energy: Energy, point: Tensor, settings: Newton = Newton(), *, index: int = 0
) -> Polished:
    """Go to the stationary point nearby.

    Every step descends along all eigenvectors of the Hessian but the lowest ``index``, and climbs
    along these: near a stationary point of that index it is Newton's.

    Parameters
    ----------
    energy : Energy
    point : Tensor, shape ``[size]``
    settings : Newton
    index : int
        Directions that are climbed: 0 for a minimum.

    Returns
    -------
    Polished
        Where ``converged`` is false, no such point was reached.
    """
    check_dense(energy)
    value, gradient = _at(energy, point)
    fresh = False
    matrix = energy.hessian(point)
    for number in range(settings.steps):
        if number:
            matrix = energy.hessian(point)
        fresh = True
        if not bool(torch.isfinite(matrix).all()):
            break
        steps = _Steps(matrix, settings, index)
        # As long as the steps are short, the same Hessian does.
        while float(gradient.norm()) > 0:
            move = steps.from_gradient(gradient)
            found = _taken(energy, point, move, (value, gradient), minimum=index == 0)
            if found is None:
                break
            moved = float((found[0] - point).norm())
            point, value, gradient = found
            if moved > _AGAIN * (1 + float(point.norm())):
                fresh = False
                break
        if fresh:
            break
    if not fresh:
        matrix = energy.hessian(point)
    values, lowest = _spectrum(matrix, index)
    flat = settings.zero * max(float(values.abs().max()), 1e-300)
    norm = float(gradient.norm())
    return Polished(
        point=point,
        value=value,
        norm=norm,
        spectrum=values,
        lowest=lowest,
        negative=int((values < -flat).sum()),
        zero=int((values.abs() <= flat).sum()),
        converged=norm <= settings.tolerance and bool(torch.isfinite(values).all()),
    )


class _Steps:
    """Newton steps with one Hessian."""

    def __init__(self, matrix: Tensor, settings: Newton, index: int) -> None:
        self._matrix, self._index = matrix, index
        self._longest, self._zero = settings.longest, settings.zero
        self._scale: Tensor | None = None
        self._triangles: tuple[Tensor, Tensor, Tensor] | None = None
        self._vectors = matrix
        self._factor = _cholesky(matrix, settings.zero) if index == 0 else None

    def from_gradient(self, gradient: Tensor) -> Tensor:
        """The step, no longer than the longest."""
        if self._index and self._scale is None:
            # Near the end, where steps are short, the signs of curvatures are those that it has.
            move = -self._solved(gradient)
            if float(move.norm()) <= _SHORT * self._longest:
                return move
        if self._factor is not None:
            # Far cheaper than eigenvectors; a long step is for these to judge.
            move = -torch.cholesky_solve(gradient[:, None], self._factor)[:, 0]
            if float(move.norm()) <= self._longest:
                return move
        if self._scale is None:
            self._scale = self._decomposed()
        # Soft directions are held back one by one, so that stiff ones end at once.
        shares = self._scale * (self._vectors.T @ gradient)
        move = self._vectors @ shares.clamp(-self._longest / 2, self._longest / 2)
        length = float(move.norm())
        return move if length <= self._longest else move * (self._longest / length)

    def _solved(self, gradient: Tensor) -> Tensor:
        """The inverse of the whole Hessian times a gradient; NaN where there is none."""
        if self._triangles is None:
            self._triangles = torch.linalg.lu_factor_ex(self._matrix)
        factor, pivots, failed = self._triangles
        found = torch.linalg.lu_solve(factor, pivots, gradient[:, None])[:, 0]
        sizes = factor.diagonal().abs()
        flat = int(failed) or bool(sizes.min() <= self._zero * sizes.max())
        return torch.full_like(gradient, torch.nan) if flat else found

    def _decomposed(self) -> Tensor:
        """Factors of the step along each eigenvector."""
        values, self._vectors = torch.linalg.eigh(self._matrix)
        largest = values.abs().max().clamp_min(1e-300)
        signs = torch.ones_like(values)
        signs[: self._index] = -1.0
        # Nothing is known along flat directions: there is nothing to go to.
        known = (values.abs() > self._zero * largest).to(values)
        return -known * signs / values.abs().clamp_min(self._zero * float(largest))


def _cholesky(matrix: Tensor, zero: float) -> Tensor | None:
    """The factor, where all curvatures are positive."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    pivots = factor.diagonal().square()
    # Where a pivot is rounding, there is a flat direction.
    curved = not int(failed) and bool(pivots.min() > zero * pivots.max())
    return factor if curved else None


def _spectrum(matrix: Tensor, index: int) -> tuple[Tensor, Tensor]:
    """The eigenvalues, and the lowest eigenvector where it may be asked for."""
    if not bool(torch.isfinite(matrix).all()):
        nothing = torch.full_like(matrix[0], torch.nan)
        return nothing, nothing
    if index == 0:
        values = torch.linalg.eigvalsh(matrix)
        if float(values[0]) > 0:
            # A minimum has no way down.
            return values, torch.zeros_like(values)
    values, vectors = torch.linalg.eigh(matrix)
    return values, vectors[:, 0]


def _at(energy: Energy, point: Tensor) -> tuple[float, Tensor]:
    values, gradients = energy.gradient(point[None])
    return float(values[0]), gradients[0]


def _taken(
    energy: Energy, point: Tensor, move: Tensor, before: tuple[float, Tensor], *, minimum: bool
) -> tuple[Tensor, float, Tensor] | None:
    """The point after the step, or after a part of it; None where none is better.

    On the way to a minimum, better is lower, or as low with a smaller gradient; on the way to a
    saddle, a gradient that is not much longer, and at the end a smaller one.
    """
    value, norm = before[0], float(before[1].norm())
    rounding = _ROUNDING * max(1.0, abs(value))
    for halvings in range(12):
        there = point + 0.5**halvings * move
        if torch.equal(there, point):
            return None
        found, gradient = _at(energy, there)
        length = float(gradient.norm())
        if minimum:
            good = found < value - rounding or (found <= value + rounding and length < norm)
        else:
            good = length < norm or (norm > 1e-5 and length < 2 * norm and halvings == 0)
        if good:
            return there, found, gradient
    return None
