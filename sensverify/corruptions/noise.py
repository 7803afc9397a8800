"""Noise: every number of an image is disturbed by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from sensverify.corruptions.draws import Draws
from sensverify.corruptions.hues import from_hls, to_hls


def gaussian_noise(images: Tensor, draws: Draws, *, sigma: float) -> Tensor:
    """Normal numbers of mean 0 and deviation ``sigma`` are added."""
    return images + sigma * draws.normal(*images.shape[1:])


def shot_noise(images: Tensor, draws: Draws, *, photons: float) -> Tensor:
    """Photons are counted: Poisson numbers of mean ``photons`` times the value, scaled back."""
    return draws.poisson(images * photons) / photons


def impulse_noise(images: Tensor, draws: Draws, *, share: float) -> Tensor:
    """A share of the numbers becomes 0 or 1, as many the one as the other."""
    chance = draws.uniform(*images.shape[1:])
    salted = torch.where(chance < share / 2, 1.0, images)
    return torch.where(chance >= 1 - share / 2, 0.0, salted)


def drawn_noise(images: Tensor, draws: Draws, *, least: float, most: float) -> Tensor:
    """Normal noise, its variance from ``least`` to ``most`` in squared steps of 1/255."""
    variance = draws.uniform(1, 1, 1, low=least, high=most)
    return images + variance.sqrt() / 255 * draws.normal(*images.shape[1:])


def multiplicative_noise(images: Tensor, draws: Draws, *, least: float, most: float) -> Tensor:
    """Every pixel times a factor of its own, the same in all channels."""
    return images * draws.uniform(1, *images.shape[2:], low=least, high=most)


def sensor_noise(
    images: Tensor,
    draws: Draws,
    *,
    least_shift: float,
    most_shift: float,
    least: float,
    most: float,
) -> Tensor:
    """Noise of a camera at high ISO: lightness grows by Poisson counts, hue moves by normal noise.

    The counts have the mean ``intensity * deviation of lightness * 255``, and normal noise the
    deviation ``intensity * shift`` of a turn; intensity and shift are drawn.
    """
    n, shape = len(images), images.shape[2:]
    intensity = draws.uniform(1, 1, low=least, high=most)
    shift = draws.uniform(1, 1, low=least_shift, high=most_shift)
    hue, lightness, saturation = to_hls(images)
    deviation = lightness.reshape(n, -1).std(dim=1, correction=0).reshape(n, 1, 1)
    counts = draws.poisson((deviation * intensity * 255).expand(n, *shape))
    hue = hue + shift * intensity * draws.normal(*shape)
    return from_hls(hue, (lightness + counts / 255 * (1 - lightness)).clamp(0, 1), saturation)
