"""Colours and luminance."""

from __future__ import annotations

import torch
from torch import Tensor

from sensverify.corruptions.draws import Draws
from sensverify.corruptions.hues import from_hsv, to_hsv

_WEIGHTS = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luminance (ITU-R BT.601)."""

_SEPIA = ((0.393, 0.769, 0.189), (0.349, 0.686, 0.168), (0.272, 0.534, 0.131))
"""Red, green and blue of a brown image, from those of the image."""


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


def channel_dropout(images: Tensor, draws: Draws) -> Tensor:
    """One of the three channels is black."""
    lost = torch.nn.functional.one_hot(draws.integers(0, 3), 3).bool()
    return images.masked_fill(lost[:, :, None, None], 0.0)


def channel_shift(images: Tensor, draws: Draws, *, most: float) -> Tensor:
    """A value of its own, at most ``most`` either way, is added to each channel."""
    return images + draws.uniform(images.shape[1], 1, 1, low=-most, high=most)


def solarise(images: Tensor, draws: Draws, *, threshold: float) -> Tensor:
    """A negative of what is at least as bright as a byte of that value."""
    return torch.where(images * 255 >= threshold, 1 - images, images)


def sepia(images: Tensor, draws: Draws) -> Tensor:
    """The brown of old photographs."""
    return torch.einsum("ij,njhw->nihw", torch.tensor(_SEPIA).to(images), images)


def colour_jitter(images: Tensor, draws: Draws, *, most: float, turn: float) -> Tensor:
    """Brightness, contrast, saturation and hue change, in some order.

    The first three by factors of 1 and at most ``most`` more or less, hue by at most ``turn`` of a
    full turn; no value leaves [0, 1] on the way.
    """
    factors = draws.uniform(3, low=1 - most, high=1 + most).clamp(min=0)
    turns, orders = draws.uniform(low=-turn, high=turn), draws.uniform(4).argsort(dim=1)
    changed = []
    for place, order in enumerate(orders.tolist()):
        image = images[place : place + 1]
        for step in order:
            grey = luminance(image).expand_as(image)
            if step == 3:
                hue, saturation, value = to_hsv(image)
                image = from_hsv(hue + turns[place], saturation, value)
                continue
            # Towards black, towards the mean grey, towards the own grey of each pixel.
            ends = (torch.zeros_like(image), grey.mean().expand_as(image), grey)
            image = torch.lerp(ends[step], image, factors[place, step]).clamp(0, 1)
        changed.append(image)
    return torch.cat(changed)


def hue_saturation_value(
    images: Tensor, draws: Draws, *, hue: float, saturation: float, value: float
) -> Tensor:
    """A share of a turn is added to hue, and values to saturation and value, either way."""
    n = len(images)
    shifts = draws.uniform(3, low=-1, high=1) * torch.tensor([hue, saturation, value]).to(images)
    turned, full, bright = to_hsv(images)
    first, second, third = (shifts[:, k].reshape(n, 1, 1) for k in range(3))
    return from_hsv(turned + first, (full + second).clamp(0, 1), (bright + third).clamp(0, 1))
