"""Prediction of robustness to some shifts, natural ones say, from that to others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from sensverify.errors import BadSetting
from sensverify.registry.ranges import Range
from sensverify.scores.columns import Metric, group_means, scored, shift_names
from sensverify.scores.pearson import (
    FEWEST,
    chance,
    is_constant,
    partial,
    pearson,
    scaled,
    weighted_pearson,
)
from sensverify.scores.resampling import interval, resampled
from sensverify.scores.table import Scores

BENCHMARK = "benchmark"
"""What the mean over the members of a benchmark is called."""

_LARGE = 1000
"""Networks above which all pairs have the same resamples."""

_NEAR = 1e-12
"""Variance below which a column of the others is constant but for rounding."""


@dataclass(frozen=True)
class Estimate:
    """A correlation.

    Parameters
    ----------
    value : float or None
        None where it cannot be had, for the ``reason``.
    lower, upper : float or None
        Percentiles 2.5 and 97.5 over resamples; None without.
    p_value : float or None
        The chance of one so far from 0 if the columns had nothing to do with each other.
    reason : str
    """

    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    p_value: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class LeftOut:
    """Networks of one backbone, left out.

    Parameters
    ----------
    backbone : str
    networks : int
    correlation : float or None
        Of the other networks; None where there are too few, or a column is constant.
    error : float or None
        Mean distance of the targets of the networks from the line of the others.
    """

    backbone: str
    networks: int
    correlation: float | None
    error: float | None


@dataclass(frozen=True)
class Prediction:
    """One column and one target.

    Parameters
    ----------
    column, target : str
    networks : int
        Networks, or groups of them, that have both.
    pearson, partial : Estimate
        Their correlation, and that with the clean accuracy held fixed.
    left_out : tuple of LeftOut
        One a backbone.
    explained : float or None
        Share of the variance of the target that the lines of other backbones explain: 1 minus the
        squared distances from these, over those from the mean. Below 0 where the mean is nearer.
        None where a backbone cannot be left out.
    """

    column: str
    target: str
    networks: int
    pearson: Estimate
    partial: Estimate
    left_out: tuple[LeftOut, ...] = ()
    explained: float | None = None


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Every column with every target, by rows."""

    metric: str
    over: str
    resamples: int
    columns: tuple[str, ...]
    targets: tuple[str, ...]
    benchmark: tuple[str, ...]
    pairs: tuple[Prediction, ...]

    @property
    def unanswered(self) -> str:
        """Why there is no number at all; empty where there is one."""
        known = any(each.pearson.value is not None for each in self.pairs)
        return "" if known else self.pairs[0].pearson.reason


@dataclass(frozen=True)
class _Points:
    """Columns by name, with a row for each point, its clean accuracy and its backbone."""

    values: dict[str, NDArray[np.float64]]
    clean: NDArray[np.float64]
    backbones: Sequence[str]
    draws: np.random.Generator
    resamples: int
    drawn: dict[int, NDArray[np.float64]] = field(default_factory=dict)


def prediction(
    scores: Scores,
    *,
    targets: tuple[str, ...] = (),
    columns: tuple[str, ...] = (),
    benchmark: tuple[str, ...] = (),
    backbones: tuple[str, ...] = (),
    metric: Metric = "residual",
    over: Literal["networks", "groups"] = "networks",
    resamples: Annotated[int, Range(0, 100_000)] = 1000,
    seed: Annotated[int, Range(0)] = 0,
) -> Predictions:
    """Pearson's correlation of columns with targets, with the clean accuracy held fixed or not.

    Networks are the points. A correlation with the clean accuracy held fixed says what a column
    tells of the target beyond what the clean accuracy tells; of residuals it is that of the
    accuracies.

    Parameters
    ----------
    scores : Scores
    targets, columns : tuple of str
        Names as `sensverify.scores.columns.column` has them. Default of ``columns``: all shifts
        that are neither targets nor proofs, unless there is a ``benchmark``.
    benchmark : tuple of str
        Shifts whose mean is one more column, ``benchmark``.
    backbones : tuple of str
        What the names of networks begin with, the longest that fits: networks of a backbone are
        left out together. Default: networks that differ in the seed alone (``NAME-seedN``).
    metric : str
        As of `sensverify.scores.columns.scored`.
    over : str
        ``networks``: each is a point. ``groups``: the means of networks that differ in the seed
        alone.
    resamples : int
        Of the points, with replacement, for the intervals; 0 for none.
    seed : int
        Of these.

    Raises
    ------
    BadSetting
        There are no targets or no columns, there is no column of a name, or a network has none of
        the backbones.

    Notes
    -----
    A network without a column or the target is left out of their pair. Where more than 5 % of the
    resamples have no correlation, as a column is constant in them, there is no interval.
    Source: Laugros 2022, Section 4.3, Algorithm 3.
    """
    if not targets:
        raise BadSetting(
            "a prediction needs shifts that are predicted",
            f"name some as `targets`: {', '.join(shift_names(scores)[:20]) or 'there are none'}",
        )
    if not columns and not benchmark:
        rest = shift_names(scores, without=("certified",))
        columns = tuple(each for each in rest if each not in targets)
    values = {name: scored(scores, name, metric) for name in dict.fromkeys((*columns, *targets))}
    names = [*columns]
    if benchmark:
        if BENCHMARK in values:
            raise BadSetting(
                f"'{BENCHMARK}' is a column and the mean over one", "call the column otherwise"
            )
        members = np.stack([scored(scores, each, metric) for each in dict.fromkeys(benchmark)])
        values[BENCHMARK] = members.mean(axis=0)
        names.append(BENCHMARK)
    if not names:
        raise BadSetting("a prediction needs columns beside its targets", "name some as `columns`")
    draws = np.random.default_rng(seed)
    points = _Points(*_points(scores, values, over, backbones), draws, resamples)
    return Predictions(
        metric=metric,
        over=over,
        resamples=resamples,
        columns=tuple(names),
        targets=targets,
        benchmark=benchmark,
        pairs=tuple(_pair(points, each, target) for each in names for target in targets),
    )


def _points(
    scores: Scores, values: dict[str, NDArray[np.float64]], over: str, backbones: Sequence[str]
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64], list[str]]:
    names = [each.name for each in scores.networks]
    groups = [each.group for each in scores.networks]
    columns = np.stack([*values.values(), scores.clean], axis=1)
    if over == "groups":
        names, columns = group_means(scores, columns)
        groups = names
    found = [backbone_of(each, backbones) for each in names] if backbones else groups
    return dict(zip(values, columns.T[:-1], strict=True)), columns[:, -1], found


def backbone_of(network: str, backbones: Sequence[str]) -> str:
    """The longest of the names that the name of a network begins with.

    Raises
    ------
    BadSetting
        It begins with none.
    """
    fits = [each for each in backbones if network.startswith(each)]
    if not fits:
        raise BadSetting(
            f"the network '{network}' begins with the name of no backbone",
            f"name its own among `backbones`, beside {', '.join(backbones)}",
        )
    return max(fits, key=len)


def _pair(points: _Points, name: str, target: str) -> Prediction:
    every = np.stack([points.values[name], points.values[target], points.clean], axis=1)
    known = np.asarray(~np.isnan(every[:, :2]).any(axis=1))
    rows, count = every[known], int(known.sum())
    why = _reason(rows[:, :2], (name, target))
    if why:
        return Prediction(name, target, count, Estimate(reason=why), Estimate(reason=why))
    backbones = [each for each, kept in zip(points.backbones, known, strict=True) if kept]
    left_out, explained = _leave_out(rows[:, 0], rows[:, 1], backbones)
    # The same networks count for both correlations in one resample.
    weights = _weights(points, count)
    return Prediction(
        name,
        target,
        count,
        _pearson(rows[:, :2], weights),
        _partial(rows, weights, (name, target)),
        left_out,
        explained,
    )


def _reason(rows: NDArray[np.float64], names: Sequence[str]) -> str:
    if len(rows) < FEWEST:
        return f"fewer than {FEWEST} networks have both"
    for place, name in enumerate(names):
        if is_constant(rows[:, place]):
            return f"'{name}' is constant"
    return ""


def _weights(points: _Points, count: int) -> NDArray[np.float64]:
    if count <= _LARGE:
        return resampled(points.draws, count, points.resamples)
    # Drawing takes longer than all else: so many networks are drawn once for all pairs.
    if count not in points.drawn:
        points.drawn.clear()
        points.drawn[count] = resampled(points.draws, count, points.resamples)
    return points.drawn[count]


def _pearson(rows: NDArray[np.float64], weights: NDArray[np.float64]) -> Estimate:
    value = float(pearson(rows)[0, 1])
    found = weighted_pearson(rows, weights)[:, 0, 1] if len(weights) else np.empty(0)
    return Estimate(value, *interval(found), float(chance(value, len(rows))))


def _partial(
    rows: NDArray[np.float64], weights: NDArray[np.float64], names: Sequence[str]
) -> Estimate:
    if np.isnan(rows[:, 2]).any():
        return Estimate(reason="the clean accuracy of a network is not known")
    if len(rows) < FEWEST + 1:
        return Estimate(reason=f"fewer than {FEWEST + 1} networks have both")
    if is_constant(rows[:, 2]):
        # There is nothing to hold fixed.
        return _pearson(rows[:, :2], weights)
    found = pearson(rows)
    value = float(partial(found[0, 1], found[0, 2], found[1, 2]))
    if np.isnan(value):
        least = 0 if abs(found[0, 2]) > abs(found[1, 2]) else 1
        return Estimate(reason=f"the clean accuracy tells all of '{names[least]}'")
    every = np.empty(0)
    if len(weights):
        drawn = weighted_pearson(rows, weights)
        every = partial(drawn[:, 0, 1], drawn[:, 0, 2], drawn[:, 1, 2])
    return Estimate(value, *interval(every), float(chance(value, len(rows), 1)))


def _leave_out(
    column: NDArray[np.float64], target: NDArray[np.float64], backbones: Sequence[str]
) -> tuple[tuple[LeftOut, ...], float | None]:
    """Every backbone left out, and the share of the variance that the others' lines explain.

    Sums over the others are those over all without the backbone's own, as there may be as many
    backbones as networks.
    """
    codes = {name: place for place, name in enumerate(dict.fromkeys(backbones))}
    own = np.array([codes[each] for each in backbones])
    # In units of deviations from the mean, so that little is lost in differences of sums.
    both, exponents = scaled(np.stack([column, target], axis=1))
    x, y = ((each - each.mean()) / each.std() for each in both.T)
    unit = float(np.ldexp(both[:, 1].std(), exponents[1]))

    def others(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(values.sum() - np.bincount(own, values, len(codes)))

    counts = others(np.ones(len(x)))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = others(x) / counts, others(y) / counts
        products = others(x * y) / counts - mean_x * mean_y
        spread_x = others(x * x) / counts - mean_x**2
        spread_y = others(y * y) / counts - mean_y**2
        slope = products / np.where(spread_x > _NEAR, spread_x, np.nan)
        correlations = slope * np.sqrt(spread_x / np.where(spread_y > _NEAR, spread_y, np.nan))
    missed = y - (mean_y[own] + slope[own] * (x - mean_x[own]))
    sizes = np.bincount(own)
    errors = np.bincount(own, np.abs(missed), len(codes)) / sizes * unit
    found = tuple(
        LeftOut(
            name,
            int(sizes[place]),
            _known(np.clip(correlations[place], -1, 1)) if counts[place] >= FEWEST else None,
            _known(errors[place]),
        )
        for name, place in codes.items()
    )
    if any(each.error is None for each in found):
        return found, None
    return found, 1 - float(np.mean(missed**2))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
