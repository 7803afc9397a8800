"""What can be measured of a classifier: its errors, its sensitivity, its norms."""

from sensverify.measures.jacobian import jacobian_norms, projected_norms
from sensverify.measures.metrics import METRICS, SHARES, Metrics, measure
from sensverify.measures.robust import robust_cross_entropy
from sensverify.measures.spectral import Spectral, spectral_norms

__all__ = [
    "METRICS",
    "SHARES",
    "Metrics",
    "Spectral",
    "jacobian_norms",
    "measure",
    "projected_norms",
    "robust_cross_entropy",
    "spectral_norms",
]
