"""Columns of a table by name: measures, accuracies under shifts, and means of these."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from math import isnan, nan
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sensverify.classification.shift import app, residual_robustness
from sensverify.errors import BadSetting, NotMeasured
from sensverify.registry.names import did_you_mean
from sensverify.scores.table import KINDS, Scores

GAP = "gap"
"""The column of the generalisation gap: accuracy on training samples minus clean accuracy."""

Metric: TypeAlias = Literal["residual", "app", "accuracy"]
"""What is said of a network under a shift, see `scored`."""

_FORMS: dict[str, Callable[[float, float], float]] = {
    "residual": residual_robustness,
    "app": app,
    "error": lambda _, shifted: 1 - shifted,
}
"""What can be made of an accuracy, before a colon: ``residual:fog``."""


def shift_names(scores: Scores, without: Collection[str] = ()) -> tuple[str, ...]:
    """Names of the shifts without their severities, in order; not those of samples as they are.

    Kinds may be left out ``without``.
    """
    kept = (each for each in scores.shifts if each.kind not in ("clean", "train", *without))
    return tuple(dict.fromkeys(each.name for each in kept))


def places_of(scores: Scores, name: str) -> list[int]:
    """Where the shifts stand that a name means: one label, all severities, or all of a kind.

    Raises
    ------
    BadSetting
        There are none.
    """
    tests: tuple[Callable[[int], str], ...] = (
        lambda place: scores.shifts[place].label,
        lambda place: scores.shifts[place].name,
        lambda place: scores.shifts[place].kind,
    )
    for test in tests:
        found = [place for place in range(len(scores.shifts)) if test(place) == name]
        if found:
            return found
    labels = [each.label for each in scores.shifts]
    known = list(dict.fromkeys([*labels, *shift_names(scores)]))
    raise BadSetting(
        f"there is no shift '{name}'{did_you_mean(name, known)}",
        f"there are {', '.join(known[:20]) or 'none'}",
    )


def column(scores: Scores, name: str) -> NDArray[np.float64]:
    """One number a network; NaN where it is not known.

    Parameters
    ----------
    scores : Scores
    name : str
        A measure; a shift with its severity (``fog/3``); a shift without, or a kind of shifts
        (``attack``, ``corruption``), for the mean accuracy over all of them. ``residual:fog``,
        ``app:fog`` and ``error:fog`` are made of the accuracy. ``gap`` is the accuracy on training
        samples minus the clean one.

    Raises
    ------
    BadSetting
        There is no such column, or the name means two things.
    """
    form, colon, rest = name.partition(":")
    if name in scores.measures:
        if name in {*KINDS, *shift_names(scores), *(each.label for each in scores.shifts)}:
            raise BadSetting(f"'{name}' is a measure and a shift", "rename the measure in its file")
        return np.asarray(scores.values[:, scores.measures.index(name)])
    if name == GAP and GAP not in {*shift_names(scores), *(s.label for s in scores.shifts)}:
        return np.asarray(_accuracy(scores, "train") - scores.clean)
    if colon and form in _FORMS:
        pairs = zip(scores.clean, _accuracy(scores, rest), strict=True)
        return np.array([_made(_FORMS[form], *pair, form != "error") for pair in pairs])
    try:
        return _accuracy(scores, name)
    except BadSetting as error:
        if scores.measures:
            raise BadSetting(
                f"there is no column '{name}'{did_you_mean(name, scores.measures)}",
                f"measures are {', '.join(scores.measures[:20])}; {error.remedy}",
            ) from None
        raise


def scored(scores: Scores, name: str, metric: Metric) -> NDArray[np.float64]:
    """A column whose shifts are said by a metric.

    Parameters
    ----------
    scores : Scores
    name : str
        As of `column`. A measure is what it is, and so is a shift with a form of its own.
    metric : str
        ``residual`` (clean accuracy minus accuracy), ``app`` (accuracy over clean accuracy), or
        ``accuracy``.

    Raises
    ------
    BadSetting
        There is no such column, or the name means two things.
    """
    form, colon, _ = name.partition(":")
    if metric == "accuracy" or name in scores.measures or (colon and form in _FORMS):
        return column(scores, name)
    # Equal differences of shares are equal, also where rounding tells them apart.
    return np.asarray(np.round(column(scores, f"{metric}:{name}"), 12))


def _accuracy(scores: Scores, name: str) -> NDArray[np.float64]:
    # A mean over severities of which one is a hole is a hole.
    return np.asarray(scores.accuracy[:, places_of(scores, name)].mean(axis=1))


def _made(
    function: Callable[[float, float], float], clean: float, shifted: float, needs_clean: bool
) -> float:
    if isnan(shifted) or (needs_clean and isnan(clean)):
        return nan
    try:
        return function(clean, shifted)
    except NotMeasured:
        return nan


def group_means(
    scores: Scores, values: NDArray[np.float64]
) -> tuple[list[str], NDArray[np.float64]]:
    """Names of the groups of networks, and means over each: a hole where one of it is a hole."""
    places: dict[str, list[int]] = {}
    for place, each in enumerate(scores.networks):
        places.setdefault(each.group, []).append(place)
    return [*places], np.array([values[rows].mean(axis=0) for rows in places.values()])


def default_columns(scores: Scores) -> tuple[Sequence[str], Sequence[str]]:
    """Measures against accuracies where there are measures, else accuracies with each other."""
    shifts = [*(["clean"] if not np.isnan(scores.clean).all() else []), *shift_names(scores)]
    return (scores.measures or shifts), shifts
