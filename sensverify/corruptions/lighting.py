"""Lighting: brightness and contrast."""

from __future__ import annotations

import torch
from torch import Tensor

from sensverify.corruptions.draws import Draws
from sensverify.corruptions.hues import with_lightness


def brightness(images: Tensor, draws: Draws, *, value: float) -> Tensor:
    """Added to the value of every pixel in hue, saturation and value; the first two stay.

    The value is the largest channel. With hue and saturation kept, all channels grow by the factor
    that the largest one grows by; black becomes grey.
    """
    largest = images.amax(dim=1, keepdim=True)
    wanted = (largest + value).clamp(0, 1)
    factor = wanted / torch.where(largest > 0, largest, 1.0)
    return torch.where(largest > 0, images * factor, wanted)


def brightness_factor(images: Tensor, draws: Draws, *, factor: float) -> Tensor:
    """Every value times a factor."""
    return images * factor


def brightness_shift(images: Tensor, draws: Draws, *, value: float) -> Tensor:
    """A value is added everywhere, or taken away, as chance has it."""
    return images + value * draws.signs(1, 1, 1)


def contrast(images: Tensor, draws: Draws, *, factor: float) -> Tensor:
    """The distance from each channel's mean times a factor."""
    mean = images.mean(dim=(2, 3), keepdim=True)
    return mean + factor * (images - mean)


def contrast_loss(images: Tensor, draws: Draws, *, loss: float) -> Tensor:
    """Mixed with the mean of the whole image."""
    return torch.lerp(images, images.mean(dim=(1, 2, 3), keepdim=True).expand_as(images), loss)


def backlight(images: Tensor, draws: Draws, *, value: float) -> Tensor:
    """Brighter on one side of a line near the middle, upright or level, darker on the other."""
    rows, columns = images.shape[-2:]
    upright = draws.integers(0, 2).bool()[:, None, None, None]
    where = draws.uniform(1, 1, 1, low=0.3, high=0.7)
    down = ((torch.arange(rows) + 0.5)[:, None] / rows).to(images)
    right = ((torch.arange(columns) + 0.5) / columns).to(images)
    bright = torch.where(upright, right > where, down > where)
    return images + value * draws.signs(1, 1, 1) * torch.where(bright, 1.0, -1.0)


def added(images: Tensor, draws: Draws, *, most: float) -> Tensor:
    """A value of at most ``most`` either way is added everywhere."""
    return images + draws.uniform(1, 1, 1, low=-most, high=most)


def multiplied(images: Tensor, draws: Draws, *, most: float) -> Tensor:
    """Every value times 1 and at most ``most`` more or less."""
    return images * draws.uniform(1, 1, 1, low=1 - most, high=1 + most)


def gamma(images: Tensor, draws: Draws, *, least: float, most: float) -> Tensor:
    """Every value to a power from ``least`` to ``most``."""
    return images ** draws.uniform(1, 1, 1, low=least, high=most)


def shadows(
    images: Tensor, draws: Draws, *, fewest: float, most: float, corners: float, left: float
) -> Tensor:
    """Polygons with corners at random keep a share ``left`` of their lightness."""
    counts = draws.integers(int(fewest), int(most) + 1).tolist()
    points = draws.uniform(int(most), int(corners), 2)
    dark = torch.stack(
        [_inside(points[place, :count], images) for place, count in enumerate(counts)]
    )
    return with_lightness(images, lambda light: torch.where(dark, left * light, light))


def _inside(polygons: Tensor, images: Tensor) -> Tensor:
    """Pixels in any of some polygons, whose corners are shares of the sides."""
    rows, columns = images.shape[-2:]
    y = torch.arange(rows, device=images.device)[:, None]
    x = torch.arange(columns, device=images.device)
    found = torch.zeros(rows, columns, dtype=torch.bool, device=images.device)
    for polygon in polygons:
        odd = torch.zeros_like(found)
        corners = (polygon * torch.tensor([columns, rows]).to(polygon)).tolist()
        for (x_one, y_one), (x_two, y_two) in zip(corners, corners[1:] + corners[:1], strict=True):
            if y_one == y_two:
                continue
            crossed = (y_one > y) != (y_two > y)
            odd ^= crossed & (x < (x_two - x_one) * (y - y_one) / (y_two - y_one) + x_one)
        found |= odd
    return found
