"""Saddles of index 1, by hybrid eigenvector following from many points at the same time.

Uphill along the direction of least curvature, downhill in all others (Munro and Wales 1999, *Defect
migration in crystalline silicon*; Henkelman and Jonsson 1999). Curvatures of a network differ by a
factor of a million, so that both parts step by the inverse of a whole Hessian, taken anew as the
search goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sensverify.errors import BadSetting
from sensverify.landscape.curvature import newton_like
from sensverify.landscape.energy import Energy
from sensverify.landscape.lowest_mode import lowest_mode
from sensverify.landscape.minimise import Lbfgs, minimise
from sensverify.runs.watch import Watch

_NOISE = 0.1
_HELD = 2**27
"""Numbers in the Hessians of searches that are done at the same time: 1 GB."""


@dataclass(frozen=True)
class Climb:
    """Settings of eigenvector following.

    Parameters
    ----------
    tolerance : float
        Of the gradient's length, from where on Newton's method takes over.
    steps : int
        Uphill steps, at most.
    longest : float
        Length of an uphill step, at most.
    first : float
        Length of the step by which a search leaves a minimum.
    soft : int
        A minimum is left along one of so many eigenvectors of least curvature, drawn at random.
    farthest : float
        Length of a point at which a search is given up, in shares of the larger of 1 and the length
        of the point that it began at: up the walls of the penalty there is no saddle.
    fresh : int
        Uphill steps after which the whole Hessian is taken anew.
    modes : int
        Steps of LOBPCG for the direction, before each uphill step; before the first, ten times as
        many.
    downhill : int
        Evaluations of the minimisation in all other directions, after each uphill step.
    """

    tolerance: float = 1e-8
    steps: int = 150
    longest: float = 0.4
    first: float = 0.3
    soft: int = 32
    farthest: float = 3.0
    fresh: int = 10
    modes: int = 10
    downhill: int = 20

    def __post_init__(self) -> None:
        if not (self.tolerance > 0 and self.longest > 0 and self.first >= 0 and self.farthest > 0):
            raise BadSetting(
                "eigenvector following needs a `tolerance`, a `longest` step and a `farthest` "
                f"length above 0, got {self.tolerance}, {self.longest} and {self.farthest}"
            )
        if min(self.steps, self.fresh, self.modes, self.downhill, self.soft) < 1:
            raise BadSetting("eigenvector following needs at least one step of each kind")


@dataclass(frozen=True, eq=False)
class Climbed:
    """The ends of eigenvector following.

    Parameters
    ----------
    points, directions : Tensor, shape ``[batch, size]``
        Where each ended, and the direction of least curvature there.
    curvatures, norms : Tensor, shape ``[batch]``
        Curvatures along the directions, and lengths of the gradients.
    converged, diverged : bool Tensor, shape ``[batch]``
        Whether the gradient is within the tolerance and the curvature is negative; whether the
        search ran away or met NaN.
    evaluations : int
    """

    points: Tensor
    directions: Tensor
    curvatures: Tensor
    norms: Tensor
    converged: Tensor
    diverged: Tensor
    evaluations: int


def climb(
    energy: Energy,
    starts: Tensor,
    directions: Tensor,
    settings: Climb = Climb(),
    *,
    watch: Watch | None = None,
) -> Climbed:
    """Climb from many points to saddles of index 1.

    Parameters
    ----------
    energy : Energy
    starts, directions : Tensor, shape ``[batch, size]``
        Where each begins, and a guess of the direction that is climbed.
    settings : Climb
    watch : Watch, optional
        When it is over, the points are given as they are.

    Examples
    --------
    >>> import torch
    >>> from sensverify.landscape import FunctionEnergy
    >>> wells = FunctionEnergy(lambda x: (x.square() - 1).square().sum(), size=2)
    >>> minimum = torch.ones(1, 2, dtype=torch.float64)
    >>> along = torch.tensor([[-1.0, 0.0]], dtype=torch.float64)
    >>> found = climb(wells, minimum + 0.1 * along, along)
    >>> (bool(found.converged), round(float(found.curvatures), 3))
    (True, -4.0)
    >>> (found.points.round(decimals=3) + 0.0).tolist()
    [[0.0, 1.0]]
    """
    count = max(1, _HELD // energy.size**2)
    found = []
    for points, ways in zip(starts.split(count), directions.split(count), strict=True):
        state = _Climbing(energy, points, ways, settings)
        for _ in range(settings.steps):
            if not state.step() or (watch is not None and watch.over):
                break
        found.append(state.ends())
    return _together(found)


def _together(parts: list[Climbed]) -> Climbed:
    """The ends of groups of searches as those of one."""

    def joined(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts])

    return Climbed(
        points=joined("points"),
        directions=joined("directions"),
        curvatures=joined("curvatures"),
        norms=joined("norms"),
        converged=joined("converged"),
        diverged=joined("diverged"),
        evaluations=sum(part.evaluations for part in parts),
    )


class _Climbing:
    """All searches, and which of them still move."""

    def __init__(self, energy: Energy, starts: Tensor, directions: Tensor, settings: Climb) -> None:
        self._energy, self._set = energy, settings
        unit = directions / directions.norm(dim=1, keepdim=True).clamp_min(1e-300)
        self.points = starts.clone()
        self._farthest = settings.farthest * starts.norm(dim=1).clamp_min(1.0)
        self.directions = unit
        count = len(starts)
        self.curvatures = starts.new_zeros(count)
        _, self.gradients = energy.gradient(self.points)
        self.evaluations = count
        self._taken = 0
        self._inverses: list[Tensor] = [starts.new_zeros(0)] * count
        self._generator = torch.Generator().manual_seed(0)
        self.converged = torch.zeros(count, dtype=torch.bool)
        self.diverged = torch.zeros(count, dtype=torch.bool)
        self._downhill = Lbfgs(
            tolerance=settings.tolerance / 4,
            steps=settings.downhill,
            history=8,
            longest=settings.longest,
            restarts=0,
        )

    def step(self) -> bool:
        """One uphill step of every search that still moves; False where none does."""
        rows = (~self.converged & ~self.diverged).nonzero()[:, 0]
        if not len(rows):
            return False
        if self._taken % self._set.fresh == 0:
            for row in rows.tolist():
                self._inverses[row] = newton_like(self._energy, self.points[row])
            # A whole Hessian costs as much as some three gradients a weight.
            self.evaluations += 3 * self._energy.size * len(rows)
        self._turn(rows)
        self._taken += 1
        directions = self.directions[rows]
        moved = self.points[rows] + self._uphill(rows)[:, None] * directions

        def across(points: Tensor, of: Tensor) -> tuple[Tensor, Tensor]:
            values, gradients = self._energy.gradient(points)
            return values, _across(gradients, directions[of])

        def inverse(vectors: Tensor, of: Tensor) -> Tensor:
            return _across(self._inverse(vectors, rows[of]), directions[of])

        found = minimise(across, moved, self._downhill, inverse=inverse)
        points = found.points
        _, self.gradients[rows] = self._energy.gradient(points)
        self.evaluations += found.evaluations + len(rows)
        self.points[rows] = points
        norms = self.gradients[rows].norm(dim=1)
        fine = torch.isfinite(norms) & (points.norm(dim=1) <= self._farthest[rows])
        self.diverged[rows] = ~fine
        near = fine & (norms <= self._set.tolerance)
        self.converged[rows] = near & (self.curvatures[rows] < 0)
        return True

    def _turn(self, rows: Tensor) -> None:
        """Follow the direction of least curvature."""
        before = self.directions[rows]
        steps = self._set.modes * (1 if self._taken else 10)
        # A guess that is exactly another eigenvector would never turn to a lower one.
        noise = torch.randn(before.shape, generator=self._generator, dtype=before.dtype)
        # Of all directions, the soft ones are those that it may turn to.
        noise = self._inverse(noise, rows)
        noise *= _NOISE / noise.norm(dim=1, keepdim=True).clamp_min(1e-300)
        guess = before + noise
        curvatures, found = lowest_mode(
            self._energy,
            self.points[rows],
            guess,
            steps=steps,
            inverse=lambda vectors: self._inverse(vectors, rows),
        )
        # A product with a Hessian costs as much as some three gradients.
        self.evaluations += 3 * steps * len(rows)
        # A direction has no sign: the one that goes on as before.
        turned = (found * before).sum(dim=1) < 0
        self.directions[rows] = torch.where(turned[:, None], -found, found)
        self.curvatures[rows] = curvatures

    def _inverse(self, vectors: Tensor, rows: Tensor) -> Tensor:
        """Inverse Hessians, without their signs, times one vector each."""
        halves = vectors.float()
        images = [self._inverses[r] @ v for r, v in zip(rows.tolist(), halves, strict=True)]
        return torch.stack(images).to(vectors) if images else vectors

    def _uphill(self, rows: Tensor) -> Tensor:
        """Lengths of the steps along the directions: Newton's where the curvature is negative."""
        slopes = (self.gradients[rows] * self.directions[rows]).sum(dim=1)
        curvatures = self.curvatures[rows]
        newton = slopes / curvatures.abs().clamp_min(1e-300)
        onward = torch.where(slopes < 0, -1.0, 1.0) * self._set.longest
        steps = torch.where(curvatures < 0, newton, onward)
        return steps.clamp(-self._set.longest, self._set.longest)

    def ends(self) -> Climbed:
        """The searches as they are."""
        return Climbed(
            self.points,
            self.directions,
            self.curvatures,
            self.gradients.norm(dim=1),
            self.converged,
            self.diverged,
            self.evaluations,
        )


def _across(vectors: Tensor, directions: Tensor) -> Tensor:
    """Vectors without their parts along unit directions."""
    return vectors - (vectors * directions).sum(dim=1, keepdim=True) * directions
