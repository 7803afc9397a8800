"""Flips of predictions along sequences of frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sensverify.classification.rates import accuracy_share
from sensverify.errors import BadSetting, BadShape, NotMeasured

if TYPE_CHECKING:
    from torch import Tensor


AGAINST = ("previous", "first")
"""Frames that a sequence's predictions are compared with."""


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

    if against not in AGAINST:
        raise BadSetting(
            "predictions of a sequence are compared with the frame "
            f"{' or '.join(AGAINST)}; got {against!r}"
        )
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
    rate = accuracy_share(rate, "flip rate")
    if not accuracy_share(reference, "flip rate of the reference") > 0:
        raise NotMeasured("the predictions of the reference never flip along this sequence")
    return 100 * rate / reference
