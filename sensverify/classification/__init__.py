"""The one judge of a classifier on samples, and of how far they may move.

`Classifier` runs a network, bounds its outputs over boxes and says which labels are proven or
changed by more than rounding (`margins`). `classify` counts predictions, `Rate` gives shares with
their intervals, `Paired` compares two classifiers, and `shift` scores what a shift of the data does
to them.
"""

from sensverify.classification.classifier import BoundedLabels, Classifier
from sensverify.classification.margins import robust_cross_entropy
from sensverify.classification.paired import Paired, holm
from sensverify.classification.predictions import Classified, classify
from sensverify.classification.preparation import prepare
from sensverify.classification.rates import Rate

__all__ = [
    "BoundedLabels",
    "Classified",
    "Classifier",
    "Paired",
    "Rate",
    "classify",
    "holm",
    "prepare",
    "robust_cross_entropy",
]
