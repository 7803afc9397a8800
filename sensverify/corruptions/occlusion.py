"""Occlusion: parts of the image are hidden."""

from __future__ import annotations

import torch
from torch import Tensor

from sensverify.corruptions.draws import Draws

_MOST_DASHES = 12


def obstruction(images: Tensor, draws: Draws, *, size: float) -> Tensor:
    """A square of one random grey at a random place."""
    rows, columns = images.shape[-2:]
    width = min(round(size), rows, columns)
    corner, grey = draws.uniform(2), draws.uniform(1, 1, 1)
    top = (corner[:, 0] * (rows - width + 1)).floor()[:, None, None, None]
    left = (corner[:, 1] * (columns - width + 1)).floor()[:, None, None, None]
    y = torch.arange(rows, device=images.device)[:, None]
    x = torch.arange(columns, device=images.device)
    hidden = (y >= top) & (y < top + width) & (x >= left) & (x < left + width)
    return torch.where(hidden, grey, images)


def border(images: Tensor, draws: Draws, *, width: float) -> Tensor:
    """A frame of one random grey."""
    thick = round(width)
    framed = draws.uniform(1, 1, 1).expand_as(images).clone()
    inside = (..., slice(thick, -thick or None), slice(thick, -thick or None))
    framed[inside] = images[inside]
    return framed


def artifacts(
    images: Tensor, draws: Draws, *, lines: float, dash: float, height: float, gap: float
) -> Tensor:
    """Dotted level lines of one random grey: one to twelve dashes each, at random places.

    ``lines`` is the number for 224 x 224 pixels with dashes of 5 x 3; images of other sizes get as
    many as cover the same share of them.
    """
    n, _, rows, columns = images.shape
    share = lines * 5 * 3 / 224**2
    count = max(1, round(share * rows * columns / (int(dash) * int(height))))
    grey = draws.uniform(1, 1, 1)
    place, dashes = draws.uniform(2, count), draws.integers(1, _MOST_DASHES + 1, count)
    top = (place[:, 0] * rows).long()[:, :, None, None, None]
    left = (place[:, 1] * columns).long()[:, :, None, None, None]
    number = torch.arange(_MOST_DASHES, device=images.device)[:, None, None]
    y = top + torch.arange(int(height), device=images.device)[:, None]
    x = left + number * int(dash + gap) + torch.arange(int(dash), device=images.device)
    y, x = torch.broadcast_tensors(y, x)
    seen = (y < rows) & (x < columns) & (number < dashes[:, :, None, None, None])
    # What is not seen is drawn behind the last pixel.
    index = torch.where(seen, y * columns + x, rows * columns).flatten(1)
    drawn = torch.zeros(n, rows * columns + 1, dtype=torch.bool, device=images.device)
    drawn = drawn.scatter_(1, index, True)[:, :-1].reshape(n, 1, rows, columns)
    return torch.where(drawn, grey, images)


def holes(images: Tensor, draws: Draws, *, least: float, most: float, size: float) -> Tensor:
    """From ``least`` to ``most`` black squares that lie within the image."""
    rows, columns = images.shape[-2:]
    count, side = draws.integers(int(least), int(most) + 1), min(round(size), rows, columns)
    place = draws.uniform(2, int(most))
    top = (place[:, 0] * (rows - side + 1)).long()
    left = (place[:, 1] * (columns - side + 1)).long()
    used = torch.arange(int(most), device=images.device) < count[:, None]
    return _blackened(images, torch.where(used, top, rows), left, side)


def cutout(images: Tensor, draws: Draws, *, number: float, size: float) -> Tensor:
    """Black squares about points of the image, cut off at its edge."""
    rows, columns = images.shape[-2:]
    side, place = max(1, round(size)), draws.uniform(2, int(number))
    # The part beyond the upper and the left edge is moved inside, as the library does it.
    top = ((place[:, 0] * rows).long() - side // 2).clamp(min=0)
    left = ((place[:, 1] * columns).long() - side // 2).clamp(min=0)
    return _blackened(images, top, left, side)


def _blackened(images: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
    """Images with black squares whose corners are ``[n, squares]``."""
    rows, columns = images.shape[-2:]
    y = torch.arange(rows, device=images.device)[:, None]
    x = torch.arange(columns, device=images.device)
    hidden = torch.zeros(len(images), rows, columns, dtype=torch.bool, device=images.device)
    for first, second in zip(top.T, left.T, strict=True):
        down, right = first[:, None, None], second[:, None, None]
        hidden |= (y >= down) & (y < down + side) & (x >= right) & (x < right + side)
    return images.masked_fill(hidden[:, None], 0.0)
