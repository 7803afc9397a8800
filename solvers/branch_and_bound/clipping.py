"""Parts of a sub-box that a linear bound has already decided are cut off.

Where a line below row r, ``a · x + b <= c_r · f(x)``, is above the row's threshold, the row is
closed. So a row's open part of a box lies in ``a · x + b <= threshold``, and in the smallest box
around that: for every feature j, ``a_j x_j`` is at most the threshold minus the least that the
other terms can be. One pass of this over all features shrinks the box before it is split.
Source: Zhou et al. 2025, *Clip-and-Verify* (arXiv 2512.11087), its relaxed form.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sensverify.solvers.branch_and_bound.tightening import Tightened

_SLACK = 1e-9
"""Share of a feature's width, and of the magnitude of its ends, that is kept for rounding."""


def clip(
    lower: Tensor,
    upper: Tensor,
    coefficients: Tensor,
    least: Tensor,
    thresholds: Tensor,
    groups: tuple[tuple[int, ...], ...],
    open_rows: Tensor,
    tightened: Tightened,
) -> tuple[Tensor, Tensor, Tensor]:
    """The box around the part of each box where some group of rows is open.

    Parameters
    ----------
    lower, upper : Tensor, shape ``[boxes, features]``
    coefficients : Tensor, shape ``[boxes, rows, features]``
        Of lines below the rows on the boxes.
    least : Tensor, shape ``[boxes, rows]``
        The lines' smallest values on the boxes.
    thresholds : Tensor, shape ``[boxes, rows]``
        A row is closed where its line exceeds this.
    groups : tuple of tuples of int
        Rows that must be open together.
    open_rows : boolean Tensor, shape ``[boxes, rows]``
    tightened : Tightened
        One more line for each group.

    Returns
    -------
    lower, upper : Tensor, shape ``[boxes, features]``
        Where no group is open, the ends as they were.
    open_rows : boolean Tensor, shape ``[boxes, rows]``
        False also for groups whose rows are open on parts that do not meet.
    """
    low, high = _row_boxes(lower, upper, coefficients, least - thresholds)
    more_low, more_high = _row_boxes(lower, upper, tightened.coefficients, tightened.excess)
    everywhere = open_rows.clone()
    hull_low, hull_high = torch.full_like(lower, torch.inf), torch.full_like(upper, -torch.inf)
    for place, group in enumerate(groups):
        rows = list(group)
        part_low = low[:, rows].amax(dim=1).maximum(more_low[:, place])
        part_high = high[:, rows].amin(dim=1).minimum(more_high[:, place])
        # Written so that a NaN keeps the group open.
        meets = open_rows[:, rows].all(dim=1) & ~(part_low > part_high).any(dim=1)
        everywhere[:, rows] &= meets.unsqueeze(1)
        mask = meets.unsqueeze(1)
        hull_low = torch.where(mask, torch.minimum(hull_low, part_low), hull_low)
        hull_high = torch.where(mask, torch.maximum(hull_high, part_high), hull_high)
    kept = everywhere.any(dim=1, keepdim=True)
    new_lower = torch.where(kept, torch.maximum(lower, hull_low), lower)
    new_upper = torch.where(kept, torch.minimum(upper, hull_high), upper)
    return new_lower, new_upper, everywhere


def _row_boxes(
    lower: Tensor, upper: Tensor, coefficients: Tensor, excess: Tensor
) -> tuple[Tensor, Tensor]:
    """For every row, the box around its open part, ``[boxes, rows, features]`` each.

    ``excess`` is how far the line's least value is above the threshold, ``[boxes, rows]``.
    """
    low, high = lower.unsqueeze(1), upper.unsqueeze(1)
    width = high - low
    # How far each feature may go from the end where its term is least.
    reach = (-excess).clamp(min=0).unsqueeze(2) / coefficients.abs()
    reach = reach + _SLACK * (width + torch.maximum(low.abs(), high.abs()))
    # A feature without influence may go everywhere; 0 / 0 is no influence either. The ends stay
    # themselves then: the sum of one end and the width may miss the other by rounding.
    short = reach < width
    new_high = torch.where(short & (coefficients > 0), torch.minimum(high, low + reach), high)
    new_low = torch.where(short & (coefficients < 0), torch.maximum(low, high - reach), low)
    return new_low.expand_as(coefficients), new_high.expand_as(coefficients)
