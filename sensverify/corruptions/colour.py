"""Colours and luminance."""

from __future__ import annotations

import torch
from torch import Tensor

from sensverify.corruptions.draws import Draws

_WEIGHTS = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luminance (ITU-R BT.601)."""


def luminance(images: Tensor) -> Tensor:
    """Luminance, ``[n, 1, rows, columns]``; images of one channel are returned as they are."""
    if images.shape[1] == 1:
        return images
    # One by one: a product with a vector rounds as the number of images has it.
    red, green, blue = (weight * images[:, k] for k, weight in enumerate(_WEIGHTS))
    return (red + green + blue).unsqueeze(1)


def colour_distortion(images: Tensor, draws: Draws, *, value: float) -> Tensor:
    """A value is added to one of the three channels."""
    chosen = draws.integers(0, 3)
    channel = torch.nn.functional.one_hot(chosen, 3).to(images)
    return images + value * channel[:, :, None, None]


def greyscale(images: Tensor, draws: Draws, *, share: float) -> Tensor:
    """Mixed with its own luminance."""
    return torch.lerp(images, luminance(images).expand_as(images), share)


def invert(images: Tensor, draws: Draws) -> Tensor:
    """A negative: 1 minus every value."""
    return 1 - images
