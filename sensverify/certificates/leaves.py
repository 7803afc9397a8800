"""Bounds by every single leaf of a proof, for whoever splits those that fall short.

The checker asks for less: the worst leaf of each tree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sensverify.certificates.check.cells import roots_of
from sensverify.certificates.check.checker import Evaluator
from sensverify.certificates.check.claims import Claims
from sensverify.core.proof import NONE, Proof

Ends = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Leaves:
    """Bounds that the leaves of a proof prove.

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

    @classmethod
    def of(
        cls, evaluator: Evaluator, proof: Proof, hidden: Ends, chosen: np.ndarray | None = None
    ) -> Leaves:
        """Bounds by leaves on all rows and groups, in order; default: all leaves.

        ``hidden``: proven bounds on the hidden sets.
        """
        parts = list(evaluator.proven(proof, hidden, chosen))
        if chosen is None:
            chosen = np.flatnonzero(proof.cells.split == NONE)
        claims, place = evaluator.claims, np.zeros(len(proof.cells), np.int64)
        place[chosen] = np.arange(len(chosen))
        values = np.full((len(chosen), claims.limits.shape[1]), -np.inf)
        refuted = np.zeros((len(chosen), claims.count), bool)
        reach = np.zeros((len(chosen), evaluator.program.features))
        for part in parts:
            at = place[part.cell]
            leaf = np.broadcast_to(at[:, None], part.own.shape)[part.own]
            values[leaf, part.rows[part.own]] = part.values[part.own]
            if claims.groups is not None:
                group = claims.groups[part.problem[:, None], part.rows]
                refuted[leaf, group[part.own]] = part.refuted[part.own]
            reach[at] = part.reach
        return cls(chosen, values, refuted, reach)

    def refuting(self, at: np.ndarray, found: Leaves) -> Leaves:
        """These with what is refuted on some of them by other means, too."""
        refuted = self.refuted.copy()
        refuted[at] |= found.refuted
        return replace(self, refuted=refuted)


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
