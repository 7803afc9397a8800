"""Curvature of the cross-entropy in the input: its Hessian's largest eigenvalue at samples.

In double precision, as that in the weights.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import torch
from torch import Tensor

from sensverify.bounds.forward import forward
from sensverify.bounds.tensors import flattened
from sensverify.errors import NotMeasured
from sensverify.measures.complexity.weights import (
    converted,
    cross_entropies,
    is_piecewise_linear,
    slices,
)
from sensverify.measures.curvature.lanczos import extreme_eigenvalues
from sensverify.measures.measure import INITIAL, Measure, MeasuredClassifier, Reading
from sensverify.network import Network

_MOST_CLASSES = 100
"""Above, iteration is cheaper than the outputs' whole derivative."""

_ACCURACY = 1e-3
_STEPS = 60


def input_hessian_largest(measured: MeasuredClassifier) -> Reading:
    """Mean over test samples of the largest eigenvalue of the cross-entropy's Hessian in the input.

    Exact (`piecewise_linear_eigenvalues`) where the network is piecewise linear and has at most
    100 classes, by `iterated_eigenvalues` elsewhere.

    Returns
    -------
    Reading
        In nats per squared unit of x. The error is the mean of the samples' errors.

    Raises
    ------
    NotMeasured
        The time is up before all samples are done.

    Notes
    -----
    Source: Jung, Lukasik & Keuper 2023, *Neural architecture design and robustness: a dataset*,
    who take the predictor from Mok et al. 2021, *AdvRush: searching for adversarially robust
    neural architectures*. They do not say how samples are combined; the mean is this package's
    reading.
    """
    network = converted(measured.network, torch.float64)
    exact = is_piecewise_linear(network) and prod(network.output_shape) <= _MOST_CLASSES
    value = error = 0.0
    for part in slices(measured, len(measured.x), entries=_entries(network, exact)):
        if measured.watch.over:
            raise NotMeasured(f"the time was up after {part.start} of {len(measured.x)} samples")
        x, y = measured.x[part].detach().double(), measured.y[part]
        if exact:
            value += float(piecewise_linear_eigenvalues(network, x).sum())
        else:
            values, errors = iterated_eigenvalues(network, x, y, seed=measured.seed)
            value, error = value + float(values.sum()), error + float(errors.sum())
    samples = len(measured.x)
    note = "exact, from the outputs' derivatives" if exact else "Lanczos iteration"
    return Reading(value / samples, None if exact else error / samples, samples, note)


def piecewise_linear_eigenvalues(network: Network, x: Tensor) -> Tensor:
    """Largest eigenvalue of every sample's Hessian in the input, of a piecewise linear network.

    With J the derivative of the outputs in the input and p the probabilities, the Hessian is
    ``J^T (diag(p) - p p^T) J`` around almost every point, whatever the label. With
    ``diag(p) - p p^T = B B^T`` its eigenvalues above zero are those of ``B^T J J^T B``, a matrix
    of classes times classes.

    Parameters
    ----------
    network : Network
        With tensors of x's dtype; its outputs are piecewise linear in x.
    x : Tensor, shape ``[batch, *network.input_shape]``

    Returns
    -------
    Tensor, shape ``[batch]``, at least 0
    """
    point = x.detach().requires_grad_()
    with torch.enable_grad():
        outputs = flattened(forward(network, point))
        totals = outputs.sum(dim=0).unbind()
    rows = [torch.autograd.grad(total, point, retain_graph=True)[0] for total in totals]
    derivative = flattened(torch.stack(rows, dim=1), 2)
    roots = outputs.detach().softmax(dim=1).sqrt()
    # B = diag(r) (1 - r r^T) with r the roots of p, whose squares sum to one.
    scaled = roots[:, :, None] * derivative
    scaled = scaled - roots[:, :, None] * (roots[:, None, :] @ scaled)
    # No number is smaller than 0 but by rounding.
    return torch.linalg.eigvalsh(scaled @ scaled.mT)[:, -1].clamp(min=0.0)


def iterated_eigenvalues(
    network: Network,
    x: Tensor,
    y: Tensor,
    *,
    seed: int = 0,
    accuracy: float = _ACCURACY,
    steps: int = _STEPS,
) -> tuple[Tensor, Tensor]:
    """Largest eigenvalue of every sample's Hessian in the input, by Lanczos iteration.

    Parameters
    ----------
    network : Network
        With tensors of x's dtype.
    x, y : Tensor, shapes ``[batch, *network.input_shape]`` and ``[batch]``
    seed : int
        Of the vector that iteration starts with, the same one for every sample.
    accuracy, steps
        As in `extreme_eigenvalues`.

    Returns
    -------
    values, errors : Tensor, shape ``[batch]``
        An eigenvalue lies within the error of the value; the largest one is not below the value
        but for rounding.
    """
    point = x.detach().requires_grad_()
    with torch.enable_grad():
        losses = cross_entropies(network, point, y)
        (gradient,) = torch.autograd.grad(losses.sum(), point, create_graph=True)
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(point[0].numel(), generator=generator, dtype=torch.float64).to(x)

    def product(vectors: Tensor) -> Tensor:
        shaped = vectors.reshape(x.shape)
        (second,) = torch.autograd.grad(gradient, point, shaped, retain_graph=True)
        return flattened(second)

    found = extreme_eigenvalues(product, start.expand(len(x), -1), accuracy=accuracy, steps=steps)
    return found.largest, found.error


def _entries(network: Network, exact: bool) -> int:
    features = prod(network.input_shape)
    return (2 * prod(network.output_shape) if exact else 4) * features


def _before_training(measured: MeasuredClassifier) -> Reading:
    return input_hessian_largest(replace(measured, network=measured.require_initial()))


MEASURES: dict[str, Measure] = {
    "input-hessian-largest": Measure(
        "mean over test samples of the largest eigenvalue of the Hessian of the cross-entropy in "
        "the input",
        "Jung, Lukasik & Keuper 2023, Neural architecture design and robustness: a dataset",
        "sharpness",
        input_hessian_largest,
    ),
    "input-hessian-largest-init": Measure(
        "input-hessian-largest of the network before training",
        "Jung, Lukasik & Keuper 2023, Neural architecture design and robustness: a dataset",
        "sharpness",
        _before_training,
        (INITIAL,),
    ),
}
"""By name."""
