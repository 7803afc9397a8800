"""Coverage of a benchmark: whether it tells anything of further shifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sensverify.errors import BadSetting
from sensverify.scores.columns import Metric
from sensverify.scores.gains import STANDARD
from sensverify.scores.overlap import Overlaps, members_of, overlap
from sensverify.scores.table import Scores


@dataclass(frozen=True)
class Covered:
    """One shift and a benchmark.

    Parameters
    ----------
    shift : str
    covered : bool or None
        Whether it overlaps with a member; None where it does with none that is measured, and one is
        not.
    largest : float or None
        Largest overlapping score with a member.
    member : str
        That one.
    """

    shift: str
    covered: bool | None
    largest: float | None
    member: str


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """All shifts that are not in a benchmark, and whether it covers them.

    The ``reason`` is why an overlap is not measured; empty where all are.
    """

    metric: str
    benchmark: tuple[str, ...]
    shifts: tuple[Covered, ...]
    reason: str = ""

    @property
    def unanswered(self) -> str:
        """Why there is no number at all; empty where there is one."""
        return "" if any(each.largest is not None for each in self.shifts) else self.reason


def coverage(
    scores: Scores,
    *,
    benchmark: tuple[str, ...] = (),
    metric: Metric = "residual",
    standard: str = STANDARD,
) -> Coverage:
    """Whether a benchmark says anything about the shifts that are not in it.

    A shift is uncovered where its overlap with every member is 0.

    Parameters
    ----------
    scores, metric, standard
        As of `overlap`.
    benchmark : tuple of str
        Shifts that a network was trained with.

    Raises
    ------
    BadSetting
        As of `overlap`; or a member has no network, or no shift is left.

    Notes
    -----
    Source: Laugros 2022, Section 4.2.
    """
    found = overlap(scores, metric=metric, standard=standard)
    members = members_of(found, benchmark) if benchmark else ()
    rest = [each for each in found.shifts if each not in members]
    if not members or not rest:
        raise BadSetting(
            "coverage needs a benchmark, and a shift that is not in it",
            f"name some of {', '.join(found.shifts)} as `benchmark`",
        )
    return Coverage(
        metric=metric,
        benchmark=members,
        shifts=tuple(_covered(found, s, members) for s in rest),
        reason=next((w for s in rest for m in members if (w := found.of(s, m).reason)), ""),
    )


def _covered(found: Overlaps, shift: str, members: Sequence[str]) -> Covered:
    scores = {member: found.of(shift, member).score for member in members}
    known = {member: value for member, value in scores.items() if value is not None}
    if not known:
        return Covered(shift, None, None, "")
    member = max(known, key=lambda each: known[each])
    covered: bool | None = known[member] > 0
    if not covered and len(known) < len(scores):
        covered = None
    return Covered(shift, covered, known[member], member)
