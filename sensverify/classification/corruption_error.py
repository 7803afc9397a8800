"""Errors under corruptions in percent of a reference's, from accuracies at every severity.

*Laugros 2022* is A. Laugros' thesis *Synthetic, adversarial and natural corruptions: image
classifier robustness transfers from one distribution shift to an other*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sensverify.classification.rates import accuracy_share
from sensverify.errors import BadData, NotMeasured

if TYPE_CHECKING:
    pass


def corruption_error(shifted: Sequence[float], reference: Sequence[float]) -> float:
    """Error under a corruption in percent of a reference's. Lower is better; below 100 beats it.

    ``100 * sum_s E_s / sum_s E_s^reference`` over severities s, where E is 1 minus the accuracy.

    Parameters
    ----------
    shifted, reference : sequence of float
        Accuracies of the classifier and of the reference at every severity, from 0 to 1.

    Raises
    ------
    BadData
        A value is no share, or the sequences are empty or differ in length.
    NotMeasured
        The reference makes no errors.

    Notes
    -----
    Source: Hendrycks & Dietterich 2019, *Benchmarking neural network robustness to common
    corruptions and perturbations*.
    """
    own, other = _errors(shifted, reference)
    if not other > 0:
        raise NotMeasured("the reference makes no errors under this corruption")
    return 100 * own / other


def relative_corruption_error(
    clean: float, shifted: Sequence[float], reference_clean: float, reference: Sequence[float]
) -> float:
    """Accuracy lost to a corruption in percent of a reference's loss. Lower is better.

    ``100 * RR / RR^reference``, where the residual robustness RR is the mean over severities of
    ``clean - shifted``; below zero where one of the two gains.

    Parameters
    ----------
    clean, reference_clean : float
        Accuracies of the classifier and of the reference without corruption, from 0 to 1.
    shifted, reference : sequence of float
        Their accuracies at every severity.

    Raises
    ------
    BadData
        A value is no share, or the sequences are empty or differ in length.
    NotMeasured
        The reference loses nothing.

    Notes
    -----
    Source: Hendrycks & Dietterich 2019; Laugros 2022, Eq. 2.4, calls it CE.
    """
    own, other = _errors(shifted, reference)
    count = len(shifted)
    lost = own - count * (1 - accuracy_share(clean, "clean accuracy"))
    usual = other - count * (1 - accuracy_share(reference_clean, "clean accuracy of the reference"))
    # What rounding leaves of a difference of shares is no loss.
    if not abs(usual) > 1e-12 * count:
        raise NotMeasured("the reference loses no accuracy to this corruption")
    return 100 * lost / usual


def mean_corruption_error(
    shifted: Mapping[str, Sequence[float]], reference: Mapping[str, Sequence[float]]
) -> float:
    """Mean of `corruption_error` over corruptions. Lower is better; the reference has 100.

    Parameters
    ----------
    shifted, reference : mapping from a corruption's name to a sequence of float
        Accuracies of the classifier and of the reference at every severity, from 0 to 1.

    Raises
    ------
    BadData
        As `corruption_error`; there are no corruptions, or not the same ones.
    NotMeasured
        The reference makes no errors under one of them.
    """
    names = _same_names(shifted, reference)
    return sum(corruption_error(shifted[name], reference[name]) for name in names) / len(names)


def relative_mean_corruption_error(
    clean: float,
    shifted: Mapping[str, Sequence[float]],
    reference_clean: float,
    reference: Mapping[str, Sequence[float]],
) -> float:
    """Mean of `relative_corruption_error` over corruptions. Lower is better.

    Parameters
    ----------
    clean, reference_clean : float
    shifted, reference : mapping from a corruption's name to a sequence of float
        As in `relative_corruption_error`.

    Raises
    ------
    BadData
        As `relative_corruption_error`; there are no corruptions, or not the same ones.
    NotMeasured
        The reference loses nothing to one of them.
    """
    names = _same_names(shifted, reference)
    errors = (
        relative_corruption_error(clean, shifted[name], reference_clean, reference[name])
        for name in names
    )
    return sum(errors) / len(names)


def _errors(shifted: Sequence[float], reference: Sequence[float]) -> tuple[float, float]:
    """Sums over severities of both classifiers' errors."""
    if len(shifted) != len(reference) or len(shifted) < 1:
        raise BadData(
            "a corruption error needs accuracies of classifier and reference at the same "
            f"severities, got {len(shifted)} and {len(reference)}"
        )
    own = sum(1 - accuracy_share(value, "shifted accuracy") for value in shifted)
    other = sum(
        1 - accuracy_share(value, "shifted accuracy of the reference") for value in reference
    )
    return own, other


def _same_names(shifted: Mapping[str, Any], reference: Mapping[str, Any]) -> list[str]:
    if not shifted or shifted.keys() != reference.keys():
        raise BadData(
            "a mean over corruptions needs the same ones of classifier and reference, got "
            f"{', '.join(sorted(shifted)) or 'none'} and {', '.join(sorted(reference)) or 'none'}"
        )
    return list(shifted)
