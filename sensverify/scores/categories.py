"""Categories of shifts by their overlaps: K-means with the thesis' rule for a number, HDBSCAN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Annotated, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sensverify.errors import BadSetting, missing
from sensverify.registry.ranges import Range
from sensverify.scores.agreement import Agreement, agreement
from sensverify.scores.columns import Metric
from sensverify.scores.gains import STANDARD
from sensverify.scores.overlap import Overlaps, overlap
from sensverify.scores.pearson import FEWEST
from sensverify.scores.table import Scores

THRESHOLD = 0.5
"""Mean correlation of shifts of a category that is enough."""

_STEPS = 1000

Method: TypeAlias = Literal["k-means", "hdbscan"]
"""How vectors are put into categories."""


@dataclass(frozen=True, kw_only=True)
class Categories:
    """Shifts by category.

    Parameters
    ----------
    metric, method : str
    categories : tuple of tuple of str
        The largest first.
    isolated : tuple of str
        Shifts that overlap with too few others, which are in no category; of HDBSCAN.
    same, different : float or None
        Mean Pearson correlation of the overlaps of two shifts of the same category, and of
        different ones; None where there are no such pairs.
    reached : bool
        Whether ``same`` is above the threshold; of K-means with the rule alone it has to be, where
        it can.
    left_out : mapping from str to str
        Shifts whose overlaps are not measured, with the reason.
    others : Agreement
        The categories on networks that they were not made with.
    """

    metric: str
    method: str
    categories: tuple[tuple[str, ...], ...]
    isolated: tuple[str, ...]
    same: float | None
    different: float | None
    reached: bool
    left_out: dict[str, str]
    others: Agreement


def categories(
    scores: Scores,
    *,
    method: Method = "k-means",
    count: Annotated[int, Range(2)] | None = None,
    threshold: Annotated[float, Range(-1, 1)] = THRESHOLD,
    smallest: Annotated[int, Range(2)] = 2,
    starts: Annotated[int, Range(1, 10_000)] = 100,
    seed: Annotated[int, Range(0)] = 0,
    metric: Metric = "residual",
    standard: str = STANDARD,
    networks: tuple[str, ...] = (),
) -> Categories:
    """Shifts whose robustness overlaps with the same others, by K-means or HDBSCAN.

    The vector of a shift are its overlapping scores with all. With K-means, from two categories on
    their number grows until the mean Pearson correlation of the vectors of the same category is
    above the threshold. HDBSCAN finds the number itself, and leaves shifts out that are near no
    others: they are isolated.

    Parameters
    ----------
    scores, metric, standard
        As of `sensverify.scores.overlap.overlap`.
    method : str
        ``k-means`` or ``hdbscan``, that of scikit-learn.
    count : int or None
        Number of categories of K-means; None for the rule.
    threshold : float
        Of the rule.
    smallest : int
        Shifts that a category of HDBSCAN has at least.
    starts : int
        Of K-means, each from other centres; the tightest is kept.
    seed : int
        Of these.
    networks : tuple of str
        Those that the categories are tested on, as of `sensverify.scores.agreement.agreement`.
        Default: all that the overlaps are not made of.

    Raises
    ------
    BadSetting
        As of `overlap`; or fewer than three shifts have overlaps, or fewer than ``count`` or
        ``smallest``; there is a ``count`` for HDBSCAN; or there is no such network.
    BackendMissing
        HDBSCAN needs scikit-learn, which is not installed.

    Notes
    -----
    Sources: Laugros 2022, Section 4.3; Campello, Moulavi & Sander 2013, *Density-based clustering
    based on hierarchical density estimates*.
    """
    if method == "hdbscan" and count is not None:
        raise BadSetting(
            "HDBSCAN finds the number of categories itself", "leave out `count`, or use K-means"
        )
    found = overlap(scores, metric=metric, standard=standard)
    left_out = {
        each: found.of(each, each).reason
        for each in found.shifts
        if found.of(each, each).score is None
    }
    names = [each for each in found.shifts if each not in left_out]
    least = max(3, count or 0, smallest if method == "hdbscan" else 0)
    if len(names) < least:
        raise BadSetting(
            f"categories need the overlaps of {least} shifts, and those of {len(names)} are known",
            "train with more shifts, or evaluate on more samples",
        )
    vectors = _vectors(found, names)
    if method == "hdbscan":
        places = _hdbscan(vectors, smallest)
    else:
        places = _ruled(vectors, (count, threshold), starts, seed)
    same, different = _agreement(vectors, places)
    groups = [
        tuple(n for n, p in zip(names, places, strict=True) if p == k)
        for k in range(places.max() + 1)
    ]
    groups = sorted((each for each in groups if each), key=lambda group: (-len(group), group))
    isolated = tuple(n for n, p in zip(names, places, strict=True) if p < 0)
    return Categories(
        metric=metric,
        method=method,
        categories=tuple(groups),
        isolated=isolated,
        same=same,
        different=different,
        reached=same is not None and same > threshold,
        left_out=left_out,
        others=_others(scores, found, (*groups, *((each,) for each in isolated)), networks),
    )


def _ruled(
    vectors: NDArray[np.float64], rule: tuple[int | None, float], starts: int, seed: int
) -> NDArray[np.int64]:
    """K-means of a given number, or of the first whose categories agree more than a threshold."""
    count, threshold = rule
    for number in range(2, len(vectors) + 1) if count is None else (count,):
        draws = np.random.default_rng([seed, number])
        places = k_means(vectors, number, starts, draws)
        same = _agreement(vectors, places)[0]
        # Where each stands alone there is no pair that could be above it.
        if same is not None and same > threshold:
            break
    return places


def _hdbscan(vectors: NDArray[np.float64], smallest: int) -> NDArray[np.int64]:
    """The category of every vector, -1 for none."""
    try:
        from sklearn.cluster import HDBSCAN
    except ImportError:
        raise missing("scikit-learn", "data", "the method 'hdbscan'") from None
    found = HDBSCAN(min_cluster_size=smallest, copy=True).fit(vectors)
    return np.asarray(found.labels_, dtype=np.int64)


def _others(
    scores: Scores,
    found: Overlaps,
    groups: tuple[tuple[str, ...], ...],
    networks: tuple[str, ...],
) -> Agreement:
    chosen = networks or tuple(
        each.name for each in scores.networks if each.name not in found.networks
    )
    if not networks and len(chosen) < FEWEST:
        few = f"of networks that the overlaps are not made of there are {len(chosen)}, "
        return Agreement(
            metric=found.metric,
            networks=chosen,
            categories=groups,
            reason=f"{few}and {FEWEST} are needed",
        )
    return agreement(scores, categories=groups, networks=chosen, metric=found.metric)


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
            found[bool(places[one] == places[other] >= 0)].append(value)
    same, different = found[True], found[False]
    return (fmean(same) if same else None), (fmean(different) if different else None)
