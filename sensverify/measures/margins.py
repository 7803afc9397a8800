"""The margin of a network: a low percentile of its margins on training samples."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from sensverify.core.sensitivity import margin
from sensverify.errors import NotMeasured
from sensverify.measures.caching import once_per_network
from sensverify.measures.measure import TRAINING, Measure, MeasuredClassifier, Reading

PERCENTILE = 10.0
"""Of the margins on training samples: the margin of a network."""


def margin_percentile(outputs: Tensor, percentile: float = PERCENTILE) -> float:
    """A percentile of the distance from the largest output to the next one over samples.

    Between two samples it is interpolated linearly. No label is looked at: a sample that is
    classified wrong has a margin above 0 too.

    Parameters
    ----------
    outputs : Tensor, shape ``[samples, 2 or more]``
    percentile : float
        From 0 to 100.
    """
    return float(np.percentile(margin(outputs.double()).cpu().numpy(), percentile))


@once_per_network("train_x")
def training_margin(measured: MeasuredClassifier) -> float:
    """The 10th percentile of the margin on the training samples; at least 0."""
    return margin_percentile(measured.outputs_at(measured.require_training()))


def _inverse_margin(measured: MeasuredClassifier) -> Reading:
    value = training_margin(measured)
    if not value > 0:
        raise NotMeasured("the 10th percentile of the margins is 0: the two largest outputs tie")
    return Reading(1 / value / value, samples=len(measured.require_training()))


MEASURES: dict[str, Measure] = {
    "inverse-margin": Measure(
        "1 / g^2, with g the 10th percentile of the margin between the two largest outputs on "
        "training samples",
        "Jiang et al. 2020, Fantastic generalization measures and where to find them",
        "decision boundary",
        _inverse_margin,
        (TRAINING,),
    ),
}
"""By name."""
