"""Robustness beyond what is usual at a clean accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, sqrt

from sensverify.classification.shift import (
    effective_robustness as beyond,
)
from sensverify.classification.shift import (
    effective_robustness_as_printed as printed,
)
from sensverify.classification.shift import (
    fit_line,
)
from sensverify.errors import BadSetting, NotMeasured
from sensverify.scores.agreement import named_networks
from sensverify.scores.columns import column, shift_names
from sensverify.scores.gains import interval_sign
from sensverify.scores.table import Scores


@dataclass(frozen=True)
class Fit:
    """The line of the baselines under one shift: ``accuracy = slope * clean + intercept``.

    Parameters
    ----------
    shift : str
    baselines : int
        Those that have both accuracies.
    slope, intercept : float or None
        None where there is no line, for the ``reason``.
    explained : float or None
        Share of the variance of the accuracies that it explains; None where they are constant.
    reason : str
    """

    shift: str
    baselines: int
    slope: float | None = None
    intercept: float | None = None
    explained: float | None = None
    reason: str = ""

    def at(self, clean: float) -> float:
        """The accuracy that the line has at a clean one; NaN where there is none."""
        if self.slope is None or self.intercept is None:
            return float("nan")
        return self.slope * clean + self.intercept


@dataclass(frozen=True)
class Effective:
    """One network under one shift.

    Parameters
    ----------
    network, shift : str
    baseline : bool
        Whether the line is fitted on it.
    clean, accuracy : float or None
    effective : float or None
        Accuracy minus that of the line; None where something is not known.
    lower, upper : float or None
        The 95 % interval of a further network on the line, around ``effective``: a baseline's
        accuracy misses the line as well. None of baselines themselves, and of fewer than three.
    as_printed : float or None
        ``clean - slope * accuracy``, as the thesis prints it.
    """

    network: str
    shift: str
    baseline: bool
    clean: float | None
    accuracy: float | None
    effective: float | None = None
    lower: float | None = None
    upper: float | None = None
    as_printed: float | None = None

    @property
    def sign(self) -> str:
        """See `interval_sign`."""
        return interval_sign(self.lower, self.upper)


@dataclass(frozen=True, kw_only=True)
class Effectives:
    """Every network under every shift, by rows, and a line for every shift."""

    baselines: tuple[str, ...]
    networks: tuple[str, ...]
    shifts: tuple[str, ...]
    fits: tuple[Fit, ...]
    cells: tuple[Effective, ...]

    @property
    def unanswered(self) -> str:
        """Why there is no number at all; empty where there is one."""
        if any(each.effective is not None for each in self.cells):
            return ""
        return next((each.reason for each in self.fits if each.reason), "no cell is known")


def effective_robustness(
    scores: Scores, *, baselines: tuple[str, ...] = (), shifts: tuple[str, ...] = ()
) -> Effectives:
    """Accuracy under shifts beyond the line that baselines have over their clean accuracy.

    Parameters
    ----------
    scores : Scores
    baselines : tuple of str
        Names of networks, or of groups of them (``NAME`` for every ``NAME-seedN``), that the line
        of each shift is fitted on by least squares.
    shifts : tuple of str
        As in `sensverify.scores.columns.places_of`. Default: all but proofs, each over its
        severities.

    Raises
    ------
    BadSetting
        There is no such network or shift, or fewer than two baselines.

    Notes
    -----
    Sources: Taori et al. 2020, *Measuring robustness to natural distribution shifts in image
    classification*; Laugros 2022, Section 2.2.
    """
    places = _baselines(scores, baselines)
    names = shifts or shift_names(scores, without=("certified",))
    if not names:
        raise BadSetting(
            "effective robustness is that under a shift, and the table has none", "give one with"
        )
    fits, by_shift = [], []
    for shift in names:
        fit, cells = _under(scores, shift, places)
        fits.append(fit)
        by_shift.append(cells)
    return Effectives(
        baselines=tuple(scores.networks[place].name for place in places),
        networks=tuple(each.name for each in scores.networks),
        shifts=tuple(names),
        fits=tuple(fits),
        cells=tuple(cell for row in zip(*by_shift, strict=True) for cell in row),
    )


def _baselines(scores: Scores, names: Sequence[str]) -> list[int]:
    known = [each.name for each in scores.networks]
    found = named_networks(scores, names)
    if len(found) < 2:
        raise BadSetting(
            f"a line needs two baselines, and there {'is one' if found else 'are none'}",
            f"name networks as `baselines`: {', '.join(known[:20]) or 'there are none'}",
        )
    return found


def _under(scores: Scores, shift: str, places: Sequence[int]) -> tuple[Fit, list[Effective]]:
    # Both are made anew whenever they are asked for.
    cleans, shifted = scores.clean, column(scores, shift)
    pairs = [
        (float(c), float(s)) if not isnan(c) and not isnan(s) else None
        for c, s in zip(cleans, shifted, strict=True)
    ]
    used = [pair for place in places if (pair := pairs[place]) is not None]
    fit = _fit(shift, used)
    spread = _spread(used, fit)
    cells = []
    for place, pair in enumerate(pairs):
        clean, accuracy = (None if isnan(v) else float(v) for v in (cleans[place], shifted[place]))
        own = (scores.networks[place].name, shift, place in places, clean, accuracy)
        if pair is None or fit.slope is None or fit.intercept is None:
            cells.append(Effective(*own))
            continue
        value = beyond(*pair, fit.slope, fit.intercept)
        ends: tuple[float | None, float | None] = (None, None)
        if spread is not None and place not in places:
            reach = spread[0] * sqrt(1 + 1 / len(used) + (pair[0] - spread[1]) ** 2 / spread[2])
            ends = (value - reach, value + reach)
        cells.append(Effective(*own, value, *ends, printed(*pair, fit.slope)))
    return fit, cells


def _fit(shift: str, used: Sequence[tuple[float, float]]) -> Fit:
    try:
        slope, intercept = fit_line([c for c, _ in used], [s for _, s in used])
    except NotMeasured:
        reason = "no two baselines have different clean accuracies, and one under this shift"
        return Fit(shift, len(used), reason=reason)
    middle = sum(s for _, s in used) / len(used)
    whole = sum((s - middle) ** 2 for _, s in used)
    missed = sum((s - slope * c - intercept) ** 2 for c, s in used)
    return Fit(shift, len(used), slope, intercept, 1 - missed / whole if whole > 1e-15 else None)


def _spread(used: Sequence[tuple[float, float]], fit: Fit) -> tuple[float, float, float] | None:
    """Reach of 95 % around the line, mean clean accuracy, and squares about it."""
    if fit.slope is None or len(used) < 3:
        return None
    # Here, as it takes seconds.
    from scipy.stats import t

    free = len(used) - 2
    missed = sum((s - fit.at(c)) ** 2 for c, s in used)
    middle = sum(c for c, _ in used) / len(used)
    squares = sum((c - middle) ** 2 for c, _ in used)
    return float(t.ppf(0.975, free)) * sqrt(missed / free), middle, squares
