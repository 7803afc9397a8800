"""Images with their pixels in other places."""

from __future__ import annotations

from math import cos, radians, sin

import torch
from torch import Tensor
from torch.nn import functional

_PADDING = {"black": "zeros", "mirror": "reflection", "nearest": "border"}


def sampled(images: Tensor, x: Tensor, y: Tensor, *, border: str = "black") -> Tensor:
    """Values at columns ``x`` and rows ``y``, between pixels by linear interpolation.

    Parameters
    ----------
    images : Tensor, shape ``[n, channels, rows, columns]``
    x, y : Tensor, shape ``[n, rows, columns]``
        In pixels from the first one.
    border : str
        Beyond the edge lies ``black``, the image in a ``mirror``, or its ``nearest`` pixel.
    """
    rows, columns = images.shape[-2:]
    grid = torch.stack((2 * x / (columns - 1) - 1, 2 * y / (rows - 1) - 1), dim=-1)
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode=_PADDING[border], align_corners=True
    )


def mapped_coordinates(images: Tensor, matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Columns and rows of every pixel under a projective map, each ``[n, rows, columns]``.

    Parameters
    ----------
    images : Tensor
    matrices : Tensor, shape ``[n, 3, 3]`` or ``[3, 3]``
        Maps of ``(column, row, 1)``, counted from the middle of the image.
    """
    rows, columns = images.shape[-2:]
    centre_x, centre_y = (columns - 1) / 2, (rows - 1) / 2
    y, x = torch.meshgrid(
        torch.arange(rows) - centre_y, torch.arange(columns) - centre_x, indexing="ij"
    )
    points = torch.stack((x, y, torch.ones_like(x))).flatten(1).to(images)
    moved = (matrices.to(images) @ points).expand(len(images), 3, -1)
    moved = moved.unflatten(2, (rows, columns))
    return moved[:, 0] / moved[:, 2] + centre_x, moved[:, 1] / moved[:, 2] + centre_y


def warped(images: Tensor, matrices: Tensor, *, border: str = "black") -> Tensor:
    """Images under a projective map from new pixels to old ones; see `mapped_coordinates`."""
    return sampled(images, *mapped_coordinates(images, matrices), border=border)


def rotation_matrices(degrees: Tensor) -> Tensor:
    """Anticlockwise on the screen, ``[n, 3, 3]`` from ``[n]``."""
    angle = torch.deg2rad(degrees)
    matrices = torch.eye(3).to(degrees).repeat(len(degrees), 1, 1)
    matrices[:, 0, 0] = matrices[:, 1, 1] = angle.cos()
    matrices[:, 0, 1] = -angle.sin()
    matrices[:, 1, 0] = angle.sin()
    return matrices


def shear_matrices(degrees: Tensor) -> Tensor:
    """Rows move sideways in proportion to their height, ``[n, 3, 3]`` from ``[n]``."""
    matrices = torch.eye(3).to(degrees).repeat(len(degrees), 1, 1)
    matrices[:, 0, 1] = torch.deg2rad(degrees).tan()
    return matrices


def scale_matrix(factor: float) -> Tensor:
    """Enlarges by ``factor``, ``[3, 3]``."""
    return torch.tensor([[1 / factor, 0.0, 0.0], [0.0, 1 / factor, 0.0], [0.0, 0.0, 1.0]])


def shift_matrix(columns: float) -> Tensor:
    """Moves to the right by so many pixels, ``[3, 3]``."""
    return torch.tensor([[1.0, 0.0, -columns], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def tilt_matrix(degrees: float, distance: float) -> Tensor:
    """Turns the image about both of its axes, seen from ``distance`` pixels away, ``[3, 3]``."""
    angle = radians(degrees)
    c, s = cos(angle), sin(angle)
    about_columns = torch.tensor([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]], dtype=torch.float64)
    about_rows = torch.tensor([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]], dtype=torch.float64)
    turned = about_columns @ about_rows
    # Of points of the image's plane only the first two columns matter; the last one is where the
    # middle of the image lies, before the eye.
    forward = turned.clone()
    forward[:, 2] = torch.tensor([0.0, 0.0, distance], dtype=torch.float64)
    lens = torch.diag(torch.tensor([distance, distance, 1.0], dtype=torch.float64))
    return torch.linalg.inv(lens @ forward)
