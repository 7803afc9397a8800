"""The penalty on the spectral norms of all layers."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from sensverify.measures.complexity.spectral import Spectral, spectral_norms
from sensverify.registry.ranges import Range
from sensverify.training.losses.step import Step


def spectral(
    step: Step,
    *,
    operator: Literal["convolution", "kernel"] = "convolution",
    iterations: Annotated[int, Range(1, 10_000)] = 2,
) -> Tensor:
    """Half the sum of the squared spectral norms of all layers.

    Power iteration goes on from step to step, so that a few iterations follow the weights.

    Parameters
    ----------
    step : Step
    operator : str
        ``convolution`` takes a convolution as the map that it is on its input's size, with stride
        and padding; ``kernel`` takes its kernel as a matrix, as the source does (its shape: see
        `Spectral`).
    iterations : int
        Of power iteration in every step.

    Returns
    -------
    Tensor
        A scalar with the gradient ``sigma u v^T`` for every layer's matrix, never above the true
        value but for rounding.

    Raises
    ------
    BadSetting
        There is no such operator, or no iteration.

    Notes
    -----
    Source: Yoshida & Miyato 2017, *Spectral norm regularization for improving the generalizability
    of deep learning*, Eq. 3 and Algorithm 1.
    """
    figure = Spectral(operator)
    with torch.autocast(step.x.device.type, enabled=False):
        norms = spectral_norms(
            step.network, operator=operator, iterations=iterations, vectors=step.state
        )
    return figure.of(norms)
