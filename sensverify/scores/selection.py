"""The members of a benchmark: of every category the shifts that overlap least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from statistics import fmean
from typing import Annotated

from sensverify.errors import BadSetting
from sensverify.registry.ranges import Range
from sensverify.scores import categories as clusters
from sensverify.scores.columns import Metric
from sensverify.scores.gains import STANDARD
from sensverify.scores.overlap import Overlaps, overlap
from sensverify.scores.table import Scores

_MOST = 200_000
"""Choices of members of a category that are looked at."""


@dataclass(frozen=True)
class Chosen:
    """The members of one category.

    Parameters
    ----------
    category, members : tuple of str
        All shifts of it, and those chosen.
    overlap : float
        Mean overlapping score of two members.
    mean : float
        Mean overlapping score of two shifts of the category.
    """

    category: tuple[str, ...]
    members: tuple[str, ...]
    overlap: float
    mean: float


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A benchmark of as many shifts of each category."""

    metric: str
    chosen: tuple[Chosen, ...]

    @property
    def benchmark(self) -> tuple[str, ...]:
        """All members."""
        return tuple(name for each in self.chosen for name in each.members)


def selection(
    scores: Scores,
    *,
    categories: tuple[tuple[str, ...], ...] = (),
    members: Annotated[int, Range(2)] | None = None,
    metric: Metric = "residual",
    standard: str = STANDARD,
) -> Selection:
    """The benchmark with as many members of each category that overlap least within them.

    Categories tell of nothing but themselves, so that the best members of each are found one
    category after the other, among all that there are.

    Parameters
    ----------
    scores, metric, standard
        As of `sensverify.scores.overlap.overlap`.
    categories : tuple of tuple of str
        Shifts by category. Default: those of `sensverify.scores.categories.categories`.
    members : int or None
        Of each category. Default: as many as the smallest category has.

    Raises
    ------
    BadSetting
        As of `overlap`; or a category has fewer than two shifts or than ``members``, a shift is in
        two of them, an overlap is not measured, or there are too many choices.

    Notes
    -----
    Source: Laugros 2022, Section 4.3: ImageNet-Syn2Nat.
    """
    found = overlap(scores, metric=metric, standard=standard)
    if not categories:
        categories = clusters.categories(scores, metric=metric, standard=standard).categories
    names = [name for each in categories for name in each]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadSetting(f"'{twice}' is in two categories, or twice in one", "name it once")
    smallest = min(categories, key=len)
    count = members or len(smallest)
    if len(smallest) < max(count, 2):
        raise BadSetting(
            f"{max(count, 2)} members of each category are wanted, and one has {len(smallest)}: "
            f"{', '.join(smallest) or 'none'}",
            "give `categories` that have as many, or ask for fewer `members`",
        )
    return Selection(
        metric=metric, chosen=tuple(_chosen(found, each, count) for each in categories)
    )


def _chosen(found: Overlaps, category: Sequence[str], count: int) -> Chosen:
    choices = comb(len(category), count)
    if choices > _MOST:
        raise BadSetting(
            f"there are {choices:,} choices of {count} of {len(category)} shifts",
            f"at most {_MOST:,} are looked at: choose fewer `members`, or split the category",
        )
    scores: dict[frozenset[str], float] = {}
    for one, other in combinations(category, 2):
        pair = found.of(one, other)
        if pair.score is None:
            raise BadSetting(
                f"the overlap of '{one}' with '{other}' is not measured: {pair.reason}",
                "leave the shift out of `categories`",
            )
        scores[frozenset((one, other))] = pair.score

    def mean(members: Sequence[str]) -> float:
        return fmean(scores[frozenset(pair)] for pair in combinations(members, 2))

    # Of several that are as good, the first, also where rounding would tell them apart.
    best = min(combinations(category, count), key=lambda members: round(mean(members), 12))
    return Chosen(tuple(category), best, mean(best), mean(category))
