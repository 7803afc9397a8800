"""Answers of a landscape: whether networks at lower minima are less sensitive, and how surely.

Minima are the points. Those that are not stationary are marked, and are in no answer but one of
their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sensverify.errors import BadData
from sensverify.landscape.sensitivity import (
    ATTAINED,
    EXACT,
    METHODS,
    Column,
    SensitivitySettings,
    columns_of,
    main_sigma,
)
from sensverify.scores.correlate import FEWEST, correlate
from sensverify.scores.pearson import chance, is_constant, partial
from sensverify.scores.prediction import Estimate
from sensverify.scores.resampling import interval, resampled
from sensverify.scores.spearman import spearman, weighted_spearman
from sensverify.scores.table import Network, Scores

Floats = NDArray[np.float64]

ENERGY, NORM = "energy", "weight norm"
EVERY, WITH_MARKED = "all", "all, with those not stationary"
FEWEST_OF_FUNNEL = 10
"""Stationary minima of a funnel without which it has no correlation of its own."""

FEWEST_OF_CLAIM = 10
"""Stationary minima without which nothing is claimed: resamples of a few ranks hardly differ."""


@dataclass(frozen=True, kw_only=True)
class MeasuredMinimum:
    """A minimum with what was measured of its network.

    Parameters
    ----------
    key : str
    energy : float
        Of the network that was measured.
    smooth_energy : float
        Of the minimum that was searched: another one where it was continued to ReLU.
    weight_norm : float
        Euclidean, of all weights and biases.
    stationary : bool
    stationarity : float
        Length that decides it: of the gradient, or with ReLU of what its convention asks for.
    funnel : str
        Key of the lowest minimum of its funnel.
    basin_log_volume : float or None
        Of the basin as a Gaussian has it; None where the Hessian has zero modes.
    values : mapping from str to float or None
        See `sensverify.landscape.sensitivity.NetworkRow`.
    """

    key: str
    energy: float
    smooth_energy: float
    weight_norm: float
    stationary: bool
    stationarity: float
    funnel: str
    basin_log_volume: float | None
    values: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class RankAnswer:
    """Rank correlations of a column with the energy.

    Parameters
    ----------
    column : str
    group : str
        All minima, or those of a funnel, by the key of its lowest.
    networks : int
        Minima that have both.
    spearman, kendall : Estimate
        Rho, and tau-b.
    partial : Estimate
        Rho with the ranks of the weight norm held fixed.
    """

    column: str
    group: str
    networks: int
    spearman: Estimate
    kendall: Estimate
    partial: Estimate


Verdict = Literal["holds", "the opposite holds", "is open"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Whether lower minima are less sensitive.

    Parameters
    ----------
    verdict : str
        ``holds`` where the intervals of the rank correlation are above 0, by the proven and by the
        attained ends of the ranges; ``the opposite holds`` where both are below; else, and with
        fewer than `FEWEST_OF_CLAIM` minima, ``is open``.
    column : Column or None
        The sensitivity that it is about.
    answer : RankAnswer or None
        Of that column, over all stationary minima.
    reason : str
        Why there is no answer.
    """

    verdict: Verdict
    column: Column | None
    answer: RankAnswer | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """All answers.

    Parameters
    ----------
    claim : Claim
    ranks : tuple of RankAnswer
        Every column over all stationary minima; then the main one by funnel; then with the minima
        that are not stationary, where there are any.
    resamples : int
        Behind the intervals.
    """

    claim: Claim
    ranks: tuple[RankAnswer, ...]
    resamples: int

    def of(self, column: str, group: str = EVERY) -> RankAnswer | None:
        """The answer of a column and a group."""
        found = (each for each in self.ranks if (each.column, each.group) == (column, group))
        return next(found, None)


def main_column(settings: SensitivitySettings, figure: str = "sensitivity") -> Column:
    """The column that the claim is about: exact, at sigma 0.1, over all samples, if there is."""
    method = next(each for each in METHODS if each in settings.methods)
    return Column(figure, method, main_sigma(settings), "all")


def answers(
    minima: Sequence[MeasuredMinimum],
    settings: SensitivitySettings,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Answers:
    """Rank correlations of sensitivities with the energy, and what they say of the claim.

    Parameters
    ----------
    minima : sequence of MeasuredMinimum
    settings : SensitivitySettings
    resamples : int
        Of the minima, with replacement, for intervals of 95 %; 0 for none.
    seed : int
        Of these.

    Raises
    ------
    BadData
        There are fewer than three minima, or the sensitivity that the claim is about is not known
        of any, or the same of all.

    Examples
    --------
    >>> settings = SensitivitySettings(sigmas=(0.1,), methods=("crown",))
    >>> column = main_column(settings).name
    >>> minima = [
    ...     MeasuredMinimum(
    ...         key=f"m{at}", energy=0.05 + 0.01 * at, smooth_energy=0.05, weight_norm=7.0 + at % 3,
    ...         stationary=True, stationarity=1e-9, funnel="m0", basin_log_volume=None,
    ...         values={column: float(at * at)},
    ...     )
    ...     for at in range(12)
    ... ]
    >>> found = answers(minima, settings)
    >>> found.claim.verdict, found.claim.answer.spearman.value
    ('holds', 1.0)
    """
    if len(minima) < FEWEST:
        raise BadData(
            f"a rank correlation needs at least {FEWEST} minima, and {len(minima)} were measured",
            "search for more",
        )
    _check_main(minima, main_column(settings).name)
    names = [column.name for column in columns_of(settings)]
    names += ["train-error", "test-error", *settings.measures]
    main = main_column(settings)
    draw = _Drawing(resamples, seed)
    kept = [each for each in minima if each.stationary]
    ranks = list(_ranks(kept, names, EVERY, draw))
    for funnel in dict.fromkeys(each.funnel for each in minima):
        group = [each for each in kept if each.funnel == funnel]
        if FEWEST_OF_FUNNEL <= len(group) < len(kept):
            ranks += _ranks(group, [main.name], funnel, draw)
    if len(kept) < len(minima):
        ranks += _ranks(minima, [main.name], WITH_MARKED, draw)
    found = Answers(
        claim=Claim(verdict="is open", column=None, answer=None),
        ranks=tuple(ranks),
        resamples=resamples,
    )
    return replace(found, claim=_claim(found, main, len(kept)))


def _check_main(minima: Sequence[MeasuredMinimum], name: str) -> None:
    known = [value for each in minima if (value := each.values.get(name)) is not None]
    known = [value for value in known if np.isfinite(value)]
    if not known:
        raise BadData(
            f"no minimum has a finite {name}", "a smaller sigma, or fewer weights, keep it finite"
        )
    if len(known) > 1 and is_constant(np.array(known)):
        raise BadData(f"all minima have the same {name}, {known[0]:.6g}: there is nothing to rank")


@dataclass(frozen=True)
class _Drawing:
    resamples: int
    seed: int


def _ranks(
    minima: Sequence[MeasuredMinimum], names: Sequence[str], group: str, draw: _Drawing
) -> list[RankAnswer]:
    if not minima:
        return []
    rows = [
        [each.energy, each.weight_norm, *(each.values.get(name) for name in names)]
        for each in minima
    ]
    table = np.array([[np.nan if v is None else v for v in row] for row in rows])
    table[~np.isfinite(table)] = np.nan
    empty = np.empty((len(minima), 0), dtype=np.int64)
    scores = Scores(
        networks=tuple(Network(each.key) for each in minima),
        shifts=(),
        right=empty,
        total=empty,
        measures=(ENERGY, NORM, *names),
        values=table,
    )
    taus = correlate(
        scores,
        columns=tuple(names),
        against=(ENERGY,),
        resamples=draw.resamples,
        seed=draw.seed,
    )
    found = []
    for place, (name, tau) in enumerate(zip(names, taus.pairs, strict=True)):
        columns = table[:, [0, 2 + place, 1]]
        known = columns[~np.isnan(columns).any(axis=1)]
        rho, fixed = _rhos(known, name, draw)
        kendall = Estimate(tau.tau, tau.lower, tau.upper, tau.p_value, tau.reason)
        found.append(
            RankAnswer(
                column=name,
                group=group,
                networks=tau.networks,
                spearman=rho,
                kendall=kendall,
                partial=fixed,
            )
        )
    return found


def _rhos(known: Floats, name: str, draw: _Drawing) -> tuple[Estimate, Estimate]:
    """Spearman's correlation of energy and a column, and that with the norm held fixed."""
    why = _reason(known[:, :2], (ENERGY, name))
    if why:
        return Estimate(reason=why), Estimate(reason=why)
    found = spearman(known)
    value = float(found[0, 1])
    weights = resampled(np.random.default_rng(draw.seed), len(known), draw.resamples)
    every = weighted_spearman(known, weights) if draw.resamples else np.empty((0, 3, 3))
    rho = Estimate(value, *interval(every[:, 0, 1]), float(chance(value, len(known))))
    if is_constant(known[:, 2]):
        return rho, Estimate(reason=f"'{NORM}' is constant")
    if len(known) < FEWEST + 1:
        return rho, Estimate(reason=f"fewer than {FEWEST + 1} minima have both")
    fixed = float(partial(found[0, 1], found[0, 2], found[1, 2]))
    if np.isnan(fixed):
        return rho, Estimate(reason=f"'{NORM}' tells all of one of them")
    drawn = partial(every[:, 0, 1], every[:, 0, 2], every[:, 1, 2])
    return rho, Estimate(fixed, *interval(drawn), float(chance(fixed, len(known), 1)))


def _reason(pair: Floats, names: tuple[str, str]) -> str:
    if len(pair) < FEWEST:
        return f"fewer than {FEWEST} minima have both"
    for place, name in enumerate(names):
        if is_constant(pair[:, place]):
            return f"'{name}' is constant"
    return ""


def _claim(found: Answers, main: Column, stationary: int) -> Claim:
    if not stationary:
        return Claim(
            verdict="is open",
            column=main,
            answer=None,
            reason="no minimum is stationary within its tolerance",
        )
    answer = found.of(main.name)
    assert answer is not None
    if answer.spearman.value is None:
        return Claim(verdict="is open", column=main, answer=answer, reason=answer.spearman.reason)
    if answer.networks < FEWEST_OF_CLAIM:
        few = f"{answer.networks} minima are too few for an interval, {FEWEST_OF_CLAIM} are wanted"
        return Claim(verdict="is open", column=main, answer=answer, reason=few)
    if answer.spearman.lower is None:
        return Claim(verdict="is open", column=main, answer=answer, reason="it has no interval")
    sides = {_side(answer.spearman)}
    if main.method == EXACT:
        attained = found.of(replace(main, method=ATTAINED).name)
        sides.add(0 if attained is None else _side(attained.spearman))
    verdicts: dict[int, Verdict] = {1: "holds", -1: "the opposite holds"}
    verdict = verdicts.get(sides.pop(), "is open") if len(sides) == 1 else "is open"
    return Claim(verdict=verdict, column=main, answer=answer)


def _side(estimate: Estimate) -> int:
    """1 where an interval is above 0, -1 where it is below, 0 where it is not known to be either.

    Written so that what is not known is neither.
    """
    if estimate.lower is None or estimate.upper is None:
        return 0
    return int(estimate.lower > 0) - int(estimate.upper < 0)


@dataclass(frozen=True)
class OverEstimate:
    """The relative over-estimate of a method at a radius, over the minima.

    Parameters
    ----------
    method : str
    sigma : float
    values : tuple of float or None
        ``(S - S_exact) / S_exact`` of the mean volume over all samples, one a minimum; at least 0,
        as ``S_exact`` is that of attained outputs. None where one of both is not known.
    """

    method: str
    sigma: float
    values: tuple[float | None, ...]


def over_estimates(
    minima: Sequence[MeasuredMinimum], settings: SensitivitySettings
) -> tuple[OverEstimate, ...]:
    """Relative over-estimates of the sensitivity, as Fig. 4; none without exact ranges.

    Parameters
    ----------
    minima : sequence of MeasuredMinimum
    settings : SensitivitySettings
    """
    if EXACT not in settings.methods:
        return ()

    def relative(each: MeasuredMinimum, method: str, sigma: float) -> float | None:
        whole = each.values.get(Column("sensitivity", method, sigma, "all").name)
        exact = each.values.get(Column("sensitivity", ATTAINED, sigma, "all").name)
        if whole is None or exact is None or not exact > 0:
            return None
        return (whole - exact) / exact

    return tuple(
        OverEstimate(method, sigma, tuple(relative(each, method, sigma) for each in minima))
        for method in settings.methods
        for sigma in settings.sigmas
    )
