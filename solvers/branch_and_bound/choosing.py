"""For the sake of which rows an open sub-box is split, and where in it a witness may be.

The rows of a group are refuted together: by one of them, or by a weighted sum. Which of them can
be refuted on a sub-box is not known before, and rows often depend on different inputs. So a row
that holds everywhere on the sub-box is split for no more, and the others take turns, each by the
odds that it is refuted rather than met.
"""

from __future__ import annotations

import torch
from torch import Tensor

Groups = tuple[tuple[int, ...], ...]


def shares(below: Tensor, above: Tensor) -> Tensor:
    """Of the range that a row has on a sub-box, the part that violates it, ``[boxes, rows]``.

    Parameters
    ----------
    below, above : Tensor, shape ``[boxes, rows]``
        How far a row's lower bound is below its threshold, and its upper bound above it.
    """
    below, above = below.clamp(min=0), above.clamp(min=0)
    share = above / (below + above)
    # Without finite bounds nothing is known; 0 / 0 is a row at its threshold, which is met.
    unknown = torch.where(torch.isfinite(below) & torch.isfinite(above), 0.0, 0.5)
    return torch.where(torch.isfinite(share), share, unknown)


def deciding_rows(
    below: Tensor, above: Tensor | None, turns: Tensor, urgency: Tensor, groups: Groups
) -> Tensor:
    """The row that each sub-box is split for, ``[boxes]``: one of its most open group.

    Parameters
    ----------
    below : Tensor, shape ``[boxes, rows]``
        Scaled distance of the rows' lower bounds below their thresholds.
    above : Tensor or None, shape ``[boxes, rows]``
        The same of upper bounds above them; None where every group has a single row.
    turns : Tensor, shape ``[boxes, rows]``
        How often the sub-box and those around it were split for each row.
    urgency : Tensor, shape ``[rows]``
    groups : tuple of tuples of int
    """
    smallest = [below[:, list(group)].min(dim=1) for group in groups]
    best = torch.stack([part.values for part in smallest], dim=1).argmax(dim=1)
    if above is None:
        nearest = [
            torch.tensor(group, device=best.device)[part.indices]
            for group, part in zip(groups, smallest, strict=True)
        ]
        return torch.stack(nearest, dim=1).gather(1, best.unsqueeze(1)).squeeze(1)
    # As seats are given to parties by their votes: in the long run each row has its part.
    merit = _odds(shares(below, above)) * urgency / (1 + turns)
    chosen = []
    for group in groups:
        rows = list(group)
        # Where all hold, the nearest to being refuted.
        met = ~(merit[:, rows] > 0).any(dim=1, keepdim=True)
        place = torch.where(met, -below[:, rows], merit[:, rows]).argmax(dim=1)
        chosen.append(torch.tensor(group, device=best.device)[place])
    return torch.stack(chosen, dim=1).gather(1, best.unsqueeze(1)).squeeze(1)


def whose_turn(
    below: Tensor, above: Tensor, present: Tensor, turns: Tensor, urgency: Tensor
) -> Tensor:
    """The row of a group that a sub-problem is split for, or their weighted sum, ``[items]``.

    Parameters
    ----------
    below, above : Tensor, shape ``[items, rows]``
        As for `shares`.
    present : boolean Tensor, shape ``[items, rows]``
        False for padding.
    turns : Tensor, shape ``[items, rows + 1]``
        How often each row had its turn, and the weighted sum, which counts as much as the likeliest
        row: the number of rows stands for it.
    urgency : Tensor, shape ``[items, rows]``
    """
    odds = torch.where(present, _odds(shares(below, above)) * urgency, 0.0)
    # Where all rows hold, only together may they be refuted.
    most = odds.amax(dim=1, keepdim=True).clamp(min=1e-9)
    return (torch.cat([odds, most], dim=1) / (1 + turns)).argmax(dim=1)


def _odds(share: Tensor) -> Tensor:
    return share / (1 - share).clamp(min=1e-9)


def likely_points(lower: Tensor, upper: Tensor, coefficients: Tensor, weights: Tensor) -> Tensor:
    """The point where a weighted sum of lines is least on each sub-box, ``[boxes, features]``.

    In the middle along a feature that it does not depend on.

    Parameters
    ----------
    lower, upper : Tensor, shape ``[boxes, features]``
    coefficients : Tensor, shape ``[boxes, rows, features]``
    weights : Tensor, shape ``[boxes, rows]``
        Of lines that are scaled to vary by as much as each other.
    """
    size = (coefficients.abs() @ (upper - lower).unsqueeze(2)).squeeze(2)
    scaled = torch.where((size > 0) & (weights > 0), weights / size, 0.0)
    slope = (scaled.unsqueeze(1) @ coefficients).squeeze(1)
    middle = lower / 2 + upper / 2
    return torch.where(slope > 0, lower, torch.where(slope < 0, upper, middle))
