"""Margins of a class: proofs that it keeps its place among the outputs, inputs that refute it."""

from __future__ import annotations

from functools import partial
from math import prod

import torch
from torch import Tensor

from sensverify.attacks.ascent import project, sign_step
from sensverify.bounds import Crown, Method, compute_bounds, forward_pass
from sensverify.bounds.forward import forward
from sensverify.bounds.memory import DEFAULT_BUDGET
from sensverify.bounds.rounding import slack, too_much
from sensverify.bounds.tensors import flattened, tensor_box, tensor_network
from sensverify.classification.rivals import Rivals, without
from sensverify.core.box import Box
from sensverify.core.results import Bounds, Guarantee
from sensverify.core.sets import InputSet
from sensverify.errors import MissingRule, Unbounded
from sensverify.network import Network

STEPS = 8
"""Gradient steps from each start of the search."""

SOLVER_SHARE = 1e-7
"""Share of the outputs that a solver's tolerances may hide in a margin it has proven."""


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
    margins = rows[without(labels, outputs)].reshape(len(labels), outputs - 1, outputs)
    return torch.cat([identity.expand(len(labels), -1, -1), margins], dim=1)


def proven(
    network: Network,
    box: Box,
    bounds: Bounds,
    labels: Tensor | Rivals,
    *,
    method: Method | None = None,
    memory_budget: int = DEFAULT_BUDGET,
) -> Tensor:
    """Samples whose class keeps its place on the whole box, by bounds on its margins.

    Every margin of `proven_margins` is above 0, where labels alone are given, else as many as
    `Rivals.certain` asks for.

    Parameters
    ----------
    network, box, bounds, labels, method, memory_budget
        As of `proven_margins`.

    Returns
    -------
    Boolean tensor, shape ``[batch]``; False where a bound is NaN.
    """
    outputs = (bounds.outer.lower.shape[1] + 1) // 2
    rivals = Rivals.of(labels, outputs)
    margins = proven_margins(
        network, box, bounds, rivals, method=method, memory_budget=memory_budget
    )
    # Written so that a NaN proves nothing.
    return rivals.certain(margins > 0)


def proven_margins(
    network: Network,
    box: Box,
    bounds: Bounds,
    labels: Tensor | Rivals,
    *,
    method: Method | None = None,
    memory_budget: int = DEFAULT_BUDGET,
) -> Tensor:
    """Lower bounds on the margins of a class over a box, of which nothing is left to take off.

    From every bound is taken what rounding may have moved it by (`slack`), from a solver's bound
    its tolerances, too; from bounds that were re-derived with rigorous arithmetic nothing. Where
    float32 bounds prove a sample's class and what is left of them does not, the sample is bounded
    again in float64.

    Parameters
    ----------
    network : Network
        Before anything is folded.
    box : Box of tensors, shape ``[batch, *input_shape]``
    bounds : Bounds
        Of the objectives that `with_margins` makes, in the dtype of the box or certified.
    labels : Tensor, shape ``[batch]``, int64; or Rivals
        Labels alone are to be the largest outputs.
    method : Method, optional
        What gave the bounds, to be asked again in float64; None leaves what is open open.
    memory_budget : int
        Bytes for asking again.

    Returns
    -------
    Tensor, shape ``[batch, outputs - 1]``, float64
        ``f_label - f_j`` for every class j but the label, in the order of `with_margins`, with the
        guarantee of the bounds; minus infinity where rounding has no limit.
    """
    lower, upper = bounds.outer.lower.detach(), bounds.outer.upper.detach()
    outputs = (lower.shape[1] + 1) // 2
    rivals = Rivals.of(labels, outputs)
    found = lower[:, outputs:].double()
    if bounds.guarantee is Guarantee.CERTIFIED:
        return found
    wide = lower.dtype == torch.float64 or _computes_in_double(method)
    exact = _in_double(box)
    rows = with_margins(rivals.labels, outputs, torch.float64)[:, outputs:]
    allowed = slack(network, exact if wide else box, rows).double()
    share = torch.zeros_like(allowed)
    if bounds.guarantee is Guarantee.SOLVER:
        reach = torch.maximum(lower.abs(), upper.abs())[:, :outputs].double()
        share = SOLVER_SHARE * (rows.abs() @ reach.unsqueeze(-1)).squeeze(-1)
    left = found - allowed - share
    again = (rivals.certain(found > 0) & ~rivals.certain(left > 0)).nonzero().squeeze(1)
    if wide and len(again):
        refined = finite_slack(network, _of_samples(exact, again), rows[again])
        left[again] = found[again] - refined - share[again]
    if wide or method is None or len(again) == 0:
        return left
    some, open_still = exact[again], rivals[again]
    objectives = with_margins(open_still.labels, outputs, torch.float64)
    better = compute_bounds(network, some, method, objectives, memory_budget=memory_budget)
    left[again] = proven_margins(network, some, better, open_still)
    return left


def finite_slack(network: Network, box: Box, rows: Tensor) -> Tensor:
    """`slack`, small also where intervals grow, or leave what a function is defined on.

    Where they do, as in deep networks with normalisation or softmax, each sample's hidden layers
    are bounded by CROWN; infinite is what CROWN does not bound either.

    Parameters
    ----------
    network, box, rows
        As for `slack`; rows ``[batch, rows, outputs]``.
    """
    allowed = slack(network, box, rows)
    if network.opaque is not None:
        return allowed
    places = too_much(allowed).any(dim=1).nonzero().flatten().tolist()
    if not places:
        return allowed
    live = tensor_network(network, dtype=box.lower.dtype, device=box.lower.device)
    for i in places:
        one = Box(box.lower[i : i + 1], box.upper[i : i + 1])
        try:
            with torch.no_grad():
                bounded = Crown().pre_activations(live, one)
                hidden = [bounded[place] for place in sorted(bounded)]
                found = slack(network, one, rows[i : i + 1], hidden)
        except (MissingRule, Unbounded):
            continue
        allowed[i] = torch.fmin(allowed[i], found[0])
    return allowed


def _of_samples(box: Box, places: Tensor) -> Box:
    """The boxes of some samples, or, of input sets, around them."""
    return Box(box.lower[places], box.upper[places])


def robust_cross_entropy(margins: Tensor) -> Tensor:
    """Upper bound of the cross-entropy over a box, ``log(1 + sum_j exp(-margin_j))``, in nats.

    It takes every other output as far above the label's as its bound allows, all at once; it
    inherits the bounds' guarantee.

    Parameters
    ----------
    margins : Tensor, shape ``[batch, classes - 1]``
        Lower bounds on ``f_y - f_j`` over the box for every class j but the label y.

    Returns
    -------
    Tensor, shape ``[batch]``, differentiable, at least 0

    Notes
    -----
    Source: Wong & Kolter 2018, *Provable defenses against adversarial examples via the convex
    outer adversarial polytope*, Theorem 2 and Eq. 14. It is the seed's ADV_LOSS.
    """
    label = margins.new_zeros(len(margins), 1)
    return torch.logsumexp(torch.cat([label, -margins], dim=1), dim=1)


def changes(network: Network, points: Tensor, labels: Tensor | Rivals) -> Tensor:
    """Points where the class has lost its place by more than rounding, in float64.

    Parameters
    ----------
    network : Network
        Before anything is folded.
    points : Tensor, shape ``[points, *input_shape]``
    labels : Tensor, shape ``[points]``, int64; or Rivals

    Returns
    -------
    Boolean tensor, shape ``[points]``
    """
    if len(points) == 0:
        return torch.zeros(0, dtype=torch.bool, device=points.device)
    with torch.no_grad():
        points = points.double()
        outputs = flattened(forward_pass(network, points))
        rivals = Rivals.of(labels, outputs.shape[1])
        margins, allowed = _margins(network, points, outputs, rivals.labels)
        exceeded = (rivals.beside & (margins < -allowed)).sum(dim=1) >= rivals.places
        some = ~rivals.all_others
        if bool(some.any()):
            # The strongest rival has to exceed everything that is none.
            strongest = outputs.masked_fill(~rivals.against, -torch.inf).argmax(dim=1)
            margins, allowed = _margins(network, points, outputs, strongest)
            others = rivals.against[without(strongest, outputs.shape[1])].reshape(margins.shape)
            largest = ((margins > allowed) | others).all(dim=1) & rivals.against.any(dim=1)
            exceeded = torch.where(some, largest, exceeded)
        return exceeded


def _margins(
    network: Network, points: Tensor, outputs: Tensor, classes: Tensor
) -> tuple[Tensor, Tensor]:
    """Margins of classes over all other outputs at points, and what rounding may move them by."""
    count = outputs.shape[1]
    rows = with_margins(classes, count, torch.float64)[:, count:]
    margins = (rows @ outputs.unsqueeze(-1)).squeeze(-1)
    return margins, slack(network, Box(points, points), rows)


def _computes_in_double(method: Method | None) -> bool:
    """True where a method computes in float64 whatever the box's type, and rounds outward."""
    return method is not None and (method.arithmetic or method.dtype) == "float64"


def _in_double(box: Box) -> Box:
    if isinstance(box, InputSet):
        return tensor_box(box, dtype=torch.float64, device=box.lower.device)
    return Box(box.lower.double(), box.upper.double())


def refuted(
    network: Network, box: Box, center: Tensor, labels: Tensor | Rivals, *, seed: int
) -> tuple[Tensor, Tensor]:
    """Samples with an input in the box where the class has lost its place.

    Looks at the sample itself, then follows the gradient of `Rivals.loss` to corners of the
    box, from the sample and from one random point. What it finds is looked at in double precision;
    `Replay` has the last word. What it does not find may still exist.

    Parameters
    ----------
    network : Network
    box : Box of tensors, shape ``[batch, *input_shape]``
    center : Tensor, shape ``[batch, *input_shape]``
        Points of the box.
    labels : Tensor, shape ``[batch]``, int64; or Rivals
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
    rivals = Rivals.of(labels, prod(network.output_shape))
    for start in (center, box.lower + share * (box.upper - box.lower)):
        left = (~found).nonzero().squeeze(1)
        if len(left):
            found[left], points[left] = _descend(network, box[left], start[left], rivals[left])
    return found, points


def _descend(network: Network, box: Box, point: Tensor, rivals: Rivals) -> tuple[Tensor, Tensor]:
    """Mask of the starts that lead to an input where the class has lost its place, and it."""
    reached = point.clone()
    found = torch.zeros(len(point), dtype=torch.bool, device=point.device)
    left = torch.arange(len(point), device=point.device)
    # The first step reaches a corner from anywhere in the box; later ones are shorter.
    step = box.upper - box.lower
    point = project(point, box)
    # Once for all steps.
    live = tensor_network(network, dtype=point.dtype, device=point.device)
    for _ in range(STEPS + 1):
        _, loss, following = sign_step(
            partial(forward, live),
            point,
            rivals.labels[left],
            box,
            step,
            rivals[left].loss,
            needed=False,
        )
        # Most points are far from a change; only a likely one is looked at in double precision.
        likely = (loss > 0).nonzero().squeeze(1)
        if len(likely):
            found[left[likely]] = changes(network, point[likely], rivals[left[likely]])
            reached[left[likely]] = point[likely]
        keep = ~found[left]
        if not bool(keep.any()):
            break
        left, box, point = left[keep], box[keep], following[keep]
        step = step[keep] * 0.6
    return found, reached
