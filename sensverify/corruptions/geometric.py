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
    return _stretched(images, draws, (stretch, sigma, affine), "mirror")


def drawn_elastic(
    images: Tensor, draws: Draws, *, stretch: float, sigma: float, affine: float
) -> Tensor:
    """Stretched as by `elastic`; beyond the edges their own pixels go on."""
    return _stretched(images, draws, (stretch, sigma, affine), "nearest")


def _stretched(
    images: Tensor, draws: Draws, strengths: tuple[float, float, float], border: str
) -> Tensor:
    stretch, sigma, affine = strengths
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
    return sampled(images, x + extra[:, 0], y + extra[:, 1], border=border)


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


def grid_distortion(images: Tensor, draws: Draws, *, steps: float, most: float) -> Tensor:
    """Columns and rows of a grid become wider and narrower, mirrored at the edges.

    Each of ``steps`` is as wide as before times 1 and at most ``most`` more or less; what is left
    of a side belongs to one more.
    """
    rows, columns = images.shape[-2:]
    factors = 1 + draws.uniform(2, int(steps) + 1, low=-most, high=most)
    x = torch.stack([_uneven(columns, each) for each in factors[:, 0].tolist()]).to(images)
    y = torch.stack([_uneven(rows, each) for each in factors[:, 1].tolist()]).to(images)
    return sampled(
        images,
        x[:, None, :].expand(-1, rows, -1),
        y[:, :, None].expand(-1, -1, columns),
        border="mirror",
    )


def _uneven(side: int, factors: list[float]) -> Tensor:
    """Places along a side, in steps of uneven width."""
    step, place, parts = side // (len(factors) - 1), 0.0, []
    for number, factor in enumerate(factors):
        start = number * step
        beyond = start + step > side
        end = side if beyond else start + step
        following = float(side) if beyond else place + step * factor
        parts.append(torch.linspace(place, following, max(end - start, 0)))
        place = following
    return torch.cat(parts)


def optical_distortion(images: Tensor, draws: Draws, *, most: float, shift: float) -> Tensor:
    """Straight lines bend as by a lens, mirrored at the edges.

    A point at ``x`` from the middle, in shares of the sides, shows what was at
    ``x (1 + k |x|^2 + k |x|^4)``, where k is at most ``most`` either way; the middle moves by at
    most ``shift`` pixels along each axis.
    """
    n, (rows, columns) = len(images), images.shape[-2:]
    bend = draws.uniform(1, 1, low=-most, high=most)
    moved = draws.uniform(2, low=-shift, high=shift).round()
    y, x = torch.meshgrid(
        (torch.arange(rows) - (rows - 1) / 2) / rows,
        (torch.arange(columns) - (columns - 1) / 2) / columns,
        indexing="ij",
    )
    square = (x**2 + y**2).to(images)
    factor = 1 + bend * square + bend * square**2
    right, down = (moved[:, k].reshape(n, 1, 1) for k in range(2))
    return sampled(
        images,
        columns * (x.to(images) * factor + 0.5) + right,
        rows * (y.to(images) * factor + 0.5) + down,
        border="mirror",
    )


def perspective(images: Tensor, draws: Draws, *, least: float, most: float) -> Tensor:
    """A part of the image as seen from aside, made as large as the whole.

    Its corners lie off those of the image by normal numbers, whose deviation is from ``least`` to
    ``most`` of the sides.
    """
    rows, columns = images.shape[-2:]
    scale = draws.uniform(1, 1, low=least, high=most)
    inwards = (scale * draws.normal(4, 2)).abs().remainder(1)
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]).to(images)
    points = torch.where(corners == 1, 1 - inwards, inwards)
    matrices = torch.stack([_homography(_ordered(each)) for each in points.double().cpu()])
    y, x = torch.meshgrid(torch.arange(rows) / rows, torch.arange(columns) / columns, indexing="ij")
    square = torch.stack((x, y, torch.ones_like(x))).flatten(1).double()
    moved = (matrices @ square).unflatten(2, (rows, columns))
    # Where corners lie so that the image is folded, a line of it is infinitely far away.
    place = (moved[:, :2] / moved[:, 2:]).nan_to_num(nan=-1, posinf=-1, neginf=-1).clamp(-9, 9)
    place = place.to(images)
    return sampled(images, columns * place[:, 0], rows * place[:, 1])


def _ordered(points: Tensor) -> Tensor:
    """Four points from the upper left one clockwise, where that tells them apart."""
    total, apart = points.sum(dim=1), points[:, 1] - points[:, 0]
    order = [int(each) for each in (total.argmin(), apart.argmin(), total.argmax(), apart.argmax())]
    return points[order] if len(set(order)) == 4 else points


def _homography(points: Tensor) -> Tensor:
    """The projective map of the unit square's corners, clockwise from its origin, to points."""
    corners = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    lines, wanted = [], []
    for (u, v), (x, y) in zip(corners, points.tolist(), strict=True):
        lines += [[u, v, 1, 0, 0, 0, -u * x, -v * x], [0, 0, 0, u, v, 1, -u * y, -v * y]]
        wanted += [x, y]
    found = torch.linalg.pinv(torch.tensor(lines, dtype=torch.float64)) @ torch.tensor(
        wanted, dtype=torch.float64
    )
    return torch.cat((found, torch.ones(1, dtype=torch.float64))).reshape(3, 3)
