"""Curvature of the training loss in the weights: its Hessian's largest eigenvalue and trace.

In double precision: a second derivative sums terms that cancel, and on a processor those of
convolutions take no longer that way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite, prod, sqrt
from statistics import fmean, stdev

import torch
from torch import Tensor

from sensverify.bounds.forward import forward
from sensverify.bounds.tensors import flattened
from sensverify.errors import NotMeasured
from sensverify.measures.complexity.weights import (
    Weights,
    cross_entropies,
    is_piecewise_linear,
    slices,
)
from sensverify.measures.curvature.lanczos import extreme_eigenvalues
from sensverify.measures.measure import TRAINING, Measure, MeasuredClassifier, Reading
from sensverify.measures.sensitivity.gradients import squared_gradients

_POOR = 0.1
"""Relative error of an eigenvalue above which there is no number when the time is up."""

_FEWEST_VECTORS = 10
"""A standard error from fewer draws says little."""

_MOST_CLASSES = 100
"""Above, estimating a trace is cheaper than a gradient for each class."""


@dataclass(frozen=True, eq=False)
class WeightHessian:
    """Hessian of the mean cross-entropy of some samples in a network's weights.

    It is never stored; it is known by what it does to vectors.

    Parameters
    ----------
    weights : Weights
        In double precision.
    x, y : Tensor, shapes ``[samples, *network.input_shape]`` and ``[samples]``
    parts : tuple of slice
        Of the samples: those that are looked at together.
    """

    weights: Weights
    x: Tensor
    y: Tensor
    parts: tuple[slice, ...]

    @classmethod
    def of(cls, measured: MeasuredClassifier) -> WeightHessian:
        """The Hessian on the training samples of a classifier.

        Raises
        ------
        NotMeasured
            There are no training samples, or no weights.
        """
        x, y = measured.require_labelled()
        weights = Weights.of(measured.network, torch.float64)
        return cls(weights, x.detach(), y, tuple(slices(measured, len(x))))

    def times(self, vector: Tensor) -> Tensor:
        """The Hessian times a vector, both flat and float64.

        The gradient of the gradient's product with the vector, summed over parts of the samples.
        """
        whole = torch.zeros_like(vector)
        directions = self.weights.split(vector)
        for part in self.parts:
            points = [values.detach().requires_grad_() for values in self.weights.tensors]
            with torch.enable_grad():
                network, x = self.weights.at(points), self.x[part].double()
                loss = cross_entropies(network, x, self.y[part]).sum()
                gradient = torch.autograd.grad(loss, points, create_graph=True)
                slope = torch.stack(
                    [(g * d).sum() for g, d in zip(gradient, directions, strict=True)]
                ).sum()
            second = torch.autograd.grad(slope, points, allow_unused=True, materialize_grads=True)
            whole += torch.cat([values.flatten() for values in second])
        return whole / len(self.x)


def hessian_largest(
    measured: MeasuredClassifier, *, accuracy: float = 1e-4, steps: int = 100
) -> Reading:
    """Largest eigenvalue of the Hessian of the mean cross-entropy in the weights.

    By Lanczos iteration from a random vector. Unlike power iteration, it tells the largest
    eigenvalue from the largest in magnitude, and unlike ARPACK's it can be stopped at any step,
    keeps two vectors, and says how far it is.

    Parameters
    ----------
    measured : MeasuredClassifier
        Its training samples are used.
    accuracy : float
        Relative error at which iteration stops.
    steps : int
        Of the iteration, at most: products with the Hessian.

    Returns
    -------
    Reading
        There is an eigenvalue within the error of the value, and the largest one is not below the
        value but for rounding. The note tells where a negative one is larger in magnitude.

    Raises
    ------
    NotMeasured
        There are no training samples, or the time is up before the error is below a tenth of the
        value.

    Notes
    -----
    Source: Keskar et al. 2017, *On large-batch training for deep learning*; by Lanczos iteration,
    Ghorbani, Krishnan & Xiao 2019, *An investigation into neural net optimization via Hessian
    eigenvalue density*.
    """
    hessian = WeightHessian.of(measured)
    if measured.watch.over:
        raise NotMeasured("the time was up before it began")
    generator = torch.Generator().manual_seed(measured.seed)
    start = torch.randn(1, hessian.weights.count, generator=generator, dtype=torch.float64)
    found = extreme_eigenvalues(
        lambda vectors: hessian.times(vectors[0])[None],
        start.to(hessian.x.device),
        accuracy=accuracy,
        steps=steps,
        over=lambda: measured.watch.over,
    )
    value, smallest = float(found.largest), float(found.smallest)
    error, scale = float(found.error), max(abs(value), abs(smallest))
    if measured.watch.over and not error <= _POOR * scale:
        raise NotMeasured(
            f"the time was up after {found.steps} steps, with an error of {error:.3g}"
        )
    notes = [f"Lanczos iteration, {found.steps} steps"]
    if -smallest > value:
        notes.append(f"an eigenvalue of {smallest:.4g}, or below, is larger in magnitude")
    early = not error <= accuracy * scale
    if early:
        notes.append("stopped early")
    cut = early and found.steps < min(steps, hessian.weights.count)
    return Reading(value, error, len(hessian.x), "; ".join(notes), cut)


def hessian_trace(measured: MeasuredClassifier) -> Reading:
    """Trace of the Hessian of the mean cross-entropy in the weights.

    Exact (`exact_hessian_trace`) where the network is piecewise linear and has at most 100
    classes, which costs one gradient of every sample for each class; estimated
    (`estimated_hessian_trace`) elsewhere.
    """
    classes = prod(measured.network.output_shape)
    if is_piecewise_linear(measured.network) and classes <= _MOST_CLASSES:
        return exact_hessian_trace(measured)
    return estimated_hessian_trace(measured)


def exact_hessian_trace(measured: MeasuredClassifier) -> Reading:
    """The trace of a piecewise linear network's Hessian in the weights, without estimation.

    Outputs are linear in every single weight around almost every point, so only the curvature of
    the cross-entropy itself is left: with J the derivative of a sample's outputs in the weights
    and p its probabilities, the trace is the mean of ``trace(J^T (diag(p) - p p^T) J)``. That is
    ``sum_c p_c |g_c|^2``, where g_c is the gradient of the cross-entropy for the label c.

    Parameters
    ----------
    measured : MeasuredClassifier
        Its training samples are used.

    Raises
    ------
    NotMeasured
        There are no training samples, the network is not piecewise linear, or the time is up.

    Notes
    -----
    Source: the decomposition of Schraudolph 2002, *Fast curvature matrix-vector products for
    second-order gradient descent*; with piecewise linear outputs its second part has no diagonal.
    """
    if not is_piecewise_linear(measured.network):
        raise NotMeasured("the network is not piecewise linear, so its trace can only be estimated")
    x, _ = measured.require_labelled()
    weights = Weights.of(measured.network, torch.float64)
    total = 0.0
    for part in slices(measured, len(x), entries=2 * weights.count):
        samples = x[part].detach().double()
        with torch.no_grad():
            shares = flattened(forward(weights.network, samples)).softmax(dim=1)
        for label, share in enumerate(shares.unbind(dim=1)):
            if measured.watch.over:
                raise NotMeasured(f"the time was up after {part.start} of {len(x)} samples")
            labels = torch.full_like(share, label, dtype=torch.int64)
            total += float((share * squared_gradients(weights, samples, labels)).sum())
    return Reading(total / len(x), None, len(x), "exact, by one gradient for each class")


def estimated_hessian_trace(
    measured: MeasuredClassifier, *, accuracy: float = 0.05, vectors: int = 200
) -> Reading:
    """Hutchinson's estimate of the trace of the Hessian in the weights.

    The mean of ``v^T H v`` over vectors v of random signs, whose expectation is the trace.

    Parameters
    ----------
    measured : MeasuredClassifier
        Its training samples and its seed are used.
    accuracy : float
        Stops when the standard error is below this share of the estimate.
    vectors : int
        At most so many.

    Raises
    ------
    NotMeasured
        There are no training samples, or the time is up before 10 vectors.

    Notes
    -----
    Source: Hutchinson 1990, *A stochastic estimator of the trace of the influence matrix for
    Laplacian smoothing splines*; of networks, Yao et al. 2020, *PyHessian: neural networks through
    the lens of the Hessian*.
    """
    hessian = WeightHessian.of(measured)
    values: list[float] = []
    cut = False
    for vector in _signs(hessian.weights.count, measured.seed):
        enough = len(values) >= _FEWEST_VECTORS
        if enough and _error(values) <= accuracy * abs(fmean(values)):
            break
        if len(values) >= vectors:
            break
        cut = measured.watch.over
        if cut and not enough:
            raise NotMeasured(
                f"the time was up after {len(values)} of at least {_FEWEST_VECTORS} random vectors"
            )
        if cut:
            break
        vector = vector.to(hessian.x.device)
        values.append(float(vector @ hessian.times(vector)))
        if not isfinite(values[-1]):
            raise NotMeasured(f"the Hessian's product with a vector is {values[-1]}")
    note = f"Hutchinson's estimate from {len(values)} random vectors"
    note += ", until the time was up" if cut else ""
    return Reading(fmean(values), _error(values), len(hessian.x), note, cut)


def _signs(count: int, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield 2.0 * torch.randint(2, (count,), generator=generator).double() - 1.0


def _error(values: list[float]) -> float:
    return stdev(values) / sqrt(len(values))


MEASURES: dict[str, Measure] = {
    "hessian-largest": Measure(
        "largest eigenvalue of the Hessian, in the weights and biases, of the mean cross-entropy "
        "on training samples",
        "Keskar et al. 2017, On large-batch training for deep learning",
        "sharpness",
        hessian_largest,
        (TRAINING,),
    ),
    "hessian-trace": Measure(
        "sum of all eigenvalues of the Hessian, in the weights and biases, of the mean "
        "cross-entropy on training samples",
        "Yao et al. 2020, PyHessian: neural networks through the lens of the Hessian",
        "sharpness",
        hessian_trace,
        (TRAINING,),
    ),
}
"""By name."""
