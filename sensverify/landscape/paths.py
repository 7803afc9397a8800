"""Steepest-descent paths from saddles, in steps that stay stable where curvatures differ widely.

The path is the curve ``dx/dt = -gradient``. Along it the energy's Hessian has real eigenvalues over
several orders of magnitude, for which the stabilised methods of Runge, Kutta and Chebyshev are
made: s evaluations allow steps some s^2 times as long as one of Euler's. Each step takes as many
stages as its length and the largest curvature ask for.

Source: Sommeijer, Shampine and Verwer 1998, *RKC: an explicit solver for parabolic PDEs*; the
formulas of first order, with damping.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil

import numpy as np
import torch
from torch import Tensor

from sensverify.errors import BadSetting
from sensverify.landscape.energy import Energy
from sensverify.landscape.minimise import Lbfgs, gradient_of, minimise
from sensverify.landscape.points import DescentPath
from sensverify.runs.watch import Watch

_DAMPING = 0.1
_ROUNDING = 1e-14
_POWER = 12
_SMALLEST = 1e-12


@dataclass(frozen=True)
class Descent:
    """Settings of steepest descent.

    Parameters
    ----------
    leave : float
        Length of the step off the saddle, in shares of the larger of 1 and the saddle's length.
    stages : int
        Evaluations of a step, at most.
    longest : float
        Length of a step, at most.
    near : float
        Length of the gradient, in shares of the largest on the path, below which the rest of the
        way is left to L-BFGS.
    steps : int
        At most.
    kept : int
        Points of a path that are kept, at most.
    last : Lbfgs
        The rest of the way.
    """

    leave: float = 1e-3
    stages: int = 150
    longest: float = 0.3
    near: float = 0.1
    steps: int = 500
    kept: int = 40
    last: Lbfgs = field(default_factory=lambda: Lbfgs(longest=0.2))

    def __post_init__(self) -> None:
        if not (self.leave > 0 and self.longest > 0 and self.near > 0):
            raise BadSetting(f"steepest descent needs lengths above 0, got {self}")
        if self.stages < 2 or self.steps < 1 or self.kept < 2:
            raise BadSetting(
                "steepest descent needs at least 2 stages, 1 step and 2 points to keep, got "
                f"{self.stages}, {self.steps} and {self.kept}"
            )


@dataclass(frozen=True, eq=False)
class Descended:
    """The ends of paths.

    Parameters
    ----------
    points : Tensor, shape ``[batch, size]``
    paths : tuple of DescentPath
        Of each start; the energy never rises along it, but for rounding.
    converged : bool Tensor, shape ``[batch]``
        Whether the end has a gradient within the tolerance of ``last``.
    evaluations : int
    """

    points: Tensor
    paths: tuple[DescentPath, ...]
    converged: Tensor
    evaluations: int


def descend(
    energy: Energy,
    saddles: Tensor,
    directions: Tensor,
    settings: Descent = Descent(),
    *,
    watch: Watch | None = None,
) -> Descended:
    """Follow the steepest descent from saddles, each in one direction, down to a minimum.

    Parameters
    ----------
    energy : Energy
    saddles, directions : Tensor, shape ``[batch, size]``
        The sign of a direction says which way.
    settings : Descent
    watch : Watch, optional
        When it is over, the paths end where they are.

    Examples
    --------
    >>> import torch
    >>> from sensverify.landscape import FunctionEnergy
    >>> wells = FunctionEnergy(lambda x: (x.square() - 1).square().sum(), size=2)
    >>> saddles = torch.tensor([[0.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    >>> ways = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    >>> found = descend(wells, saddles, ways)
    >>> found.points.round(decimals=3).tolist()
    [[1.0, 1.0], [-1.0, 1.0]]
    >>> path = found.paths[0]
    >>> path.energies[[0, -1]].round(6).tolist(), path.lengths[[0, -1]].round(3).tolist()
    ([1.0, 0.0], [0.0, 1.0])
    """
    state = _Descending(energy, saddles, directions, settings)
    for _ in range(settings.steps):
        if not state.step() or (watch is not None and watch.over):
            break
    found = minimise(gradient_of(energy), state.points, settings.last, watch=watch)
    state.evaluations += found.evaluations
    return state.ended(found.points, found.values, found.converged)


class _Descending:
    """All paths, and which of them still move."""

    def __init__(
        self, energy: Energy, saddles: Tensor, directions: Tensor, settings: Descent
    ) -> None:
        self._energy, self._set = energy, settings
        unit = directions / directions.norm(dim=1, keepdim=True).clamp_min(1e-300)
        leave = settings.leave * saddles.norm(dim=1).clamp_min(1.0)
        self.points = saddles + leave[:, None] * unit
        self.values, self.gradients = energy.gradient(self.points)
        self.evaluations = len(saddles)
        # A larger curvature than is met makes steps dearer, a smaller one makes them unstable.
        self._stiffest = self._curvatures(saddles, unit)
        # Of a step, in time; adapted from the first on.
        self._step = settings.longest / (4 * self.gradients.norm(dim=1).clamp_min(1e-12))
        above = energy.value(saddles)
        self._tracks = [
            [(0.0, float(top)), (float(length), float(low))]
            for top, length, low in zip(above, leave, self.values, strict=True)
        ]
        self._steepest = self.gradients.norm(dim=1)
        # What does not go down from the start is no way down.
        self.falling = self.values <= above + _ROUNDING * above.abs().clamp_min(1.0)
        self._stuck = ~self.falling | ~torch.isfinite(self.values)

    def step(self) -> bool:
        """One step of every path that is still above its minimum; False where none is."""
        norms = self.gradients.norm(dim=1)
        self._steepest = torch.maximum(self._steepest, norms)
        # A saddle is left with a gradient that grows first.
        ended = (norms <= self._set.near * self._steepest) | (norms <= _SMALLEST)
        rows = (~self._stuck & ~ended).nonzero()[:, 0]
        if not len(rows):
            return False
        time = torch.minimum(self._step[rows], 4 * self._set.longest / norms[rows])
        most = 0.65 * self._set.stages**2 / self._stiffest[rows]
        time = torch.minimum(time, most)
        there, stages = self._chebyshev(rows, time)
        values, gradients = self._energy.gradient(there)
        self.evaluations += stages * len(rows)
        moves = there - self.points[rows]
        lengths = moves.norm(dim=1)
        # Along the path the gradient at both ends points down it; where it does not, the step has
        # cut a corner or has become unstable.
        along = -(moves * self.gradients[rows]).sum(dim=1)
        ahead = -(moves * gradients).sum(dim=1)
        rounding = _ROUNDING * self.values[rows].abs().clamp_min(1.0)
        falls = torch.isfinite(values) & (values <= self.values[rows] + rounding)
        good = falls & (lengths <= self._set.longest) & (along > 0) & (ahead > -0.1 * along)
        self._accept(rows[good], there[good], values[good], gradients[good], lengths[good])
        self._step[rows] = time * torch.where(good, 1.5, 0.4)
        self._stiffest[rows] *= torch.where(good, 0.98, 1.3)
        lost = rows[~good]
        self._stuck[lost] = self._step[lost] < 1e-10
        return True

    def _curvatures(self, points: Tensor, guess: Tensor) -> Tensor:
        """Estimates of the largest curvatures, by some power iteration, with room above."""
        generator = torch.Generator().manual_seed(0)
        draws = torch.randn(guess.shape, generator=generator, dtype=guess.dtype)
        found = guess.new_zeros(len(guess))
        for _ in range(_POWER):
            draws = draws / draws.norm(dim=1, keepdim=True).clamp_min(1e-300)
            draws = self._energy.product(points, draws)
            found = draws.norm(dim=1)
        return (1.2 * found).clamp_min(1e-12)

    def _chebyshev(self, rows: Tensor, time: Tensor) -> tuple[Tensor, int]:
        """The points after a time, of first order, and the stages that stability asks for."""
        begin, slope = self.points[rows], -self.gradients[rows]
        needed = float((time * self._stiffest[rows] / 0.65).sqrt().max())
        stages = min(max(2, ceil(needed)), self._set.stages)
        first, factors = _coefficients(stages)
        before, now = begin, begin + (first * time)[:, None] * slope
        for own, last, share in factors:
            _, gradients = self._energy.gradient(now)
            new = (
                (1 - own - last) * begin
                + own * now
                + last * before
                - (share * time)[:, None] * gradients
            )
            before, now = now, new
        return now, stages

    def _accept(
        self, rows: Tensor, points: Tensor, values: Tensor, gradients: Tensor, lengths: Tensor
    ) -> None:
        self.points[rows], self.values[rows], self.gradients[rows] = points, values, gradients
        for row, value, length in zip(rows.tolist(), values, lengths, strict=True):
            track = self._tracks[row]
            track.append((track[-1][0] + float(length), float(value)))

    def ended(self, points: Tensor, values: Tensor, converged: Tensor) -> Descended:
        """The paths with the rest of the way, which L-BFGS went, as one step."""
        last = (points - self.points).norm(dim=1)
        paths = []
        for track, length, value in zip(self._tracks, last, values, strict=True):
            end = (track[-1][0] + float(length), float(value))
            paths.append(_thinned([*track, end], self._set.kept))
        return Descended(points, tuple(paths), converged & self.falling, self.evaluations)


def _thinned(track: list[tuple[float, float]], count: int) -> DescentPath:
    places = np.unique(np.linspace(0, len(track) - 1, min(count, len(track))).round().astype(int))
    chosen = np.array([track[place] for place in places])
    return DescentPath(chosen[:, 0], chosen[:, 1])


@lru_cache(maxsize=256)
def _coefficients(stages: int) -> tuple[float, tuple[tuple[float, float, float], ...]]:
    """Shares of the first stage; and of each other: of the stage before, of the last, of time.

    RKC of first order: with ``w0 = 1 + damping / s^2`` and ``w1 = T_s(w0) / T_s'(w0)``, stage j
    is ``T_j(w0 + w1 z) / T_j(w0)``.
    """
    above = 1 + _DAMPING / stages**2
    values, slopes = [1.0, above], [0.0, 1.0]
    for _ in range(2, stages + 1):
        values.append(2 * above * values[-1] - values[-2])
        slopes.append(2 * values[-2] + 2 * above * slopes[-1] - slopes[-2])
    one = values[stages] / slopes[stages]
    parts = []
    for stage in range(2, stages + 1):
        share = values[stage - 1] / values[stage]
        own, last = 2 * above * share, -values[stage - 2] / values[stage]
        parts.append((own, last, 2 * one * share))
    return one / above, tuple(parts)
