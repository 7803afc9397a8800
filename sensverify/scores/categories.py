"""Categories of shifts: K-means of their overlaps, with the thesis' rule for their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sensverify.errors import BadSetting
from sensverify.registry.ranges import Range
from sensverify.scores.columns import Metric
from sensverify.scores.gains import STANDARD
from sensverify.scores.overlap import Overlaps, overlap
from sensverify.scores.table import Scores

THRESHOLD = 0.5
"""Mean correlation of shifts of a category that is enough."""

_STEPS = 1000


@dataclass(frozen=True, kw_only=True)
class Categories:
    """Shifts by category.

    Parameters
    ----------
    metric : str
    categories : tuple of tuple of str
        The largest first.
    same, different : float or None
        Mean Pearson correlation of the overlaps of two shifts of the same category, and of
        different ones; None where there are no such pairs.
    reached : bool
        Whether ``same`` is above the threshold; of a given number, it need not be.
    left_out : mapping from str to str
        Shifts whose overlaps are not measured, with the reason.
    """

    metric: str
    categories: tuple[tuple[str, ...], ...]
    same: float | None
    different: float | None
    reached: bool
    left_out: dict[str, str]


def categories(
    scores: Scores,
    *,
    count: Annotated[int, Range(2)] | None = None,
    threshold: Annotated[float, Range(-1, 1)] = THRESHOLD,
    starts: Annotated[int, Range(1, 10_000)] = 100,
    seed: Annotated[int, Range(0)] = 0,
    metric: Metric = "residual",
    standard: str = STANDARD,
) -> Categories:
    """Shifts whose robustness overlaps with the same others, by K-means.

    The vector of a shift are its overlapping scores with all. From two categories on their number
    grows until the mean Pearson correlation of the vectors of the same category is above the
    threshold.

    Parameters
    ----------
    scores, metric, standard
        As of `sensverify.scores.overlap.overlap`.
    count : int or None
        Number of categories; None for the rule.
    threshold : float
        Of the rule.
    starts : int
        Of K-means, each from other centres; the tightest is kept.
    seed : int
        Of these.

    Raises
    ------
    BadSetting
        As of `overlap`; or fewer than three shifts have overlaps, or fewer than ``count``.

    Notes
    -----
    Source: Laugros 2022, Section 4.3.
    """
    found = overlap(scores, metric=metric, standard=standard)
    left_out = {
        each: found.of(each, each).reason
        for each in found.shifts
        if found.of(each, each).score is None
    }
    names = [each for each in found.shifts if each not in left_out]
    least = max(3, count or 0)
    if len(names) < least:
        raise BadSetting(
            f"categories need the overlaps of {least} shifts, and those of {len(names)} are known",
            "train with more shifts, or evaluate on more samples",
        )
    vectors = _vectors(found, names)
    tried = range(2, len(names) + 1) if count is None else (count,)
    for number in tried:
        draws = np.random.default_rng([seed, number])
        places = k_means(vectors, number, starts, draws)
        same, different = _agreement(vectors, places)
        reached = same is not None and same > threshold
        # Where each stands alone there is no pair that could be above it.
        if reached or number == tried[-1]:
            break
    groups = [[n for n, p in zip(names, places, strict=True) if p == k] for k in range(number)]
    groups.sort(key=lambda group: (-len(group), group))
    return Categories(
        metric=metric,
        categories=tuple(tuple(group) for group in groups if group),
        same=same,
        different=different,
        reached=reached,
        left_out=left_out,
    )


def _vectors(found: Overlaps, names: Sequence[str]) -> NDArray[np.float64]:
    values = [[found.of(one, other).score for other in names] for one in names]
    if any(value is None for row in values for value in row):
        raise BadSetting(
            "an overlap between two shifts is not known, as a cell is a hole",
            "evaluate every network under every shift",
        )
    return np.array(values, dtype=np.float64)


def k_means(
    vectors: NDArray[np.float64], number: int, starts: int, draws: np.random.Generator
) -> NDArray[np.int64]:
    """The category of every vector: the tightest of several runs of Lloyd's algorithm.

    Parameters
    ----------
    vectors : array, shape ``[vectors, features]``
    number : int
        Of categories, at most that of vectors.
    starts : int
    draws : Generator
        Of the first centres: vectors, each with a chance in proportion to its squared distance from
        those before it.

    Notes
    -----
    Sources: Lloyd 1982, *Least squares quantization in PCM*; Arthur & Vassilvitskii 2007,
    *k-means++: the advantages of careful seeding*.
    """
    best, least = np.zeros(len(vectors), dtype=np.int64), np.inf
    for _ in range(starts):
        centres = _first_centres(vectors, number, draws)
        places = np.full(len(vectors), -1)
        for _ in range(_STEPS):
            apart = _squares(vectors, centres)
            now = apart.argmin(axis=1)
            if (now == places).all():
                break
            places = now
            for k in range(number):
                if (places == k).any():
                    centres[k] = vectors[places == k].mean(axis=0)
                else:
                    # The farthest vector, so that there are as many categories as were asked for.
                    far = int(apart.min(axis=1).argmax())
                    centres[k], places[far] = vectors[far], k
        inertia = float(_squares(vectors, centres).min(axis=1).sum())
        if inertia < least - 1e-12:
            best, least = places, inertia
    return best


def _first_centres(
    vectors: NDArray[np.float64], number: int, draws: np.random.Generator
) -> NDArray[np.float64]:
    centres = [vectors[draws.integers(len(vectors))]]
    while len(centres) < number:
        apart = _squares(vectors, np.array(centres)).min(axis=1)
        total = apart.sum()
        chances = apart / total if total > 0 else None
        centres.append(vectors[draws.choice(len(vectors), p=chances)])
    return np.array(centres)


def _squares(vectors: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(((vectors[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2))


def _agreement(
    vectors: NDArray[np.float64], places: NDArray[np.int64]
) -> tuple[float | None, float | None]:
    """Mean correlations of pairs of the same category and of different ones."""
    found: dict[bool, list[float]] = {True: [], False: []}
    for one, other in combinations(range(len(vectors)), 2):
        if vectors[one].std() > 0 and vectors[other].std() > 0:
            value = float(np.corrcoef(vectors[one], vectors[other])[0, 1])
            found[bool(places[one] == places[other])].append(value)
    same, different = found[True], found[False]
    return (fmean(same) if same else None), (fmean(different) if different else None)
