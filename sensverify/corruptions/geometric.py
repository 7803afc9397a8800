"""Geometric: everything is still there, but elsewhere. What comes in from outside is black."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sensverify.corruptions.draws import Draws
from sensverify.corruptions.maps import blurred, padded
from sensverify.corruptions.warp import (
    mapped_coordinates,
    rotation_matrices,
    sampled,
    scale_matrix,
    shear_matrices,
    shift_matrix,
    warped,
)

AXES = {"left-right": (3,), "upside-down": (2,), "both": (2, 3)}
"""Axes of ``[n, channels, rows, columns]`` that a flip reverses, by its name."""


def translation(images: Tensor, draws: Draws, *, distance: float) -> Tensor:
    """Moved up or down and to the left or right, by so many whole pixels each."""
    width = round(distance)
    rows, columns = images.shape[-2:]
    large = functional.pad(images, (width,) * 4)
    corner = (width * (1 + draws.signs(2))).long().tolist()
    moved = [
        image[:, top : top + rows, left : left + columns]
        for image, (top, left) in zip(large, corner, strict=True)
    ]
    return torch.stack(moved)


def rotation(images: Tensor, draws: Draws, *, degrees: float) -> Tensor:
    """Turned about the middle, one way or the other."""
    return warped(images, rotation_matrices(degrees * draws.signs()))


def shear(images: Tensor, draws: Draws, *, degrees: float) -> Tensor:
    """Upright lines lean over, one way or the other."""
    return warped(images, shear_matrices(degrees * draws.signs()))


def flip(images: Tensor, draws: Draws, *, axis: str) -> Tensor:
    """Mirrored, turned upside down, or both."""
    return images.flip(AXES[axis])


def elastic(images: Tensor, draws: Draws, *, stretch: float, sigma: float, affine: float) -> Tensor:
    """Stretched like rubber: three points move by up to ``affine``, every pixel a little besides.

    That little is uniform noise, blurred with ``sigma``, times ``stretch``. Images are mirrored at
    their edges, so that what lies near one may be seen twice.
    """
    rows, columns = images.shape[-2:]
    third = min(rows, columns) // 3
    points = torch.tensor([[third, third], [third, -third], [-third, -third]]).to(images)
    moved = points + affine * draws.uniform(3, 2, low=-1, high=1)
    one = torch.ones(len(images), 3, 1).to(images)
    before = torch.cat((points.expand_as(moved), one), dim=2).mT
    after = torch.cat((moved, one), dim=2).mT
    # From new places to old ones; three points that nearly fall on a line have no inverse.
    back = before @ torch.linalg.pinv(after)
    noise = draws.uniform(2, rows, columns, low=-1, high=1)
    radius = int(3 * sigma + 0.5)
    push = stretch * blurred(noise, sigma, radius=radius, border="mirror")
    x, y = mapped_coordinates(images, back)
    slope = back[:, :2, :2]
    extra = torch.einsum("nij,njhw->nihw", slope, push)
    return sampled(images, x + extra[:, 0], y + extra[:, 1], border="mirror")


def scaled(images: Tensor, draws: Draws, *, least: float, most: float) -> Tensor:
    """Smaller by a factor from ``least`` to ``most``, black around."""
    factors = draws.uniform(low=least, high=most).tolist()
    return warped(images, torch.stack([scale_matrix(factor) for factor in factors]))


def framed(images: Tensor, draws: Draws, *, width: float) -> Tensor:
    """The middle alone, mirrored at its edges."""
    size = round(width)
    return padded(images[..., size:-size, size:-size], size, "mirror")


def drawn_flip(images: Tensor, draws: Draws) -> Tensor:
    """Mirrored, upside down, or both."""
    kind = draws.integers(0, 3)[:, None, None, None]
    turned = torch.where(kind == 1, images.flip(2), images.flip(2, 3))
    return torch.where(kind == 0, images.flip(3), turned)


def drawn_rotation(images: Tensor, draws: Draws, *, most: float) -> Tensor:
    """Turned by at most so many degrees either way, mirrored at the edges."""
    degrees = draws.uniform(low=-most, high=most)
    return warped(images, rotation_matrices(degrees), border="mirror")


def drawn_shift(images: Tensor, draws: Draws, *, most: float) -> Tensor:
    """Moved along both axes, by at most a share of each side, mirrored at the edges."""
    rows, columns = images.shape[-2:]
    down, right = draws.uniform(2, low=-most, high=most).T.tolist()
    matrices = []
    for y, x in zip(down, right, strict=True):
        matrix = shift_matrix(x * columns)
        matrix[1, 2] = -y * rows
        matrices.append(matrix)
    return warped(images, torch.stack(matrices), border="mirror")


def grid_shuffle(images: Tensor, draws: Draws, *, parts: float) -> Tensor:
    """Equal tiles change places; rows and columns that fill no tile stay."""
    n, channels, rows, columns = images.shape
    cells = int(parts)
    high, wide = rows // cells, columns // cells
    order = draws.uniform(cells * cells).argsort(dim=1)
    inside = (..., slice(0, cells * high), slice(0, cells * wide))
    tiles = images[inside].reshape(n, channels, cells, high, cells, wide)
    tiles = tiles.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    tiles = tiles[torch.arange(n, device=images.device)[:, None], order]
    tiles = tiles.unflatten(1, (cells, cells)).permute(0, 3, 1, 4, 2, 5)
    result = images.clone()
    result[inside] = tiles.reshape(n, channels, cells * high, cells * wide)
    return result
