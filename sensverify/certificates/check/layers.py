"""Bounds on what enters a nonlinear step: intervals, and the backward pass where it is better."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sensverify.certificates.check.maps import Sum
from sensverify.certificates.check.passes import least
from sensverify.certificates.check.program import Linear, Nonlinear
from sensverify.certificates.check.ranges import Cone, Evaluation, Machine, cone
from sensverify.certificates.check.sets import InputSets
from sensverify.errors import BadModelFile

_COEFFICIENTS = 1 << 19
"""Numbers in the coefficients that one pass carries at a time."""

_KEPT = 1 << 24
"""Numbers in the weights of the cones that are kept for the next batch."""

_OVERHEAD = 64
"""Numbers that a step of a cone in the cache counts for, beside its weights."""

DEEPEST = 1 << 18
"""Steps that the backward passes about the layers of one network may take together."""

ROWS = 512
"""Entries of one layer that are bounded at a time."""


@dataclass(frozen=True, eq=False)
class Layers:
    """The layers of a network, in parts that fit the processor's cache.

    Parameters
    ----------
    machine : Machine
    margin : int
        As in `Evaluation`.
    hurry : callable
        Asked between passes: once it says yes, intervals are all that there is.
    """

    machine: Machine
    margin: int = 1
    hurry: Callable[[], bool] = lambda: False
    _kept: dict[tuple[int, int], Cone] = field(default_factory=dict)
    _parts: dict[int, list[np.ndarray]] = field(default_factory=dict)
    _label: dict[int, np.ndarray] = field(default_factory=dict)
    _exact: dict[int, tuple[bool, int]] = field(default_factory=dict)
    _room: list[int] = field(default_factory=lambda: [_KEPT])

    def batches(self, items: np.ndarray, rows: int) -> Iterator[np.ndarray]:
        """Parts of which each can carry that many rows, at most `ROWS` of them at a time."""
        widest = max(self.machine.program.sizes)
        step = max(1, _COEFFICIENTS // max(widest * min(rows, ROWS), rows, 1))
        for first in range(0, len(items), step):
            yield items[first : first + step]

    @cached_property
    def widest_rows(self) -> int:
        chunks = [len(c) for _, s in self.machine.program.nonlinear for c in self._chunks(s.source)]
        return max(chunks, default=1)

    def start(
        self, lower: np.ndarray, upper: np.ndarray, sets: InputSets | None = None
    ) -> Evaluation:
        return Evaluation(self.machine, lower, upper, margin=self.margin, sets=sets)

    def bounds(
        self,
        evaluation: Evaluation,
        step: Nonlinear,
        wanted: tuple[np.ndarray, np.ndarray] | None = None,
        *,
        required: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bounds on a step's entries: the better of intervals and the backward pass.

        Where the bounds wanted follow from intervals, there is no pass; nor where intervals are
        exact, unless what is wanted is required to the last bit.
        """
        evaluation.run(step.source)
        low, high = (end.copy() for end in evaluation.interval(step.source))
        whole = evaluation.sets is None and self._interval_is_exact(step.source)
        if whole and not (required and wanted is not None):
            return low, high
        missing = np.ones(low.shape, bool)
        if wanted is not None:
            missing = ~((low >= wanted[0]) & (high <= wanted[1]))
        if missing.any():
            self._count_steps(evaluation, step.source)
        floats = self.machine.arithmetic.floats
        for number, rows in enumerate(self._chunks(step.source)):
            if self.hurry():
                break
            if missing[:, rows].any():
                part = self._cone(step.source, number, rows)
                below = floats(least(evaluation, step.source, None, part=part)[0], -1)
                above = -floats(least(evaluation, step.source, None, part=part, sign=-1)[0], -1)
                low[:, rows] = np.maximum(low[:, rows], below)
                high[:, rows] = np.minimum(high[:, rows], above)
        return low, high

    def _count_steps(self, evaluation: Evaluation, steps: int) -> None:
        evaluation.steps_taken += steps
        if evaluation.steps_taken > DEEPEST:
            raise BadModelFile(
                f"the network is too deep for a certificate: every layer is bounded by a pass back "
                f"through those before it, which takes more than {DEEPEST:,} steps"
            )

    def _cone(self, position: int, number: int, rows: np.ndarray) -> Cone:
        """Cone of influence of some numbers of a value; cached while there is room."""
        found = self._kept.get((position, number))
        if found is None:
            found = cone(self.machine, position, rows)
            size = found.numbers + _OVERHEAD * len(found.chosen)
            if size <= self._room[0]:
                self._room[0] -= size
                self._kept[position, number] = found
        return found

    def _chunks(self, position: int) -> list[np.ndarray]:
        """The numbers of a value in parts that depend on the same inputs."""
        if position not in self._parts:
            labels = self._labels(position)
            order = np.argsort(labels, kind="stable")
            self._parts[position] = [
                np.sort(part[first : first + ROWS])
                for part in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
                for first in range(0, len(part), ROWS)
            ]
        return self._parts[position]

    def _labels(self, position: int) -> np.ndarray:
        """Numbers that are alike where a value's numbers depend on the same inputs."""
        steps, way = self.machine.program.steps, [position]
        # Back to what starts anew: no recursion, as networks may be deep.
        while way[-1] not in self._label:
            step = steps[way[-1]]
            if isinstance(step, Nonlinear) and step.window == 1:
                way.append(step.source)
            elif isinstance(step, Linear) and not isinstance(
                self.machine.terms[way[-1]][0][1], Sum
            ):
                way.append(self.machine.terms[way[-1]][0][0])
            else:
                break
        for place in reversed(way):
            if place in self._label:
                continue
            step = steps[place]
            if isinstance(step, Linear):
                source, part = self.machine.terms[place][0]
                known = np.zeros(0) if isinstance(part, Sum) else self._label[source]
                self._label[place] = part.labels(known)
            elif isinstance(step, Nonlinear) and step.window == 1:
                self._label[place] = self._label[step.source]
            else:
                self._label[place] = np.zeros(self.machine.program.sizes[place], np.int64)
        return self._label[position]

    def _interval_is_exact(self, position: int) -> bool:
        """True where each number of a value is a function of one sum of inputs at most.

        A continuous function of one number takes an interval to an interval, so that nothing is
        lost from one step to the next.
        """
        for place in range(len(self._exact), position + 1):
            self._exact[place] = self._sums(place)
        return self._exact[position][0]

    def _sums(self, position: int) -> tuple[bool, int]:
        """The same for one value, and its number of such sums, 0 or 1, from those before it."""
        step = self.machine.program.steps[position]
        if step is None:
            return True, 0
        if isinstance(step, Nonlinear):
            exact, sums = self._exact[step.source]
            # What is bent counts as a sum: another one would forget that its terms move together.
            return exact and step.window == 1, 1
        if len(step.terms) > 1:
            return False, 1
        source, part = self.machine.terms[position][0]
        exact, sums = self._exact[source]
        added = isinstance(part, Sum)
        return exact and not (added and sums), sums or int(added or part.repeats)
