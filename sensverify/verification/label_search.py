"""Labels that bounds leave open, decided by a complete method: the exact accuracy under attack."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from math import comb

import numpy as np
import torch

from sensverify.bounds.method import Decider
from sensverify.classification.margins import changes
from sensverify.classification.rivals import Rivals
from sensverify.core.box import Box
from sensverify.core.queries import Query, Verdict
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.verification.counterexample import Counterexample
from sensverify.verification.replay import Replay

MOST = 1 << 10
"""Sets of rivals that are asked about: which of them may all be ahead of a class."""


@dataclass(frozen=True, eq=False)
class Searched:
    """A search's answer about one label.

    Parameters
    ----------
    kept : bool or None
        True: no input of the box takes its place. False: the counterexample does. None: open.
    counterexample : Counterexample or None
    explored : int
        Sub-boxes or nodes that were bounded.
    """

    kept: bool | None
    counterexample: Counterexample | None = None
    explored: int = 0


@dataclass(frozen=True, eq=False)
class LabelSearch:
    """A decider's answers about labels.

    Parameters
    ----------
    network : Network
    decider : Decider
    replay : Replay
        Of the network's file: what it does not confirm is no counterexample.
    """

    network: Network
    decider: Decider
    replay: Replay

    def decide(self, asked: Box, rivals: Rivals, unproven: np.ndarray, watch: Watch) -> Searched:
        """Decide if a label keeps its place on its box.

        Parameters
        ----------
        asked : Box of numpy arrays, shape ``[1, *input_shape]``, float64
        rivals : Rivals
            Of the one sample.
        unproven : boolean numpy array, shape ``[outputs]``
            Rivals that may be ahead, for all that bounds have proven.
        watch : Watch
        """
        query = label_query(asked, rivals, unproven)
        if query is None:
            return Searched(None)
        witnesses = _Witnesses(self.network, self.replay, asked, rivals)
        found = self.decider.decide(self.network, query, watch=watch, accept=witnesses.accept)
        if found.witness is not None and witnesses.confirmed is None:
            witnesses.accept(found.witness)
        if witnesses.confirmed is not None:
            return Searched(False, witnesses.confirmed, found.explored)
        # A point that loses its place here, and not in the file, contradicts a proof.
        refuted = found.verdict is Verdict.UNSAT and not witnesses.contradicting
        return Searched(True if refuted else None, None, found.explored)


@dataclass(eq=False)
class _Witnesses:
    """Points that a decider calls witnesses, replayed."""

    network: Network
    replay: Replay
    asked: Box
    rivals: Rivals
    confirmed: Counterexample | None = None
    refused: list[np.ndarray] = field(default_factory=list)

    def accept(self, point: np.ndarray) -> bool:
        point = np.asarray(point, dtype=np.float64).reshape(1, *self.network.input_shape)
        (found,) = self.replay.counterexamples(point, self.asked, self.rivals)
        if found is None:
            self.refused.append(point)
        elif self.confirmed is None:
            self.confirmed = Counterexample.of(found)
        return found is not None

    @property
    def contradicting(self) -> bool:
        """Whether a refused point loses its place by more than rounding, in float64."""
        if not self.refused:
            return False
        points = torch.from_numpy(np.concatenate(self.refused))
        each = self.rivals.cpu()[torch.zeros(len(points), dtype=torch.int64)]
        return bool(changes(self.network, points, each).any())


def label_query(asked: Box, rivals: Rivals, unproven: np.ndarray) -> Query | None:
    """The question whether an input takes a class's place; None where it is too long to ask.

    Parameters
    ----------
    asked, rivals, unproven
        As for `LabelSearch.decide`.

    Returns
    -------
    Query or None
        Met where ``places`` rivals are at least as large as every output that is no rival. None
        where more than `MOST` sets of rivals could be.
    """
    against = rivals.against[0].cpu().numpy()
    ahead, behind = np.flatnonzero(against & unproven), np.flatnonzero(~against)
    if comb(len(ahead), rivals.places) > MOST:
        return None
    identity = np.eye(len(against))
    # Of every rival that may be ahead, how far each of the others is above it.
    rows = (identity[behind][None] - identity[ahead][:, None]).reshape(-1, len(against))
    of_rival = np.arange(len(rows)).reshape(len(ahead), len(behind))
    alternatives = tuple(
        tuple(int(i) for i in of_rival[list(chosen)].reshape(-1))
        for chosen in combinations(range(len(ahead)), rivals.places)
    )
    return Query(asked, rows, np.zeros(len(rows)), alternatives)
