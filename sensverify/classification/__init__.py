"""The one judge of a classifier on samples, and of how far they may move.

`Classifier` runs a network, bounds its outputs over boxes and says which labels are proven or
changed by more than rounding (`margins`). `classify` counts predictions, `Rate` gives shares with
their intervals, `Paired` compares two classifiers, and `shift` scores what a shift of the data does
to them.

Names are loaded when they are first used: counts are compared without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOMES = {
    "BoundedLabels": "classifier",
    "Classified": "predictions",
    "Classifier": "classifier",
    "Paired": "paired",
    "Rate": "rates",
    "classify": "predictions",
    "holm": "paired",
    "prepare": "preparation",
    "robust_cross_entropy": "margins",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
