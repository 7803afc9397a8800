"""Witnesses looked for beside the search for a proof, on the whole box, with a share of the time.

The points that bounds suggest are worst corners, and gradients lead nowhere where neurons are off.
So now and then many random points are taken: gradients are followed from each, and where few
features move, points also get better by chance, each generation closer to its parents.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import torch
from torch import Tensor

from sensverify.bounds.forward import forward
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.core.sets import InputSet
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound.query_goal import QueryGoal
from sensverify.solvers.incumbents import first_points

SHARE = 0.1
"""Of the time, at most, beside one round."""

_AFTER = 1.0
"""Seconds before the first round: most searches end sooner."""

_FEW_FEATURES = 32
"""Up to which points get better by chance."""

_ALTERNATIVES = 3
"""That a round looks at: those that points have come closest to."""

_NUMBERS = 1 << 22
"""Neurons times points that one pass aims at."""

_FAMILIES, _CHILDREN, _GENERATIONS = 256, 8, 24
"""Points that get better by chance, the children of each, and how often they have some."""

_FIRST_MOVE, _SHRINKING = 0.1, 0.85
"""How far children are at first from their parents, as a share of the box, and each time after."""

_RESTARTS, _STEPS = 32, 48
"""Points for each alternative from which gradients are followed, and how far."""


@dataclass(eq=False)
class WitnessSearch:
    """Rounds of looking for a witness.

    Parameters
    ----------
    network : Network
    box : Box of tensors, shape ``[1, *input_shape]``
    watch : Watch
    seed : int
    """

    network: Network
    box: Box
    watch: Watch
    seed: int
    rounds: int = 0
    spent: float = 0.0
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.watch.now()

    @property
    def due(self) -> bool:
        """True where a round fits into the share of the time."""
        elapsed = self.watch.now() - self.began
        return elapsed >= _AFTER and self.spent <= SHARE * elapsed and not self.watch.over

    def turn(self, goal: QueryGoal) -> None:
        """A round, where one is due."""
        if self.due:
            self.look(goal)

    def look(self, goal: QueryGoal) -> None:
        """One round."""
        began = self.watch.now()
        generator = torch.Generator(device="cpu").manual_seed(self.seed + self.rounds)
        moving = int(flattened(self.box.lower < self.box.upper).sum())
        few = moving <= _FEW_FEATURES and not isinstance(self.box, InputSet)
        for group in goal.nearest(_ALTERNATIVES).tolist():
            if goal.witness is not None or self.watch.over:
                break
            if few and self.rounds % 2 == 0:
                self._breed(goal, group, generator)
            else:
                self._restart(goal, group)
        self.rounds += 1
        self.spent += self.watch.now() - began

    @property
    def _at_once(self) -> int:
        neurons = sum(prod(node.shape) for node in self.network.nodes)
        return max(1, _NUMBERS // neurons)

    def _restart(self, goal: QueryGoal, group: int) -> None:
        count = min(_RESTARTS, self._at_once)
        points = first_points(self.box, self.seed + 1009 * self.rounds + group, count + 1)[0, 1:]
        groups = torch.full((len(points),), group, device=points.device)
        goal.descend(self.network, self.box, points, groups, _STEPS, self.watch)

    def _breed(self, goal: QueryGoal, group: int, generator: torch.Generator) -> None:
        low, high = flattened(self.box.lower), flattened(self.box.upper)
        width, families = high - low, min(_FAMILIES, self._at_once)

        def excess(points: Tensor) -> Tensor:
            shaped = points.reshape(len(points), *self.box.shape)
            with torch.no_grad():
                found = goal.excess(flattened(forward(self.network, shaped)))[:, group]
            return torch.where(found.isnan(), torch.inf, found)

        def drawn(count: int, kind: str) -> Tensor:
            draw = torch.rand if kind == "anywhere" else torch.randn
            found = draw((count, low.shape[1]), generator=generator, dtype=torch.float64)
            return found.to(low)

        points = low + width * drawn(self._at_once, "anywhere")
        points = torch.minimum(torch.maximum(points, low), high)
        values = excess(points)
        best = values.topk(families, largest=False)
        points, values, move = points[best.indices], best.values, _FIRST_MOVE
        for _ in range(_GENERATIONS):
            if self.watch.over or bool((values <= 0).any()):
                break
            children = points.repeat(_CHILDREN, 1)
            children = children + move * width * drawn(len(children), "near")
            children = torch.minimum(torch.maximum(children, low), high)
            every = torch.cat([points, children]).reshape(_CHILDREN + 1, families, -1)
            found = torch.cat([values, excess(children)]).reshape(_CHILDREN + 1, families)
            values, chosen = found.min(dim=0)
            points = every[chosen, torch.arange(families, device=chosen.device)]
            move *= _SHRINKING
        goal.judge(self.network, points.reshape(families, *self.box.shape))
