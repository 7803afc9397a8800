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

import numpy as np

from sensverify.certificates.check.arithmetic import Arithmetic, Numbers
from sensverify.certificates.check.maps import Part
from sensverify.certificates.check.program import Linear, Nonlinear
from sensverify.certificates.check.ranges import Cone, Evaluation, windows
from sensverify.certificates.check.sets import InputSets, full

Forces = dict[int, tuple[Numbers, Numbers]]
"""By nonlinear step: signed multipliers of constraints on its entries, and where those lie, each
``[cells, entries]``. Positive for ``z >= at``, negative for ``z <= at``."""


@dataclass
class Multipliers:
    """Multipliers of input sets, ``[cells, rows, multipliers]``.

    Where none are given, good ones are chosen, and are to be found here afterwards.
    """

    values: np.ndarray | None = None


def least(
    evaluation: Evaluation,
    target: int,
    rows: Numbers | None,
    *,
    part: Cone | None = None,
    sign: int = 1,
    forces: Forces | None = None,
    multipliers: Multipliers | None = None,
) -> tuple[Numbers, Numbers]:
    """Lower bounds of rows times one value over every cell, ``[cells, rows]``.

    Parameters
    ----------
    evaluation : Evaluation
        All nonlinear steps before the value are relaxed.
    target : int
        Position of the value.
    rows : Numbers ``[cells or 1, rows, size]``, or None
        None: the numbers that the cone is about, times ``sign``.
    part : Cone, optional
        Where the rows are about some numbers of the value alone.
    forces : Forces, optional
    multipliers : Multipliers, optional
        Of input sets.

    Returns
    -------
    bounds : Numbers, shape ``[cells, rows]``
    coefficients : Numbers, shape ``[cells or 1, rows, features]``
        On the input.
    """
    found = _Pass(evaluation, part, forces or {}, multipliers or Multipliers())
    return found.run(target, rows, sign)


class _Pass:
    """One backward pass: coefficients ``[cells or 1, rows, size]`` on values not yet replaced."""

    def __init__(
        self,
        evaluation: Evaluation,
        part: Cone | None,
        forces: Forces,
        multipliers: Multipliers,
    ) -> None:
        self.multipliers = multipliers
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
        return values[..., windows(step, self.part.chosen[position])]

    def _among(self, step: Nonlinear, position: int, values: Numbers) -> Numbers:
        """Of an array over what matters of the source, this step's entries."""
        assert self.part is not None
        entries = windows(step, self.part.chosen[position])
        return values[..., np.searchsorted(self.part.chosen[step.source], entries)]

    def _whole(self, step: Nonlinear, position: int, result: Numbers) -> Numbers:
        """Coefficients on a step's entries as coefficients on all that matters of its source."""
        if self.part is None:
            return result
        source = self.part.chosen[step.source]
        entries = windows(step, self.part.chosen[position])
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
        """``a_0 . x`` is least at a corner, or over the input sets by their own theorem."""
        if self.evaluation.sets is not None:
            return self._end_in_sets(self.evaluation.sets)
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

    def _end_in_sets(self, sets: InputSets) -> tuple[Numbers, Numbers]:
        arithmetic, evaluation = self.arithmetic, self.evaluation
        low, high = evaluation.low[0][:, None], evaluation.high[0][:, None]
        coefficient = self.pending.get(0)
        if coefficient is None:
            coefficient = arithmetic.numbers(np.zeros((1, 1, low.shape[-1])))
        else:
            chosen = None if self.part is None else self.part.chosen[0]
            coefficient = full(coefficient, chosen, low.shape[-1], arithmetic)
        coefficient = np.broadcast_to(coefficient, (len(low), *coefficient.shape[1:]))
        if self.multipliers.values is None:
            wide = arithmetic.floats(coefficient, -1)
            ends = arithmetic.floats(low, -1), arithmetic.floats(high, 1)
            self.multipliers.values = sets.chosen(wide, *ends)
        chosen_by = self.multipliers.values
        total, lost = sets.least_value(arithmetic, coefficient, low, high, chosen_by)
        if self.unit:
            self._lose(lost)
            self._lose(4 * self.unit * (abs(self.constant) + abs(total)))
        slack = arithmetic.raised(evaluation.margin * self.slack)
        result = self.constant + total - slack
        if self.unit:
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
