"""Rounding: the most that it may move what is proven or computed, the one slack of every claim.

A bound or an output is computed in floating-point numbers. Where products cancel that are far
larger than their sum, its error is a share of the products, not of the sum. So magnitudes go
through the network in absolute values, and with them the errors that every operator adds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sensverify.bounds.ibp import Interval, interval_bounds, nonlinear_nodes
from sensverify.bounds.rounding_rules import (
    FACTOR,
    on_interval,
    rounded,
    sum_units,
    unit_roundoff,
)
from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box
from sensverify.core.queries import Query
from sensverify.errors import UnsoundResult
from sensverify.network import Network, Node
from sensverify.network.operators import (
    BatchNorm,
    Nonlinear,
    Scale,
)
from sensverify.network.rewrites.divide import divide_to_scale
from sensverify.network.rewrites.editing import Edit, rewrite, wide

_PLAUSIBLE = 100.0
"""Multiple of the slack up to which rounding is likelier than a defect: it is no worst case."""


def slack(
    network: Network, box: Box, rows: Tensor, hidden: Sequence[Interval] | None = None
) -> Tensor:
    """The most that rounding may move ``rows · f(x)``, or a bound on it, in the box's dtype.

    Parameters
    ----------
    network : Network
        As it was read, before anything is folded: a product of two matrices, once computed, no
        longer shows what cancelled in it.
    box : Box of tensors, shape ``[batch, *input_shape]``
    rows : Tensor, shape ``[batch or 1, rows, outputs]``
    hidden : sequence of pairs of Tensor, optional
        Bounds ``[batch, *shape]`` on what enters every nonlinear node, in their order, where there
        are tighter ones than intervals.

    Returns
    -------
    Tensor, shape ``[batch, rows]``, >= 0
        Infinite where that cannot be said.

    Raises
    ------
    MissingRule
        An operator has no rule here, or none for intervals.

    Notes
    -----
    With unit roundoff u, magnitudes m of every value in the box and n products in a sum, a layer
    passes an error e on as ``|W| e`` and adds ``g (|W| m + |b|)``, where g is u times n for the
    way forward and as much for the way back, in which outputs are summed. That is a worst case for
    sums of up to 16 products; for longer ones n is replaced by ``4 sqrt(n)``, the probabilistic
    bound (Higham & Mary 2019, *A new approach to probabilistic rounding error analysis*). Errors
    of one layer are taken to add up in the next one. What is proven to be off is left out. That
    bounds on hidden layers are rounded and enter later ones is covered by a factor 2: not a worst
    case, where many layers are unstable. Rigorous arithmetic needs no slack.
    """
    rows = rows.to(box.lower)
    if network.opaque is not None:
        return rows.new_full((box.batch, rows.shape[1]), torch.inf)
    with torch.no_grad():
        found = _moved(rows, *_outputs(network, box, hidden))
        if hidden is not None and bool(too_much(found).any()):
            # Intervals may leave where a function is defined, or grow from layer to layer, and
            # what is proven may not.
            found = torch.fmin(
                found, _moved(rows, *_outputs(network, box, hidden, only_hidden=True))
            )
    return torch.where(torch.isfinite(found), FACTOR * found, torch.inf)


def too_much(found: Tensor) -> Tensor:
    """Where a slack leaves less than half of the digits of numbers near 1, or is infinite."""
    return ~(found <= torch.finfo(found.dtype).eps ** 0.5)


def _moved(rows: Tensor, reach: Tensor, error: Tensor) -> Tensor:
    terms = sum_units((rows != 0).sum(dim=2))
    sizes, errors = ((rows.abs() @ v.unsqueeze(-1)).squeeze(-1) for v in (reach, error))
    return errors + (terms + 2) * unit_roundoff(rows) * sizes


def query_slack(
    network: Network, box: Box, query: Query, hidden: Sequence[Interval] | None = None
) -> Tensor:
    """By how much a bound on a query's row must exceed its limit to exceed it for sure.

    Parameters
    ----------
    network, box, hidden
        As for `slack`.
    query : Query

    Returns
    -------
    Tensor, shape ``[1, constraints]``
    """
    rows, limits = (torch.as_tensor(v).to(box.lower) for v in (query.rows, query.limits))
    return row_slack(network, box, rows[None], limits[None], hidden)


def row_slack(
    network: Network,
    box: Box,
    rows: Tensor,
    limits: Tensor,
    hidden: Sequence[Interval] | None = None,
) -> Tensor:
    """As `query_slack`, for limits ``[batch or 1, rows]`` of their own on every box."""
    return slack(network, box, rows, hidden) + FACTOR * unit_roundoff(limits) * limits.abs()


def check_rounding(excess: Tensor, allowed: Tensor, size: Tensor, what: str) -> None:
    """Refuse what contradicts itself by more than rounding, and say whether products cancel.

    Parameters
    ----------
    excess, allowed, size : Tensor, one shape
        By how much, by how much rounding may, and magnitudes of what contradicts itself.
    what : str
        Which contradiction, as the beginning of a sentence.

    Raises
    ------
    UnsoundResult
        Somewhere the excess is larger, or NaN, or nothing can be said about rounding.
    """
    # Written so that a NaN fails it.
    within = (excess <= 0) | ((excess <= allowed) & torch.isfinite(allowed))
    if bool(within.all()):
        return
    wrong = ~within
    dtype = str(excess.dtype).removeprefix("torch.")
    cancels = allowed > torch.finfo(excess.dtype).eps ** 0.5 * size
    if bool((cancels & (excess <= _PLAUSIBLE * allowed))[wrong].all()):
        other = "`dtype=float64` or `rigorous`" if dtype == "float32" else "`rigorous`"
        raise UnsoundResult(
            f"{what}: by cancellation, products in the network are so much larger than their sums "
            f"that {dtype} leaves nothing of the result",
            f"use {other}",
        )
    raise UnsoundResult(
        f"{what} by more than rounding", "please report this with the network and the box"
    )


def _outputs(
    network: Network,
    box: Box,
    hidden: Sequence[Interval] | None,
    *,
    only_hidden: bool = False,
) -> tuple[Tensor, Tensor]:
    """Magnitudes and errors of the outputs, ``[batch, outputs]``.

    With ``only_hidden`` intervals go on from the hidden bounds, not from intervals before them.
    """
    like = box.lower
    live = tensor_network(network, dtype=like.dtype, device=like.device, fold=False)
    live = rewrite(divide_to_scale(live), _spread_norm)
    known = iter(hidden or ())
    sizes: dict[int, Tensor] = {}
    errors: dict[int, Tensor] = {}

    def see(position: int, bounds: Interval) -> None:
        node = live.nodes[position]
        size = torch.maximum(bounds[0].abs(), bounds[1].abs())
        error = torch.zeros_like(size)
        if position:
            inputs = [(sizes[i], errors[i]) for i in node.inputs]
            error = rounded(node.operator, *inputs)
        if isinstance(node.operator, Nonlinear):
            (source,) = node.inputs
            low, high = intervals[source]
            own = next(known, None)
            if own is not None:
                low = torch.maximum(low, own[0].reshape(low.shape))
                high = torch.minimum(high, own[1].reshape(high.shape))
            ends = low - FACTOR * errors[source], high + FACTOR * errors[source]
            size, error = on_interval(node.operator, errors[source], ends, (size, error))
        intervals[position] = bounds[0].clone(), bounds[1].clone()
        sizes[position], errors[position] = size + error, error
        for source in node.inputs:
            if live.consumers[source][-1] == position:
                for kept in (intervals, sizes, errors):
                    kept.pop(source, None)

    intervals: dict[int, Interval] = {}
    taken = None
    if only_hidden:
        nodes = nonlinear_nodes(live)
        shapes = [(-1, *live.nodes[live.nodes[p].inputs[0]].shape) for p in nodes]
        pairs = zip(nodes, shapes, hidden or (), strict=True)
        taken = {p: (low.reshape(shape), high.reshape(shape)) for p, shape, (low, high) in pairs}
    interval_bounds(live, (box.lower, box.upper), keep=(), known=taken, seen=see)
    last = len(live.nodes) - 1
    return sizes[last].reshape(box.batch, -1), errors[last].reshape(box.batch, -1)


def _spread_norm(edit: Edit, node: Node) -> bool:
    """Batch normalisation as two scales: what cancels between its mean and its shift stays seen."""
    norm = node.operator
    if not isinstance(norm, BatchNorm):
        return False
    channels = (node.shape[0], *(1 for _ in node.shape[1:]))
    scale = (wide(norm.variance) + norm.epsilon) ** -0.5
    if norm.weight is not None:
        scale = scale * wide(norm.weight)
    bias = None if norm.bias is None else norm.bias.reshape(channels)
    middle = Scale(None, -norm.mean.reshape(channels))
    edit.nodes.append(Node(node.name, middle, (edit.place(node),), node.shape))
    last = (len(edit.nodes) - 1,)
    edit.put(node, Scale(scale.reshape(channels), bias), last, node.shape)
    return True
