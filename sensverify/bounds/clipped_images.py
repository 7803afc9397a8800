"""The least value of a linear function over images that are cut to a range.

An image is ``clip(x + t P, low, high)`` with the parameters t in a box. The box is cut into a grid
of cells. In a cell every feature ``u = x + t P`` stays in an interval, on which two lines lie below
and above the clip; the lower one stands for it where a coefficient is positive, else the upper one.
What is left is linear in t, and least at a corner of the cell. The least of all cells is a lower
bound.
"""

from __future__ import annotations

from itertools import product as product_of

import torch
from torch import Tensor

from sensverify.bounds.relaxation import Slope, relax
from sensverify.bounds.tensors import flattened
from sensverify.core.sets import Varied
from sensverify.network.operators import Clip

PARTS = {1: 16, 2: 4, 3: 2, 4: 2}
"""By number of parameters, into how many parts the interval of each is cut; of more, into one."""

_Range = tuple[float, float]


def least_of_images(inside: Varied, clip: _Range, coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """Least values of moves ``[batch, rows]``, and moves with which they are reached.

    Parameters
    ----------
    inside : Varied of tensors
    clip : (low, high)
    coefficients : Tensor, shape ``[batch, rows, features]``, float64

    Returns
    -------
    Tensor, shape ``[batch, rows]``
        SOUND.
    Tensor, shape ``[batch, rows, features]``
        Where lines stand for the clip: near to the set, and not all of them in it.
    """
    point, patterns = flattened(inside.point).double(), inside.patterns.double()
    low, high = (flattened(e.detach()).double() - point for e in (inside.lower, inside.upper))
    positive, negative = coefficients.clamp(min=0), coefficients.clamp(max=0)
    least, most = _cells(inside)
    below, above = _lines(point, patterns, (least, most), clip)

    def product(first: Tensor, second: Tensor) -> Tensor:
        return positive @ first.transpose(1, 2) + negative @ second.transpose(1, 2)

    values = product(below[1], above[1])
    corners = []
    for number, pattern in enumerate(patterns.unbind(1)):
        weight = product(below[0] * pattern.unsqueeze(1), above[0] * pattern.unsqueeze(1))
        first, last = (end[..., number].unsqueeze(1) for end in (least, most))
        corner = torch.where(weight > 0, first, last)
        values = values + weight * corner
        corners.append(corner)
    value, place = values.min(dim=2)
    index = place[..., None, None].expand(*place.shape, 1, len(corners))
    chosen = torch.stack(corners, dim=-1).gather(2, index).squeeze(2)
    batch = torch.arange(len(point), device=place.device).unsqueeze(1)
    slope, start = (
        torch.where(coefficients > 0, first[batch, place], second[batch, place])
        for first, second in zip(below, above, strict=True)
    )
    # The box around the images bounds them, too.
    box = product(low.unsqueeze(1), high.unsqueeze(1)).squeeze(2)
    outside = torch.where(coefficients > 0, low.unsqueeze(1), high.unsqueeze(1))
    moved = torch.where((value > box).unsqueeze(2), start + slope * (chosen @ patterns), outside)
    return torch.maximum(value, box), moved


def _lines(
    point: Tensor, patterns: Tensor, cells: tuple[Tensor, Tensor], clip: _Range
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Slopes, and moves at the point, of lines below and above, ``[batch, cells, features]``."""
    least, most = cells
    own = point.unsqueeze(1)
    centre = own + (least + most) / 2 @ patterns
    reach = (most - least) / 2 @ patterns.abs()
    lines = relax(Clip(*clip), centre - reach, centre + reach, Slope.ADAPTIVE)

    def at_point(slope: Tensor, intercept: Tensor | None) -> tuple[Tensor, Tensor]:
        value = slope * own.unsqueeze(1) + (0.0 if intercept is None else intercept)
        return slope.squeeze(1), value.squeeze(1) - own

    return (
        at_point(lines.lower_slope, lines.lower_intercept),
        at_point(lines.upper_slope, lines.upper_intercept),
    )


def _cells(inside: Varied) -> tuple[Tensor, Tensor]:
    """Ends ``[batch, cells, parameters]`` of the cells of a grid, of which 0 is a line."""
    least, most = inside.least.double(), inside.most.double()
    count = least.shape[1]
    parts = PARTS.get(count, 1)
    if parts == 1:
        return least.unsqueeze(1), most.unsqueeze(1)
    half = parts // 2
    steps = [least * (1 - i / half) for i in range(half)] + [most * (i / half) for i in range(half)]
    grid = torch.stack([*steps, most], dim=1)
    places = torch.tensor(list(product_of(range(parts), repeat=count)), device=grid.device)
    index = places.expand(len(grid), -1, -1)
    return grid.gather(1, index), grid.gather(1, index + 1)
