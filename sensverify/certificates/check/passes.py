"""Intervals forward and one backward pass: all the mathematics of a certificate.

**Theorem.** Let ``z_0`` be the input and ``z_k`` the value of step k. For any real numbers a, let
``V(x) = sum_k a_k . z_k(x) + constant - slack`` be at most the objective for every x of the cell.
It stays so when the last ``a_k`` that is not zero is replaced by coefficients on what step k reads:

- ``z_k = M z_j + c``: ``a_k . z_k = (a_k M) . z_j + a_k . c``;
- ``z_k = f(z_j)`` with ``s z + t <= f(z) <= S z + T`` on the interval known for ``z_j``:
  ``a_k . z_k >= (a+ s + a- S) . z_j + a+ . t + a- . T`` with ``a+ = max(a, 0), a- = min(a, 0)``;
- where ``z_j >= v`` on the cell, adding ``b (v - z_j)`` with ``b >= 0`` leaves V below the
  objective, and so does ``b (z_j - v)`` where ``z_j <= v``.

In the end only the input is left, where ``a_0 . x >= sum_i min(a_i l_i, a_i u_i)``. Wherever a
computed ``a_j`` differs from the real one by e, ``|e| |z_j|`` is added to the slack; each line that
does so names the operation it pays for. Every slope, every b and every a is allowed, so a
certificate cannot make a wrong bound; it can only make a weak one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sensverify.certificates.check.arithmetic import FLOOR, LEAST, SMALL, Arithmetic, Numbers
from sensverify.certificates.check.lines import Lines, image, lines_of
from sensverify.certificates.check.maps import Part, compiled
from sensverify.certificates.check.program import Linear, Nonlinear, Program

Forces = dict[int, tuple[Numbers, Numbers]]
"""By nonlinear step: signed multipliers of constraints on its entries, and where those lie, each
``[cells, entries]``. Positive for ``z >= at``, negative for ``z <= at``."""


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
    """What some numbers of one value depend on; ``chosen`` has their places in every value."""

    target: int
    chosen: dict[int, np.ndarray]
    terms: dict[int, tuple[tuple[int, Part], ...]]

    @property
    def numbers(self) -> int:
        """How many numbers its maps hold."""
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
            needed.setdefault(step.source, []).append(_windows(step, here))
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


def _windows(step: Nonlinear, outputs: np.ndarray) -> np.ndarray:
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
    """

    def __init__(
        self, machine: Machine, lower: np.ndarray, upper: np.ndarray, *, margin: int = 1
    ) -> None:
        self.machine, self.arithmetic, self.margin = machine, machine.arithmetic, margin
        self.steps = machine.program.steps
        ends = self.arithmetic.numbers(lower), self.arithmetic.numbers(upper)
        self.low, self.high = [ends[0]], [ends[1]]
        self.losses: dict[int, tuple[Numbers, Numbers]] = {}
        self.lines: dict[int, Lines] = {}

    def __len__(self) -> int:
        return len(self.low[0])

    def magnitude(self, position: int) -> Numbers:
        """At least ``|z|``, ``[cells, size]``."""
        return np.maximum(abs(self.low[position]), abs(self.high[position]))

    def taken(self, cells: np.ndarray) -> Evaluation:
        """Some of the cells, in the order given, as far as they are bounded."""
        none = np.zeros((len(cells), self.machine.program.features))
        result = Evaluation(self.machine, none, none, margin=self.margin)
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
        """What is known about a value, as float64 rounded outward, ``[cells, size]``."""
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
        """Take bounds ``[cells, entries]`` on what enters a nonlinear step, and its slopes."""
        self.run(position - 1)
        self.low[step.source] = np.maximum(self.low[step.source], self.arithmetic.numbers(lower))
        self.high[step.source] = np.minimum(self.high[step.source], self.arithmetic.numbers(upper))
        self.reline(position, step, lower, upper, slopes)
        low, high = image(self.arithmetic, step, lower, upper)
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
        self.lines[position] = lines_of(self.arithmetic, step, lower, upper, slopes)

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

    def least(
        self,
        target: int,
        rows: Numbers | None,
        *,
        part: Cone | None = None,
        sign: int = 1,
        forces: Forces | None = None,
    ) -> Numbers:
        """`line`, without the coefficients."""
        return self.line(target, rows, part=part, sign=sign, forces=forces)[0]

    def line(
        self,
        target: int,
        rows: Numbers | None,
        *,
        part: Cone | None = None,
        sign: int = 1,
        forces: Forces | None = None,
    ) -> tuple[Numbers, Numbers]:
        """Lower bounds of rows times one value over every cell, ``[cells, rows]``.

        With them the coefficients on the input, ``[cells or 1, rows, features]``.

        Parameters
        ----------
        target : int
            Position of the value.
        rows : Numbers ``[cells or 1, rows, size]``, or None
            None: the numbers that the cone is about, times ``sign``.
        part : Cone, optional
            Where the rows are about some numbers of the value alone.
        forces : Forces, optional
        """
        return _Pass(self, part, forces or {}).run(target, rows, sign)


class _Pass:
    """One backward pass: coefficients ``[cells or 1, rows, size]`` on values not yet replaced."""

    def __init__(self, evaluation: Evaluation, part: Cone | None, forces: Forces) -> None:
        self.evaluation, self.arithmetic = evaluation, evaluation.arithmetic
        self.part, self.forces, self.unit = part, forces, evaluation.arithmetic.unit
        self.pending: dict[int, Numbers] = {}
        self.constant: Numbers = 0
        self.slack: Numbers = 0

    def run(self, target: int, rows: Numbers | None, sign: int) -> tuple[Numbers, Numbers]:
        if rows is None:
            self._start(target, sign)
            target -= 1
        else:
            self.pending[target] = rows
        for position in range(target, 0, -1):
            step = self.evaluation.steps[position]
            coefficient = self.pending.pop(position, None)
            if coefficient is None and position in self.forces:
                assert isinstance(step, Nonlinear)
                coefficient = self.arithmetic.numbers(np.zeros((1, 1, step.size)))
            if coefficient is None:
                continue
            if isinstance(step, Nonlinear):
                self._nonlinear(position, step, coefficient)
            else:
                self._linear(position, coefficient)
        return self._end()

    def _chosen(self, values: Numbers, position: int) -> Numbers:
        """Of an array with a last axis over a value, the numbers that matter."""
        return values if self.part is None else values[..., self.part.chosen[position]]

    def _terms(self, position: int) -> tuple[tuple[int, Part], ...]:
        terms = self.evaluation.machine.terms if self.part is None else self.part.terms
        return terms[position]

    def _start(self, target: int, sign: int) -> None:
        """The rows are numbers of the target: the first step is the map itself, unrounded."""
        assert self.part is not None
        step, arithmetic = self.evaluation.steps[target], self.arithmetic
        if not isinstance(step, Linear):
            one = arithmetic.numbers(sign * np.eye(len(self.part.chosen[target])))[None]
            self.pending[target] = one
            if isinstance(step, Nonlinear):
                self._nonlinear(target, step, self.pending.pop(target))
            return
        constant = self.evaluation.machine.constants.get(target)
        if constant is not None:
            self.constant = sign * self._chosen(constant, target)[None]
        for source, part in self._terms(target):
            if part.spread is not None:
                read = self._chosen(self.evaluation.magnitude(source), source)
                read = read[:, np.maximum(part.index, 0)]  # type: ignore[union-attr]
                self.slack = self.slack + part.spread * read
            self._give(source, sign * part.matrix(arithmetic)[None])

    def _linear(self, position: int, coefficient: Numbers) -> None:
        size, arithmetic = abs(coefficient), self.arithmetic
        constant = self.evaluation.machine.constants.get(position)
        if constant is not None:
            constant = self._chosen(constant, position)
            self._add(arithmetic.matmul(coefficient, constant))
            if self.unit:
                # a . c
                lost = arithmetic.gamma(size.shape[-1] + 2)
                self._lose(lost * arithmetic.matmul(size, abs(constant)))
        loss, floor = self.evaluation.losses[position]
        if self.unit or any(part.spread is not None for _, part in self._terms(position)):
            # a M, and what is not known of M
            self._lose(_dot(arithmetic, size, self._chosen(loss, position)) + _column(floor))
        for source, part in self._terms(position):
            self._give(source, part.pull(arithmetic, coefficient))

    def _nonlinear(self, position: int, step: Nonlinear, coefficient: Numbers) -> None:
        lines = self.evaluation.lines[position]
        above, below = np.maximum(coefficient, 0), np.minimum(coefficient, 0)
        low, high = self._chosen(lines.lower, position), self._chosen(lines.upper, position)
        terms = above * low[:, None] + below * high[:, None]
        self._add(terms.sum(axis=-1))
        low, high = (
            self._entries(lines.lower_slope, position),
            self._entries(lines.upper_slope, position),
        )
        if step.window > 1:
            above, below = (np.repeat(part, step.window, axis=-1) for part in (above, below))
        result = above * low[:, None] + below * high[:, None]
        if position in self.forces:
            force, at = self.forces[position]
            result = result - force[:, None]
            self._add((force * at).sum(axis=-1)[:, None])
        if self.unit:
            size = self._chosen(self.evaluation.magnitude(step.source), step.source)
            if self.part is not None:
                size = self._among(step, position, size)
            # a+ . t + a- . T; then a s, and its sum with a force
            lost = self.arithmetic.gamma(terms.shape[-1] + 4) * abs(terms).sum(axis=-1)
            spent = 4 * self.unit * _dot(self.arithmetic, abs(result), size)
            self._lose(lost + spent + _column(self.arithmetic.floor(size)))
            if position in self.forces:
                force, at = self.forces[position]
                count = self.arithmetic.gamma(force.shape[-1] + 4)
                self._lose(_column(count * abs(force * at).sum(axis=-1)))
                # What the sum with a force cancelled
                self._lose(4 * self.unit * _column((abs(force) * size).sum(axis=-1)))
        self._give(step.source, self._whole(step, position, result))

    def _entries(self, values: Numbers, position: int) -> Numbers:
        """Of an array over a step's entries, those that matter."""
        if self.part is None:
            return values
        step = self.evaluation.steps[position]
        assert isinstance(step, Nonlinear)
        return values[..., _windows(step, self.part.chosen[position])]

    def _among(self, step: Nonlinear, position: int, values: Numbers) -> Numbers:
        """Of an array over what matters of the source, this step's entries."""
        assert self.part is not None
        entries = _windows(step, self.part.chosen[position])
        return values[..., np.searchsorted(self.part.chosen[step.source], entries)]

    def _whole(self, step: Nonlinear, position: int, result: Numbers) -> Numbers:
        """Coefficients on a step's entries as coefficients on all that matters of its source."""
        if self.part is None:
            return result
        source = self.part.chosen[step.source]
        entries = _windows(step, self.part.chosen[position])
        if len(source) == len(entries):
            return result
        whole = self.arithmetic.numbers(np.zeros((*result.shape[:-1], len(source))))
        whole[..., np.searchsorted(source, entries)] = result
        return whole

    def _give(self, source: int, coefficient: Numbers) -> None:
        if source in self.pending:
            coefficient = self.pending[source] + coefficient
            if self.unit:
                # the sum of what several readers ask for
                size = self._chosen(self.evaluation.magnitude(source), source)
                self._lose(self.unit * _dot(self.arithmetic, abs(coefficient), size))
        self.pending[source] = coefficient

    def _add(self, amount: Numbers) -> None:
        self.constant = self.constant + amount
        if self.unit:
            self._lose(self.unit * abs(self.constant))

    def _lose(self, amount: Numbers) -> None:
        self.slack = self.slack + amount

    def _end(self) -> tuple[Numbers, Numbers]:
        """``a_0 . x`` is least at a corner."""
        low, high = (
            self._chosen(end, 0)[:, None]
            for end in (self.evaluation.low[0], self.evaluation.high[0])
        )
        coefficient = self.pending.get(0)
        if coefficient is None:
            coefficient = self.arithmetic.numbers(np.zeros((1, 1, low.shape[-1])))
        terms = np.maximum(coefficient, 0) * low + np.minimum(coefficient, 0) * high
        total = terms.sum(axis=-1)
        if self.unit:
            size = self._chosen(self.evaluation.magnitude(0), 0)
            self._lose(self.arithmetic.gamma(terms.shape[-1] + 2) * abs(terms).sum(axis=-1))
            self._lose(_column(self.arithmetic.floor(size)))
            self._lose(4 * self.unit * (abs(self.constant) + abs(total)))
        slack = self.arithmetic.raised(self.evaluation.margin * self.slack)
        result = self.constant + total - slack
        if self.unit:
            # NaN and infinity prove nothing.
            result = np.where(np.isfinite(result), result, -np.inf)
        return result, coefficient


def _dot(arithmetic: Arithmetic, first: Numbers, second: Numbers) -> Numbers:
    """``[cells or 1, rows, size]`` times ``[cells, size]``, summed."""
    if arithmetic.unit:
        return (first @ second[..., None])[..., 0]
    return (first * second[:, None]).sum(axis=-1)


def _column(values: Numbers) -> Numbers:
    """``[cells]`` as ``[cells, 1]``; a plain 0 as it is."""
    return values[:, None] if isinstance(values, np.ndarray) else values
