"""Whether categories of shifts hold for other networks than those that they were made with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

import numpy as np

from sensverify.errors import BadSetting
from sensverify.registry.names import did_you_mean
from sensverify.scores.columns import Metric, scored, shift_names
from sensverify.scores.pearson import FEWEST, is_constant, pearson
from sensverify.scores.table import Scores


@dataclass(frozen=True)
class Pair:
    """Two shifts.

    Parameters
    ----------
    first, second : str
    same : bool
        Whether they are of one category.
    networks : int
        Those that have both.
    correlation : float or None
        Pearson's, of the robustness of these; None where it cannot be had, for the ``reason``.
    reason : str
    """

    first: str
    second: str
    same: bool
    networks: int
    correlation: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Shifts of the same category beside those of different ones.

    Parameters
    ----------
    metric : str
    networks : tuple of str
        Those that the correlations are over.
    categories : tuple of tuple of str
    pairs : tuple of Pair
    reason : str
        Why there are none; empty where there are some.
    """

    metric: str
    networks: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]
    pairs: tuple[Pair, ...] = ()
    reason: str = ""

    @property
    def same(self) -> float | None:
        """Mean correlation of two shifts of the same category; None where none is known."""
        return self._mean(True)

    @property
    def different(self) -> float | None:
        """Mean correlation of two shifts of no common category; None where none is known."""
        return self._mean(False)

    @property
    def unanswered(self) -> str:
        """Why there is no number at all; empty where there is one."""
        if self.reason or any(each.correlation is not None for each in self.pairs):
            return self.reason
        return self.pairs[0].reason

    def _mean(self, same: bool) -> float | None:
        found = [
            each.correlation
            for each in self.pairs
            if each.same is same and each.correlation is not None
        ]
        return fmean(found) if found else None


def agreement(
    scores: Scores,
    *,
    categories: tuple[tuple[str, ...], ...] = (),
    networks: tuple[str, ...] = (),
    metric: Metric = "residual",
) -> Agreement:
    """Correlations of the robustness to two shifts, of the same category and of different ones.

    Categories hold where networks that are robust to a shift are robust to the others of its
    category, and need not be to those of other categories. Networks that the categories were not
    made with tell most.

    Parameters
    ----------
    scores : Scores
    categories : tuple of tuple of str
        Shifts by category, as `sensverify.scores.columns.column` has them. One shift alone is in no
        category with another.
    networks : tuple of str
        Names of networks, or of groups of them (``NAME`` for every ``NAME-seedN``). Default: all.
    metric : str
        As of `sensverify.scores.columns.scored`.

    Raises
    ------
    BadSetting
        There are fewer than two shifts in the categories, one is in two of them, or there is no
        such shift or network.

    Notes
    -----
    Source: Laugros 2022, Section 4.3: .67 within categories and .10 between them, over 21 models.
    """
    names = [name for each in categories for name in each]
    if len(names) < 2:
        raise BadSetting(
            "categories of fewer than two shifts have nothing that agrees",
            "give them as `categories`, ((fog, snow), (blur, zoom)); shifts are "
            f"{', '.join(shift_names(scores)[:20]) or 'none'}",
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadSetting(f"'{twice}' is in two categories, or twice in one", "name it once")
    places = named_networks(scores, networks) if networks else list(range(len(scores.networks)))
    values = np.stack([scored(scores, name, metric)[places] for name in names])
    owner = [k for k, each in enumerate(categories) for _ in each]
    pairs = tuple(
        _pair(names[one], names[other], owner[one] == owner[other], values[[one, other]])
        for one, other in combinations(range(len(names)), 2)
    )
    return Agreement(
        metric=metric,
        networks=tuple(scores.networks[place].name for place in places),
        categories=categories,
        pairs=pairs,
    )


def _pair(first: str, second: str, same: bool, values: np.ndarray) -> Pair:
    known = values[:, ~np.isnan(values).any(axis=0)]
    count = known.shape[1]
    if count < FEWEST:
        return Pair(first, second, same, count, reason=f"fewer than {FEWEST} networks have both")
    for name, row in zip((first, second), known, strict=True):
        if is_constant(row):
            return Pair(first, second, same, count, reason=f"'{name}' is constant")
    return Pair(first, second, same, count, float(pearson(known.T)[0, 1]))


def named_networks(scores: Scores, names: Sequence[str]) -> list[int]:
    """Places of the networks of some names, or of groups of them, each once.

    Raises
    ------
    BadSetting
        There is no network of a name.
    """
    known = [each.name for each in scores.networks]
    found: list[int] = []
    for name in names:
        places = [known.index(name)] if name in known else []
        places = places or [k for k, each in enumerate(scores.networks) if each.group == name]
        if not places:
            raise BadSetting(
                f"there is no network '{name}'{did_you_mean(name, known)}",
                f"there are {', '.join(known[:20]) or 'none'}",
            )
        found += places
    return list(dict.fromkeys(found))
