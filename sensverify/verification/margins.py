"""Whether a label stays the largest output: proven by margins, or refuted by an attained input."""

from __future__ import annotations

import torch
from torch import Tensor

from sensverify.bounds import evaluate
from sensverify.bounds.tensors import flattened
from sensverify.box import Box
from sensverify.network import Network
from sensverify.sensitivity import margin

STEPS = 8
"""Gradient steps from each start of the search."""

_SLACK = 1e-9
"""Relative size below which a double-precision margin could be rounding."""

_ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-12}
"""How far rounding may move a proven margin, as a share of the outputs it is taken between."""


def with_margins(labels: Tensor, outputs: int, dtype: torch.dtype) -> Tensor:
    """Objectives that give the outputs and, below them, every margin of the label.

    Parameters
    ----------
    labels : Tensor, shape ``[batch]``, int64
    outputs : int

    Returns
    -------
    Tensor, shape ``[batch, 2 * outputs - 1, outputs]``
        The identity, then the rows ``e_label - e_j`` for every class j but the label.
    """
    identity = torch.eye(outputs, dtype=dtype, device=labels.device)
    rows = identity[labels].unsqueeze(1) - identity
    others = torch.arange(outputs, device=labels.device) != labels.unsqueeze(1)
    margins = rows[others].reshape(len(labels), outputs - 1, outputs)
    return torch.cat([identity.expand(len(labels), -1, -1), margins], dim=1)


def proven(lower: Tensor, upper: Tensor, labels: Tensor, *, rigorous: bool = False) -> Tensor:
    """Samples whose label is the largest output on the whole box, by bounds on its margins.

    Every margin's lower bound must be above a slack for rounding, which the bounds themselves do
    not cover: 1e-5 in float32, 1e-12 in float64, times the largest magnitude of the bounds of the
    two outputs. The slack is far above what rounding was seen to do; it is not a proof. Bounds
    that were re-derived with rigorous arithmetic need none: they only have to be above 0.

    Parameters
    ----------
    lower, upper : Tensor, shape ``[batch, 2 * outputs - 1]``
        Bounds of the objectives that `with_margins` makes.
    labels : Tensor, shape ``[batch]``, int64
    rigorous : bool
        Whether the bounds cover their rounding.

    Returns
    -------
    Boolean tensor, shape ``[batch]``; False where a bound is NaN.
    """
    outputs = (lower.shape[1] + 1) // 2
    if rigorous:
        return (lower[:, outputs:] > 0).all(dim=1)
    reach = torch.maximum(lower.abs(), upper.abs())[:, :outputs]
    others = torch.arange(outputs, device=labels.device) != labels.unsqueeze(1)
    pairs = torch.maximum(reach, reach.gather(1, labels.unsqueeze(1)))
    slack = _ROUNDING[lower.dtype] * pairs[others].reshape(len(labels), outputs - 1)
    # Written so that a NaN proves nothing.
    return (lower[:, outputs:] > slack).all(dim=1)


def refuted(
    network: Network, box: Box, center: Tensor, labels: Tensor, *, seed: int
) -> tuple[Tensor, Tensor]:
    """Samples with an input in the box where the label is not the largest output.

    Looks at the sample itself, then follows the gradient of the smallest margin to corners of the
    box, from the sample and from one random point. What it finds is looked at in double precision;
    `Replay` has the last word. What it does not find may still exist.

    Parameters
    ----------
    network : Network
    box : Box of tensors, shape ``[batch, *input_shape]``
    center : Tensor, shape ``[batch, *input_shape]``
        Points of the box.
    labels : Tensor, shape ``[batch]``, int64
    seed : int

    Returns
    -------
    found : boolean Tensor, shape ``[batch]``
    points : Tensor, shape ``[batch, *input_shape]``
        The input, where one was found; elsewhere any.
    """
    generator = torch.Generator(device="cpu").manual_seed(seed)
    share = torch.rand(center.shape, generator=generator, dtype=torch.float64)
    share = share.to(device=center.device, dtype=center.dtype)
    found = torch.zeros(len(center), dtype=torch.bool, device=center.device)
    points = center.clone()
    for start in (center, box.lower + share * (box.upper - box.lower)):
        left = (~found).nonzero().squeeze(1)
        if len(left):
            found[left], points[left] = _descend(network, box[left], start[left], labels[left])
    return found, points


def _descend(network: Network, box: Box, point: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which starts lead to an input where the label is not the largest output, and that input."""
    reached = point.clone()
    found = torch.zeros(len(point), dtype=torch.bool, device=point.device)
    left = torch.arange(len(point), device=point.device)
    # The first step reaches a corner from anywhere in the box; later ones are shorter.
    step = box.upper - box.lower
    for _ in range(STEPS + 1):
        point = torch.minimum(torch.maximum(point, box.lower), box.upper)
        gap, gradient = _margin_and_gradient(network, point, labels[left])
        # Most points are far from a change; only a likely one is looked at in double precision.
        likely = (gap < 0).nonzero().squeeze(1)
        if len(likely):
            found[left[likely]] = _changes(network, point[likely], labels[left[likely]])
            reached[left[likely]] = point[likely]
        keep = ~found[left]
        if not bool(keep.any()):
            break
        left, box, step = left[keep], box[keep], step[keep]
        point = point[keep] - step * gradient[keep].sign()
        step = step * 0.6
    return found, reached


def _changes(network: Network, points: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        outputs = flattened(evaluate(network, points.double()))
    slack = _SLACK * (1 + outputs.abs().amax(dim=1))
    return margin(outputs, labels) < -slack


def _margin_and_gradient(network: Network, point: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        point = point.detach().requires_grad_()
        gap = margin(flattened(evaluate(network, point)), labels)
        return gap.detach(), torch.autograd.grad(gap.sum(), point)[0]
