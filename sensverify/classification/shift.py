"""Scores of a shift of the data, from a classifier's predictions with and without the shift.

Accuracies are shares from 0 to 1, never percentages: a value outside is refused. *Laugros 2022* is
A. Laugros' thesis *Synthetic, adversarial and natural corruptions: image classifier robustness
transfers from one distribution shift to an other*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from sensverify.classification.rates import Rate
from sensverify.errors import BadData, BadSetting, BadShape, NotMeasured

if TYPE_CHECKING:
    from torch import Tensor

AGAINST = ("previous", "first")
"""Frames that a sequence's predictions are compared with."""

SUCCESSES = ("right", "all")
"""Samples that the rate of an attack's successes is a share of."""


def residual_robustness(clean: float, shifted: float) -> float:
    """Accuracy lost by a shift, ``clean - shifted``. Lower is better.

    Below zero where the shift helps. A classifier that guesses loses nothing: look at the clean
    accuracy too.

    Parameters
    ----------
    clean, shifted : float
        Accuracies without and with the shift, from 0 to 1.

    Raises
    ------
    BadData
        One of them is no share.

    Notes
    -----
    Source: Laugros 2022, Eq. 2.1.
    """
    return _share(clean, "clean accuracy") - _share(shifted, "shifted accuracy")


def app(clean: float, shifted: float) -> float:
    """Accuracy preservation, ``shifted / clean``. Higher is better; 1 is nothing lost.

    Parameters
    ----------
    clean, shifted : float
        Accuracies without and with the shift, from 0 to 1.

    Raises
    ------
    BadData
        One of them is no share.
    NotMeasured
        The clean accuracy is 0.

    Notes
    -----
    Source: Laugros 2022, Eq. 2.2.
    """
    shifted = _share(shifted, "shifted accuracy")
    if not _share(clean, "clean accuracy") > 0:
        raise NotMeasured("the clean accuracy is 0, of which nothing can be preserved")
    return shifted / clean


def fit_line(clean: Sequence[float], shifted: Sequence[float]) -> tuple[float, float]:
    """The line that predicts classifiers' shifted accuracy from their clean one.

    Parameters
    ----------
    clean, shifted : sequence of float
        Accuracies of the classifiers, from 0 to 1, in one order.

    Returns
    -------
    slope, intercept : float
        With the least sum of squared differences ``slope * clean + intercept - shifted``.

    Raises
    ------
    BadData
        A value is no share, or the sequences differ in length.
    NotMeasured
        There are no two classifiers with different clean accuracies.
    """
    if len(clean) != len(shifted):
        raise BadData(
            f"a line needs two accuracies of every classifier, got {len(clean)} clean and "
            f"{len(shifted)} shifted ones"
        )
    pairs = [
        (_share(c, "clean accuracy"), _share(s, "shifted accuracy"))
        for c, s in zip(clean, shifted, strict=True)
    ]
    if len({first for first, _ in pairs}) < 2:
        raise NotMeasured("a line needs two classifiers with different clean accuracies")
    middle = sum(c for c, _ in pairs) / len(pairs)
    level = sum(s for _, s in pairs) / len(pairs)
    slope = sum((c - middle) * (s - level) for c, s in pairs) / sum(
        (c - middle) ** 2 for c, _ in pairs
    )
    return slope, level - slope * middle


def effective_robustness(clean: float, shifted: float, slope: float, intercept: float) -> float:
    """Accuracy beyond what is usual at that clean accuracy. Higher is better.

    ``shifted - (slope * clean + intercept)``, 0 on the line (see `fit_line`).

    Parameters
    ----------
    clean, shifted : float
        Accuracies without and with the shift, from 0 to 1.
    slope, intercept : float
        Of the line of other classifiers' accuracies.

    Raises
    ------
    BadData
        An accuracy is no share, or the line is not finite.

    Notes
    -----
    Source: Taori et al. 2020, *Measuring robustness to natural distribution shifts in image
    classification*. The formula in Laugros 2022 is `effective_robustness_as_printed`.
    """
    predicted = _finite(slope, "slope") * _share(clean, "clean accuracy")
    return _share(shifted, "shifted accuracy") - (predicted + _finite(intercept, "intercept"))


def effective_robustness_as_printed(clean: float, shifted: float, slope: float) -> float:
    """``clean - slope * shifted``. Lower is better, against what the source says of it.

    Notes
    -----
    Source: Laugros 2022, Eq. 2.3, which falls when the shifted accuracy rises, and has no
    intercept.
    """
    shifted = _share(shifted, "shifted accuracy")
    return _share(clean, "clean accuracy") - _finite(slope, "slope") * shifted


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
    lost = own - count * (1 - _share(clean, "clean accuracy"))
    usual = other - count * (1 - _share(reference_clean, "clean accuracy of the reference"))
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


def flip_rate(predictions: Tensor, *, against: str = "previous") -> float:
    """Flip rate: how often the prediction changes along sequences of frames. Lower is better.

    Parameters
    ----------
    predictions : Tensor of whole numbers, shape ``[samples, frames]``
        Predicted classes.
    against : str
        ``previous``: share of frames, from the second on, with another prediction than the frame
        before. ``first``: than the first frame, for sequences whose frames do not follow from one
        another, such as noise.

    Raises
    ------
    BadSetting
        There is no such choice.
    BadShape
        There are no samples, fewer than two frames, or the predictions are no whole numbers.

    Notes
    -----
    Source: Hendrycks & Dietterich 2019, *Benchmarking neural network robustness to common
    corruptions and perturbations*; divided by a reference's it is `relative_flip_rate`.
    """
    # Here, as scores of counts need no torch.
    import torch

    _one_of(against, AGAINST, "predictions of a sequence are compared with the frame")
    predictions = torch.as_tensor(predictions)
    if predictions.ndim != 2 or min(predictions.shape) < 1 or predictions.shape[1] < 2:
        raise BadShape(
            "flips need predictions of shape [samples, frames] with at least 2 frames, got "
            f"{tuple(predictions.shape)}"
        )
    if predictions.dtype.is_floating_point or predictions.dtype.is_complex:
        raise BadShape(f"predicted classes are whole numbers, got {predictions.dtype}")
    others = predictions[:, :-1] if against == "previous" else predictions[:, :1]
    return float((predictions[:, 1:] != others).double().mean())


def relative_flip_rate(rate: float, reference: float) -> float:
    """Flip rate in percent of a reference's. Lower is better; below 100 beats it.

    The mean of it over sequences is the mFR.

    Parameters
    ----------
    rate, reference : float
        Flip rates of the classifier and of the reference along the same sequences, from 0 to 1.

    Raises
    ------
    BadData
        One of them is no share.
    NotMeasured
        The reference's predictions never flip.

    Notes
    -----
    Source: Hendrycks & Dietterich 2019, *Benchmarking neural network robustness to common
    corruptions and perturbations*.
    """
    rate = _share(rate, "flip rate")
    if not _share(reference, "flip rate of the reference") > 0:
        raise NotMeasured("the predictions of the reference never flip along this sequence")
    return 100 * rate / reference


def minimal_sample_distance(first: Tensor, second: Tensor) -> float:
    """Distance from one shift's mean output to another shift's nearest sample. Not symmetric.

    ``min_i || mean_j f(c1(x_j)) - f(c2(x_i)) ||_2``, in units of the outputs.

    Parameters
    ----------
    first, second : Tensor, shapes ``[samples, outputs]``
        A network's outputs, or features, on samples under the first and the second shift.

    Raises
    ------
    BadShape
        There are no samples, or the shapes do not fit each other.
    BadData
        An output is not finite.

    Notes
    -----
    Source: Mintun, Kirillov & Xie 2021, *On interaction between augmentations and corruptions in
    natural corruption robustness*.
    """
    import torch

    if (
        first.ndim != 2
        or second.ndim != 2
        or min(len(first), len(second)) < 1
        or first.shape[1] != second.shape[1]
    ):
        raise BadShape(
            "the minimal sample distance needs outputs of shape [samples, outputs] twice, got "
            f"{tuple(first.shape)} and {tuple(second.shape)}"
        )
    if not bool(torch.isfinite(first).all() & torch.isfinite(second).all()):
        raise BadData(
            "the minimal sample distance needs finite outputs; there are NaN or infinite ones"
        )
    middle = first.double().mean(dim=0)
    return float((second.double() - middle).norm(dim=1).min())


def generalisation_gap(train: float, test: float) -> float:
    """Error on test samples minus error on training samples. Lower is better.

    Parameters
    ----------
    train, test : float
        Accuracies, from 0 to 1.

    Raises
    ------
    BadData
        One of them is no share.
    """
    return _share(train, "training accuracy") - _share(test, "test accuracy")


def attack_success_rate(samples: int, wrong: int, broken: int, *, of: str = "right") -> Rate:
    """Share of samples that an attack broke. Lower is better for the classifier.

    Parameters
    ----------
    samples, wrong, broken : int
        All samples; those classified wrong without the attack; those wrong with it or without.
    of : str
        ``right``: of the samples that were right without the attack, those it broke, which leaves
        out errors that are none of its doing. ``all``: of all samples, those wrong with it or
        without, which is the error under attack, and what *Measuring and improving robustness of
        deep neural networks* calls the attack success rate.

    Raises
    ------
    BadSetting
        There is no such choice, or not ``0 <= wrong <= broken <= samples``.
    NotMeasured
        No sample is right without the attack.
    """
    _one_of(of, SUCCESSES, "an attack's successes are a share of")
    if not 0 <= wrong <= broken <= samples:
        raise BadSetting(
            f"an attack needs 0 <= wrong <= broken <= samples, got {wrong}, {broken}, {samples}"
        )
    if of == "all":
        return Rate(broken, samples)
    if wrong == samples:
        raise NotMeasured("no sample is classified right, so there is none to break")
    return Rate(broken - wrong, samples - wrong)


def _share(value: float, what: str) -> float:
    # NaN is refused too.
    if not 0 <= value <= 1:
        raise BadData(
            f"the {what} is {value}, and accuracies are shares from 0 to 1",
            "divide percentages by 100",
        )
    return float(value)


def _finite(value: float, what: str) -> float:
    if not isfinite(value):
        raise BadData(f"the line's {what} is {value}, which is no finite number")
    return float(value)


def _errors(shifted: Sequence[float], reference: Sequence[float]) -> tuple[float, float]:
    """Sums over severities of both classifiers' errors."""
    if len(shifted) != len(reference) or len(shifted) < 1:
        raise BadData(
            "a corruption error needs accuracies of classifier and reference at the same "
            f"severities, got {len(shifted)} and {len(reference)}"
        )
    own = sum(1 - _share(value, "shifted accuracy") for value in shifted)
    other = sum(1 - _share(value, "shifted accuracy of the reference") for value in reference)
    return own, other


def _same_names(shifted: Mapping[str, Any], reference: Mapping[str, Any]) -> list[str]:
    if not shifted or shifted.keys() != reference.keys():
        raise BadData(
            "a mean over corruptions needs the same ones of classifier and reference, got "
            f"{', '.join(sorted(shifted)) or 'none'} and {', '.join(sorted(reference)) or 'none'}"
        )
    return list(shifted)


def _one_of(value: str, known: tuple[str, ...], what: str) -> None:
    if value not in known:
        raise BadSetting(f"{what} {' or '.join(known)}; got {value!r}")
