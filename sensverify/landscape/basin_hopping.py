"""Basin hopping: random steps between minima, taken by Metropolis' rule, each followed down."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sensverify.errors import BadSetting
from sensverify.landscape.energy import Energy
from sensverify.landscape.minimise import Lbfgs, gradient_of, minimise
from sensverify.runs.watch import Watch


@dataclass(frozen=True)
class Hopping:
    """Settings of basin hopping.

    Parameters
    ----------
    hops : int
        Of each walk.
    temperature : float
        In the units of the energy: a minimum that is higher by as much is taken once in e times.
    step : float
        Length of a hop, in shares of the length of the minimum that it begins at.
    accepted : float
        Share of the hops that should be taken: steps are made longer where more are, and shorter
        where fewer are.
    control : int
        Hops after which the steps are adapted; 0 leaves them as they are.
    """

    hops: int = 10
    temperature: float = 0.001
    step: float = 0.3
    accepted: float = 0.5
    control: int = 5

    def __post_init__(self) -> None:
        if self.hops < 0 or self.control < 0 or not self.step > 0:
            raise BadSetting(
                "basin hopping needs a `step` above 0 and numbers of hops of at least 0, got "
                f"{self.step}, {self.hops} and {self.control}"
            )
        if not (self.temperature >= 0 and 0 < self.accepted < 1):
            raise BadSetting(
                "basin hopping needs a `temperature` of at least 0 and a share `accepted` between "
                f"0 and 1, got {self.temperature} and {self.accepted}"
            )


@dataclass(frozen=True, eq=False)
class Hopped:
    """The minima that walks came by, also those that were not gone on from.

    Parameters
    ----------
    points : Tensor, shape ``[found, size]``
    steps : Tensor, shape ``[batch]``
        Of each walk at the end.
    accepted : float
        Share of the hops that were taken.
    diverged, unconverged : int
        Hops that ran away, and that ended at no minimum.
    evaluations : int
    """

    points: Tensor
    steps: Tensor
    accepted: float
    diverged: int
    unconverged: int
    evaluations: int


def hop(
    energy: Energy,
    minima: Tensor,
    settings: Hopping,
    descent: Lbfgs,
    generator: torch.Generator,
    *,
    watch: Watch | None = None,
) -> Hopped:
    """Walk from many minima at the same time.

    Parameters
    ----------
    energy : Energy
    minima : Tensor, shape ``[batch, size]``
    settings : Hopping
    descent : Lbfgs
    generator : torch.Generator
        For all that is drawn.
    watch : Watch, optional
        When it is over, no further hop is begun.

    Examples
    --------
    >>> import torch
    >>> from sensverify.landscape import FunctionEnergy
    >>> wells = FunctionEnergy(lambda x: (x.square() - 1).square().sum(), size=2)
    >>> found = hop(
    ...     wells,
    ...     torch.ones(1, 2, dtype=torch.float64),
    ...     Hopping(hops=20, step=1.0, temperature=0.1),
    ...     Lbfgs(longest=0.2),
    ...     torch.Generator().manual_seed(0),
    ... )
    >>> sorted(set(map(tuple, found.points.round().tolist())))
    [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)]
    """
    points = minima.clone()
    values = energy.value(points)
    steps = points.new_full((len(points),), settings.step)
    taken_lately = torch.zeros_like(steps)
    found: list[Tensor] = []
    diverged = unconverged = evaluations = taken_all = 0
    for number in range(1, settings.hops + 1):
        if watch is not None and watch.over:
            break
        draws = torch.randn(points.shape, generator=generator, dtype=points.dtype)
        draws /= draws.norm(dim=1, keepdim=True).clamp_min(1e-300)
        lengths = steps * points.norm(dim=1).clamp_min(1.0)
        chances = torch.rand(len(points), generator=generator, dtype=points.dtype)
        ends = minimise(
            gradient_of(energy), points + lengths[:, None] * draws, descent, watch=watch
        )
        evaluations += ends.evaluations
        found.append(ends.points[ends.converged])
        diverged += int(ends.diverged.sum())
        unconverged += int((~ends.converged & ~ends.diverged).sum())
        rise = ends.values - values
        likely = torch.exp(-rise.clamp_min(0) / max(settings.temperature, 1e-300))
        taken = ends.converged & (chances < likely)
        points[taken], values[taken] = ends.points[taken], ends.values[taken]
        taken_lately += taken
        taken_all += int(taken.sum())
        if settings.control and number % settings.control == 0:
            more = taken_lately / settings.control > settings.accepted
            steps = torch.where(more, steps * 1.2, steps / 1.2)
            taken_lately.zero_()
    hops = max(1, len(points) * len(found))
    shown = torch.cat(found) if found else points[:0]
    return Hopped(shown, steps, taken_all / hops, diverged, unconverged, evaluations)
