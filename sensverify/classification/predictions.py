"""Predictions on labelled samples, counted: accuracy, confidence, calibration."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from sensverify.bounds.forward import check_finite
from sensverify.classification.rates import Rate
from sensverify.errors import BadData, BadSetting, BadShape

BINS = 15
"""Bins of confidence, where nobody says otherwise."""


@dataclass(frozen=True)
class Bin:
    """Samples whose confidence lies in one interval.

    Parameters
    ----------
    samples, correct : int
    confidence : float
        Sum over the samples, so that bins of parts of the data can be added up.
    """

    samples: int
    correct: int
    confidence: float

    @property
    def gap(self) -> float:
        """Accuracy minus mean confidence; 0 for an empty bin."""
        return (self.correct - self.confidence) / self.samples if self.samples else 0.0


@dataclass(frozen=True)
class Classified:
    """The predictions on some samples, counted.

    Parameters
    ----------
    confusion : tuple of tuple of int, ``[classes][classes]``
        Samples by their label (rows) and their prediction (columns).
    bins : tuple of Bin
        Over equal intervals of confidence from 0 to 1, the largest probability of a sample;
        interval i holds ``i / n <= confidence < (i + 1) / n``, the last one 1 too.
    """

    confusion: tuple[tuple[int, ...], ...]
    bins: tuple[Bin, ...]

    @property
    def samples(self) -> int:
        """Number of samples."""
        return sum(map(sum, self.confusion))

    @property
    def accuracy(self) -> Rate:
        """Samples whose label is the largest output."""
        right = sum(row[label] for label, row in enumerate(self.confusion))
        return Rate(right, self.samples)

    @property
    def confidence(self) -> float:
        """Mean of the largest probability."""
        return sum(each.confidence for each in self.bins) / self.samples

    @property
    def rms_calibration_error(self) -> float:
        """``sqrt(sum_i b_i (p_i - c_i)^2)`` over bins of share b, accuracy p, mean confidence c."""
        return sqrt(sum(each.samples * each.gap**2 for each in self.bins) / self.samples)

    @property
    def expected_calibration_error(self) -> float:
        """``sum_i b_i |p_i - c_i|``."""
        return sum(each.samples * abs(each.gap) for each in self.bins) / self.samples

    @property
    def maximum_calibration_error(self) -> float:
        """``max_i |p_i - c_i|`` over bins that are not empty."""
        return max(abs(each.gap) for each in self.bins)


def classify(outputs: Tensor, y: Tensor, *, bins: int = BINS) -> Classified:
    """Count predictions.

    Parameters
    ----------
    outputs : Tensor, shape ``[samples, classes]``
        Logits; the probabilities are their softmax, in double precision.
    y : Tensor, shape ``[samples]``, int64

    Raises
    ------
    BadShape
        The shapes do not fit.
    BadData
        There are no samples, or a label is no class.
    Unbounded
        An output is not finite.
    BadSetting
        There are no bins.
    """
    if bins < 1:
        raise BadSetting(f"confidences are sorted into at least 1 bin, got {bins}")
    if outputs.ndim != 2 or y.shape != outputs.shape[:1]:
        raise BadShape(
            "predictions need outputs of shape [samples, classes] and one label each, got "
            f"{tuple(outputs.shape)} and {tuple(y.shape)}"
        )
    if len(y) == 0:
        raise BadData("there are no samples whose predictions could be counted")
    check_finite(outputs, 0)
    classes = outputs.shape[1]
    # Counted on the processor, in one order: devices sum in orders of their own.
    outputs, y = outputs.detach().cpu(), y.cpu().long()
    if not bool(((y >= 0) & (y < classes)).all()):
        raise BadData(
            f"labels run from {int(y.min())} to {int(y.max())}; the {classes} outputs are the "
            f"classes 0 to {classes - 1}"
        )
    # The first of equal outputs.
    predicted = outputs.argmax(dim=1)
    confidence = torch.softmax(outputs.double(), dim=1).amax(dim=1)
    places = (confidence * bins).long().clamp(max=bins - 1)
    counts = torch.bincount(classes * y + predicted, minlength=classes**2)
    right = torch.bincount(places[predicted == y], minlength=bins)
    sums = torch.bincount(places, weights=confidence, minlength=bins)
    return Classified(
        tuple(map(tuple, counts.reshape(classes, classes).tolist())),
        tuple(
            map(Bin, torch.bincount(places, minlength=bins).tolist(), right.tolist(), sums.tolist())
        ),
    )
