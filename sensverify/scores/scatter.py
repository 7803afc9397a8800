"""Columns against each other, by groups of networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sensverify.errors import BadSetting
from sensverify.scores.columns import column, default_columns, group_means
from sensverify.scores.correlate import FEWEST
from sensverify.scores.table import Scores

EVERY = "all"
"""What the group of all networks is called."""


@dataclass(frozen=True)
class Dot:
    """A network, or the mean of a group of them, with both columns."""

    network: str
    group: str
    first: float
    second: float


@dataclass(frozen=True)
class Scattered:
    """Two columns.

    Parameters
    ----------
    first, second : str
    dots : tuple of Dot
        Networks that have both.
    taus : mapping from str to (int, float or None)
        Networks and Kendall's tau-b, by group, that of all first; None of fewer than three
        networks, and of constant columns.
    """

    first: str
    second: str
    dots: tuple[Dot, ...]
    taus: dict[str, tuple[int, float | None]]


@dataclass(frozen=True, kw_only=True)
class Scatters:
    """Every column with every other, by rows."""

    over: str
    groups: tuple[str, ...]
    pairs: tuple[Scattered, ...]

    @property
    def unanswered(self) -> str:
        """Why there is no number at all; empty where there is one."""
        known = any(len(each.dots) > 1 for each in self.pairs)
        return "" if known else "no two networks have both of two columns"


def scatter(
    scores: Scores,
    *,
    columns: tuple[str, ...] = (),
    against: tuple[str, ...] = (),
    by: tuple[str, ...] = (),
    over: Literal["networks", "groups"] = "networks",
) -> Scatters:
    """Networks as points of two columns, in groups by their names.

    Parameters
    ----------
    scores : Scores
    columns, against : tuple of str
        Names as `sensverify.scores.columns.column` has them. Default: measures against accuracies.
    by : tuple of str
        Groups: a network is of that whose name stands in its own, the longest if there are several.
        Default: all are one group.
    over : str
        ``networks``: each is a point. ``groups``: the means of networks that differ in the seed
        alone (``NAME-seedN``).

    Raises
    ------
    BadSetting
        There is no such column, or none at all, or a network is of no group.
    """
    first, second = default_columns(scores)
    first, second = columns or first, against or second
    pairs = [(one, other) for one in first for other in second if one != other]
    if not pairs:
        raise BadSetting(
            "there are no two columns", "name some as `columns`, and others as `against`"
        )
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    values = np.stack([column(scores, name) for name in names], axis=1)
    points = [each.name for each in scores.networks]
    if over == "groups":
        points, values = group_means(scores, values)
    owners = [group_of(each, by) for each in points]
    groups = tuple(each for each in (by or (EVERY,)) if each in owners)
    found = []
    for one, other in pairs:
        both = values[:, [names.index(one), names.index(other)]]
        dots = tuple(
            Dot(point, owner, float(row[0]), float(row[1]))
            for point, owner, row in zip(points, owners, both, strict=True)
            if not np.isnan(row).any()
        )
        taus = {EVERY: _tau(dots)}
        for group in groups:
            taus[group] = _tau([each for each in dots if each.group == group])
        found.append(Scattered(one, other, dots, taus))
    return Scatters(over=over, groups=groups, pairs=tuple(found))


def group_of(network: str, by: Sequence[str]) -> str:
    """The longest of the groups whose name stands in that of a network.

    Raises
    ------
    BadSetting
        None does.
    """
    if not by:
        return EVERY
    fits = [each for each in by if each in network]
    if not fits:
        raise BadSetting(
            f"the network '{network}' is of no group",
            f"groups are {', '.join(by)}: add one to `by` whose name stands in its own",
        )
    return max(fits, key=len)


def _tau(dots: Sequence[Dot]) -> tuple[int, float | None]:
    # Here, as it takes seconds.
    from scipy.stats import kendalltau

    first, second = [each.first for each in dots], [each.second for each in dots]
    if len(dots) < FEWEST or len(set(first)) < 2 or len(set(second)) < 2:
        return len(dots), None
    return len(dots), float(kendalltau(first, second).statistic)
