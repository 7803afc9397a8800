"""From a proof to bounds: hidden layers, then leaves, then trees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from sensverify.certificates.check.arithmetic import Arithmetic, Numbers
from sensverify.certificates.check.claims import Claims
from sensverify.certificates.check.layers import ROWS, Layers
from sensverify.certificates.check.passes import Forces, least
from sensverify.certificates.check.passes import Multipliers as SetMultipliers
from sensverify.certificates.check.program import Nonlinear, Program
from sensverify.certificates.check.ranges import Evaluation, Machine
from sensverify.certificates.check.sets import InputSets
from sensverify.certificates.check.trees import (
    Multipliers,
    Paths,
    Proven,
    Together,
    Trees,
    kinds_of,
)
from sensverify.core.proof import NONE, RULE, Proof
from sensverify.errors import CertificateRejected

_QUIET = np.errstate(over="ignore", invalid="ignore", divide="ignore")
"""Silence about overflow, which ends as infinity or NaN and is taken for no proof."""


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
    hurry : callable
        Once it says yes, hidden bounds are those of intervals; for whoever proposes, not checks.
    """

    def __init__(
        self,
        program: Program,
        arithmetic: Arithmetic,
        claims: Claims,
        *,
        margin: int = 1,
        hurry: Callable[[], bool] = lambda: False,
    ) -> None:
        self.layers = Layers(Machine(program, arithmetic), margin, hurry)
        self.program, self.arithmetic = program, arithmetic
        self.claims, self.margin = claims, margin
        self.chosen: np.ndarray | None = None
        if claims.sets is not None and claims.multipliers is None:
            self.chosen = np.zeros((*claims.limits.shape, claims.sets.multipliers))
        self._reached = np.full(claims.limits.shape, -np.inf)

    @_QUIET
    def hidden(self, proof: Proof, *, believe: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Bounds on all entries, ``[sets, entries]``, that are proven.

        Parameters
        ----------
        proof : Proof
        believe : bool
            True: those of the proof, after each is found to hold. False: what is found, nowhere
            tighter than those of the proof: its lines were chosen for these, and prove less with
            others, be they tighter.

        Raises
        ------
        CertificateRejected
            A bound of the proof is not proven by its lines.
        """
        low, high = np.empty_like(proof.hidden.lower), np.empty_like(proof.hidden.upper)
        owned = np.lexsort((proof.hidden.own_entry, proof.hidden.own_set))
        owners = proof.hidden.own_set[owned]
        for sets in self.layers.batches(np.arange(len(proof.hidden)), self.layers.widest_rows):
            problem = proof.hidden.problem[sets]
            ends = np.searchsorted(owners, [sets[0], sets[-1] + 1])
            own = owned[slice(*ends)]
            own = own[np.argsort(proof.hidden.own_entry[own], kind="stable")]
            ends_of_box = self.claims.lower[problem], self.claims.upper[problem]
            evaluation = self.layers.start(*ends_of_box, self._sets(problem))
            for position, step in self.program.nonlinear:
                ends_of = proof.hidden.lower, proof.hidden.upper
                given = ends_of[0][sets, step.entries], ends_of[1][sets, step.entries]
                found = self.layers.bounds(evaluation, step, given, required=believe)
                self._own(evaluation, step, proof, sets, own, found)
                if believe:
                    _require_proven(found, given, sets, step)
                    found = given
                else:
                    found = _no_tighter(found, given)
                low[sets, step.entries], high[sets, step.entries] = found
                lines = proof.hidden.lines[sets]
                evaluation.relax(position, step, *found, _slopes(proof, lines, step, *found))
        return low, high

    def proven(
        self, proof: Proof, hidden: tuple[np.ndarray, np.ndarray], chosen: np.ndarray | None = None
    ) -> Iterator[Proven]:
        """Bounds by leaves, from proven bounds on the hidden sets, in the order of a `Forest`.

        Batch after batch, so that no more is held at a time than one needs. Default: all leaves.
        """
        cells = proof.cells
        leaves = np.flatnonzero(cells.split == NONE) if chosen is None else chosen
        yield from self._proven(proof, hidden, self.trees(proof), leaves)

    @_QUIET
    def together(
        self,
        proof: Proof,
        hidden: tuple[np.ndarray, np.ndarray],
        exactly: Evaluator | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Together:
        """Bounds by all trees, from proven bounds on the hidden sets.

        ``exactly`` looks again at leaves on which a group is left open; ``progress`` is told the
        leaves that are done, of all.
        """
        trees = self.trees(proof)
        again = replace(trees, walk=trees.walk.anew())
        result = Together(self.claims, proof.cells, trees.forest)
        every, done = np.flatnonzero(proof.cells.split == NONE), 0
        for part in self._proven(proof, hidden, trees, every):
            if exactly is not None:
                part = exactly._settled(proof, hidden, again, part)
            result.add(part)
            done += len(part.cell)
            progress(done, len(every))
        result.close()
        return result

    def _settled(
        self, proof: Proof, hidden: tuple[np.ndarray, np.ndarray], trees: Trees, part: Proven
    ) -> Proven:
        """Leaves with what this arithmetic refutes on those that are left open, too."""
        first, refuted = trees.forest.first[part.cell], part.refuted.copy()
        open_ = part.cell[(part.own & ~part.refuted).any(axis=1)]
        for found in self._proven(proof, hidden, trees, open_):
            place = np.searchsorted(first, trees.forest.first[found.cell])
            refuted[place, : found.own.shape[1]] |= found.refuted
        return replace(part, refuted=refuted)

    def trees(self, proof: Proof) -> Trees:
        """The split trees of a proof."""
        ends = self.claims.lower, self.claims.upper
        return Trees.of(proof, *ends, self.program.entries)

    def _proven(
        self,
        proof: Proof,
        hidden: tuple[np.ndarray, np.ndarray],
        trees: Trees,
        leaves: np.ndarray,
    ) -> Iterator[Proven]:
        cells, claims, leaves = proof.cells, self.claims, trees.forest.sorted(leaves)
        kinds = kinds_of(cells, leaves)
        for part in np.split(leaves, np.flatnonzero(np.diff(kinds)) + 1):
            if not len(part):
                continue
            known, whole = cells.hidden[part[0]] != NONE, cells.group[part[0]] == NONE
            rows = claims.limits.shape[1] if whole else claims.largest_group
            rows = max(rows, 1 if known else self.layers.widest_rows)
            for some in self.layers.batches(part, rows):
                paths, multipliers = trees.walk.to(some), trees.multipliers.on(some)
                yield self._evaluate(proof, hidden, some, paths, multipliers)

    def _own(
        self,
        evaluation: Evaluation,
        step: Nonlinear,
        proof: Proof,
        sets: np.ndarray,
        owned: np.ndarray,
        found: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Improve bounds that have lines of their own: ``owned``, sorted by their entries."""
        hidden = proof.hidden
        entry = hidden.own_entry - step.first
        mine = owned[_entries_of(step, hidden.own_entry[owned])]
        for items in self.layers.batches(mine, 1):
            place = np.searchsorted(sets, hidden.own_set[items])
            own = evaluation.taken(place)
            for position, before in self.program.nonlinear:
                if position not in own.lines:
                    break
                low, high = evaluation.interval(before.source)
                ends = low[place], high[place]
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

    @_QUIET
    def _evaluate(
        self,
        proof: Proof,
        hidden: tuple[np.ndarray, np.ndarray],
        leaves: np.ndarray,
        paths: Paths,
        multipliers: Multipliers,
    ) -> Proven:
        cells, claims = proof.cells, self.claims
        empty = np.asarray((paths.lower > paths.upper).any(axis=1))
        # An empty box proves everything; its numbers only have to be in order.
        inside = self._sets(cells.problem[leaves])
        evaluation = self.layers.start(paths.lower, np.maximum(paths.lower, paths.upper), inside)
        sets, lines = cells.hidden[leaves], cells.lines[leaves]
        forces: Forces = {}
        for position, step in self.program.nonlinear:
            if (sets != NONE).all():
                evaluation.run(step.source)
                found = hidden[0][sets, step.entries], hidden[1][sets, step.entries]
            else:
                found = self.layers.bounds(evaluation, step)
            found, crossed = _cut(step, paths, *found)
            empty |= crossed
            evaluation.relax(position, step, *found, _slopes(proof, lines, step, *found))
            force = self._force(step, multipliers, len(leaves))
            if force is not None:
                forces[position] = force
        evaluation.run(len(self.program.steps) - 1)
        problem = cells.problem[leaves]
        rows, own = claims.members(problem, cells.group[leaves])
        whole = bool(cells.parent[leaves[0]] == NONE)
        values, reach = self._values(evaluation, problem, rows, forces, whole)
        values = np.where(own, np.where(empty[:, None], np.inf, values), -np.inf)
        part = Proven(leaves, problem, rows, own, values, np.zeros(own.shape, bool), reach)
        if claims.groups is not None:
            shown = self._refuted(evaluation, proof, part, forces)
            part = replace(part, refuted=own & (shown | empty[:, None]))
        return replace(part, reach=reach * (paths.upper - paths.lower))

    def _force(
        self, step: Nonlinear, multipliers: Multipliers, leaves: int
    ) -> tuple[Numbers, Numbers] | None:
        """The multipliers of constraints on a step's entries; of several on one, the last."""
        mine = _entries_of(step, multipliers.entry)
        if mine.start == mine.stop:
            return None
        force, at = np.zeros((2, leaves, step.size * step.window))
        place = multipliers.leaf[mine], multipliers.entry[mine] - step.first
        force[place], at[place] = multipliers.force[mine], multipliers.at[mine]
        return self.arithmetic.numbers(force), self.arithmetic.numbers(at)

    def _values(
        self,
        evaluation: Evaluation,
        problem: np.ndarray,
        rows: np.ndarray,
        forces: Forces,
        whole: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lower bounds of rows ``[leaves, most]``, and the largest coefficients on features.

        The claims' own multipliers of input sets are for leaves that are a ``whole`` box.
        """
        values = np.full(rows.shape, -np.inf)
        reach = np.zeros((len(rows), self.program.features))
        last = len(self.program.steps) - 1
        for first in range(0, rows.shape[1], ROWS):
            some = slice(first, first + ROWS)
            numbers = self.arithmetic.numbers(self._rows(problem, rows[:, some]))
            used = self._multipliers(problem, rows[:, some]) if whole else SetMultipliers()
            bounds, line = least(evaluation, last, numbers, forces=forces, multipliers=used)
            values[:, some] = self.arithmetic.floats(bounds, -1)
            if whole:
                self._keep(problem, rows[:, some], used, values[:, some])
            reach = np.maximum(reach, self.arithmetic.floats(abs(line).max(axis=1), 1))
        return values, reach

    def _sets(self, problem: np.ndarray) -> InputSets | None:
        return None if self.claims.sets is None else self.claims.sets.of(problem)

    def _multipliers(self, problem: np.ndarray, rows: np.ndarray) -> SetMultipliers:
        own = self.claims.multipliers
        return SetMultipliers(None if own is None else own[problem[:, None], rows])

    def _keep(
        self, problem: np.ndarray, rows: np.ndarray, used: SetMultipliers, values: np.ndarray
    ) -> None:
        """Remember multipliers that were chosen, for whoever proposes: of each row the best."""
        if used.values is None or self.chosen is None:
            return
        for leaf, (place, mine) in enumerate(zip(problem, rows, strict=True)):
            better = values[leaf] > self._reached[place, mine]
            self._reached[place, mine[better]] = values[leaf, better]
            self.chosen[place, mine[better]] = used.values[leaf, better]

    def _rows(self, problem: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Rows by number, ``[leaves, rows, outputs]``, or one leaf's where they are all alike."""
        every = self.claims.rows
        if len(every) == 1 and (rows == rows[:1]).all():
            return every[:, rows[0]]
        found = every[np.minimum(problem, len(every) - 1)[:, None], rows]
        return found[:1] if (found == found[:1]).all() else found

    def _refuted(
        self, evaluation: Evaluation, proof: Proof, part: Proven, forces: Forces
    ) -> np.ndarray:
        """Rows of whose group one, or a weighted sum, is above what it is held against."""
        claims, cells, own = self.claims, proof.cells, part.own
        assert claims.groups is not None
        problem = part.problem
        limits, reaching = (
            claims.limits[problem[:, None], part.rows],
            claims.reaching(problem, part.rows),
        )
        above = own & ((part.values > limits) | (reaching & (part.values >= limits)))
        if (cells.group[part.cell] == NONE).all():
            group = claims.groups[problem[:, None], part.rows]
            leaf = np.broadcast_to(np.arange(len(own))[:, None], own.shape)
            shown = np.zeros((len(own), claims.count), bool)
            shown[leaf[above], group[above]] = True
            return shown[leaf, group]
        shown = np.repeat(above.any(axis=1)[:, None], own.shape[1], axis=1)
        weighed = np.flatnonzero(cells.lines[part.cell] != RULE)
        if proof.weights is None or not len(weighed):
            return shown
        for some in self.layers.batches(weighed, own.shape[1]):
            lines = cells.lines[part.cell[some]]
            weights = np.maximum(proof.weights[lines[:, None], part.rows[some]], 0) * own[some]
            excess = self._excess(evaluation, part, some, weights, forces)
            # Were all rows below their limits, a sum with a strict one would be below 0.
            enough = (excess >= 0) & (reaching[some] & (weights > 0)).any(axis=1)
            shown[some] |= ((excess > 0) | enough)[:, None]
        return shown

    def _excess(
        self,
        evaluation: Evaluation,
        whole: Proven,
        chosen: np.ndarray,
        weights: np.ndarray,
        forces: Forces,
    ) -> np.ndarray:
        """At most ``sum of w (row - limit)`` for weights ``[chosen, rows]``."""
        arithmetic, claims = self.arithmetic, self.claims
        part = evaluation.taken(chosen)
        problem, places = whole.problem[chosen], whole.rows[chosen]
        rows = arithmetic.numbers(self._rows(problem, places))
        weight = arithmetic.numbers(weights)
        limits = claims.limits[problem[:, None], places]
        limits = weight * arithmetic.numbers(np.where(weights > 0, limits, 0.0))
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


def _slopes(
    proof: Proof, lines: np.ndarray, step: Nonlinear, lower: np.ndarray, upper: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Slopes ``[cells, entries]`` as the line sets say, or by the rule."""
    if (lines == RULE).all():
        return step.function.rule_slopes(lower, upper)
    below = proof.lines.lower[lines, step.entries].astype(np.float64)
    if proof.lines.upper is None:
        above = step.function.chord_slopes(lower, upper)
    else:
        above = proof.lines.upper[lines, step.entries].astype(np.float64)
    if (lines == RULE).any():
        ruled, by_rule = (lines == RULE)[:, None], step.function.rule_slopes(lower, upper)
        below, above = np.where(ruled, by_rule[0], below), np.where(ruled, by_rule[1], above)
    return below, above


def _cut(
    step: Nonlinear, paths: Paths, lower: np.ndarray, upper: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Bounds cut at the constraints on a step's entries, and where nothing is left."""
    if paths.entry_lower is not None and paths.entry_upper is not None:
        lower = np.maximum(lower, paths.entry_lower[:, step.entries])
        upper = np.minimum(upper, paths.entry_upper[:, step.entries])
    crossed = np.asarray((lower > upper).any(axis=1))
    return (lower, np.maximum(lower, upper)), crossed


def _entries_of(step: Nonlinear, entries: np.ndarray) -> slice:
    """Range of a step's entries among sorted entries."""
    first, stop = np.searchsorted(entries, [step.entries.start, step.entries.stop])
    return slice(int(first), int(stop))


def _no_tighter(
    found: tuple[np.ndarray, np.ndarray], given: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds, given way to others where these are looser; what is not finite is never taken."""
    lower = np.isfinite(given[0]) & (given[0] < found[0])
    upper = np.isfinite(given[1]) & (given[1] > found[1])
    return np.where(lower, given[0], found[0]), np.where(upper, given[1], found[1])


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
