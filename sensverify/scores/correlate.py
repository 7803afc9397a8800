"""Rank correlations of columns of a table: Kendall's tau-b, with intervals over the networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from sensverify.errors import BadSetting
from sensverify.registry.ranges import Range
from sensverify.scores.columns import column, default_columns, group_means
from sensverify.scores.concordance import pair_sums
from sensverify.scores.resampling import interval, resampled
from sensverify.scores.table import Scores

FEWEST = 3
"""Networks without which nothing is said of a rank correlation."""

_LARGE = 1000
"""Networks above which the interval is that of a normal distribution."""

_NORMAL = 1.959963984540054
"""Of the standard normal distribution, 95 % lie within this many deviations of 0."""


@dataclass(frozen=True)
class Correlation:
    """Two columns.

    Parameters
    ----------
    first, second : str
    networks : int
        Networks, or groups of them, that have both.
    tau : float or None
        Kendall's tau-b; None where it cannot be had, for the ``reason``.
    lower, upper : float or None
        Interval of 95 %, see `correlate`; None without one.
    p_value : float or None
        The chance of a tau so far from 0 if the columns had nothing to do with each other.
    reason : str
    """

    first: str
    second: str
    networks: int
    tau: float | None = None
    lower: float | None = None
    upper: float | None = None
    p_value: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Correlations:
    """Every column of ``first`` with every column of ``second``, by rows."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    over: str
    resamples: int
    pairs: tuple[Correlation, ...]

    @property
    def unanswered(self) -> str:
        """Why there is no number at all but of columns with themselves; empty where there is."""
        pairs = [each for each in self.pairs if each.first != each.second]
        if not pairs:
            return "there is one column"
        return "" if any(each.tau is not None for each in pairs) else pairs[0].reason


def correlate(
    scores: Scores,
    *,
    columns: tuple[str, ...] = (),
    against: tuple[str, ...] = (),
    over: Literal["networks", "groups"] = "networks",
    resamples: Annotated[int, Range(0, 100_000)] = 1000,
    seed: Annotated[int, Range(0)] = 0,
) -> Correlations:
    """Kendall's tau-b of columns of a table.

    Parameters
    ----------
    scores : Scores
    columns, against : tuple of str
        Names as `sensverify.scores.columns.column` has them. Default: measures against accuracies,
        or, without measures, accuracies with each other; ``columns`` alone with each other.
    over : str
        ``networks``: each is a point. ``groups``: the means of networks that differ in the seed
        alone (``NAME-seedN``).
    resamples : int
        Of the networks, with replacement, for the intervals; 0 for none. Above 1000 networks, the
        interval is that of a normal distribution, with the standard error of the delta method.
    seed : int
        Of these.

    Raises
    ------
    BadSetting
        There is no such column.

    Notes
    -----
    A network without one of two columns is left out of their pair. Resamples without a tau, as a
    column is constant in them, are left out; where they are more than 5 %, there is no interval.
    Source: Kendall 1945, *The treatment of ties in ranking problems*.
    """
    first, second = default_columns(scores)
    if columns:
        first, second = columns, (against or columns)
    elif against:
        second = against
    names = list(dict.fromkeys([*first, *second]))
    if not names:
        raise BadSetting("the table has neither measures nor shifts", "give one that has some")
    values = np.stack([column(scores, name) for name in names], axis=1)
    if over == "groups":
        values = group_means(scores, values)[1]
    draws = np.random.default_rng(seed)
    found: dict[tuple[str, str], Correlation] = {}
    for one in first:
        for other in second:
            if (other, one) in found:
                found[one, other] = _turned(found[other, one])
                continue
            pair = values[:, [names.index(one), names.index(other)]]
            found[one, other] = _correlation(one, other, pair, resamples, draws)
    return Correlations(
        first=tuple(first),
        second=tuple(second),
        over=over,
        resamples=resamples,
        pairs=tuple(found[one, other] for one in first for other in second),
    )


def _turned(each: Correlation) -> Correlation:
    return Correlation(
        each.second,
        each.first,
        each.networks,
        each.tau,
        each.lower,
        each.upper,
        each.p_value,
        each.reason,
    )


def _correlation(
    one: str, other: str, pair: NDArray[np.float64], resamples: int, draws: np.random.Generator
) -> Correlation:
    # Here, as it takes seconds.
    from scipy.stats import kendalltau

    known = pair[~np.isnan(pair).any(axis=1)]
    count = len(known)
    if count < FEWEST:
        return Correlation(one, other, count, reason=f"fewer than {FEWEST} networks have both")
    for place, name in enumerate((one, other)):
        if (known[:, place] == known[0, place]).all():
            return Correlation(one, other, count, reason=f"'{name}' is constant")
    result = kendalltau(known[:, 0], known[:, 1])
    lower, upper = _interval(known, float(result.statistic), resamples, draws)
    return Correlation(
        one, other, count, float(result.statistic), lower, upper, float(result.pvalue)
    )


def _interval(
    known: NDArray[np.float64], tau: float, resamples: int, draws: np.random.Generator
) -> tuple[float | None, float | None]:
    """Percentiles 2.5 and 97.5 of tau over resamples; None where too many have none.

    Of many networks tau is as good as normal, and its standard error is enough.
    """
    if resamples == 0:
        return None, None
    count = len(known)
    if count > _LARGE:
        reach = _NORMAL * _spread(known)
        return max(tau - reach, -1.0), min(tau + reach, 1.0)
    return interval(weighted_tau(known[:, 0], known[:, 1], resampled(draws, count, resamples)))


def _spread(known: NDArray[np.float64]) -> float:
    """Standard error of tau-b by the delta method, from each network's own part in it.

    Tau-b is a quotient of means over pairs; what one network adds to each is its row of them.
    """
    count = len(known)
    both, first, second = (each / (count - 1) for each in pair_sums(known[:, 0], known[:, 1]))
    scale = np.sqrt(first.mean() * second.mean())
    tau = both.mean() / scale
    own = both / scale - tau / 2 * (first / first.mean() + second / second.mean())
    return float(2 * own.std(ddof=1) / np.sqrt(count))


def weighted_tau(
    first: NDArray[np.float64], second: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Tau-b where a network counts several times, for many weightings at once.

    Parameters
    ----------
    first, second : array, shape ``[networks]``
    weights : array of whole numbers, shape ``[weightings, networks]``
        How often each counts.

    Returns
    -------
    array, shape ``[weightings]``
        NaN where a column is constant.
    """
    one = np.sign(first[:, None] - first[None, :])
    other = np.sign(second[:, None] - second[None, :])

    def total(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(((weights @ pairs) * weights).sum(axis=1))

    untied = total(np.abs(one)) * total(np.abs(other))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.clip(total(one * other) / np.sqrt(untied), -1, 1))
