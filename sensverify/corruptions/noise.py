"""Noise: every number of an image is disturbed by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from sensverify.corruptions.draws import Draws


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
