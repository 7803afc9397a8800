"""Linear maps along rows and columns, as matrices: blurs, zooms and blocks of any size.

The border rule says how an image goes on beyond its edge: ``nearest`` repeats the last pixel
(a a | a b c | c c), ``mirror`` reflects about it (c b | a b c | b a).
"""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor


def apply_maps(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """``rows @ image @ columns.T`` for every channel of every image."""
    return rows @ images @ columns.mT


def border_index(index: Tensor, size: int, border: str) -> Tensor:
    """Indices beyond ``0 .. size - 1`` moved to the pixels that stand for them."""
    if border == "nearest" or size == 1:
        return index.clamp(0, size - 1)
    period = 2 * (size - 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index)


def padded(images: Tensor, width: int, border: str) -> Tensor:
    """The images with ``width`` more pixels at every edge."""
    for axis in (2, 3):
        size = images.shape[axis]
        index = torch.arange(-width, size + width, device=images.device)
        images = images.index_select(axis, border_index(index, size, border))
    return images


def blurred(
    images: Tensor,
    sigma: float,
    *,
    radius: int | None = None,
    border: str = "nearest",
) -> Tensor:
    """A Gaussian blur, its kernel cut off ``radius`` pixels away: by default at four sigma."""
    radius = int(4 * sigma + 0.5) if radius is None else radius
    if sigma <= 0 or radius < 1:
        return images
    matrices = (_gaussian(size, sigma, radius, border, like=images) for size in images.shape[-2:])
    return apply_maps(images, *matrices)


def _gaussian(size: int, sigma: float, radius: int, border: str, *, like: Tensor) -> Tensor:
    # Offsets further away than this repeat pixels that are there already, or weigh nothing.
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets.double() / sigma) ** 2)
    weights = (weights / weights.sum()).expand(size, -1)
    pixels = border_index(torch.arange(size)[:, None] + offsets, size, border)
    matrix = torch.zeros(size, size, dtype=torch.float64).scatter_add_(1, pixels, weights)
    return matrix.to(like)


def zoom_map(size: int, factor: float, *, like: Tensor) -> Tensor:
    """Enlarges the middle by linear interpolation and keeps what fits, ``[size, size]``."""
    crop = ceil(size / factor)
    out = round(crop * factor)
    step = (crop - 1) / (out - 1)
    places = torch.arange(size, dtype=torch.float64) + (out - size) // 2
    return _linear(places * step + (size - crop) // 2, size).to(like)


def _linear(places: Tensor, size: int) -> Tensor:
    """Linear interpolation at these places, ``[places, size]``, float64."""
    below = places.floor().clamp(0, size - 1)
    share = (places - below).clamp(0, 1)
    index = below.long()
    matrix = torch.zeros(len(places), size, dtype=torch.float64)
    matrix.scatter_add_(1, index[:, None], (1 - share)[:, None])
    return matrix.scatter_add_(1, (index + 1).clamp(max=size - 1)[:, None], share[:, None])


def block_map(size: int, blocks: int, *, like: Tensor) -> Tensor:
    """Replaces every pixel by the mean of its block, of ``blocks`` along the axis."""
    block = ((torch.arange(size) + 0.5) * (blocks / size)).floor()
    same = (block[:, None] == block).double()
    return (same / same.sum(dim=1, keepdim=True)).to(like)
