"""Bounds on what enters a nonlinear step: intervals, and the backward pass where it is better."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sensverify.certificates.check.maps import Sum
from sensverify.certificates.check.passes import least
from sensverify.certificates.check.program import Linear, Nonlinear
from sensverify.certificates.check.ranges import Cone, Evaluation, Machine, cone

_COEFFICIENTS = 1 << 19
"""Numbers in the coefficients that one pass carries at a time."""

_KEPT = 1 << 23
"""Numbers in the weights of the cones of one layer that are kept for the next batch."""

_ROWS = 512
"""Entries of one layer that are bounded at a time."""


@dataclass(frozen=True, eq=False)
class Layers:
    """The layers of a network, in parts that fit the processor's cache.

    Parameters
    ----------
    machine : Machine
    margin : int
        As in `Evaluation`.
    """

    machine: Machine
    margin: int = 1
    _kept: dict[int, list[tuple[np.ndarray, Cone]]] = field(default_factory=dict)

    def batches(self, items: np.ndarray, rows: int) -> Iterator[np.ndarray]:
        widest = max(self.machine.program.sizes)
        step = max(1, _COEFFICIENTS // (widest * max(1, min(rows, _ROWS))))
        for first in range(0, len(items), step):
            yield items[first : first + step]

    @cached_property
    def widest_rows(self) -> int:
        chunks = [len(c) for _, s in self.machine.program.nonlinear for c in self._chunks(s.source)]
        return max(chunks, default=1)

    def start(self, lower: np.ndarray, upper: np.ndarray) -> Evaluation:
        return Evaluation(self.machine, lower, upper, margin=self.margin)

    def bounds(
        self,
        evaluation: Evaluation,
        step: Nonlinear,
        wanted: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bounds on a step's entries: the better of intervals and the backward pass.

        Where the bounds wanted follow from intervals, there is no pass.
        """
        evaluation.run(step.source)
        low, high = (end.copy() for end in evaluation.interval(step.source))
        if self._interval_is_exact(step.source):
            return low, high
        missing = np.ones(low.shape, bool)
        if wanted is not None:
            missing = ~((low >= wanted[0]) & (high <= wanted[1]))
        floats = self.machine.arithmetic.floats
        for rows, part in self._cones(step.source):
            if missing[:, rows].any():
                below = floats(least(evaluation, step.source, None, part=part)[0], -1)
                above = -floats(least(evaluation, step.source, None, part=part, sign=-1)[0], -1)
                low[:, rows] = np.maximum(low[:, rows], below)
                high[:, rows] = np.minimum(high[:, rows], above)
        return low, high

    def _cones(self, position: int) -> Iterator[tuple[np.ndarray, Cone]]:
        """All numbers of a value in parts, with what each depends on; kept while they are few."""
        if position in self._kept:
            yield from self._kept[position]
            return
        made, size = [], 0
        for rows in self._chunks(position):
            part = cone(self.machine, position, rows)
            size += part.numbers
            if size <= _KEPT:
                made.append((rows, part))
            yield rows, part
        if size <= _KEPT:
            self._kept[position] = made

    def _chunks(self, position: int) -> Iterator[np.ndarray]:
        """The numbers of a value in parts that depend on the same inputs."""
        labels = self._labels(position)
        order = np.argsort(labels, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
            for first in range(0, len(part), _ROWS):
                yield np.sort(part[first : first + _ROWS])

    def _labels(self, position: int) -> np.ndarray:
        step = self.machine.program.steps[position]
        if isinstance(step, Linear):
            source, part = self.machine.terms[position][0]
            return part.labels(np.zeros(0) if isinstance(part, Sum) else self._labels(source))
        if isinstance(step, Nonlinear) and step.window == 1:
            return self._labels(step.source)
        return np.zeros(self.machine.program.sizes[position], np.int64)

    def _interval_is_exact(self, position: int) -> bool:
        """Whether a value depends on the input through one sum at most, and nothing else."""
        sums = 0
        while position:
            step = self.machine.program.steps[position]
            if not isinstance(step, Linear) or len(step.terms) > 1:
                return False
            position, part = self.machine.terms[position][0]
            sums += isinstance(part, Sum)
            if part.back_terms > 1 and not isinstance(part, Sum):
                return False
        return sums <= 1
