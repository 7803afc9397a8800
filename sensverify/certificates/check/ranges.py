"""Intervals forward: what every value of a network can be on some cells, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sensverify.certificates.check.arithmetic import FLOOR, LEAST, SMALL, Arithmetic, Numbers
from sensverify.certificates.check.enclosure import Lines
from sensverify.certificates.check.maps import Part, compiled
from sensverify.certificates.check.program import Linear, Nonlinear, Program
from sensverify.certificates.check.sets import InputSets
from sensverify.errors import Unbounded


@dataclass(frozen=True, eq=False)
class Machine:
    """A program in the numbers of one arithmetic."""

    program: Program
    arithmetic: Arithmetic

    @cached_property
    def terms(self) -> dict[int, tuple[tuple[int, Part], ...]]:
        """By linear step: what it reads, and the map of it."""
        steps, sizes = self.program.steps, self.program.sizes
        return {
            position: tuple(
                (source, compiled(self.arithmetic, part, sizes[source]))
                for source, part in step.terms
            )
            for position, step in enumerate(steps)
            if isinstance(step, Linear)
        }

    @cached_property
    def constants(self) -> dict[int, Numbers]:
        """By linear step with one: its constant."""
        return {
            position: self.arithmetic.numbers(step.constant)
            for position, step in enumerate(self.program.steps)
            if isinstance(step, Linear) and step.constant is not None
        }


@dataclass(frozen=True, eq=False)
class Cone:
    """Cone of influence of some numbers of a value; ``chosen`` has its places in every value."""

    target: int
    chosen: dict[int, np.ndarray]
    terms: dict[int, tuple[tuple[int, Part], ...]]

    @property
    def numbers(self) -> int:
        """Count of the numbers that its maps hold."""
        return sum(part.numbers for terms in self.terms.values() for _, part in terms)


def cone(machine: Machine, target: int, rows: np.ndarray) -> Cone:
    """The part of a program that ``rows`` (sorted) of one value depend on."""
    steps = machine.program.steps
    needed: dict[int, list[np.ndarray]] = {target: [rows]}
    chosen: dict[int, np.ndarray] = {}
    for position in range(target, -1, -1):
        if position not in needed:
            continue
        here = chosen[position] = np.unique(np.concatenate(needed.pop(position)))
        step = steps[position]
        if isinstance(step, Nonlinear):
            needed.setdefault(step.source, []).append(windows(step, here))
        elif isinstance(step, Linear):
            for source, part in machine.terms[position]:
                needed.setdefault(source, []).append(part.support(here))
    terms = {
        position: tuple(
            (source, part.cut(machine.arithmetic, here, chosen[source]))
            for source, part in machine.terms[position]
        )
        for position, here in chosen.items()
        if isinstance(steps[position], Linear)
    }
    return Cone(target, chosen, terms)


def windows(step: Nonlinear, outputs: np.ndarray) -> np.ndarray:
    """The entries, counted from the step's first, that make outputs."""
    return (outputs[:, None] * step.window + np.arange(step.window)).reshape(-1)


class Evaluation:
    """Some cells of one program while their layers are bounded one after the other.

    Parameters
    ----------
    machine : Machine
    lower, upper : numpy array, shape ``[cells, features]``, float64
        The input boxes.
    margin : int
        What rounding errors are multiplied by, beyond what is needed: bounds found with 4 hold on
        every machine, whatever the order in which its sums are taken.
    sets : InputSets, optional
        One for each cell, in its box, that passes end at.
    """

    def __init__(
        self,
        machine: Machine,
        lower: np.ndarray,
        upper: np.ndarray,
        *,
        margin: int = 1,
        sets: InputSets | None = None,
    ) -> None:
        self.machine, self.arithmetic, self.margin = machine, machine.arithmetic, margin
        self.sets = sets
        self.steps = machine.program.steps
        ends = self.arithmetic.numbers(lower), self.arithmetic.numbers(upper)
        self.low, self.high = [ends[0]], [ends[1]]
        self.losses: dict[int, tuple[Numbers, Numbers]] = {}
        self.lines: dict[int, Lines] = {}
        self.steps_taken = 0

    def __len__(self) -> int:
        return len(self.low[0])

    def magnitude(self, position: int) -> Numbers:
        """At least ``|z|``, ``[cells, size]``."""
        return np.maximum(abs(self.low[position]), abs(self.high[position]))

    def taken(self, cells: np.ndarray) -> Evaluation:
        """Some of the cells, in the order given, as far as they are bounded."""
        none = np.zeros((len(cells), self.machine.program.features))
        sets = None if self.sets is None else self.sets.of(cells)
        result = Evaluation(self.machine, none, none, margin=self.margin, sets=sets)
        result.low = [values[cells] for values in self.low]
        result.high = [values[cells] for values in self.high]
        result.losses = {
            p: (loss[cells], floor[cells] if isinstance(floor, np.ndarray) else floor)
            for p, (loss, floor) in self.losses.items()
        }
        result.lines = {p: Lines(*(v[cells] for v in part)) for p, part in self.lines.items()}
        return result

    def run(self, until: int) -> None:
        """Bound linear steps by interval arithmetic, up to one that must be bounded first."""
        while len(self.low) <= until:
            step = self.steps[len(self.low)]
            assert isinstance(step, Linear)
            self._linear(len(self.low), step)

    def interval(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Bounds on a value, as float64 rounded outward, ``[cells, size]``."""
        floats = self.arithmetic.floats
        return floats(self.low[position], -1), floats(self.high[position], 1)

    def relax(
        self,
        position: int,
        step: Nonlinear,
        lower: np.ndarray,
        upper: np.ndarray,
        slopes: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Take bounds ``[cells, entries]`` on what enters a nonlinear step, and its slopes.

        Raises
        ------
        Unbounded
            A bound is not finite.
        """
        if not bool((np.isfinite(lower) & np.isfinite(upper)).all()):
            raise Unbounded(
                f"bounds on what enters the nonlinear step {position} of the network overflow; use "
                "a smaller box"
            )
        self.run(position - 1)
        self.low[step.source] = np.maximum(self.low[step.source], self.arithmetic.numbers(lower))
        self.high[step.source] = np.minimum(self.high[step.source], self.arithmetic.numbers(upper))
        self.reline(position, step, lower, upper, slopes)
        low, high = step.function.image(self.arithmetic, lower, upper)
        self.low.append(low)
        self.high.append(high)

    def reline(
        self,
        position: int,
        step: Nonlinear,
        lower: np.ndarray,
        upper: np.ndarray,
        slopes: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Other lines for a step that is relaxed."""
        self.lines[position] = step.function.lines(self.arithmetic, lower, upper, slopes)

    def _linear(self, position: int, step: Linear) -> None:
        """``M z`` lies within ``M mid +- |M| rad``; what rounding loses is kept for the pass."""
        arithmetic, unit = self.arithmetic, self.arithmetic.unit
        low = high = sizes = floor = 0
        loss = arithmetic.numbers(np.zeros((len(self), step.size)))
        for source, part in self.machine.terms[position]:
            start, end = self.low[source], self.high[source]
            if part.fore_terms == 0:
                # Numbers are passed on as they are.
                below, above = part.apply(arithmetic, start), part.apply(arithmetic, end)
                size = np.maximum(abs(below), abs(above))
                lost = arithmetic.gamma(part.back_terms) * size if part.back_terms else 0
            else:
                below, above, size, lost = self._product(part, start, end)
            low, high, sizes, loss = low + below, high + above, sizes + size, loss + lost
            floor = floor + arithmetic.floor(np.maximum(abs(start), abs(end)))
        constant = self.machine.constants.get(position)
        if constant is not None:
            low, high, sizes = low + constant, high + constant, sizes + abs(constant)
        if unit and (constant is not None or len(self.machine.terms[position]) > 1):
            # One rounding for every summand.
            error = arithmetic.raised(2 * unit * (len(self.machine.terms[position]) + 1) * sizes)
            low, high = low - error, high + error
        self.low.append(low)
        self.high.append(high)
        if unit:
            # Each is multiplied by a coefficient of any size, so it must not have underflowed.
            loss = arithmetic.raised(loss) + LEAST
        self.losses[position] = (loss, floor)

    def _product(
        self, part: Part, start: Numbers, end: Numbers
    ) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """Ends and magnitude of ``M z``, and what ``a . M z`` loses for each unit of ``|a|``."""
        arithmetic = self.arithmetic
        middle = (start + end) / 2
        radius = np.maximum(end - middle, middle - start)
        if arithmetic.unit:
            # Two differences; of small numbers, underflow too.
            radius = radius * (1 + 8 * arithmetic.unit)
            radius = radius + np.where((radius > 0) & (radius < SMALL), FLOOR, 0.0)
        centre = part.apply(arithmetic, middle)
        spread = part.apply(arithmetic, radius, absolute=True)
        size = arithmetic.raised(part.apply(arithmetic, abs(middle), absolute=True) + spread)
        unsure = 0 if part.spread is None else part.spread * self._read(part, start, end)
        # Both products, and adding them.
        error = arithmetic.gamma(part.fore_terms + 4) * size + unsure
        if arithmetic.unit:
            error = error + arithmetic.floor(abs(middle) + radius)[:, None]
        reach = spread + arithmetic.raised(2 * self.margin * error)
        lost = arithmetic.gamma(part.back_terms + 2) * size + unsure
        return centre - reach, centre + reach, size, lost

    def _read(self, part: Part, start: Numbers, end: Numbers) -> Numbers:
        """Magnitudes of what a `Pick` reads."""
        return np.maximum(abs(start), abs(end))[:, np.maximum(part.index, 0)]  # type: ignore[union-attr]
