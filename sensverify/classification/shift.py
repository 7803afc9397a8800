"""Scores of a shift of the data, from a classifier's predictions with and without the shift.

Accuracies are shares from 0 to 1, never percentages: a value outside is refused. *Laugros 2022* is
A. Laugros' thesis *Synthetic, adversarial and natural corruptions: image classifier robustness
transfers from one distribution shift to an other*.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

from sensverify.classification.rates import Rate, accuracy_share
from sensverify.errors import BadData, BadSetting, BadShape, NotMeasured

if TYPE_CHECKING:
    from torch import Tensor

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
    return accuracy_share(clean, "clean accuracy") - accuracy_share(shifted, "shifted accuracy")


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
    shifted = accuracy_share(shifted, "shifted accuracy")
    if not accuracy_share(clean, "clean accuracy") > 0:
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
        (accuracy_share(c, "clean accuracy"), accuracy_share(s, "shifted accuracy"))
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
    predicted = _finite(slope, "slope") * accuracy_share(clean, "clean accuracy")
    return accuracy_share(shifted, "shifted accuracy") - (
        predicted + _finite(intercept, "intercept")
    )


def effective_robustness_as_printed(clean: float, shifted: float, slope: float) -> float:
    """``clean - slope * shifted``. Lower is better, against what the source says of it.

    Notes
    -----
    Source: Laugros 2022, Eq. 2.3, which falls when the shifted accuracy rises, and has no
    intercept.
    """
    shifted = accuracy_share(shifted, "shifted accuracy")
    return accuracy_share(clean, "clean accuracy") - _finite(slope, "slope") * shifted


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
    return accuracy_share(train, "training accuracy") - accuracy_share(test, "test accuracy")


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
    if of not in SUCCESSES:
        raise BadSetting(
            f"an attack's successes are a share of {' or '.join(SUCCESSES)}; got {of!r}"
        )
    if not 0 <= wrong <= broken <= samples:
        raise BadSetting(
            f"an attack needs 0 <= wrong <= broken <= samples, got {wrong}, {broken}, {samples}"
        )
    if of == "all":
        return Rate(broken, samples)
    if wrong == samples:
        raise NotMeasured("no sample is classified right, so there is none to break")
    return Rate(broken - wrong, samples - wrong)


def _finite(value: float, what: str) -> float:
    if not isfinite(value):
        raise BadData(f"the line's {what} is {value}, which is no finite number")
    return float(value)
