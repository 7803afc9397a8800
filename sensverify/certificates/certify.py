"""From what a method found to what is proven: propose fast, check rigorously, claim that.

Nothing a method returns is believed. Every bound is derived anew from its multipliers, by the code
that checks certificates, and is claimed as it comes out there; trees whose leaves fall short of
what was proposed are grown until they reach it, or the time is up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np

from sensverify.certificates.certified import Certified
from sensverify.certificates.check.arithmetic import Exact, Rigorous
from sensverify.certificates.check.cells import check_cells
from sensverify.certificates.check.checker import Evaluator
from sensverify.certificates.check.claims import Claims
from sensverify.certificates.check.pair import StoredPair
from sensverify.certificates.check.sets import InputSets
from sensverify.certificates.check.stored import StoredModel
from sensverify.certificates.leaves import Leaves, best, refuted, undecided
from sensverify.core.proof import NONE, RULE, Cells, Proof, concatenated
from sensverify.core.queries import Query
from sensverify.errors import BadShape, Unbounded
from sensverify.runs.watch import Watch

MARGIN = 4
"""Factor on rounding errors when claims are made: other machines add in other orders, and must
still find every claim to hold."""

_GROWTH, _REFUTING_GROWTH = 1_000, 100_000
"""Leaves that may be added, beside as many as there are: to come closer to what was proposed, and
to refute a query, where one leaf that is left open is as bad as all."""

_EXACTLY = 256
"""Leaves that are looked at in rational arithmetic, where a strict row may just reach its limit."""

_TOGETHER = 16
"""Of these, between two looks at the time."""

Short = Callable[[Leaves], np.ndarray]
"""By how much leaves fall short, ``[leaves]``; 0 where they do not."""

_LARGEST = 1e300
"""Stands for what is infinite."""

_NEARLY = 0.1
"""Share of the largest shortfall from which leaves are split before the others."""

_FEW = 32
"""Features that move, up to which leaves are split at inputs."""

_CLOSE = 2e-6
"""Relative distance to what was proposed that no leaf is split for: twice what exact methods aim
at."""

_SMALL = 1e-6
"""Magnitude below which distances are no longer relative."""


def certify_bounds(
    model: StoredModel | StoredPair,
    lower: np.ndarray,
    upper: np.ndarray,
    rows: np.ndarray,
    proof: Proof,
    *,
    wanted: np.ndarray | None = None,
    watch: Watch | None = None,
    sets: InputSets | None = None,
) -> Certified:
    """The lower bounds of rows that a proof proves.

    Parameters
    ----------
    model : StoredModel or StoredPair
    lower, upper : numpy array, shape ``[problems, *input_shape]``
        Input boxes, exactly.
    rows : numpy array, shape ``[problems or 1, rows, outputs]``
    proof : Proof
        Of a method, about these boxes and rows.
    wanted : numpy array, shape ``[problems, rows]``, optional
        What the method claims; split trees that fall short of it are grown.
    watch : Watch, optional
        Once it is over, hidden layers are bounded by intervals and nothing is grown any more.
    sets : InputSets, optional
        In the boxes, that alone are claimed about; their multipliers are chosen here. The proof
        has whole boxes as cells.

    Returns
    -------
    Certified
        Guarantee CERTIFIED.

    Raises
    ------
    BadShape
        The arguments do not fit the model.
    Unbounded
        A bound overflowed.
    CertificateRejected
        The proof is none: its trees cover nothing, or use what is not there.
    """
    claims = replace(_unclaimed(model, lower, upper, rows), sets=sets)
    # A root cell with lines proves what these prove; trees are grown, and what may become one.
    cells = proof.cells
    tree_like = (cells.split != NONE) | ((cells.hidden == NONE) & (cells.lines == RULE))
    grows = wanted is not None and bool(tree_like.any())
    goal = wanted if wanted is not None and grows else claims.limits
    tree = _Tree(model, claims, proof, watch or Watch())

    enough = goal - _CLOSE * np.where(np.isfinite(goal), abs(goal) + _SMALL, 0.0)

    def short(leaves: Leaves) -> np.ndarray:
        missing = best(claims, tree.proof, leaves) < enough
        problem = tree.proof.cells.problem[leaves.cell]
        rows, own = claims.members(problem, tree.proof.cells.group[leaves.cell])
        at = problem[:, None], rows
        values = np.take_along_axis(leaves.values, rows, axis=1)
        with np.errstate(invalid="ignore"):
            by = (enough[at] - values) / (abs(goal[at]) + _SMALL)
        return np.where(own & missing[at], by, 0.0).max(axis=1, initial=0.0)

    leaves = tree.grown(tree.with_whole_boxes(enough), short, _GROWTH)
    values = best(claims, tree.proof, leaves)
    if not bool(np.isfinite(values).all()):
        problem, row = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise Unbounded(f"nothing is proven about row {row} of problem {problem}: it overflows")
    claims = replace(claims, limits=values, multipliers=tree.evaluator.chosen)
    return Certified(claims, tree.proof)


def _unclaimed(
    model: StoredModel | StoredPair, lower: np.ndarray, upper: np.ndarray, rows: np.ndarray
) -> Claims:
    """Boxes and rows as certificates hold them, with nothing claimed yet."""
    lower, upper, rows = (np.asarray(part, np.float64) for part in (lower, upper, rows))
    count, features, outputs = len(lower), model.program.features, model.program.outputs
    ends = [end.size == count * features for end in (lower, upper)]
    if count == 0 or not all(ends) or len(upper) != count:
        raise BadShape(
            f"boxes of shapes {lower.shape} and {upper.shape} do not fit a model of {features} "
            "inputs"
        )
    if rows.ndim != 3 or rows.shape[0] not in (1, count) or rows.shape[2] != outputs:
        raise BadShape(
            f"rows of shape {rows.shape} do not fit {count} boxes and {outputs} outputs: expected "
            f"[1 or {count}, rows, {outputs}]"
        )
    lower, upper = lower.reshape(count, features), upper.reshape(count, features)
    return Claims(lower, upper, rows, np.full((count, rows.shape[1]), -np.inf))


def certify_query(
    model: StoredModel, query: Query, proof: Proof, *, watch: Watch | None = None
) -> Certified | None:
    """The claim that no input meets a query, or None where the proof does not show it.

    Where strict rows may just reach their limits, leaves are looked at in rational arithmetic.

    Parameters
    ----------
    model : StoredModel
    query : Query
    proof : Proof
        Of a decider, about the query's rows; its groups are the query's alternatives.
    watch : Watch, optional
        Once it is over, hidden layers are bounded by intervals and no tree is grown any more.

    Raises
    ------
    Unbounded, CertificateRejected
        As for `certify_bounds`.
    """
    if not query.alternatives or not all(query.alternatives):
        return None
    # A row may stand in several alternatives; here each has rows of its own.
    order = np.array([row for part in query.alternatives for row in part])
    groups = np.repeat(np.arange(len(query.alternatives)), [len(p) for p in query.alternatives])
    claims = Claims(
        lower=query.box.lower.reshape(1, -1).astype(np.float64),
        upper=query.box.upper.reshape(1, -1).astype(np.float64),
        rows=query.rows[order][None],
        limits=query.limits[order][None],
        groups=groups[None],
        strict=query.strict[order].astype(np.int64)[None] if query.strict[order].any() else None,
    )
    weights = None if proof.weights is None else proof.weights[:, order]
    tree = _Tree(model, claims, replace(proof, weights=weights), watch or Watch())

    def short(leaves: Leaves) -> np.ndarray:
        closed = refuted(claims, tree.proof, leaves)
        left = replace(leaves, refuted=leaves.refuted | closed)
        return undecided(claims, tree.proof, left).astype(np.float64)

    leaves = tree.grown(tree.leaves(), short, _REFUTING_GROWTH)
    if not bool(refuted(claims, tree.proof, leaves).all()):
        return None
    return Certified(claims, tree.proof)


class _Tree:
    """A proof whose hidden bounds are derived, and whose leaves are split where they fall short."""

    def __init__(
        self, model: StoredModel | StoredPair, claims: Claims, proof: Proof, watch: Watch
    ) -> None:
        program = model.program
        check_cells(
            proof,
            problems=claims.problems,
            groups=claims.count,
            features=program.features,
            entries=program.entries,
        )
        self.watch, self.claims, self.exactly = watch, claims, 0
        self.exact = None
        if claims.strict is not None:
            self.exact = Evaluator(program, Exact(), claims)
        self.evaluator = Evaluator(
            program,
            Rigorous(),
            claims,
            margin=MARGIN,
            hurry=lambda: watch.over,
        )
        lower, upper = self.evaluator.hidden(proof, believe=False)
        if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
            raise Unbounded(
                "bounds on what enters a nonlinear function overflow; use a smaller box"
            )
        self.proof = replace(proof, hidden=replace(proof.hidden, lower=lower, upper=upper))

    def leaves(self, first: int = 0) -> Leaves:
        """The leaves among all cells, or among those from a first one on."""
        leaves = first + np.flatnonzero(self.proof.cells.split[first:] == NONE)
        hidden = self.proof.hidden.lower, self.proof.hidden.upper
        return self._settled(Leaves.of(self.evaluator, self.proof, hidden, leaves))

    def with_whole_boxes(self, enough: np.ndarray) -> Leaves:
        """All leaves, with trees of one cell for rows of which the whole box proves enough.

        The parts of a box may prove less, however small they are: with tighter bounds on what
        enters a neuron, the rule may give up the line 0 below it for a steeper one.
        """
        leaves, proof = self.leaves(), self.proof
        first, short = len(proof.cells), best(self.claims, proof, leaves) < enough
        trees = proof.cells.problem[(proof.cells.parent == NONE) & (proof.cells.split != NONE)]
        problem = np.intersect1d(trees, np.flatnonzero(short.any(axis=1)))
        if not len(problem) or self.watch.over:
            return leaves
        self._add(Cells.roots(problem))
        root, row = np.nonzero(short[problem] & (self.leaves(first).values >= enough[problem]))
        self.proof = proof
        if not len(root):
            return leaves
        self._add(Cells.roots(problem[root], group=row))
        return concatenated([leaves, self.leaves(first)])

    def grown(self, leaves: Leaves, short: Short, more: int) -> Leaves:
        """Leaves, after those that ``short`` names were split while there was time.

        The parts of a leaf may prove less than the leaf until they are split again: where that
        takes too long, what proved most is the result.
        """
        most = 2 * len(leaves.cell) + more
        least, found = np.inf, (self.proof, leaves)
        while True:
            by = np.minimum(short(leaves), _LARGEST)
            worst = by.max(initial=0.0)
            if worst < least:
                least, found = worst, (self.proof, leaves)
            by = by * self._splittable(leaves)
            # Those that fall short by most: they decide what is proven of the whole box.
            split = (by > 0) & (by >= _NEARLY * by.max(initial=0.0))
            over = len(leaves.cell) >= most or self.watch.over or self.exactly >= _EXACTLY
            if over or not split.any():
                break
            first = len(self.proof.cells)
            self._split(leaves, split)
            kept = Leaves(*(getattr(leaves, f.name)[~split] for f in fields(Leaves)))
            leaves = concatenated([kept, self.leaves(first)])
            self.watch.say(f"certificate: {len(leaves.cell):,} leaves")
        if worst > least:
            self.proof, leaves = found
        return leaves

    def _add(self, cells: Cells) -> None:
        self.proof = replace(self.proof, cells=concatenated([self.proof.cells, cells]))

    def _settled(self, leaves: Leaves) -> Leaves:
        """With what rational arithmetic says of leaves that are left open."""
        if self.exact is None:
            return leaves
        hidden = self.proof.hidden.lower, self.proof.hidden.upper
        left = np.flatnonzero(undecided(self.claims, self.proof, leaves))
        for first in range(0, len(left), _TOGETHER):
            if self.watch.over or self.exactly >= _EXACTLY:
                break
            some = left[first : first + _TOGETHER]
            self.exactly += len(some)
            found = Leaves.of(self.exact, self.proof, hidden, leaves.cell[some])
            leaves = leaves.refuting(some, found)
        return leaves

    def _splittable(self, leaves: Leaves) -> np.ndarray:
        """Leaves with few features that move, which bound their own layers."""
        cells, claims = self.proof.cells, self.claims
        moving = (claims.lower < claims.upper).sum(axis=1)
        problem = cells.problem[leaves.cell]
        own = (cells.hidden[leaves.cell] == NONE) & (moving[problem] <= _FEW)
        return own & (leaves.reach > 0).any(axis=1)

    def _split(self, leaves: Leaves, chosen: np.ndarray) -> None:
        """Halve leaves along the feature that moves their lines most."""
        cells, parent = self.proof.cells, leaves.cell[chosen]
        feature = leaves.reach[chosen].argmax(axis=1)
        low, high = self.evaluator.trees(self.proof).boxes(parent)
        places = np.arange(len(parent)), feature
        split, at = cells.split.copy(), cells.at.copy()
        split[parent], at[parent] = feature, low[places] / 2 + high[places] / 2
        twice = np.concatenate([parent, parent])
        none = np.full(len(twice), NONE)
        added = Cells(
            problem=cells.problem[twice],
            group=cells.group[twice],
            parent=twice,
            side=np.repeat([-1, 1], len(parent)),
            split=none,
            at=np.zeros(len(twice)),
            hidden=none,
            lines=np.full(len(twice), RULE),
        )
        self.proof = replace(self.proof, cells=replace(cells, split=split, at=at))
        self._add(added)
