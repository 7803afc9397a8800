"""Augmentations that every image of a mini-batch gets, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from sensverify.corruptions.draws import Draws
from sensverify.errors import BadShape
from sensverify.registry.catalog import Catalog
from sensverify.registry.ranges import Range

Chance = Annotated[float, Range(0, 1)]
Change = Callable[..., Tensor]

CLEAN = "clean"
"""Name of the choice that changes nothing."""


def horizontal_flip(images: Tensor, draws: Draws, *, p: Chance = 0.5) -> Tensor:
    """Left and right changed places, with chance `p`, every image by itself."""
    return _flipped(images, draws, 3, p)


def vertical_flip(images: Tensor, draws: Draws, *, p: Chance = 0.5) -> Tensor:
    """Top and bottom changed places, with chance `p`, every image by itself."""
    return _flipped(images, draws, 2, p)


def quarter_turns(images: Tensor, draws: Draws) -> Tensor:
    """Rotated by 0, 90, 180 or 270 degrees, each as often, pixel for pixel; for square images."""
    rows, columns = images.shape[-2:]
    if rows != columns:
        raise BadShape(f"quarter-turns is for square images, these have {rows} x {columns} pixels")
    turns = draws.integers(0, 4, 1).reshape(-1, 1, 1, 1)
    for count in (1, 2, 3):
        images = torch.where(turns == count, images.rot90(count, (2, 3)), images)
    return images


def clean(images: Tensor, draws: Draws) -> Tensor:
    """One of the choices beside corruptions: the image as it is."""
    return images


def _flipped(images: Tensor, draws: Draws, axis: int, p: float) -> Tensor:
    chosen = draws.uniform(1, 1, 1) < p
    return torch.where(chosen, images.flip(axis), images)


AUGMENTATIONS: Catalog[Change] = Catalog(
    "augmentation",
    {
        "horizontal-flip": horizontal_flip,
        "vertical-flip": vertical_flip,
        "quarter-turns": quarter_turns,
        CLEAN: clean,
    },
    group="sensverify.augmentations",
    arguments=2,
    example="horizontal-flip(p=0.5)",
)
"""Functions of images ``[n, channels, rows, columns]``, `Draws` and settings; and ``clean``."""
