"""Balance of a benchmark: how much its members overlap with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, pstdev

from sensverify.errors import BadSetting
from sensverify.scores.columns import Metric
from sensverify.scores.gains import STANDARD
from sensverify.scores.overlap import Overlaps, members_of, overlap
from sensverify.scores.table import Scores


@dataclass(frozen=True, kw_only=True)
class Balance:
    """The overlap of each member of a benchmark with the others.

    Parameters
    ----------
    metric : str
    members : mapping from str to float or None
        Mean overlapping score with the other members; None where none is measured.
    deviation : float or None
        Standard deviation of these: 0 is balanced. None where one is not known.
    reason : str
        Why an overlap is not measured; empty where all are.
    """

    metric: str
    members: dict[str, float | None]
    deviation: float | None
    reason: str = ""

    @property
    def unanswered(self) -> str:
        """Why there is no number at all; empty where there is one."""
        known = any(each is not None for each in self.members.values())
        return "" if known else self.reason


def balance(
    scores: Scores,
    *,
    benchmark: tuple[str, ...] = (),
    metric: Metric = "residual",
    standard: str = STANDARD,
) -> Balance:
    """Mean overlap of each shift of a benchmark with its others: those above count for more.

    Parameters
    ----------
    scores, metric, standard
        As of `overlap`.
    benchmark : tuple of str
        Shifts that a network was trained with. Default: all of them.

    Raises
    ------
    BadSetting
        As of `overlap`; or a member has no network, or there are fewer than two.

    Notes
    -----
    Source: Laugros 2022, Section 4.2.
    """
    found = overlap(scores, metric=metric, standard=standard)
    members = members_of(found, benchmark)
    if len(members) < 2:
        raise BadSetting("the balance of one shift is none", "name two or more as `benchmark`")
    means = {each: _mean(found, each, [o for o in members if o != each]) for each in members}
    known = [value for value in means.values() if value is not None]
    return Balance(
        metric=metric,
        members=means,
        deviation=pstdev(known) if len(known) == len(means) else None,
        reason=next((w for a, b in combinations(members, 2) if (w := found.of(a, b).reason)), ""),
    )


def _mean(found: Overlaps, shift: str, members: Sequence[str]) -> float | None:
    known = [value for each in members if (value := found.of(shift, each).score) is not None]
    return fmean(known) if known else None
