"""Measures of complexity made of the layers' spectral and Frobenius norms, and of the margin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import fsum, log, sqrt

import torch

from sensverify.errors import NotMeasured
from sensverify.measures.caching import once_per_network
from sensverify.measures.complexity.layers import LinearLayer, changed_layers, linear_layers
from sensverify.measures.complexity.spectral import spectral_norm
from sensverify.measures.margins import training_margin
from sensverify.measures.measure import INITIAL, TRAINING, Measure, MeasuredClassifier, Reading
from sensverify.runs.watch import Watch


@dataclass(frozen=True)
class Norms:
    """Squared norms of every layer, in order.

    Parameters
    ----------
    spectral : tuple of float
        Of the linear map that the layer is.
    frobenius : tuple of float
        Sum of the squared entries of its matrix or kernel.
    """

    spectral: tuple[float, ...]
    frobenius: tuple[float, ...]

    @classmethod
    def of(
        cls,
        layers: Sequence[LinearLayer],
        *,
        operator: str = "convolution",
        watch: Watch | None = None,
    ) -> Norms:
        """The norms of layers, to a relative accuracy of 1e-5.

        Parameters
        ----------
        layers : sequence of LinearLayer
            With tensors without history.
        operator : str
            What matrix a convolution is: see `Spectral`.
        watch : Watch, optional

        Raises
        ------
        NotMeasured
            Time is up before the last layer.
        BadSetting
            There is no such operator, or it is not defined for a layer.
        """
        spectral, frobenius = [], []
        for done, layer in enumerate(layers):
            if watch is not None and watch.over:
                raise NotMeasured(f"time was up after {done} of {len(layers)} layers")
            spectral.append(_squared_spectral(layer, operator))
            frobenius.append(float(layer.weight.double().square().sum()))
        return cls(tuple(spectral), tuple(frobenius))


def _squared_spectral(layer: LinearLayer, operator: str) -> float:
    largest = layer.weight.abs().max()
    if not bool(largest > 0):
        return 0.0
    # Of weights near 1, the squares of whose products neither overflow nor vanish in float32.
    even = replace(layer.operator, weight=layer.weight / largest, bias=None)
    with torch.no_grad():
        norm = float(spectral_norm(even, layer.shape, operator=operator))
    return (float(largest) * norm) ** 2


def log_product(squares: Sequence[float], samples: int, margin: float = 1.0) -> float:
    """``log sqrt(prod squares / (margin^2 samples))``, from the sum of logarithms.

    Raises
    ------
    NotMeasured
        A square or the margin is 0.
    """
    return (_log_sum(squares) - 2 * _log_margin(margin) - log(samples)) / 2


def log_sum(squares: Sequence[float], samples: int, margin: float = 1.0) -> float:
    """``log sqrt(d (prod squares / margin^2)^(1 / d) / samples)`` of d squares.

    Raises
    ------
    NotMeasured
        A square or the margin is 0.
    """
    d = len(squares)
    return (log(d) + (_log_sum(squares) - 2 * _log_margin(margin)) / d - log(samples)) / 2


def log_main_term(
    spectral: Sequence[float], frobenius: Sequence[float], samples: int, margin: float
) -> float:
    """``log sqrt(prod spectral * sum(frobenius / spectral) / (margin^2 samples))``.

    Raises
    ------
    NotMeasured
        A spectral norm, all Frobenius norms or the margin are 0.
    """
    product = log_product(spectral, samples, margin)
    share = ratio(frobenius, spectral)
    if not share > 0:
        raise NotMeasured("the weights are still the initial ones: the logarithm of 0")
    return product + log(share) / 2


def ratio(frobenius: Sequence[float], spectral: Sequence[float]) -> float:
    """``sum(frobenius / spectral)`` over layers.

    Raises
    ------
    NotMeasured
        A spectral norm is 0.
    """
    _check_positive(spectral)
    return fsum(f / s for f, s in zip(frobenius, spectral, strict=True))


def root_of_sum(squares: Sequence[float], samples: int) -> float:
    """``sqrt(sum squares / samples)``."""
    return sqrt(fsum(squares) / samples)


def _log_sum(squares: Sequence[float]) -> float:
    _check_positive(squares)
    return fsum(map(log, squares))


def _check_positive(squares: Sequence[float]) -> None:
    for number, square in enumerate(squares, start=1):
        if not square > 0:
            raise NotMeasured(
                f"all weights of layer {number} of {len(squares)} are 0: so is its norm"
            )


def _log_margin(margin: float) -> float:
    if not margin > 0:
        raise NotMeasured("the 10th percentile of the margins is 0: the two largest outputs tie")
    return log(margin)


@once_per_network()
def norms_of(measured: MeasuredClassifier) -> Norms:
    """The norms of the network's layers."""
    return Norms.of(linear_layers(measured.network), watch=measured.watch)


@once_per_network("initial")
def changed_norms_of(measured: MeasuredClassifier) -> Norms:
    """The norms of the differences from the initial weights."""
    layers = changed_layers(measured.network, measured.require_initial())
    return Norms.of(layers, watch=measured.watch)


def _over_size(figure: Callable[[Norms, int], float]) -> Callable[[MeasuredClassifier], Reading]:
    """A measure of the norms and the number of training samples."""

    def take(measured: MeasuredClassifier) -> Reading:
        return Reading(figure(norms_of(measured), measured.require_train_size()))

    return take


def _over_margin(
    figure: Callable[[Norms, int, float], float],
) -> Callable[[MeasuredClassifier], Reading]:
    """A measure of the norms, the number of training samples and the margin on them."""

    def take(measured: MeasuredClassifier) -> Reading:
        margin = training_margin(measured)
        value = figure(norms_of(measured), measured.require_train_size(), margin)
        return Reading(value, samples=len(measured.require_training()))

    return take


def _init_main_term(measured: MeasuredClassifier) -> Reading:
    change = changed_norms_of(measured)
    return _over_margin(lambda n, m, g: log_main_term(n.spectral, change.frobenius, m, g))(measured)


def _sum_spectral_init(measured: MeasuredClassifier) -> Reading:
    return Reading(root_of_sum(changed_norms_of(measured).spectral, measured.require_train_size()))


def _sum_frobenius_init(measured: MeasuredClassifier) -> Reading:
    return Reading(root_of_sum(changed_norms_of(measured).frobenius, measured.require_train_size()))


_JIANG = "Jiang et al. 2020, Fantastic generalization measures and where to find them"
_BARTLETT = "Bartlett et al. 2017, Spectrally-normalized margin bounds for neural networks"
_PAPER = "Measuring and improving robustness of deep neural networks, Eq. 7"
_SIZE = "m the number of training samples"
_SPECTRAL = "s a layer's squared spectral norm (of a convolution as it is on its input)"
_FROBENIUS = "f the sum of a layer's squared weights"
_CHANGE = "f the sum of a layer's squared changes since initialisation"
_MARGIN = "g the 10th percentile of the margin between the two largest outputs on training samples"
_DEPTH = "d the number of layers"


def _measure(
    function: Callable[[MeasuredClassifier], Reading],
    formula: str,
    *terms: str,
    source: str = _JIANG,
    needs: tuple[str, ...] = (TRAINING,),
) -> Measure:
    definition = f"{formula}, with {'; '.join((*terms, _SIZE))}"
    return Measure(definition, source, "complexity", function, needs)


MEASURES: dict[str, Measure] = {
    "log-spectral-main": _measure(
        _over_margin(lambda n, m, g: log_main_term(n.spectral, n.frobenius, m, g)),
        "log sqrt(prod s * sum(f / s) / (g^2 m))",
        _SPECTRAL,
        _FROBENIUS,
        _MARGIN,
        source=_BARTLETT,
    ),
    "log-spectral-main-init": _measure(
        _init_main_term,
        "log sqrt(prod s * sum(f / s) / (g^2 m))",
        _SPECTRAL,
        _CHANGE,
        _MARGIN,
        source=_BARTLETT,
        needs=(TRAINING, INITIAL),
    ),
    "log-product-spectral": _measure(
        _over_size(lambda n, m: log_product(n.spectral, m)),
        "log sqrt(prod s / m)",
        _SPECTRAL,
    ),
    "log-product-spectral-margin": _measure(
        _over_margin(lambda n, m, g: log_product(n.spectral, m, g)),
        "log sqrt(prod s / (g^2 m))",
        _SPECTRAL,
        _MARGIN,
    ),
    "frobenius-over-spectral": _measure(
        _over_size(lambda n, m: sqrt(ratio(n.frobenius, n.spectral) / m)),
        "sqrt(sum(f / s) / m)",
        _SPECTRAL,
        _FROBENIUS,
    ),
    "log-frobenius-over-spectral": _measure(
        _over_size(lambda n, m: log(ratio(n.frobenius, n.spectral) / m) / 2),
        "log sqrt(sum(f / s) / m)",
        _SPECTRAL,
        _FROBENIUS,
        source=_PAPER,
    ),
    "log-sum-spectral": _measure(
        _over_size(lambda n, m: log_sum(n.spectral, m)),
        "log sqrt(d (prod s)^(1/d) / m)",
        _SPECTRAL,
        _DEPTH,
    ),
    "log-sum-spectral-margin": _measure(
        _over_margin(lambda n, m, g: log_sum(n.spectral, m, g)),
        "log sqrt(d (prod s / g^2)^(1/d) / m)",
        _SPECTRAL,
        _DEPTH,
        _MARGIN,
    ),
    "sum-spectral-init": _measure(
        _sum_spectral_init,
        "sqrt(sum s / m)",
        "s the squared spectral norm of a layer's change since initialisation",
        needs=(TRAINING, INITIAL),
    ),
    "log-product-frobenius": _measure(
        _over_size(lambda n, m: log_product(n.frobenius, m)),
        "log sqrt(prod f / m)",
        _FROBENIUS,
    ),
    "log-product-frobenius-margin": _measure(
        _over_margin(lambda n, m, g: log_product(n.frobenius, m, g)),
        "log sqrt(prod f / (g^2 m))",
        _FROBENIUS,
        _MARGIN,
    ),
    "log-sum-frobenius": _measure(
        _over_size(lambda n, m: log_sum(n.frobenius, m)),
        "log sqrt(d (prod f)^(1/d) / m)",
        _FROBENIUS,
        _DEPTH,
    ),
    "log-sum-frobenius-margin": _measure(
        _over_margin(lambda n, m, g: log_sum(n.frobenius, m, g)),
        "log sqrt(d (prod f / g^2)^(1/d) / m)",
        _FROBENIUS,
        _DEPTH,
        _MARGIN,
    ),
    "sum-frobenius": _measure(
        _over_size(lambda n, m: root_of_sum(n.frobenius, m)),
        "sqrt(sum f / m)",
        _FROBENIUS,
    ),
    "sum-frobenius-init": _measure(
        _sum_frobenius_init,
        "sqrt(sum f / m)",
        _CHANGE,
        needs=(TRAINING, INITIAL),
    ),
}
"""By name; sums and products are over the layers of `linear_layers`."""
