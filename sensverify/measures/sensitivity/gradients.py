"""Norms of the cross-entropy's gradient, of every sample by itself, in the input and the weights.

In double precision, so that a confident sample, whose probability rounds to one, still has a
gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import grad, vmap

from sensverify.bounds.tensors import flattened
from sensverify.errors import NotMeasured
from sensverify.measures.complexity.weights import (
    Weights,
    converted,
    cross_entropies,
    slices,
)
from sensverify.measures.measure import Measure, MeasuredClassifier, Reading


def input_gradient(measured: MeasuredClassifier) -> Reading:
    """Mean over test samples of the L2 norm of the cross-entropy's gradient in the input.

    Raises
    ------
    NotMeasured
        The time is up before all samples are done.

    Notes
    -----
    The mean of norms, not the norm of the mean. Source: Ross & Doshi-Velez 2018, *Improving the
    adversarial robustness and interpretability of deep neural networks by regularizing their input
    gradients*.
    """
    norms = input_gradient_norms(measured, measured.x, measured.y)
    return Reading(float(norms.mean()), None, len(norms))


def weight_gradient(measured: MeasuredClassifier) -> Reading:
    """Mean over training samples of the L2 norm of the cross-entropy's gradient in the weights.

    Raises
    ------
    NotMeasured
        There are no training samples, or the time is up before all of them are done.

    Notes
    -----
    The mean of norms, not the norm of the mean. Source: Zhao, Zhang & Hu 2022, *Penalizing gradient
    norm for efficiently improving generalization in deep learning*.
    """
    norms = weight_gradient_norms(measured, *measured.require_labelled())
    return Reading(float(norms.mean()), None, len(norms))


def input_gradient_norms(measured: MeasuredClassifier, x: Tensor, y: Tensor) -> Tensor:
    """L2 norm of the gradient of every sample's cross-entropy in the sample.

    Parameters
    ----------
    measured : MeasuredClassifier
        Of its parts, the network, the memory budget and the watch are used.
    x, y : Tensor, shapes ``[samples, *network.input_shape]`` and ``[samples]``

    Returns
    -------
    Tensor, shape ``[samples]``, float64
        In nats per unit of x.

    Raises
    ------
    NotMeasured
        The time is up before all samples are done.
    """
    network = converted(measured.network, torch.float64)
    norms = []
    for part in slices(measured, len(x)):
        _check_time(measured)
        point = x[part].detach().double().requires_grad_()
        with torch.enable_grad():
            loss = cross_entropies(network, point, y[part]).sum()
        (gradient,) = torch.autograd.grad(loss, point)
        norms.append(flattened(gradient).norm(dim=1))
    return torch.cat(norms)


def weight_gradient_norms(measured: MeasuredClassifier, x: Tensor, y: Tensor) -> Tensor:
    """L2 norm of the gradient of every sample's cross-entropy in all weights and biases.

    Parameters
    ----------
    measured : MeasuredClassifier
        Of its parts, the network, the memory budget and the watch are used.
    x, y : Tensor, shapes ``[samples, *network.input_shape]`` and ``[samples]``

    Returns
    -------
    Tensor, shape ``[samples]``, float64
        In nats per unit of the weights.

    Raises
    ------
    NotMeasured
        The network has no weights, or the time is up before all samples are done.
    """
    weights = Weights.of(measured.network, torch.float64)
    norms = []
    for part in slices(measured, len(x), entries=2 * weights.count):
        _check_time(measured)
        norms.append(squared_gradients(weights, x[part].detach().double(), y[part]).sqrt())
    return torch.cat(norms)


def squared_gradients(weights: Weights, x: Tensor, y: Tensor) -> Tensor:
    """Squared L2 norm of the gradient of every sample's cross-entropy in the weights, ``[batch]``.

    All samples at once: their gradients take as many numbers as there are weights, each.
    """

    def loss(tensors: tuple[Tensor, ...], sample: Tensor, label: Tensor) -> Tensor:
        return cross_entropies(weights.at(tensors), sample[None], label[None])[0]

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))(weights.tensors, x, y)
    return torch.stack([flattened(each).square().sum(dim=1) for each in gradients]).sum(dim=0)


def _check_time(measured: MeasuredClassifier) -> None:
    if measured.watch.over:
        raise NotMeasured("the time was up before the gradients of all samples were taken")


MEASURES: dict[str, Measure] = {
    "input-gradient": Measure(
        "mean over test samples of the L2 norm of the gradient of the cross-entropy in the input",
        "Ross & Doshi-Velez 2018, Improving the adversarial robustness and interpretability of "
        "deep neural networks by regularizing their input gradients",
        "gradient",
        input_gradient,
    ),
    "weight-gradient": Measure(
        "mean over training samples of the L2 norm of the gradient of the cross-entropy in the "
        "weights and biases",
        "Zhao, Zhang & Hu 2022, Penalizing gradient norm for efficiently improving generalization "
        "in deep learning",
        "gradient",
        weight_gradient,
        ("training samples",),
    ),
}
"""By the name that reports give them."""
