"""Checks of samples, labels and outputs before anything is measured on them."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from sensverify.bounds.tensors import flattened
from sensverify.errors import BadData, BadShape, Unbounded
from sensverify.network import Network


def labelled_samples(network: Network, x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Samples in float32 and labels in int64 on their device, as a classifier takes them.

    Parameters
    ----------
    network : Network
    x : array or tensor, shape ``[samples, *network.input_shape]``
    y : array or tensor of whole numbers, shape ``[samples]``

    Raises
    ------
    BadShape
        The shapes do not fit, the network has fewer than two outputs, or labels are no integers.
    BadData
        There are no samples, a sample is not finite, or a label is no class.
    """
    x = torch.as_tensor(x).detach().float()
    y = torch.as_tensor(y).detach().to(x.device)
    classes = prod(network.output_shape)
    if classes < 2:
        raise BadShape(f"classes are told apart by two or more outputs; the network has {classes}")
    if tuple(x.shape[1:]) != network.input_shape or y.shape != x.shape[:1]:
        raise BadShape(
            f"the network takes samples of shape {network.input_shape} with one label each; got x "
            f"of shape {tuple(x.shape)} and y of shape {tuple(y.shape)}"
        )
    if y.dtype.is_floating_point or y.dtype.is_complex or y.dtype == torch.bool:
        raise BadShape(f"labels are whole numbers from 0, got {y.dtype}")
    if len(x) == 0:
        raise BadData("there are no samples to measure anything on")
    finite = torch.isfinite(flattened(x)).all(dim=1)
    if not bool(finite.all()):
        raise BadData(f"sample {int((~finite).nonzero()[0])} holds NaN or infinity")
    outside = (y < 0) | (y >= classes)
    if bool(outside.any()):
        first = int(outside.nonzero()[0])
        raise BadData(
            f"sample {first} has the label {int(y[first])}; the network's {classes} outputs are "
            f"the classes 0 to {classes - 1}"
        )
    return x, y.long()


def check_finite(outputs: Tensor, first: int) -> None:
    """Refuse outputs that are no numbers.

    Parameters
    ----------
    outputs : Tensor, shape ``[batch, classes]``
    first : int
        The number of the first sample, for the message.

    Raises
    ------
    Unbounded
        An output is NaN or infinite.
    """
    finite = torch.isfinite(outputs).all(dim=1)
    if not bool(finite.all()):
        sample = int((~finite).nonzero()[0])
        raise Unbounded(
            f"the network's outputs at sample {first + sample} are not finite "
            f"({', '.join(f'{float(value):.4g}' for value in outputs[sample][:5])}); its weights "
            "hold NaN or have grown beyond float32",
            "train with a smaller learning rate or loss weight",
        )
