"""Benchmarks of shifts drawn by category, and how well they predict other shifts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import comb
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from sensverify.errors import BadSetting
from sensverify.registry.ranges import Range
from sensverify.scores.columns import Metric, scored, shift_names
from sensverify.scores.pearson import FEWEST, chance, is_constant, scaled
from sensverify.scores.table import Scores

Counts = tuple[int, ...]
Array = NDArray[np.float64]

_FRUITLESS = 200
"""Draws in a row that were all drawn before, after which no further one is looked for."""


@dataclass(frozen=True)
class Drawn:
    """Benchmarks of a kind, and what they tell of one target.

    Parameters
    ----------
    categories, members : int
        Benchmarks are drawn with so many members of each of so many categories.
    deviation : float
        Standard deviation of the members of the categories that have some: 0 is balanced.
    benchmarks : int
    every : bool
        Whether these are all there are, not a sample.
    target : str
    networks : int
        Those that have every shift and the target.
    correlation : float or None
        Mean of Pearson's correlations of the benchmarks; None where it cannot be had, for the
        ``reason``.
    lower, upper : float or None
        Least and largest of these.
    p_value : float or None
        Mean chance of a correlation so far from 0.
    reason : str
    """

    categories: int
    members: int
    deviation: float
    benchmarks: int
    every: bool
    target: str
    networks: int
    correlation: float | None = None
    lower: float | None = None
    upper: float | None = None
    p_value: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Benchmarks:
    """Kinds of benchmarks by every target, and kinds that are too few to be told of."""

    metric: str
    categories: tuple[tuple[str, ...], ...]
    targets: tuple[str, ...]
    rows: tuple[Drawn, ...]
    left_out: tuple[str, ...]

    @property
    def unanswered(self) -> str:
        """Why there is no number at all; empty where there is one."""
        known = any(each.correlation is not None for each in self.rows)
        return "" if known else self.rows[0].reason


def benchmarks(
    scores: Scores,
    *,
    categories: tuple[tuple[str, ...], ...] = (),
    targets: tuple[str, ...] = (),
    drawn: tuple[int, ...] = (),
    members: tuple[int, ...] = (),
    samples: Annotated[int, Range(1, 100_000)] = 1000,
    substitutions: Annotated[int, Range(0, 100)] = 0,
    least: Annotated[int, Range(1)] = 200,
    metric: Metric = "residual",
    seed: Annotated[int, Range(0)] = 0,
) -> Benchmarks:
    """Correlations of benchmarks with targets, by how many categories they have and how evenly.

    A benchmark has as many members of each of several categories, drawn at random, and its score is
    their mean. Substitutions make it uneven: a member gives way to a shift of another category that
    it has, such that the standard deviation of the members by category grows.

    Parameters
    ----------
    scores : Scores
    categories : tuple of tuple of str
        Shifts by category, as `sensverify.scores.columns.column` has them.
    targets : tuple of str
        Shifts that are predicted.
    drawn : tuple of int
        Numbers of categories of a benchmark. Default: all from 1 on.
    members : tuple of int
        Numbers of members of each. Default: all from 1 to the size of the smallest category.
    samples : int
        Different benchmarks of a kind. Where there are no more, all of them.
    substitutions : int
        So many at most, from 1 on, are made in each benchmark. Default: none.
    least : int
        Unevenness is told of where so many benchmarks have it.
    metric : str
        As of `sensverify.scores.columns.scored`.
    seed : int
        Of what is drawn.

    Raises
    ------
    BadSetting
        There are no targets or categories, a shift is in two of them or is a target, there is no
        such column, or a benchmark cannot have so many categories or members.

    Notes
    -----
    Networks with a hole among the shifts are left out.
    Source: Laugros 2022, Section 4.3, Algorithms 2 and 3, Tables 4.4 and 4.5.
    """
    _check(scores, categories, targets)
    sizes = [len(each) for each in categories]
    kinds = product(*_kinds(sizes, drawn, members))
    names = [name for each in categories for name in each]
    values = np.stack([scored(scores, name, metric) for name in names])
    aims = {target: scored(scores, target, metric) for target in targets}
    owner = np.repeat(np.arange(len(sizes)), sizes)
    rows: list[Drawn] = []
    left_out: list[str] = []
    for number, each in kinds:
        draws = np.random.default_rng([seed, number, each])
        made, every = _benchmarks(owner, sizes, (number, each), samples, draws)
        groups = {0.0: made}
        if substitutions:
            groups |= _uneven(made, owner, substitutions, samples, draws)
        for deviation, group in sorted(groups.items()):
            if deviation and len(group) < least:
                left_out.append(_too_few((number, each), deviation, len(group)))
                continue
            whole = every and deviation == 0
            for target, aim in aims.items():
                kind = (number, each, deviation, len(group), whole, target)
                rows.append(Drawn(*kind, **_told(values, aim, group)))
    return Benchmarks(
        metric=metric,
        categories=categories,
        targets=targets,
        rows=tuple(rows),
        left_out=tuple(left_out),
    )


def _check(scores: Scores, categories: Sequence[Sequence[str]], targets: Sequence[str]) -> None:
    known = ", ".join(shift_names(scores)[:20]) or "none"
    if not categories or not all(categories):
        raise BadSetting(
            "benchmarks are drawn from categories of shifts",
            f"give them as `categories`, ((fog, snow), (blur, zoom)); shifts are {known}",
        )
    if not targets:
        raise BadSetting(
            "benchmarks are measured by shifts that they predict",
            f"name some as `targets`; shifts are {known}",
        )
    seen: set[str] = set(targets)
    for name in (name for each in categories for name in each):
        if name in seen:
            raise BadSetting(f"'{name}' is in two categories, or a target as well", "name it once")
        seen.add(name)


def _kinds(
    sizes: Sequence[int], drawn: Sequence[int], members: Sequence[int]
) -> tuple[Sequence[int], Sequence[int]]:
    for asked, most, what in (
        (drawn, len(sizes), "categories"),
        (members, min(sizes), "members of each category"),
    ):
        wrong = next((each for each in asked if not 1 <= each <= most), None)
        if wrong is not None:
            raise BadSetting(
                f"a benchmark cannot have {wrong} {what}, as it has 1 to {most} of them",
                "draw fewer" if wrong > most else "draw one or more",
            )
    return drawn or range(1, len(sizes) + 1), members or range(1, min(sizes) + 1)


def _benchmarks(
    owner: NDArray[np.int64],
    sizes: Sequence[int],
    kind: tuple[int, int],
    samples: int,
    draws: np.random.Generator,
) -> tuple[list[Counts], bool]:
    """Different benchmarks as places of shifts, ascending, and whether these are all there are."""
    number, members = kind
    places = [np.flatnonzero(owner == k) for k in range(len(sizes))]
    total = _number(sizes, number, members)
    if total <= samples:
        return list(_every(places, number, members)), True
    found: dict[Counts, None] = {}
    # Kinds with little more than the sample are drawn from the whole.
    if total <= 4 * samples:
        every = list(_every(places, number, members))
        kept = draws.choice(len(every), samples, replace=False)
        return [every[place] for place in kept], False
    while len(found) < samples:
        categories = draws.choice(len(sizes), number, replace=False)
        picked = [draws.choice(places[k], members, replace=False) for k in categories]
        found[tuple(sorted(int(place) for each in picked for place in each))] = None
    return list(found), False


def _number(sizes: Sequence[int], number: int, members: int) -> int:
    """Benchmarks there are: choices of members, of every choice of categories."""
    found = [1, *[0] * number]
    for size in sizes:
        for place in range(number, 0, -1):
            found[place] += found[place - 1] * comb(size, members)
    return found[number]


def _every(places: Sequence[NDArray[np.int64]], number: int, members: int) -> Iterator[Counts]:
    for chosen in combinations(places, number):
        for picked in product(*(combinations(each.tolist(), members) for each in chosen)):
            yield tuple(sorted(place for each in picked for place in each))


def deviation_of(counts: Sequence[int]) -> float:
    """Standard deviation of the members of the categories that have some, all of which count."""
    return float(np.round(np.std([each for each in counts if each]), 9))


def legal_substitutions(counts: Sequence[int], sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Categories that can give a member, with those that can take one in its place.

    No category is left without a member, and the standard deviation grows: by Laugros' rule the
    one that gives has two or more, and the one that takes has at least as many, and one to spare.

    Parameters
    ----------
    counts : sequence of int
        Members by category.
    sizes : sequence of int
        Shifts by category.
    """
    return [
        (one, other)
        for one, own in enumerate(counts)
        for other, taken in enumerate(counts)
        if one != other and own >= 2 and taken >= own and taken < sizes[other]
    ]


def _uneven(
    made: Sequence[Counts],
    owner: NDArray[np.int64],
    most: int,
    samples: int,
    draws: np.random.Generator,
) -> dict[float, list[Counts]]:
    """Different benchmarks by their standard deviation, after one to ``most`` substitutions."""
    sizes = np.bincount(owner).tolist()
    found: dict[float, dict[Counts, None]] = {}
    fruitless = 0
    # Every one is substituted as often as the others, until nothing new comes of it.
    while fruitless < _FRUITLESS and sum(map(len, found.values())) < samples * most:
        for benchmark in made:
            before = sum(map(len, found.values()))
            for changed in _substituted(benchmark, owner, sizes, most, draws):
                counts = np.bincount(owner[list(changed)], minlength=len(sizes))
                found.setdefault(deviation_of(counts.tolist()), {})[changed] = None
            grown = sum(map(len, found.values())) > before
            fruitless = 0 if grown else fruitless + 1
    return {deviation: list(each) for deviation, each in found.items()}


def _substituted(
    benchmark: Counts,
    owner: NDArray[np.int64],
    sizes: Sequence[int],
    most: int,
    draws: np.random.Generator,
) -> Iterator[Counts]:
    chosen = list(benchmark)
    for _ in range(most):
        counts = np.bincount(owner[chosen], minlength=len(sizes)).tolist()
        legal = legal_substitutions(counts, sizes)
        if not legal:
            return
        one, other = legal[draws.integers(len(legal))]
        gone = [place for place in chosen if owner[place] == one]
        come = [int(p) for p in np.flatnonzero(owner == other) if p not in chosen]
        chosen.remove(gone[draws.integers(len(gone))])
        chosen.append(come[draws.integers(len(come))])
        yield tuple(sorted(chosen))


def _told(values: Array, aim: Array, group: Sequence[Counts]) -> dict[str, Any]:
    """Networks, the mean correlation with its ends and its chance, or the reason for none."""
    known = ~np.isnan(values).any(axis=0) & ~np.isnan(aim)
    count, target = int(known.sum()), aim[known]
    target = scaled(target[:, None])[0][:, 0]
    if count < FEWEST:
        return {"networks": count, "reason": f"fewer than {FEWEST} networks have every shift"}
    if is_constant(target):
        return {"networks": count, "reason": "the target is constant"}
    weights = np.zeros((len(group), len(values)))
    np.put_along_axis(weights, np.array(group), 1 / len(group[0]), axis=1)
    # One power of two for all, as they are added.
    exponent = np.frexp(np.abs(values[:, known]).max())[1]
    rows = weights @ np.ldexp(values[:, known], -exponent)
    # A sum that is the same may be rounded otherwise.
    if (np.ptp(rows, axis=1) <= 1e-12 * np.abs(rows).max(axis=1)).any():
        return {"networks": count, "reason": "a benchmark is constant"}
    rows -= rows.mean(axis=1, keepdims=True)
    target = target - target.mean()
    found = rows @ target / np.sqrt((rows**2).sum(axis=1) * np.sum(target**2))
    found = np.clip(found, -1, 1)
    return {
        "networks": count,
        "correlation": float(found.mean()),
        "lower": float(found.min()),
        "upper": float(found.max()),
        "p_value": float(chance(found, count).mean()),
    }


def _too_few(kind: tuple[int, int], deviation: float, count: int) -> str:
    number, members = kind
    return (
        f"{count} benchmarks of {number} categories with {members} members each have the standard "
        f"deviation {deviation:.3g} after substitutions"
    )
