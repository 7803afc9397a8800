"""Measures of complexity of the weights as numbers: how many, how large, how many near zero."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, sqrt

from torch import Tensor

from sensverify.errors import BadSetting, NotMeasured
from sensverify.measures.complexity.layers import LinearLayer, changed_layers, linear_layers
from sensverify.measures.measure import INITIAL, Measure, MeasuredClassifier, Reading


def parameter_count(layers: Sequence[LinearLayer]) -> int:
    """Number of weights and biases of the layers."""
    return sum(values.numel() for layer in layers for values in _arrays(layer))


def printed_count(layers: Sequence[LinearLayer]) -> int:
    """``sum k^2 c_in (c_out + 1)``, with k^2 the entries of a kernel for one pair of channels.

    It is the formula of its source, which counts no bias of its own, and every kernel once more.
    """
    return sum(each.entries * each.channels[0] * (each.channels[1] + 1) for each in layers)


def l2_norm(layers: Sequence[LinearLayer], *, biases: bool = True) -> float:
    """Euclidean norm of all weights, and of all biases unless ``biases`` is False."""
    arrays = (a for each in layers for a in (_arrays(each) if biases else (each.weight,)))
    return sqrt(fsum(float(values.double().square().sum()) for values in arrays))


def sparsity(
    layers: Sequence[LinearLayer], *, threshold: float = 0.01, each_layer: bool = False
) -> float:
    """Percentage of weights, biases left out, that are small.

    Parameters
    ----------
    layers : sequence of LinearLayer
    threshold : float
        Small is an absolute value below this share of the largest one; above 0, at most 1.
    each_layer : bool
        Whether every layer's weights are compared with its own largest one, and not with the
        largest of the whole network.

    Returns
    -------
    float
        From 0 to 100.

    Raises
    ------
    BadSetting
        The threshold is out of range.
    NotMeasured
        All weights are 0.
    """
    if not 0 < threshold <= 1:
        raise BadSetting(f"sparsity: threshold is above 0 and at most 1, got {threshold}")
    # Compared in double precision: a share of a float32 number is none.
    sizes = [layer.weight.abs().double() for layer in layers]
    largest = [float(size.max()) for size in sizes]
    if not max(largest) > 0:
        raise NotMeasured("all weights are 0")
    limits = largest if each_layer else [max(largest)] * len(sizes)
    # A layer of zeros is below any share of a largest weight there could be.
    small = sum(
        int(((size < threshold * limit) | (size == 0)).sum())
        for size, limit in zip(sizes, limits, strict=True)
    )
    return 100 * small / sum(size.numel() for size in sizes)


def _arrays(layer: LinearLayer) -> tuple[Tensor, ...]:
    return (layer.weight,) if layer.bias is None else (layer.weight, layer.bias)


def _parameters(measured: MeasuredClassifier) -> Reading:
    return Reading(parameter_count(linear_layers(measured.network)))


def _printed(measured: MeasuredClassifier) -> Reading:
    return Reading(printed_count(linear_layers(measured.network)))


def _l2(measured: MeasuredClassifier) -> Reading:
    return Reading(l2_norm(linear_layers(measured.network)))


def _l2_init(measured: MeasuredClassifier) -> Reading:
    return Reading(l2_norm(changed_layers(measured.network, measured.require_initial())))


def _sparsity(measured: MeasuredClassifier) -> Reading:
    return Reading(sparsity(linear_layers(measured.network)))


_PAPER = "Measuring and improving robustness of deep neural networks"
_FOLDED = "batch normalisation folded into them"

MEASURES: dict[str, Measure] = {
    "parameters": Measure(
        f"number of weights and biases of all layers, {_FOLDED}",
        _PAPER,
        "complexity",
        _parameters,
    ),
    "parameters-printed": Measure(
        "sum over layers of k^2 c_in (c_out + 1), the formula as it is printed, with k^2 the "
        "entries of a kernel for one pair of channels and c their numbers",
        _PAPER,
        "complexity",
        _printed,
    ),
    "l2": Measure(
        f"Euclidean norm of all weights and biases of all layers, {_FOLDED}",
        _PAPER,
        "complexity",
        _l2,
    ),
    "l2-init": Measure(
        "Euclidean norm of the change of all weights and biases since initialisation",
        _PAPER,
        "complexity",
        _l2_init,
        (INITIAL,),
    ),
    "sparsity": Measure(
        "share of all layers' weights, without biases, whose absolute value is below 1 % of the "
        "largest one in the network",
        "Liu et al. 2022, as in Measuring and improving robustness of deep neural networks, Eq. 17",
        "complexity",
        _sparsity,
        unit="%",
    ),
}
"""By name."""
