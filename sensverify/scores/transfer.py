"""Robustness that training with one shift gives against the others."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan

import numpy as np

from sensverify.classification.shift import app
from sensverify.errors import BadSetting, NotMeasured
from sensverify.scores.columns import shift_names
from sensverify.scores.gains import STANDARD, Gain, gain, others, standard_of
from sensverify.scores.table import Scores

WITHOUT = "no-"
"""What the name of a network begins with that was trained with all shifts but the one named."""


@dataclass(frozen=True)
class Transfer:
    """One network under one shift.

    Parameters
    ----------
    network, shift : str
    role : str
        ``own``: it was trained with this shift; ``held-out``: with all others; ``other``.
    gain : Gain or None
        On the standard network; None where a cell is a hole.
    app : float or None
        Accuracy over clean accuracy; None where one of them is not known, or nothing is right.
    """

    network: str
    shift: str
    role: str
    gain: Gain | None
    app: float | None


@dataclass(frozen=True, kw_only=True)
class Transfers:
    """Every network under every shift, by rows.

    Parameters
    ----------
    standard : str
    networks, shifts : tuple of str
        The standard networks first.
    clean : mapping from str to float or None
        Clean accuracies.
    aliases : mapping from str to tuple of str
        Further names of networks that have some.
    cells : tuple of Transfer
    """

    standard: str
    networks: tuple[str, ...]
    shifts: tuple[str, ...]
    clean: dict[str, float | None]
    aliases: dict[str, tuple[str, ...]]
    cells: tuple[Transfer, ...]

    def mean_app(self, network: str) -> float | None:
        """Mean APP of a network over all shifts; None where one of them is not known."""
        found = [each.app for each in self.cells if each.network == network]
        known = [value for value in found if value is not None]
        return float(np.mean(known)) if known and len(known) == len(found) else None

    @property
    def unanswered(self) -> str:
        """Why there is no number at all; empty where there is one."""
        known = any(each.gain is not None or each.app is not None for each in self.cells)
        return "" if known else "no network is measured under a shift and as it is"

    @property
    def held_out(self) -> tuple[Transfer, ...]:
        """Networks trained with all shifts but one, under that one."""
        return tuple(each for each in self.cells if each.role == "held-out")


def transfer(
    scores: Scores, *, standard: str = STANDARD, shifts: tuple[str, ...] = ()
) -> Transfers:
    """Gains of networks trained with one shift under every shift.

    A network belongs to the shift whose name it has (with an ending ``-seedN`` or without, and
    before the first ``_`` that of a grid), and one
    called ``no-NAME`` was trained with all shifts but that; of two shifts, one network is both.
    Each is compared with the standard network, that of the same seed where there is one.

    Parameters
    ----------
    scores : Scores
    standard : str
        Name of the network that was trained without a shift.
    shifts : tuple of str
        As in `sensverify.scores.columns.places_of`. Default: all but proofs, each over its
        severities.

    Raises
    ------
    BadSetting
        There is no such network, no other one, or no such shift.

    Notes
    -----
    Source: Laugros 2022, Section 3.2, Tables 3.1 to 3.3.
    """
    trained = others(scores, standard)
    names = shifts or shift_names(scores, without=("certified",))
    if not names:
        raise BadSetting("a transfer is that to shifts, and the table has none", "give one with")
    bases = [place for place, each in enumerate(scores.networks) if standard in each.called]
    rows, own = [*bases, *trained], {*bases}
    cells = []
    for place in rows:
        base = place if place in own else standard_of(scores, place, standard)
        cells += [_cell(scores, place, base, shift) for shift in names]
    clean = {scores.networks[place].name: _known(scores.clean[place]) for place in rows}
    return Transfers(
        standard=standard,
        networks=tuple(clean),
        shifts=tuple(names),
        clean=clean,
        aliases={
            each.name: each.aliases
            for each in (scores.networks[place] for place in rows)
            if each.aliases
        },
        cells=tuple(cells),
    )


def _cell(scores: Scores, place: int, base: int, shift: str) -> Transfer:
    network = scores.networks[place]
    found = gain(scores, place, base, shift)
    called = network.called
    role = "own" if shift in called else "held-out" if f"{WITHOUT}{shift}" in called else "other"
    kept, clean = None, _known(scores.clean[place])
    if found is not None and clean is not None:
        try:
            kept = app(clean, found.accuracy)
        except NotMeasured:
            kept = None
    return Transfer(network.name, shift, role, None if place == base else found, kept)


def _known(value: float) -> float | None:
    return None if isnan(value) else float(value)
