"""The last steps to a stationary point, with whole Hessians, and the curvatures there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sensverify.errors import BadSetting
from sensverify.landscape.curvature import check_dense, turned_inverse
from sensverify.landscape.energy import Energy
from sensverify.landscape.minimise import Inverse, Lbfgs, gradient_of, minimise
from sensverify.runs.watch import Watch

_SHORT = 0.1
"""Share of the longest step."""
_EVALUATIONS = 100
"""Of a descent with one Hessian."""
_DEEPER = 1e-3
"""Share of the tolerance that a descent aims at: equal minima are told by their digits."""
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
    energy: Energy,
    point: Tensor,
    settings: Newton = Newton(),
    *,
    index: int = 0,
    watch: Watch | None = None,
) -> Polished:
    """Go to the stationary point nearby.

    To a minimum it descends, in the metric that the Hessian gives; every step to a saddle descends
    along all eigenvectors of the Hessian but the lowest ``index``, and climbs along these. Near the
    end both are Newton's method.

    Parameters
    ----------
    energy : Energy
    point : Tensor, shape ``[size]``
    settings : Newton
    index : int
        Directions that are climbed: 0 for a minimum.
    watch : Watch, optional
        When it is over, the point is given as it is.

    Returns
    -------
    Polished
        Where ``converged`` is false, no such point was reached.

    Examples
    --------
    >>> import torch
    >>> from sensverify.landscape import FunctionEnergy
    >>> wells = FunctionEnergy(lambda x: (x.square() - 1).square().sum(), size=2)
    >>> saddle = polish(wells, torch.tensor([0.1, 0.9], dtype=torch.float64), index=1)
    >>> (saddle.converged, saddle.negative, round(saddle.value, 6))
    (True, 1, 1.0)
    >>> saddle.spectrum.round(decimals=3).tolist()
    [-4.0, 8.0]
    """
    check_dense(energy)
    go = _stepped if index else _descended
    point, matrix = go(energy, point, settings, index, watch)
    value, gradient = _at(energy, point)
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


def _descended(
    energy: Energy, point: Tensor, settings: Newton, _: int, watch: Watch | None
) -> tuple[Tensor, Tensor]:
    """The end of descents one after the other, and the Hessian there.

    Valleys are so soft and so bent that a step of Newton's is soon wrong: a Hessian serves a
    whole descent of L-BFGS, whose history follows how curvatures change on the way.
    """
    limits = Lbfgs(
        tolerance=_DEEPER * settings.tolerance,
        steps=_EVALUATIONS,
        longest=settings.longest,
        restarts=1,
    )
    matrix = energy.hessian(point)
    for _ in range(settings.steps):
        if _ended(matrix, watch):
            break
        inverse = _inverse(matrix, settings.zero)
        found = minimise(gradient_of(energy), point[None], limits, inverse=inverse)
        moved = float((found.points[0] - point).norm())
        point = found.points[0]
        if moved > _AGAIN * (1 + float(point.norm())):
            matrix = energy.hessian(point)
        if bool(found.converged[0]) or moved == 0 or bool(found.diverged[0]):
            break
    return point, matrix


def _ended(matrix: Tensor, watch: Watch | None) -> bool:
    return not bool(torch.isfinite(matrix).all()) or (watch is not None and watch.over)


def _inverse(matrix: Tensor, zero: float) -> Inverse:
    factor = _cholesky(matrix, zero)
    if factor is not None:
        return lambda vectors, _: torch.cholesky_solve(vectors.T, factor).T
    # What is nearly flat and goes down is followed, or the descent would never leave a saddle.
    known = turned_inverse(matrix, zero)
    return lambda vectors, _: vectors @ known


def _stepped(
    energy: Energy, point: Tensor, settings: Newton, index: int, watch: Watch | None
) -> tuple[Tensor, Tensor]:
    """The end of Newton's steps towards an index above 0, and the Hessian there."""
    value, gradient = _at(energy, point)
    matrix = energy.hessian(point)
    for _ in range(settings.steps):
        if _ended(matrix, watch):
            break
        steps = _Steps(matrix, settings, index)
        far = False
        # As long as the steps are short, the same Hessian does.
        while not far and float(gradient.norm()) > 0:
            found = _taken(energy, point, steps.from_gradient(gradient), (value, gradient))
            if found is None:
                break
            moved = float((found[0] - point).norm())
            point, value, gradient = found
            far = moved > _AGAIN * (1 + float(point.norm()))
        if not far:
            break
        matrix = energy.hessian(point)
    return point, matrix


class _Steps:
    """Newton steps with one Hessian."""

    def __init__(self, matrix: Tensor, settings: Newton, index: int) -> None:
        self._matrix, self._index = matrix, index
        self._longest, self._zero = settings.longest, settings.zero
        self._scale: Tensor | None = None
        self._triangles: tuple[Tensor, Tensor, Tensor] | None = None
        self._vectors = matrix

    def from_gradient(self, gradient: Tensor) -> Tensor:
        """The step, no longer than the longest."""
        if self._scale is None:
            # Near the end, where steps are short, the signs of curvatures are those that it has.
            move = -self._solved(gradient)
            if float(move.norm()) <= _SHORT * self._longest:
                return move
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
    energy: Energy, point: Tensor, move: Tensor, before: tuple[float, Tensor]
) -> tuple[Tensor, float, Tensor] | None:
    """The point after the step, or after a part of it; None where none is better.

    Better is a gradient that is not much longer, and at the end a smaller one.
    """
    norm = float(before[1].norm())
    for halvings in range(12):
        there = point + 0.5**halvings * move
        if torch.equal(there, point):
            return None
        found, gradient = _at(energy, there)
        length = float(gradient.norm())
        if length < norm or (norm > 1e-5 and length < 2 * norm and halvings == 0):
            return there, found, gradient
    return None
