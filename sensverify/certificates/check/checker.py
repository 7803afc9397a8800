"""From a proof to bounds: hidden layers, then leaves, then trees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sensverify.certificates.check.arithmetic import Arithmetic, Numbers
from sensverify.certificates.check.cells import Paths, paths_of, roots_of
from sensverify.certificates.check.claims import Claims
from sensverify.certificates.check.layers import Layers
from sensverify.certificates.check.passes import Forces, least
from sensverify.certificates.check.program import Nonlinear, Program
from sensverify.certificates.check.ranges import Evaluation, Machine
from sensverify.certificates.check.slopes import chord_slopes, rule_slopes
from sensverify.errors import CertificateRejected, Unbounded
from sensverify.proof import NONE, RULE, Proof

_QUIET = np.errstate(over="ignore", invalid="ignore", divide="ignore")
"""What overflows ends as infinity or NaN, and is taken for no proof."""


@dataclass(frozen=True, eq=False)
class Leaves:
    """What the leaves of a proof prove.

    Parameters
    ----------
    cell : integer numpy array, shape ``[leaves]``
    values : numpy array, shape ``[leaves, rows]``, float64
        Lower bounds of the rows, rounded down; infinite on an empty leaf.
    refuted : boolean numpy array, shape ``[leaves, groups]``
        That one of the group's rows is above its limit at every input of the leaf, or at it where
        that is enough.
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
        self.layers = Layers(Machine(program, arithmetic), margin)
        self.program, self.arithmetic = program, arithmetic
        self.claims, self.margin = claims, margin

    @_QUIET
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
        for sets in self.layers.batches(np.arange(len(proof.hidden)), self.layers.widest_rows):
            problem = proof.hidden.problem[sets]
            evaluation = self.layers.start(self.claims.lower[problem], self.claims.upper[problem])
            for position, step in self.program.nonlinear:
                wanted = None
                if believe:
                    ends = proof.hidden.lower, proof.hidden.upper
                    wanted = ends[0][sets][:, step.entries], ends[1][sets][:, step.entries]
                found = self.layers.bounds(evaluation, step, wanted)
                self._own(evaluation, step, proof, sets, found)
                if wanted is not None:
                    _require_proven(found, wanted, sets, step)
                    found = wanted
                _require_finite(*found, position)
                low[sets, step.entries], high[sets, step.entries] = found
                lines = proof.hidden.lines[sets]
                evaluation.relax(position, step, *found, _slopes(proof, lines, step, *found))
        return low, high

    @_QUIET
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
        for known in (False, True):
            for every in (False, True):
                part = np.flatnonzero((stored == known) & (whole == every))
                rows = self.claims.limits.shape[1] if known else self.layers.widest_rows
                for places in self.layers.batches(part, rows):
                    result = self._evaluate(proof, hidden, chosen[places])
                    values[places], refuted[places], reach[places] = result
        return Leaves(chosen, values, refuted, reach)

    def boxes(self, proof: Proof, leaves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The input boxes of leaves, ``[leaves, features]``."""
        paths = paths_of(proof, leaves, self.claims.lower, self.claims.upper)
        return paths.lower, paths.upper

    def relaxed(self, lower: np.ndarray, upper: np.ndarray) -> Iterator[Evaluation]:
        """Boxes ``[boxes, features]`` with all their layers bounded by the rule, in batches."""
        for some in self.layers.batches(np.arange(len(lower)), self.layers.widest_rows):
            evaluation = self.layers.start(lower[some], upper[some])
            for position, step in self.program.nonlinear:
                found = self.layers.bounds(evaluation, step)
                _require_finite(*found, position)
                evaluation.relax(position, step, *found, rule_slopes(step, *found))
            evaluation.run(len(self.program.steps) - 1)
            yield evaluation

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
        entry, mine = step.own(hidden.own_entry)
        mine = np.flatnonzero(np.isin(hidden.own_set, sets) & mine)
        for items in self.layers.batches(mine, 1):
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
            found_least, _ = least(own, step.source, self.arithmetic.numbers(rows))
            value = self.arithmetic.floats(found_least, -1)[:, 0]
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
        empty = np.asarray((paths.lower > paths.upper).any(axis=1))
        # An empty box proves everything; its numbers only have to be in order.
        evaluation = self.layers.start(paths.lower, np.maximum(paths.lower, paths.upper))
        sets, lines = cells.hidden[leaves], cells.lines[leaves]
        forces: Forces = {}
        for position, step in self.program.nonlinear:
            if (sets != NONE).all():
                evaluation.run(step.source)
                found = hidden[0][sets][:, step.entries], hidden[1][sets][:, step.entries]
            else:
                found = self.layers.bounds(evaluation, step)
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
        values[empty[:, None] & members] = np.inf
        refuted = self._refuted(evaluation, proof, leaves, members, values, forces)
        return values, refuted | empty[:, None], reach * (paths.upper - paths.lower)

    def _force(self, step: Nonlinear, paths: Paths, leaves: int) -> tuple[Numbers, Numbers] | None:
        """The multipliers of constraints on a step's entries; of several on one, the last."""
        entry, mine = step.own(paths.entry)
        mine &= paths.multiplier > 0
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
        rows = self.claims.rows_of(problem)
        rows = np.take_along_axis(rows, chosen[:, :, None], axis=1)
        if (rows == rows[:1]).all():
            rows = rows[:1]
        last = len(self.program.steps) - 1
        bounds, line = least(evaluation, last, self.arithmetic.numbers(rows), forces=forces)
        bounds = np.broadcast_to(self.arithmetic.floats(bounds, -1), chosen.shape)
        values = np.full(members.shape, -np.inf)
        np.put_along_axis(values, chosen, bounds, axis=1)
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
        own, limits, reaching = (
            claims.groups[problem],
            claims.limits[problem],
            claims.reaching(problem),
        )
        above = members & ((values > limits) | (reaching & (values >= limits)))
        for group in range(claims.count):
            result[:, group] = (above & (own == group)).any(axis=1)
        weighed = np.flatnonzero((cells.lines[leaves] != RULE) & (cells.group[leaves] != NONE))
        if proof.weights is None or not len(weighed):
            return result
        weights = np.maximum(proof.weights[cells.lines[leaves[weighed]]], 0) * members[weighed]
        excess = self._excess(evaluation, problem, weighed, weights, forces)
        # Were all rows below their limits, a sum with a strict one would be below 0.
        enough = (excess >= 0) & (reaching[weighed] & (weights > 0)).any(axis=1)
        result[weighed, cells.group[leaves[weighed]]] |= (excess > 0) | enough
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
        rows = arithmetic.numbers(claims.rows_of(problem))
        weight = arithmetic.numbers(weights)
        limits = weight * arithmetic.numbers(np.where(weights > 0, claims.limits[problem], 0.0))
        total = (weight[:, :, None] * rows).sum(axis=1)[:, None]
        inner = {p: (force[chosen], at[chosen]) for p, (force, at) in forces.items()}
        last = len(self.program.steps) - 1
        bounds, _ = least(part, last, total, forces=inner)
        excess = bounds[:, 0] - limits.sum(axis=1)
        if arithmetic.unit:
            # The weighted rows, times the outputs; the weighted limits; the difference.
            size = (weight[:, :, None] * abs(rows)).sum(axis=1)
            lost = arithmetic.gamma(weights.shape[1] + 2) * (
                (size * part.magnitude(last)).sum(axis=1) + abs(limits).sum(axis=1)
            )
            lost = lost + 4 * arithmetic.unit * (abs(bounds[:, 0]) + abs(excess))
            excess = excess - arithmetic.raised(self.margin * lost)
            excess = excess - arithmetic.floor(part.magnitude(last))
            excess = np.where(np.isfinite(excess), excess, -np.inf)
        return arithmetic.floats(excess, -1)


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


def undecided(claims: Claims, proof: Proof, leaves: Leaves) -> np.ndarray:
    """Leaves on which a group that they are about is not refuted, boolean ``[leaves]``."""
    own = proof.cells.group[leaves.cell]
    about = (own[:, None] == NONE) | (np.arange(claims.count) == own[:, None])
    return np.asarray((about & ~leaves.refuted).any(axis=1))


def replaced(leaves: Leaves, at: np.ndarray, found: Leaves) -> Leaves:
    """Leaves with what is proven for some of them by other means, too."""
    refuted = leaves.refuted.copy()
    refuted[at] |= found.refuted
    return replace(leaves, refuted=refuted)


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
    entry, mine = step.own(paths.entry)
    for side, end, extreme in ((1, lower, np.maximum), (-1, upper, np.minimum)):
        cut = mine & (paths.side == side)
        extreme.at(end, (paths.leaf[cut], entry[cut]), paths.at[cut])
    crossed = np.asarray((lower > upper).any(axis=1))
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
        ends = [float(end[place, entry]) for end in (*wanted, *found)]
        raise CertificateRejected(
            f"hidden bounds [{ends[0]!r}, {ends[1]!r}] of entry {step.first + entry} in set "
            f"{int(sets[place])} do not follow from their lines, which prove [{ends[2]!r}, "
            f"{ends[3]!r}]"
        )
