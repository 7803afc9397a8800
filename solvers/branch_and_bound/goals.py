"""Goals of a search: the exact range of objectives, or the answer to a query.

Both ask for lower bounds of rows ``c · f(x)``. A row is *closed* on a sub-box when its bound there
reaches the row's threshold: nothing in the sub-box matters to it any more. Rows form groups: one
open row keeps the range search interested in a sub-box; a query's alternative needs all of its
rows open, because refuting one of them refutes the alternative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.forward import forward
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.solvers.gap import tolerance
from sensverify.solvers.incumbents import descend, search

_STEPS = 24
"""Steps from samples of the whole box."""

_CLIMBERS, _CLIMBING_STEPS = 8, 4
"""Points of one step of the search from which gradients are followed, and how far."""


@dataclass(frozen=True, eq=False)
class Asked:
    """The rows of whoever asked, which a proof is about.

    Parameters
    ----------
    count : int
    order : numpy array, shape ``[rows of the goal]``
        Which of them each row of the goal is.
    groups : int
        How many groups the goal's rows form.
    ties : bool
        Whether equality may decide: a row is then a multiple of itself, with integer multipliers.
    """

    count: int
    order: np.ndarray
    groups: int
    ties: bool = False

    @property
    def weighed(self) -> bool:
        """True where weights belong to a proof, as where some of the goal's rows stand together."""
        return self.ties or self.groups < len(self.order)


class Goal(Protocol):
    """A goal: it decides which sub-boxes and which rows stay open.

    Attributes
    ----------
    rows : Tensor, shape ``[problems or 1, rows, outputs]``
    groups : tuple of tuples of int
        Rows that stand together; every row is in one group.
    """

    @property
    def rows(self) -> Tensor: ...

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]: ...

    def thresholds(self) -> Tensor:
        """The value at which a row is closed, ``[problems, rows]``."""
        ...

    def ties(self) -> Tensor:
        """The value at which a row is closed for want of precision, ``[problems, rows]``.

        Not above its threshold; below it only where being equal to the limit would be enough.
        """
        ...

    def tie(self) -> None:
        """Take note that something was closed for want of precision."""
        ...

    def scales(self) -> Tensor:
        """Positive scales that make distances to thresholds comparable, ``[problems, rows]``."""
        ...

    def offer(self, network: Network, box: Box, points: Tensor, problem: Tensor) -> None:
        """Look at points ``[points, *input_shape]`` of sub-boxes; keep what is good."""
        ...

    def hopeless(self, network: Network, points: Tensor, bounds: Tensor) -> Tensor | None:
        """Groups that nothing can be said about in a sub-box, boolean ``[boxes, groups]``, or None.

        Parameters
        ----------
        network : Network
        points : Tensor, shape ``[boxes, *input_shape]``
            One of each.
        bounds : Tensor, shape ``[boxes, rows]``
        """
        ...

    def urgency(self) -> Tensor:
        """By what the chance of each row to be split for is multiplied, ``[rows]``."""
        ...

    @property
    def reached(self) -> bool:
        """True where nothing is left to look for."""
        ...

    @property
    def before(self) -> float:
        """Seconds to split for before hidden layers are bounded again."""
        ...

    @property
    def asked(self) -> Asked:
        """The rows as they were asked for."""
        ...


class _EachRow:
    """A goal that asks about every row on its own, to the end."""

    rows: Tensor

    def thresholds(self) -> Tensor:
        raise NotImplementedError

    def ties(self) -> Tensor:
        return self.thresholds()

    def tie(self) -> None:
        """Rows are closed by what is proven alone."""

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        return tuple((row,) for row in range(self.rows.shape[1]))

    def hopeless(self, network: Network, points: Tensor, bounds: Tensor) -> Tensor | None:
        return None

    def urgency(self) -> Tensor:
        return torch.ones_like(self.rows[0, :, 0])

    @property
    def reached(self) -> bool:
        return False

    @property
    def before(self) -> float:
        # Ends are to be exact, which takes long in any case.
        return 0.0

    @property
    def asked(self) -> Asked:
        count = self.rows.shape[1]
        return Asked(count, np.arange(count), count)


@dataclass(eq=False)
class RangeGoal(_EachRow):
    """The smallest value of every row over every problem's box.

    ``values[problem, row]`` and ``points`` hold the best that is attained so far. The rows are
    ``[C; -C]``: the second half asks for the upper ends.
    """

    rows: Tensor
    gap: float
    values: Tensor
    points: Tensor
    attack: bool = True

    @classmethod
    def start(
        cls,
        network: Network,
        box: Box,
        objectives: Tensor,
        *,
        gap: float,
        seed: int,
        watch: Watch | None = None,
        attack: bool = True,
    ) -> RangeGoal:
        """Both ends of the objectives ``[problems or 1, rows, outputs]``, sampled once.

        Without ``attack``, no gradients are followed from samples, here and later.
        """
        rows = torch.cat([objectives, -objectives], dim=1)
        steps = _STEPS if attack else 0
        found = search(network, box, rows, seed=seed, steps=steps, watch=watch)
        return cls(rows, gap, *found, attack)

    def tolerances(self) -> Tensor:
        """The distance from the attained value that a bound must reach, ``[problems, rows]``."""
        half = self.rows.shape[1] // 2
        ends = tolerance(self.values[:, :half], self.values[:, half:], self.gap)
        return torch.cat([ends, ends], dim=1)

    def thresholds(self) -> Tensor:
        return self.values - self.tolerances()

    def scales(self) -> Tensor:
        half = self.rows.shape[1] // 2
        # The width that is attained; where nothing moves, the tolerance.
        width = -self.values[:, :half] - self.values[:, half:]
        return torch.cat([width, width], dim=1).maximum(self.tolerances())

    def offer(self, network: Network, box: Box, points: Tensor, problem: Tensor) -> None:
        excess = self._look(network, points, problem) / self.scales()[problem]
        if not self.attack:
            return
        # From the points that came closest to what is attained, the gradient may lead below it.
        best, row = excess.min(dim=1)
        chosen = best.topk(min(_CLIMBERS, len(points)), largest=False).indices
        rows = self.rows[problem[chosen] if len(self.rows) > 1 else chosen * 0, row[chosen]]
        _, reached = descend(
            network,
            box[chosen],
            points[chosen],
            lambda outputs: (outputs * rows).sum(dim=1),
            steps=_CLIMBING_STEPS,
        )
        self._look(network, reached, problem[chosen])

    def _look(self, network: Network, points: Tensor, problem: Tensor) -> Tensor:
        """Keep what is better; returns how far values are above the old, ``[points, rows]``."""
        with torch.no_grad():
            outputs = flattened(forward(network, points))
        rows = self.rows[problem] if len(self.rows) > 1 else self.rows
        found = (rows @ outputs.unsqueeze(-1)).squeeze(-1)
        above = found - self.values[problem]
        for row in range(found.shape[1]):
            for place in _improvements(self.values[:, row], found[:, row], problem):
                self.values[problem[place], row] = found[place, row]
                self.points[problem[place], row] = points[place]
        return above


@dataclass(frozen=True, eq=False)
class LimitGoal(_EachRow):
    """Known lower bounds of every row over every problem's box, to be proven again.

    Parameters
    ----------
    rows : Tensor, shape ``[problems or 1, rows, outputs]``
    limits, sizes : Tensor, shape ``[problems, rows]``
        What is to be proven, and the magnitudes that it is compared with.
    """

    rows: Tensor
    limits: Tensor
    sizes: Tensor

    @classmethod
    def start(cls, objectives: Tensor, lower: Tensor, upper: Tensor, *, gap: float) -> LimitGoal:
        """Both ends of the objectives, each given way by the tolerance of the gap."""
        slack = tolerance(lower, upper, gap)
        limits = torch.cat([lower - slack, -upper - slack], dim=1)
        sizes = (upper - lower).maximum(slack.clamp(min=1e-12))
        rows = torch.cat([objectives, -objectives], dim=1)
        return cls(rows, limits, torch.cat([sizes, sizes], dim=1))

    def thresholds(self) -> Tensor:
        return self.limits

    def scales(self) -> Tensor:
        return self.sizes

    def offer(self, network: Network, box: Box, points: Tensor, problem: Tensor) -> None:
        """Nothing is looked for."""


def _improvements(values: Tensor, found: Tensor, problem: Tensor) -> list[int]:
    """For every problem, the place of the smallest found value, where it improves on the old."""
    best = values.scatter_reduce(0, problem, found, "amin")
    hits = ((found == best[problem]) & (found < values[problem])).nonzero().squeeze(1)
    # Several points may attain the same value; one of them is kept.
    return list({int(problem[hit]): int(hit) for hit in hits}.values())
