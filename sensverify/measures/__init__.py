"""What can be measured of a classifier: its errors, its sensitivity, its norms, its curvature.

``catalog`` names every measure; a `Measure` takes a `Subject`, a network with samples, and gives a
`Reading`. ``metrics`` has the figures that trainings are compared by; ``classified``, ``rates`` and
``shift`` say what predictions say.
"""

from sensverify.classification.margins import robust_cross_entropy
from sensverify.classification.predictions import Classified, classify
from sensverify.classification.preparation import prepare
from sensverify.classification.rates import Rate
from sensverify.measures.jacobian import jacobian_norms, projected_norms
from sensverify.measures.metrics import METRICS, SHARES, Metrics, measure
from sensverify.measures.spectral import Spectral, spectral_norms
from sensverify.measures.subject import Measure, Reading, Subject

__all__ = [
    "METRICS",
    "SHARES",
    "Classified",
    "Measure",
    "Metrics",
    "Rate",
    "Reading",
    "Spectral",
    "Subject",
    "classify",
    "jacobian_norms",
    "measure",
    "prepare",
    "projected_norms",
    "robust_cross_entropy",
    "spectral_norms",
]
