"""From a proof to bounds: hidden layers, then leaves, then trees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sensverify.certificates.check.arithmetic import Arithmetic, Numbers
from sensverify.certificates.check.cells import Paths, paths_of, roots_of
from sensverify.certificates.check.maps import Sum
from sensverify.certificates.check.passes import Cone, Evaluation, Forces, Machine, cone
from sensverify.certificates.check.program import Linear, Nonlinear, Program
from sensverify.certificates.check.slopes import chord_slopes, rule_slopes
from sensverify.errors import CertificateRejected, Unbounded
from sensverify.proof import NONE, RULE, Proof

_COEFFICIENTS = 1 << 19
"""Numbers in the coefficients that one pass carries at a time."""

_KEPT = 1 << 23
"""Numbers in the weights of the cones of one layer that are kept for the next batch."""

_ROWS = 512
"""Entries of one layer that are bounded at a time."""


@dataclass(frozen=True, eq=False)
class Claims:
    """What is to be proven about a network.

    Parameters
    ----------
    lower, upper : numpy array, shape ``[problems, features]``, float64
        The input boxes.
    rows : numpy array, shape ``[problems or 1, rows, outputs]``, float64
    limits : numpy array, shape ``[problems, rows]``, float64
        ``rows · f(x) >= limits`` for every x of the box; minus infinity claims nothing.
    groups : integer numpy array ``[problems, rows]``, or None
        With groups the claim is another: for every x of the box and every group, ``row · f(x)``
        is larger than the limit for one of its rows. -1 is a row of no group.
    """

    lower: np.ndarray
    upper: np.ndarray
    rows: np.ndarray
    limits: np.ndarray
    groups: np.ndarray | None = None

    @property
    def problems(self) -> int:
        return len(self.lower)

    @property
    def count(self) -> int:
        """How many groups of rows there are; without groups every row is one."""
        return self.limits.shape[1] if self.groups is None else int(self.groups.max(initial=-1)) + 1

    def members(self, problem: np.ndarray, group: np.ndarray) -> np.ndarray:
        """Which rows a cell is about, boolean ``[cells, rows]``."""
        count = self.limits.shape[1]
        if self.groups is None:
            return (group[:, None] == NONE) | (np.arange(count) == group[:, None])
        own = self.groups[problem]
        return (own >= 0) & ((group[:, None] == NONE) | (own == group[:, None]))


@dataclass(frozen=True, eq=False)
class Leaves:
    """What the leaves of a proof prove.

    Parameters
    ----------
    cell : integer numpy array, shape ``[leaves]``
    values : numpy array, shape ``[leaves, rows]``, float64
        Lower bounds of the rows, rounded down; infinite on an empty leaf.
    refuted : boolean numpy array, shape ``[leaves, groups]``
        That one of the group's rows is above its limit at every input of the leaf.
    reach : numpy array, shape ``[leaves, features]``
        How far the lines move along each feature, at most; for whoever splits on.
    """

    cell: np.ndarray
    values: np.ndarray
    refuted: np.ndarray
    reach: np.ndarray


class Evaluator:
    """Re-derives what a proof proves.

    Parameters
    ----------
    program : Program
    arithmetic : Arithmetic
    claims : Claims
        The limits matter to groups alone.
    margin : int
        As in `Evaluation`.
    """

    def __init__(
        self, program: Program, arithmetic: Arithmetic, claims: Claims, *, margin: int = 1
    ) -> None:
        self.machine, self.claims, self.margin = Machine(program, arithmetic), claims, margin
        self.program, self.arithmetic = program, arithmetic
        self._kept: dict[int, list[tuple[np.ndarray, Cone]]] = {}

    def hidden(self, proof: Proof, *, believe: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Bounds on all entries, ``[sets, entries]``, that are proven.

        Parameters
        ----------
        proof : Proof
        believe : bool
            True: those of the proof, after each is found to hold. False: the best there are.

        Raises
        ------
        CertificateRejected
            A bound of the proof is not proven by its lines.
        """
        low, high = np.empty_like(proof.hidden.lower), np.empty_like(proof.hidden.upper)
        for sets in self._batches(np.arange(len(proof.hidden)), self._widest_rows):
            problem = proof.hidden.problem[sets]
            evaluation = self._start(self.claims.lower[problem], self.claims.upper[problem])
            for position, step in self.program.nonlinear:
                wanted = None
                if believe:
                    ends = proof.hidden.lower, proof.hidden.upper
                    wanted = ends[0][sets][:, step.entries], ends[1][sets][:, step.entries]
                found = self._layer(evaluation, step, wanted)
                self._own(evaluation, step, proof, sets, found)
                if wanted is not None:
                    _require_proven(found, wanted, sets, step)
                    found = wanted
                _require_finite(*found, position)
                low[sets, step.entries], high[sets, step.entries] = found
                lines = proof.hidden.lines[sets]
                evaluation.relax(position, step, *found, _slopes(proof, lines, step, *found))
        return low, high

    def leaves(
        self, proof: Proof, hidden: tuple[np.ndarray, np.ndarray], chosen: np.ndarray | None = None
    ) -> Leaves:
        """What leaves prove, given proven bounds on the hidden sets; default: all leaves."""
        cells = proof.cells
        if chosen is None:
            chosen = np.flatnonzero(cells.split == NONE)
        values = np.full((len(chosen), self.claims.limits.shape[1]), -np.inf)
        refuted = np.zeros((len(chosen), self.claims.count), bool)
        reach = np.zeros((len(chosen), self.program.features))
        stored, whole = cells.hidden[chosen] != NONE, cells.group[chosen] == NONE
        for layers in (False, True):
            for every in (False, True):
                part = np.flatnonzero((stored == layers) & (whole == every))
                rows = self.claims.limits.shape[1] if layers else self._widest_rows
                for places in self._batches(part, rows):
                    result = self._evaluate(proof, hidden, chosen[places])
                    values[places], refuted[places], reach[places] = result
        return Leaves(chosen, values, refuted, reach)

    def boxes(self, proof: Proof, leaves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The input boxes of leaves, ``[leaves, features]``."""
        paths = paths_of(proof, leaves, self.claims.lower, self.claims.upper)
        return paths.lower, paths.upper

    def relaxed(self, lower: np.ndarray, upper: np.ndarray) -> Iterator[Evaluation]:
        """Boxes ``[boxes, features]`` with all their layers bounded by the rule, in batches."""
        for some in self._batches(np.arange(len(lower)), self._widest_rows):
            evaluation = self._start(lower[some], upper[some])
            for position, step in self.program.nonlinear:
                found = self._layer(evaluation, step)
                _require_finite(*found, position)
                evaluation.relax(position, step, *found, rule_slopes(step, *found))
            evaluation.run(len(self.program.steps) - 1)
            yield evaluation

    def _batches(self, items: np.ndarray, rows: int) -> Iterator[np.ndarray]:
        widest = max(self.program.sizes)
        step = max(1, _COEFFICIENTS // (widest * max(1, min(rows, _ROWS))))
        for first in range(0, len(items), step):
            yield items[first : first + step]

    @cached_property
    def _widest_rows(self) -> int:
        chunks = [len(c) for _, s in self.program.nonlinear for c in self._chunks(s.source)]
        return max(chunks, default=1)

    def _start(self, lower: np.ndarray, upper: np.ndarray) -> Evaluation:
        return Evaluation(self.machine, lower, upper, margin=self.margin)

    def _layer(
        self,
        evaluation: Evaluation,
        step: Nonlinear,
        wanted: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bounds on a step's entries: the better of intervals and the backward pass.

        Where the bounds wanted follow from intervals, there is no pass.
        """
        evaluation.run(step.source)
        low, high = evaluation.interval(step.source)
        if self._interval_is_exact(step.source):
            return low, high
        low, high = low.copy(), high.copy()
        open_ones = np.ones(low.shape[1], bool)
        if wanted is not None:
            open_ones = ~((low >= wanted[0]) & (high <= wanted[1])).all(axis=0)
        floats = self.arithmetic.floats
        for rows, part in self._cones(step.source):
            if open_ones[rows].any():
                below = floats(evaluation.least(step.source, None, part=part), -1)
                above = -floats(evaluation.least(step.source, None, part=part, sign=-1), -1)
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
        step = self.program.steps[position]
        if isinstance(step, Linear):
            source, part = self.machine.terms[position][0]
            return part.labels(np.zeros(0) if isinstance(part, Sum) else self._labels(source))
        if isinstance(step, Nonlinear) and step.window == 1:
            return self._labels(step.source)
        return np.zeros(self.program.sizes[position], np.int64)

    def _interval_is_exact(self, position: int) -> bool:
        """Whether a value depends on the input through one sum at most, and nothing else."""
        sums = 0
        while position:
            step = self.program.steps[position]
            if not isinstance(step, Linear) or len(step.terms) > 1:
                return False
            position, part = self.machine.terms[position][0]
            sums += isinstance(part, Sum)
            if part.back_terms > 1 and not isinstance(part, Sum):
                return False
        return sums <= 1

    def _own(
        self,
        evaluation: Evaluation,
        step: Nonlinear,
        proof: Proof,
        sets: np.ndarray,
        found: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Improve bounds that have lines of their own."""
        hidden = proof.hidden
        entry = hidden.own_entry - step.first
        mine = np.flatnonzero(
            np.isin(hidden.own_set, sets) & (entry >= 0) & (entry < step.size * step.window)
        )
        for items in self._batches(mine, 1):
            place = np.searchsorted(sets, hidden.own_set[items])
            own = evaluation.taken(place)
            for position, before in self.program.nonlinear:
                if position not in own.lines:
                    break
                ends = self._known(evaluation, before, place)
                slopes = _slopes(proof, hidden.own_lines[items], before, *ends)
                own.reline(position, before, *ends, slopes)
            rows = np.zeros((len(items), 1, self.program.sizes[step.source]))
            rows[np.arange(len(items)), 0, entry[items]] = -hidden.own_side[items]
            least = own.least(step.source, self.arithmetic.numbers(rows))
            value = self.arithmetic.floats(least, -1)[:, 0]
            upper = hidden.own_side[items] > 0
            at = place, entry[items]
            np.maximum.at(found[0], tuple(a[~upper] for a in at), value[~upper])
            np.minimum.at(found[1], tuple(a[upper] for a in at), -value[upper])

    def _known(
        self, evaluation: Evaluation, step: Nonlinear, place: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        low, high = evaluation.interval(step.source)
        return low[place], high[place]

    def _evaluate(
        self, proof: Proof, hidden: tuple[np.ndarray, np.ndarray], leaves: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values, refuted groups and reach, as in `Leaves`."""
        cells, claims = proof.cells, self.claims
        paths = paths_of(proof, leaves, claims.lower, claims.upper)
        empty = (paths.lower > paths.upper).any(axis=1)
        # An empty box proves everything; its numbers only have to be in order.
        evaluation = self._start(paths.lower, np.maximum(paths.lower, paths.upper))
        sets, lines = cells.hidden[leaves], cells.lines[leaves]
        forces: Forces = {}
        for position, step in self.program.nonlinear:
            if (sets != NONE).all():
                evaluation.run(step.source)
                found = hidden[0][sets][:, step.entries], hidden[1][sets][:, step.entries]
            else:
                found = self._layer(evaluation, step)
            found, crossed = _cut(step, paths, *found)
            empty |= crossed
            _require_finite(*found, position)
            evaluation.relax(position, step, *found, _slopes(proof, lines, step, *found))
            force = self._force(step, paths, len(leaves))
            if force is not None:
                forces[position] = force
        evaluation.run(len(self.program.steps) - 1)
        members = claims.members(cells.problem[leaves], cells.group[leaves])
        values, reach = self._values(evaluation, cells.problem[leaves], members, forces)
        values[empty] = np.inf
        refuted = self._refuted(evaluation, proof, leaves, members, values, forces)
        return values, refuted | empty[:, None], reach * (paths.upper - paths.lower)

    def _force(self, step: Nonlinear, paths: Paths, leaves: int) -> tuple[Numbers, Numbers] | None:
        """The multipliers of constraints on a step's entries; of several on one, the last."""
        entry = paths.entry - step.first
        mine = (entry >= 0) & (entry < step.size * step.window) & (paths.multiplier > 0)
        if not mine.any():
            return None
        force, at = np.zeros((2, leaves, step.size * step.window))
        place = paths.leaf[mine], entry[mine]
        force[place], at[place] = (paths.side * paths.multiplier)[mine], paths.at[mine]
        return self.arithmetic.numbers(force), self.arithmetic.numbers(at)

    def _values(
        self, evaluation: Evaluation, problem: np.ndarray, members: np.ndarray, forces: Forces
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lower bounds of the member rows, and the largest coefficients on each feature."""
        most = int(members.sum(axis=1).max(initial=1))
        chosen = np.argsort(~members, axis=1, kind="stable")[:, :most]
        shared = len(self.claims.rows) == 1
        rows = self.claims.rows[problem * 0 if shared else problem]
        rows = np.take_along_axis(rows, chosen[:, :, None], axis=1)
        if (rows == rows[:1]).all():
            rows = rows[:1]
        last = len(self.program.steps) - 1
        least, line = evaluation.line(last, self.arithmetic.numbers(rows), forces=forces)
        least = np.broadcast_to(self.arithmetic.floats(least, -1), chosen.shape)
        values = np.full(members.shape, -np.inf)
        np.put_along_axis(values, chosen, least, axis=1)
        reach = self.arithmetic.floats(abs(line).max(axis=1), 1)
        return np.where(members, values, -np.inf), reach

    def _refuted(
        self,
        evaluation: Evaluation,
        proof: Proof,
        leaves: np.ndarray,
        members: np.ndarray,
        values: np.ndarray,
        forces: Forces,
    ) -> np.ndarray:
        """Groups with a row, or a weighted sum of rows, above what it is held against."""
        claims, cells = self.claims, proof.cells
        result = np.zeros((len(leaves), claims.count), bool)
        if claims.groups is None:
            return result
        problem = cells.problem[leaves]
        own, above = claims.groups[problem], members & (values > claims.limits[problem])
        for group in range(claims.count):
            result[:, group] = (above & (own == group)).any(axis=1)
        weighed = np.flatnonzero((cells.lines[leaves] != RULE) & (cells.group[leaves] != NONE))
        if proof.weights is None or not len(weighed):
            return result
        weights = np.maximum(proof.weights[cells.lines[leaves[weighed]]], 0) * members[weighed]
        excess = self._excess(evaluation, problem, weighed, weights, forces)
        result[weighed, cells.group[leaves[weighed]]] |= excess > 0
        return result

    def _excess(
        self,
        evaluation: Evaluation,
        problem: np.ndarray,
        chosen: np.ndarray,
        weights: np.ndarray,
        forces: Forces,
    ) -> np.ndarray:
        """At most ``sum of w (row - limit)`` for weights ``[chosen, rows]``."""
        arithmetic, claims = self.arithmetic, self.claims
        part, problem = evaluation.taken(chosen), problem[chosen]
        rows = arithmetic.numbers(claims.rows[problem * 0 if len(claims.rows) == 1 else problem])
        weight = arithmetic.numbers(weights)
        limits = weight * arithmetic.numbers(np.where(weights > 0, claims.limits[problem], 0.0))
        total = (weight[:, :, None] * rows).sum(axis=1)[:, None]
        inner = {p: (force[chosen], at[chosen]) for p, (force, at) in forces.items()}
        last = len(self.program.steps) - 1
        least = part.least(last, total, forces=inner)[:, 0] - limits.sum(axis=1)
        if arithmetic.unit:
            # The weighted rows, times the outputs; the weighted limits; the difference.
            size = (weight[:, :, None] * abs(rows)).sum(axis=1)
            lost = arithmetic.gamma(weights.shape[1] + 2) * (
                (size * part.magnitude(last)).sum(axis=1) + abs(limits).sum(axis=1)
            )
            lost = lost + 4 * arithmetic.unit * abs(least)
            least = least - arithmetic.raised(self.margin * lost)
            least = least - arithmetic.floor(part.magnitude(last))
            least = np.where(np.isfinite(least), least, -np.inf)
        return arithmetic.floats(least, -1)


def best(claims: Claims, proof: Proof, leaves: Leaves) -> np.ndarray:
    """Lower bounds ``[problems, rows]``: the least of a tree's leaves, the best of its trees."""
    root = roots_of(proof.cells)[leaves.cell]
    trees = np.full((len(proof.cells), claims.limits.shape[1]), np.inf)
    np.minimum.at(trees, root, leaves.values)
    result = np.full(claims.limits.shape, -np.inf)
    own = np.unique(root)
    np.maximum.at(result, proof.cells.problem[own], trees[own])
    return result


def refuted(claims: Claims, proof: Proof, leaves: Leaves) -> np.ndarray:
    """Groups refuted on all leaves of some tree, ``[problems, groups]``."""
    root = roots_of(proof.cells)[leaves.cell]
    trees = np.ones((len(proof.cells), claims.count), bool)
    np.logical_and.at(trees, root, leaves.refuted)
    result = np.zeros((claims.problems, claims.count), bool)
    own = np.unique(root)
    np.logical_or.at(result, proof.cells.problem[own], trees[own])
    return result


def _slopes(
    proof: Proof, lines: np.ndarray, step: Nonlinear, lower: np.ndarray, upper: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Slopes ``[cells, entries]`` as the line sets say, or by the rule."""
    if (lines == RULE).all():
        return rule_slopes(step, lower, upper)
    below = proof.lines.lower[lines][:, step.entries].astype(np.float64)
    if proof.lines.upper is None:
        above = chord_slopes(step, lower, upper)
    else:
        above = proof.lines.upper[lines][:, step.entries].astype(np.float64)
    if (lines == RULE).any():
        ruled, by_rule = (lines == RULE)[:, None], rule_slopes(step, lower, upper)
        below, above = np.where(ruled, by_rule[0], below), np.where(ruled, by_rule[1], above)
    return below, above


def _cut(
    step: Nonlinear, paths: Paths, lower: np.ndarray, upper: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Bounds cut at the constraints on a step's entries, and where nothing is left."""
    lower, upper = lower.copy(), upper.copy()
    entry = paths.entry - step.first
    mine = (entry >= 0) & (entry < step.size * step.window)
    for side, end, extreme in ((1, lower, np.maximum), (-1, upper, np.minimum)):
        cut = mine & (paths.side == side)
        extreme.at(end, (paths.leaf[cut], entry[cut]), paths.at[cut])
    crossed = (lower > upper).any(axis=1)
    return (lower, np.maximum(lower, upper)), crossed


def _require_finite(lower: np.ndarray, upper: np.ndarray, position: int) -> None:
    if not bool((np.isfinite(lower) & np.isfinite(upper)).all()):
        raise Unbounded(
            f"bounds on what enters the nonlinear step {position} of the network overflow; use a "
            "smaller box"
        )


def _require_proven(
    found: tuple[np.ndarray, np.ndarray],
    wanted: tuple[np.ndarray, np.ndarray],
    sets: np.ndarray,
    step: Nonlinear,
) -> None:
    # Written so that a NaN fails it.
    holds = (found[0] >= wanted[0]) & (found[1] <= wanted[1])
    if not bool(holds.all()):
        place, entry = (int(i) for i in np.argwhere(~holds)[0])
        raise CertificateRejected(
            f"hidden bounds [{wanted[0][place, entry]!r}, {wanted[1][place, entry]!r}] of entry "
            f"{step.first + entry} in set {int(sets[place])} do not follow from their lines, which "
            f"prove [{found[0][place, entry]!r}, {found[1][place, entry]!r}]"
        )
