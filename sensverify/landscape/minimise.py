"""Minimisation of many starts at the same time: L-BFGS, restarted where it stalls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sensverify.errors import BadSetting
from sensverify.landscape.energy import Energy
from sensverify.runs.watch import Watch

Gradient = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Values ``[batch]`` and gradients ``[batch, size]`` of points ``[batch, size]`` of certain starts,
whose places ``[batch]`` are given too."""

Inverse = Callable[[Tensor, Tensor], Tensor]
"""Inverse curvatures times vectors ``[batch, size]`` of certain starts, whose places are given."""

_ROUNDING = 1e-14
"""Share of an energy below which a rise is rounding."""

LARGEST = 1e8
"""Length of a point beyond which a search has run away."""


@dataclass(frozen=True)
class Lbfgs:
    """Settings of the minimisation.

    Parameters
    ----------
    tolerance : float
        Of the gradient's length.
    steps : int
        Evaluations of a start, at most.
    history : int
        Pairs of steps and gradient changes that are kept.
    longest : float
        Length of a step, at most.
    restarts : int
        How often a start may begin anew with an empty history where no step along its direction
        lowers the energy.
    """

    tolerance: float = 1e-6
    steps: int = 5000
    history: int = 20
    longest: float = 1.0
    restarts: int = 5

    def __post_init__(self) -> None:
        if not (0 < self.tolerance < float("inf") and 0 < self.longest < float("inf")):
            raise BadSetting(
                "L-BFGS needs a `tolerance` and a `longest` step above 0, got "
                f"{self.tolerance} and {self.longest}"
            )
        if self.steps < 1 or self.history < 1 or self.restarts < 0:
            raise BadSetting(
                "L-BFGS needs at least one step and one pair of history, and no negative number "
                f"of restarts, got {self.steps}, {self.history} and {self.restarts}"
            )


@dataclass(frozen=True, eq=False)
class Minimised:
    """The ends of a minimisation.

    Parameters
    ----------
    points : Tensor, shape ``[batch, size]``
    values, norms : Tensor, shape ``[batch]``
        Energies, and lengths of the gradients.
    converged, diverged : bool Tensor, shape ``[batch]``
        Whether the gradient is within the tolerance; whether the search ran away or met NaN.
    evaluations : int
        Of the energy, over all starts.
    """

    points: Tensor
    values: Tensor
    norms: Tensor
    converged: Tensor
    diverged: Tensor
    evaluations: int


def minimise(
    gradient: Gradient,
    starts: Tensor,
    settings: Lbfgs = Lbfgs(),
    *,
    inverse: Inverse | None = None,
    watch: Watch | None = None,
) -> Minimised:
    """Descend from many starts; no step raises an energy by more than rounding.

    Parameters
    ----------
    gradient : callable
        Of an energy, or of a projection of it; see `gradient_of`.
    starts : Tensor, shape ``[batch, size]``, float64
    settings : Lbfgs
    inverse : callable, optional
        Symmetric and positive: what is known of the inverse Hessians beforehand. Default: nothing.
    watch : Watch, optional
        When it is over, the points are given as they are.

    Examples
    --------
    >>> import torch
    >>> from sensverify.landscape import FunctionEnergy
    >>> wells = FunctionEnergy(lambda x: (x.square() - 1).square().sum(), size=2)
    >>> starts = torch.tensor([[0.5, 0.5], [-2.0, 0.1]], dtype=torch.float64)
    >>> ends = minimise(gradient_of(wells), starts)
    >>> ends.converged.tolist()
    [True, True]
    >>> ends.points.round(decimals=3).tolist()
    [[1.0, 1.0], [-1.0, 1.0]]
    """
    state = _State(gradient, starts.clone(), settings, inverse)
    for _ in range(settings.steps):
        if not state.step() or (watch is not None and watch.over):
            break
    return state.ends()


def gradient_of(energy: Energy) -> Gradient:
    """The gradient of an energy, which is the same for all starts."""
    return lambda points, _: energy.gradient(points)


class _State:
    """All starts, and what those that still move know of the energy around them."""

    def __init__(
        self, gradient: Gradient, points: Tensor, settings: Lbfgs, known: Inverse | None
    ) -> None:
        self._gradient, self._set, self._known = gradient, settings, known
        self.points = points
        self.values, self.gradients = gradient(points, torch.arange(len(points)))
        self.evaluations = len(points)
        count, size = points.shape
        kept = settings.history
        self._moves = points.new_zeros(kept, count, size)
        self._changes = points.new_zeros(kept, count, size)
        self._inverse = points.new_zeros(kept, count)  # 1 / (s y); 0 for no pair.
        self._next = 0
        self._scale = self._first_scale(self.gradients)
        self._shrink = points.new_ones(count)
        self._failures = torch.zeros(count, dtype=torch.long)
        self.diverged = ~self._is_fine(points, self.values, self.gradients)
        self._moving = self._are_moving(torch.arange(count))

    def _first_scale(self, gradients: Tensor) -> Tensor:
        # A first step of a tenth of the longest, or the gradient where that is shorter.
        norms = gradients.norm(dim=1).clamp_min(1e-300)
        return torch.minimum(0.1 * self._set.longest / norms, torch.ones_like(norms))

    @staticmethod
    def _is_fine(points: Tensor, values: Tensor, gradients: Tensor) -> Tensor:
        finite = torch.isfinite(values) & torch.isfinite(gradients).all(dim=1)
        return finite & (points.norm(dim=1) <= LARGEST)

    def _are_moving(self, rows: Tensor) -> Tensor:
        far = ~(self.gradients[rows].norm(dim=1) <= self._set.tolerance)
        able = (self._failures[rows] <= self._set.restarts) & ~self.diverged[rows]
        return rows[far & able]

    def step(self) -> bool:
        """Try one step of every start that still moves; False where none does."""
        rows = self._moving
        if not len(rows):
            return False
        directions = self._directions(rows)
        slopes = (directions * self.gradients[rows]).sum(dim=1)
        uphill = ~(slopes < 0)
        directions[uphill] = -self._plain(self.gradients[rows[uphill]], rows[uphill])
        self._inverse[:, rows[uphill]] = 0.0
        lengths = directions.norm(dim=1)
        factor = (self._set.longest / lengths.clamp_min(1e-300)).clamp_max(1.0) * self._shrink[rows]
        moves = factor[:, None] * directions
        slopes = (moves * self.gradients[rows]).sum(dim=1)
        points = self.points[rows] + moves
        values, gradients = self._gradient(points, rows)
        self.evaluations += len(rows)
        fine = self._is_fine(points, values, gradients)
        rounding = _ROUNDING * self.values[rows].abs().clamp_min(1.0)
        lower = values <= self.values[rows] + 1e-4 * slopes
        # So near to the end, energies cannot tell: what lowers the gradient is taken.
        flat = (values <= self.values[rows] + rounding) & (
            gradients.norm(dim=1) < self.gradients[rows].norm(dim=1)
        )
        good = fine & (lower | flat)
        self._accept(rows[good], points[good], values[good], gradients[good])
        self._reject(rows[~good])
        self._moving = self._are_moving(rows)
        return True

    def _plain(self, vectors: Tensor, rows: Tensor) -> Tensor:
        """The inverse Hessians, as they are taken without a history, times vectors."""
        if self._known is not None:
            return self._known(vectors, rows)
        return self._scale[rows, None] * vectors

    def _directions(self, rows: Tensor) -> Tensor:
        """Minus the inverse Hessian, as the history has it, times the gradients."""
        found = self.gradients[rows].clone()
        whole = len(rows) == len(self.points)
        kept = self._set.history
        newest_first = [(self._next - 1 - k) % kept for k in range(kept)]
        pairs, shares = [], []
        for slot in newest_first:
            one = self._inverse[slot, rows]
            if not bool(one.any()):
                continue
            move, change = self._moves[slot], self._changes[slot]
            pair = (move, change) if whole else (move[rows], change[rows])
            share = one * (pair[0] * found).sum(dim=1)
            found.addcmul_(share[:, None], pair[1], value=-1)
            pairs.append((*pair, one))
            shares.append(share)
        found = self._plain(found, rows)
        for (move, change, one), share in zip(reversed(pairs), reversed(shares), strict=True):
            back = one * (change * found).sum(dim=1)
            found.addcmul_((share - back)[:, None], move)
        return -found

    def _accept(self, rows: Tensor, points: Tensor, values: Tensor, gradients: Tensor) -> None:
        moves, changes = points - self.points[rows], gradients - self.gradients[rows]
        along = (moves * changes).sum(dim=1)
        squares = (changes * changes).sum(dim=1)
        curved = along > 1e-12 * (moves.norm(dim=1) * changes.norm(dim=1))
        kept = rows[curved]
        if len(kept):
            # One place in the ring for all: who has no pair of this step has a hole there.
            slot = self._next
            self._inverse[slot] = 0.0
            self._moves[slot, kept], self._changes[slot, kept] = moves[curved], changes[curved]
            self._inverse[slot, kept] = 1 / along[curved]
            self._next = (slot + 1) % self._set.history
            self._scale[kept] = (along / squares.clamp_min(1e-300))[curved]
        self.points[rows], self.values[rows], self.gradients[rows] = points, values, gradients
        self._shrink[rows] = (2 * self._shrink[rows]).clamp_max(1.0)
        self.diverged[rows] = points.norm(dim=1) > LARGEST / 10

    def _reject(self, rows: Tensor) -> None:
        self._shrink[rows] *= 0.25
        stuck = rows[self._shrink[rows] < 1e-8]
        self._inverse[:, stuck] = 0.0
        self._scale[stuck] = self._first_scale(self.gradients[stuck])
        self._shrink[stuck] = 1.0
        self._failures[stuck] += 1

    def ends(self) -> Minimised:
        """The points as they are."""
        norms = self.gradients.norm(dim=1)
        return Minimised(
            self.points,
            self.values,
            norms,
            (norms <= self._set.tolerance) & ~self.diverged,
            self.diverged,
            self.evaluations,
        )
