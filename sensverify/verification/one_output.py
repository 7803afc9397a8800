"""Networks with one output, or one logit, as classifiers of two classes by a threshold."""

from __future__ import annotations

from dataclasses import replace
from math import log, log1p

import numpy as np

from sensverify.formats.onnx.importer import HALVES
from sensverify.models.loading import LoadedModel
from sensverify.network import Network
from sensverify.network.graph import Node
from sensverify.network.operators import Affine, Reshape


def with_threshold(model: LoadedModel, threshold: float) -> LoadedModel:
    """A model whose one output becomes two: minus and plus half of its distance from a threshold.

    Class 1 is an output above the threshold, class 0 one that is not; the difference of the two
    outputs is the distance. Of a file that ends in the sigmoid of one logit, the threshold is one
    of the probability, and the distance is that of the logits.
    """
    network = model.network
    last = len(network.nodes) - 1
    if has_probability(model):
        bias = np.array([0.5, -0.5]) * (log(threshold) - log1p(-threshold))
        shift = Node("threshold", Affine(np.eye(2), bias), (last,), (2,))
        return replace(model, network=Network((*network.nodes, shift)))
    bias = np.array([0.5, -0.5]) * threshold
    nodes = (
        Node("threshold/one", Reshape((1,)), (last,), (1,)),
        Node("threshold", Affine(HALVES, bias), (last + 1,), (2,)),
    )
    return replace(model, network=Network((*network.nodes, *nodes)))


def has_probability(model: LoadedModel) -> bool:
    """Whether a model's file gives the probability of the second of two classes."""
    head = model.head
    return head is not None and head.single and "Sigmoid" in head.operators


def threshold_scores(values: np.ndarray, threshold: float | None) -> np.ndarray:
    """Scores of the two classes of a file's one output, whose order is exact; others as they are.

    As `with_threshold` has them: minus and plus half of the distance from the threshold.

    Parameters
    ----------
    values : numpy array, shape ``[1]`` or, of probabilities, ``[2]``
    threshold : float or None
        None: there is none.
    """
    if threshold is None:
        return values
    above = (values.astype(np.float64)[-1:] - threshold) / 2
    return np.concatenate([-above, above])


def threshold_names(threshold: float) -> tuple[str, str]:
    """Names of the two classes."""
    return f"at most {threshold:g}", f"above {threshold:g}"
