"""Calibration of a corruption: the strengths from which it costs accuracy, and half of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sensverify.errors import BadSetting


@dataclass(frozen=True, kw_only=True)
class SeverityRange:
    """Strengths at which a corruption begins to matter and is as strong as it should get.

    Parameters
    ----------
    lower : float or None
        Smallest strength at which one accuracy point is lost, up to the tolerance; None where it is
        not lost within the range.
    upper : float or None
        The same for half of the accuracy.
    evaluations : int
        Number of accuracies that were evaluated.
    """

    lower: float | None
    upper: float | None
    evaluations: int


def calibrate(
    accuracy_of: Callable[[float], float],
    *,
    reference: float,
    strengths: tuple[float, float] = (0.0, 1.0),
    point: float = 0.01,
    share: float = 0.5,
    tolerance: float = 1e-3,
) -> SeverityRange:
    """The range of strengths of one corruption that is worth testing with.

    Both ends are found by bisection. A returned strength was evaluated and meets its condition; one
    that is weaker by at most the tolerance was evaluated too and does not, unless the condition is
    met at the weakest already. Where accuracy falls with strength, that is the one crossing there
    is; where it goes up and down, it is one of several.

    Parameters
    ----------
    accuracy_of : callable
        From a strength to an accuracy from 0 to 1.
    reference : float
        Accuracy without corruption, from 0 to 1.
    strengths : (weakest, strongest)
        May fall, as of factors of contrast.
    point : float
        Loss of accuracy at the lower end: ``accuracy <= reference - point``.
    share : float
        Share of the accuracy lost at the upper end: ``accuracy <= (1 - share) * reference``.
    tolerance : float
        Width of the last interval of a bisection, in units of strength.

    Returns
    -------
    SeverityRange

    Raises
    ------
    BadSetting
        An accuracy is no number from 0 to 1, or the settings do not fit together.

    Notes
    -----
    Source: Laugros, *Synthetic, adversarial and natural corruptions*, on the selection of
    corruptions.
    """
    weakest, strongest = strengths
    if not tolerance > 0 or not abs(strongest - weakest) > 0:
        raise BadSetting(
            "calibration needs a tolerance above 0 and two different strengths, got "
            f"{tolerance} and {strengths}"
        )
    if not 0 < point < 1 or not 0 < share <= 1:
        raise BadSetting(
            f"calibration needs 0 < point < 1 and 0 < share <= 1, got {point} and {share}"
        )
    _check(reference, "reference accuracy")
    known: dict[float, float] = {}

    def accuracy(strength: float) -> float:
        if strength not in known:
            known[strength] = _check(accuracy_of(strength), f"accuracy at strength {strength:g}")
        return known[strength]

    def crossing(target: float) -> float | None:
        if accuracy(weakest) <= target:
            return weakest
        if accuracy(strongest) > target:
            return None
        above, below = weakest, strongest
        while abs(below - above) > tolerance:
            middle = (above + below) / 2
            if middle in (above, below):
                break
            if accuracy(middle) <= target:
                below = middle
            else:
                above = middle
        return below

    lower, upper = crossing(reference - point), crossing((1 - share) * reference)
    return SeverityRange(lower=lower, upper=upper, evaluations=len(known))


def _check(accuracy: float, what: str) -> float:
    if not 0 <= accuracy <= 1:
        raise BadSetting(f"{what} must be a number from 0 to 1, got {accuracy}")
    return accuracy
