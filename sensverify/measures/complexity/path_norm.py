"""The path norm: the network's outputs where every weight is squared and every input is 1."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, inf, log

import torch
from torch import Tensor

from sensverify.bounds.forward import apply
from sensverify.bounds.tensors import tensor_network
from sensverify.errors import NotMeasured
from sensverify.measures.complexity.spectral import averages
from sensverify.measures.measure import Measure, MeasuredClassifier, Reading
from sensverify.network import Network, Node
from sensverify.network.operators import (
    Abs,
    Add,
    Affine,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    LeakyRelu,
    Max,
    Operator,
    Pad,
    Permute,
    Relu,
    Reshape,
    Scale,
    Select,
)


def log_path_norm(network: Network, *, biases: bool = True) -> float:
    """Natural logarithm of the sum of the outputs with squared weights, at an input of ones.

    Without biases this is the sum, over all paths from an input to an output, of the product of the
    squared weights on the path; a bias is one more input that is 1. Batch normalisation counts with
    the weights that it comes to after training. Pooling has no weights and stays as it is: a mean
    is a mean, a maximum the largest of its inputs. Nothing is ever below zero, so ReLUs change
    nothing.

    Parameters
    ----------
    network : Network
        Read from a file or live.
    biases : bool
        Whether biases are squared and added, as the usual programs do, or left out.

    Returns
    -------
    float
        Computed in double precision with an exponent kept apart: it does not overflow.

    Raises
    ------
    NotMeasured
        There is an operator that is neither linear nor a ReLU nor a maximum, or the sum is 0.

    Notes
    -----
    Source: Neyshabur, Tomioka & Srebro 2015, *Norm-based capacity control in neural networks*; as
    a sum of outputs: Jiang et al. 2020, *Fantastic generalization measures and where to find them*.
    """
    network.require_operators()
    device = next((a.device for _, a in network.arrays() if isinstance(a, Tensor)), "cpu")
    network = tensor_network(network, dtype=torch.float64, device=torch.device(device))
    ones = torch.ones(1, *network.input_shape, dtype=torch.float64, device=device)
    values = [_Scaled(ones, 0.0)]
    with torch.no_grad():
        for node in network.nodes[1:]:
            inputs = [values[source] for source in node.inputs]
            values.append(_step(network, node, inputs, biases))
    last = values[-1]
    total = float(last.tensor.sum())
    if not total > 0:
        raise NotMeasured("no path from an input to an output has only weights that are not 0")
    return log(total) + last.log


@dataclass(frozen=True, eq=False)
class _Scaled:
    """The numbers ``exp(log) * tensor``, the largest entry of the tensor being 1, or all 0."""

    tensor: Tensor
    log: float

    @classmethod
    def of(cls, tensor: Tensor, log_factor: float) -> _Scaled:
        largest = float(tensor.max())
        if not largest > 0:
            return cls(tensor, -inf)
        return cls(tensor / largest, log_factor + log(largest))


def _step(network: Network, node: Node, inputs: Sequence[_Scaled], biases: bool) -> _Scaled:
    source = network.nodes[node.inputs[0]]
    squared = node.operator
    if not (isinstance(squared, Scale) and _sums_windows(network, source)):
        squared = _squared(squared, source.shape)
    constant = _constant(squared) if biases else None
    # A bias is the weight of one more input that is 1.
    logs = [each.log for each in inputs] + ([] if constant is None else [0.0])
    factor = max(logs)
    if factor == -inf:
        factor = 0.0
    tensors = [each.tensor * exp(each.log - factor) for each in inputs]
    bias = None if constant is None else constant * exp(-factor)
    return _Scaled.of(apply(_with_constant(squared, bias), *tensors), factor)


def _squared(operator: Operator, shape: tuple[int, ...]) -> Operator:
    """The operator with squared weights on inputs of a shape that are nowhere below 0."""
    if isinstance(operator, Affine | Conv | ConvTranspose):
        squared = operator.weight.square()
        if averages(operator, shape):
            # A mean of k numbers, times a scale that was folded in: that alone is squared.
            sums = operator.weight == 1
            squared = torch.where(sums, 1.0, squared * operator.weight[0].numel())
        return replace(operator, weight=squared, bias=_square(operator.bias))
    if isinstance(operator, Scale):
        return Scale(_square(operator.scale), _square(operator.shift))
    if isinstance(operator, Pad):
        return replace(operator, value=operator.value**2)
    if isinstance(operator, Clip) and operator.low <= 0 and operator.high == inf:
        return Relu()
    if isinstance(operator, Relu | LeakyRelu | Abs):
        return Relu()
    if isinstance(operator, Add | Concat | Max | Permute | Reshape | Select):
        return operator
    raise NotMeasured(
        "the path norm is one of linear operators, ReLUs and maxima; the network has the operator "
        f"{type(operator).__name__}"
    )


def _square(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.square()


def _sums_windows(network: Network, node: Node) -> bool:
    """True for a convolution that sums windows, which a scale behind it divides by their sizes."""
    operator = node.operator
    if not isinstance(operator, Conv) or operator.bias is not None:
        return False
    ones = bool((operator.weight == 1).all())
    return ones and averages(operator, network.nodes[node.inputs[0]].shape)


def _constant(operator: Operator) -> Tensor | float | None:
    """The constant that is added whatever the input; None where there is none."""
    constant = getattr(operator, _CONSTANTS.get(type(operator), ""), None)
    if isinstance(constant, Tensor):
        return constant if bool(constant.any()) else None
    return constant or None


def _with_constant(operator: Operator, constant: Tensor | float | None) -> Operator:
    if type(operator) not in _CONSTANTS:
        return operator
    if isinstance(operator, Pad):
        return replace(operator, value=float(constant or 0.0))
    return replace(operator, **{_CONSTANTS[type(operator)]: constant})


_CONSTANTS: dict[type[Operator], str] = {
    Affine: "bias",
    Conv: "bias",
    ConvTranspose: "bias",
    Scale: "shift",
    Pad: "value",
}


def _path_norm(measured: MeasuredClassifier) -> Reading:
    logarithm = log_path_norm(measured.network)
    if logarithm > log(sys.float_info.max):
        raise NotMeasured(
            f"it is beyond the largest number of double precision; its logarithm is "
            f"{logarithm:.6g}: see log-path-norm"
        )
    return Reading(exp(logarithm))


def _log_path_norm(measured: MeasuredClassifier) -> Reading:
    return Reading(log_path_norm(measured.network))


_NEYSHABUR = "Neyshabur et al. 2015, Norm-based capacity control in neural networks"

MEASURES: dict[str, Measure] = {
    "path-norm": Measure(
        "sum of the outputs for an input of ones, with every weight and bias squared",
        _NEYSHABUR,
        "complexity",
        _path_norm,
    ),
    "log-path-norm": Measure(
        "natural logarithm of the path norm, the sum of the outputs for an input of ones with "
        "every weight and bias squared",
        _NEYSHABUR,
        "complexity",
        _log_path_norm,
    ),
}
"""By name."""
