"""Hue with saturation and value, or with lightness and saturation, from red, green and blue.

All are shares from 0 to 1, hue of a full turn that begins at red; what has no colour has the hue 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue, saturation and value of ``[n, 3, rows, columns]``, ``[n, rows, columns]`` each."""
    most, span = _span(images)
    return _hue(images, most, span), _over(span, most), most


def from_hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """The inverse of `to_hsv`."""
    found = []
    for number in (5, 3, 1):
        place = (number + 6 * hue).remainder(6)
        share = torch.minimum(place, 4 - place).clamp(0, 1)
        found.append(value * (1 - saturation * share))
    return torch.stack(found, dim=1)


def to_hls(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue, lightness and saturation of ``[n, 3, rows, columns]``, ``[n, rows, columns]`` each."""
    most, span = _span(images)
    lightness = most - span / 2
    return _hue(images, most, span), lightness, _over(span, 1 - (2 * lightness - 1).abs())


def from_hls(hue: Tensor, lightness: Tensor, saturation: Tensor) -> Tensor:
    """The inverse of `to_hls`."""
    reach, found = saturation * torch.minimum(lightness, 1 - lightness), []
    for number in (0, 8, 4):
        place = (number + 12 * hue).remainder(12)
        share = torch.minimum(place - 3, 9 - place).clamp(-1, 1)
        found.append(lightness - reach * share)
    return torch.stack(found, dim=1)


def with_lightness(images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The images with another lightness, hue and saturation kept.

    Parameters
    ----------
    images : Tensor, shape ``[n, 1 or 3, rows, columns]``
        Of one channel, its values are the lightness.
    change : callable
        Of a lightness ``[n, rows, columns]``, which it gives anew; kept to [0, 1].
    """
    if images.shape[1] == 1:
        return change(images[:, 0]).clamp(0, 1)[:, None]
    hue, lightness, saturation = to_hls(images)
    return from_hls(hue, change(lightness).clamp(0, 1), saturation)


def _span(images: Tensor) -> tuple[Tensor, Tensor]:
    most = images.amax(dim=1)
    return most, most - images.amin(dim=1)


def _over(span: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole > 0, span / torch.where(whole > 0, whole, 1.0), 0.0).clamp(0, 1)


def _hue(images: Tensor, most: Tensor, span: Tensor) -> Tensor:
    red, green, blue = images.unbind(dim=1)
    size = torch.where(span > 0, span, 1.0)
    sixths = torch.where(
        most == red,
        (green - blue) / size,
        torch.where(most == green, 2 + (blue - red) / size, 4 + (red - green) / size),
    )
    return torch.where(span > 0, (sixths / 6).remainder(1), 0.0)
