"""Searches for stationary points of any energy: from starts, by hops, and over saddles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import process_time

import numpy as np
import torch
from torch import Tensor

from sensverify.landscape.basin_hopping import hop
from sensverify.landscape.energy import Energy
from sensverify.landscape.minimise import Minimised, gradient_of, minimise
from sensverify.landscape.newton import Polished, polish
from sensverify.landscape.paths import descend
from sensverify.landscape.points import DescentPath, StationaryPoint
from sensverify.landscape.relu import judged
from sensverify.landscape.rows import Found, FoundLink
from sensverify.landscape.saddles import climb
from sensverify.landscape.settings import Settings
from sensverify.runs.watch import Watch

NUDGES = 3
"""How often a descent that ended at a saddle goes on beside it."""

_NUDGE = 1e-2
_ALONG = 19
"""Points of a line between two minima at which its height is taken."""


@dataclass
class _Gathered:
    """Points and links of a search, as it goes on."""

    key: str
    points: list[StationaryPoint] = field(default_factory=list)
    links: list[FoundLink] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    evaluations: int = 0
    began: float = field(default_factory=process_time)

    def add(self, found: Polished, origin: str, zero_share: float) -> int:
        """The place of a point that is taken in."""
        largest = float(found.spectrum.abs().max()) if len(found.spectrum) else 0.0
        self.points.append(
            StationaryPoint(
                weights=found.point.numpy().copy(),
                energy=found.value,
                gradient_norm=found.norm,
                spectrum=found.spectrum.numpy().copy(),
                negative=found.negative,
                zero=found.zero,
                zero_tolerance=zero_share * largest,
                stationary=found.converged,
                origin=origin,
            )
        )
        return len(self.points) - 1

    def found(self) -> Found:
        return Found(
            key=self.key,
            points=tuple(self.points),
            links=tuple(self.links),
            lost={name: count for name, count in self.lost.items() if count},
            seconds=process_time() - self.began,
            evaluations=self.evaluations,
        )


def from_starts(
    energy: Energy,
    starts: Tensor,
    settings: Settings,
    *,
    key: str = "starts",
    watch: Watch | None = None,
) -> Found:
    """The minima below some points.

    Parameters
    ----------
    energy : Energy
    starts : Tensor, shape ``[batch, size]``
    settings : Settings
    key : str
        Of what is found.
    watch : Watch, optional
        When it is over, what was found by then is given.
    """
    gathered = _Gathered(key)
    ends = minimise(gradient_of(energy), starts, settings.descent, watch=watch)
    _take_minima(energy, ends, settings, gathered, "start", watch)
    return gathered.found()


def from_hops(
    energy: Energy,
    minima: Tensor,
    settings: Settings,
    generator: torch.Generator,
    *,
    key: str = "hops",
    watch: Watch | None = None,
) -> Found:
    """The minima that basin-hopping walks from some minima come by."""
    gathered = _Gathered(key)
    walked = hop(energy, minima, settings.hopping, settings.descent, generator, watch=watch)
    gathered.evaluations += walked.evaluations
    gathered.lost.update(diverged=walked.diverged)
    gathered.lost["not converged"] += walked.unconverged
    for point in walked.points:
        if watch is not None and watch.over:
            break
        _take_minimum(energy, point, settings, gathered, "hop", watch)
    return gathered.found()


def from_climbs(
    energy: Energy,
    minima: Tensor,
    settings: Settings,
    generator: torch.Generator,
    *,
    partners: Sequence[Tensor | None] = (),
    key: str = "climbs",
    watch: Watch | None = None,
) -> Found:
    """Saddles that are reached from some minima, and the minima that they link.

    A saddle whose two descent paths do not both end at a minimum is not taken.

    Parameters
    ----------
    energy : Energy
    minima : Tensor, shape ``[batch, size]``
    settings : Settings
    generator : torch.Generator
        For all that is drawn.
    partners : sequence of Tensor or None, optional
        For each minimum another one: the search begins at the highest point of the straight line
        between the two, of which the partner's equivalent nearest to the minimum is taken. Where
        there is none, it leaves the minimum along a soft eigenvector.
    key, watch
        As of `from_starts`.
    """
    gathered = _Gathered(key)
    partners = partners or [None] * len(minima)
    alone = [place for place, each in enumerate(partners) if each is None]
    starts, directions = minima.clone(), torch.zeros_like(minima)
    if alone:
        soft = _soft_directions(energy, minima[alone], settings.climb.soft, generator)
        starts[alone], directions[alone] = minima[alone] + settings.climb.first * soft, soft
    for place, partner in enumerate(partners):
        if partner is not None:
            starts[place], directions[place] = _between(energy, minima[place], partner)
    ends = climb(energy, starts, directions, settings.climb, watch=watch)
    gathered.evaluations += ends.evaluations
    gathered.lost["diverged"] += int(ends.diverged.sum())
    gathered.lost["not converged"] += int((~ends.converged & ~ends.diverged).sum())
    saddles: list[Polished] = []
    for point in ends.points[ends.converged]:
        if watch is not None and watch.over:
            return gathered.found()
        found = polish(energy, point, settings.newton, index=1, watch=watch)
        if not found.converged:
            gathered.lost["not converged"] += 1
        elif found.negative != 1:
            gathered.lost["other index"] += 1
        elif not any(_equal(found, each) for each in saddles):
            saddles.append(found)
    _link(energy, saddles, settings, gathered, watch)
    return gathered.found()


def _between(energy: Energy, minimum: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
    """The highest inner point of the line between two minima, and the line's direction."""
    across = energy.symmetry.aligned(partner, minimum) - minimum
    shares = torch.linspace(0, 1, _ALONG + 2, dtype=minimum.dtype)[1:-1]
    points = minimum + shares[:, None] * across
    return points[int(energy.value(points).argmax())], across


def _soft_directions(
    energy: Energy, points: Tensor, soft: int, generator: torch.Generator
) -> Tensor:
    """One of the eigenvectors of least curvature at each point, drawn, in a sign that is drawn."""
    known: dict[bytes, Tensor] = {}
    found = []
    for point in points:
        place = point.numpy().tobytes()
        if place not in known:
            known = {place: torch.linalg.eigh(energy.hessian(point))[1]}
        mode = int(torch.randint(min(soft, energy.size), (1,), generator=generator))
        sign = 2 * int(torch.randint(2, (1,), generator=generator)) - 1
        found.append(sign * known[place][:, mode])
    return torch.stack(found)


def _link(
    energy: Energy,
    saddles: list[Polished],
    settings: Settings,
    gathered: _Gathered,
    watch: Watch | None,
) -> None:
    """Follow both paths of each saddle, and take it in with its minima."""
    if not saddles:
        return
    points = torch.stack([each.point for each in saddles])
    ways = torch.stack([each.lowest for each in saddles])
    both = torch.cat([points, points]), torch.cat([ways, -ways])
    ends = descend(energy, *both, settings.path, watch=watch)
    gathered.evaluations += ends.evaluations
    for place, saddle in enumerate(saddles):
        if watch is not None and watch.over:
            return
        minima, paths = [], []
        for side in (place, place + len(saddles)):
            path = ends.paths[side]
            found = None
            if bool(ends.converged[side]):
                point = ends.points[side]
                found = _take_minimum(energy, point, settings, gathered, "path", watch)
            if found is None or not _falls(path, gathered.points[found].energy):
                break
            minima.append(found)
            paths.append(_ended(path, gathered.points[found].energy))
        if len(minima) < 2:
            gathered.lost["path without end"] += 1
            continue
        own = gathered.add(saddle, "climb", settings.newton.zero)
        gathered.links.append(FoundLink(own, (minima[0], minima[1]), (paths[0], paths[1])))


def _falls(path: DescentPath, end: float) -> bool:
    """Whether the energy falls all the way, to an end below the path."""
    return end <= path.energies[-1] + 1e-12 * max(1.0, abs(end))


def _ended(path: DescentPath, end: float) -> DescentPath:
    energies = path.energies.copy()
    energies[-1] = end
    return DescentPath(path.lengths, energies)


def _equal(first: Polished, second: Polished) -> bool:
    near = 1e-6 * max(1.0, float(first.point.norm()))
    return float((first.point - second.point).norm()) <= near


def _take_minima(
    energy: Energy,
    ends: Minimised,
    settings: Settings,
    gathered: _Gathered,
    origin: str,
    watch: Watch | None,
) -> None:
    gathered.evaluations += ends.evaluations
    for point, diverged in zip(ends.points, ends.diverged, strict=True):
        if watch is not None and watch.over:
            return
        if bool(diverged):
            gathered.lost["diverged"] += 1
            continue
        _take_minimum(energy, point, settings, gathered, origin, watch)


def _take_end(
    energy: Energy,
    point: Tensor,
    settings: Settings,
    gathered: _Gathered,
    origin: str,
    watch: Watch | None,
) -> int:
    """The place of a descent's end at kinks, with how stationary it is and without curvatures."""
    generator = torch.Generator().manual_seed(settings.search.seed)
    end = judged(energy, point, settings.relu, generator, watch or Watch())
    gathered.points.append(
        StationaryPoint(
            weights=end.weights,
            energy=end.energy,
            gradient_norm=end.gradient_norm,
            spectrum=np.full(energy.size, np.nan),
            negative=0,
            zero=0,
            zero_tolerance=0.0,
            stationary=end.passed,
            origin=origin,
            relu=end,
        )
    )
    return len(gathered.points) - 1


def _take_minimum(
    energy: Energy,
    point: Tensor,
    settings: Settings,
    gathered: _Gathered,
    origin: str,
    watch: Watch | None,
) -> int | None:
    """The place of the minimum near a point; None where there is none."""
    if energy.kinked:
        norm = float(energy.gradient(point[None])[1].norm())
        if not norm <= settings.descent.tolerance:
            return _take_end(energy, point, settings, gathered, origin, watch)
    for _ in range(NUDGES + 1):
        found = polish(energy, point, settings.newton, watch=watch)
        if found.converged and found.negative == 0:
            return gathered.add(found, origin, settings.newton.zero)
        if not found.negative:
            break
        # A saddle is left on the side where the energy is lower.
        nudge = _NUDGE * max(1.0, float(found.point.norm())) * found.lowest
        both = torch.stack([found.point + nudge, found.point - nudge])
        lower = int(energy.value(both).argmin())
        beside = both[lower : lower + 1]
        ends = minimise(gradient_of(energy), beside, settings.descent, watch=watch)
        gathered.evaluations += ends.evaluations
        point = ends.points[0]
    gathered.lost["other index" if found.converged else "not converged"] += 1
    return None
