"""Measures of a classifier: its errors, its sensitivity, its norms, its curvature.

``catalog`` names every measure; a `Measure` takes a `MeasuredClassifier`, a network with samples,
and gives a `Reading`. ``complexity`` looks at weights, ``curvature`` at second derivatives of the
loss, ``sensitivity`` at changes of the input. ``metrics`` has the figures that trainings are
compared by.
"""

from sensverify.classification.margins import robust_cross_entropy
from sensverify.classification.predictions import Classified, classify
from sensverify.classification.preparation import prepare
from sensverify.classification.rates import Rate
from sensverify.measures.complexity.spectral import Spectral, spectral_norms
from sensverify.measures.measure import Measure, MeasuredClassifier, Reading
from sensverify.measures.metrics import METRICS, SHARES, Metrics, measure
from sensverify.measures.sensitivity.jacobian import jacobian_norms, projected_norms

__all__ = [
    "METRICS",
    "SHARES",
    "Classified",
    "Measure",
    "MeasuredClassifier",
    "Metrics",
    "Rate",
    "Reading",
    "Spectral",
    "classify",
    "jacobian_norms",
    "measure",
    "prepare",
    "projected_norms",
    "robust_cross_entropy",
    "spectral_norms",
]
