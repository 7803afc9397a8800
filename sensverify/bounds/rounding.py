"""Rounding: the most that it may move what is proven or computed, the one slack of every claim.

A bound or an output is computed in floating-point numbers. Where products cancel that are far
larger than their sum, its error is a share of the products, not of the sum. So magnitudes go
through the network in absolute values, and with them the errors that every operator adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import singledispatch
from math import isfinite, prod, sqrt
from typing import Any

import torch
from torch import Tensor

from sensverify.bounds.extremes import jump_margin
from sensverify.bounds.forward import apply
from sensverify.bounds.ibp import Interval, interval, interval_bounds, nonlinear_nodes
from sensverify.bounds.increments import secant_slopes
from sensverify.bounds.slopes import steepest_of_steps
from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box
from sensverify.core.queries import Query
from sensverify.errors import MissingRule, UnsoundResult
from sensverify.network import Network, Node
from sensverify.network.operators import (
    Abs,
    Add,
    Affine,
    BatchNorm,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Elementwise,
    Increment,
    LeakyRelu,
    Linear,
    Max,
    Nonlinear,
    Operator,
    Pad,
    Periodic,
    Permute,
    PiecewiseLinear,
    Product,
    Relu,
    Reshape,
    Scale,
    Select,
    Share,
    Smooth,
    Steps,
)
from sensverify.network.rewrites.divide import divide_to_scale
from sensverify.network.rewrites.editing import Edit, rewrite, wide

_FACTOR = 2.0
"""Of all errors: bounds on hidden layers are rounded, too, and enter those on the outputs."""

_SPREAD = 4.0
"""Standard deviations that the roundings of one long sum are given."""

_PLAUSIBLE = 100.0
"""Multiple of the slack up to which rounding is likelier than a defect: it is no worst case."""

_LIBRARY = 8.0
"""Units by which a library's exp or tanh may be off: generous for those in use."""


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
    return torch.where(torch.isfinite(found), _FACTOR * found, torch.inf)


def too_much(found: Tensor) -> Tensor:
    """Where a slack leaves less than half of the digits of numbers near 1, or is infinite."""
    return ~(found <= torch.finfo(found.dtype).eps ** 0.5)


def _moved(rows: Tensor, reach: Tensor, error: Tensor) -> Tensor:
    terms = _sum((rows != 0).sum(dim=2))
    sizes, errors = ((rows.abs() @ v.unsqueeze(-1)).squeeze(-1) for v in (reach, error))
    return errors + (terms + 2) * _unit(rows) * sizes


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
    return slack(network, box, rows, hidden) + _FACTOR * _unit(limits) * limits.abs()


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


def _unit(like: Tensor) -> float:
    return torch.finfo(like.dtype).eps / 2


def _sum(count: Any) -> Any:
    """Units that a sum of products is off by, relative to their magnitudes."""
    if isinstance(count, Tensor):
        return torch.minimum(count, _SPREAD * count.sqrt())
    return min(count, _SPREAD * sqrt(count))


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
            off = _FACTOR * errors[source]
            own_rule = rounded.dispatch(type(node.operator)) is not _smooth
            if isinstance(node.operator, Steps):
                error = _steps_on(node.operator, errors[source], low - off, high + off)
            elif isinstance(node.operator, Smooth) and not own_rule:
                error = _smooth_on(node.operator, errors[source], low - off, high + off)
            size, error = _held(node.operator, low - off, high + off, size, error)
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


def _held(
    operator: Operator, low: Tensor, high: Tensor, size: Tensor, error: Tensor
) -> tuple[Tensor, Tensor]:
    """Magnitude and error of a function's values, where it is proven not to move at all."""
    if isinstance(operator, Relu):
        off = high < 0
        return torch.minimum(size, high.clamp(min=0)), error.masked_fill(off, 0.0)
    if isinstance(operator, Clip):
        end = max((abs(e) for e in (operator.low, operator.high) if isfinite(e)), default=0.0)
        off = (high < operator.low) | (low > operator.high)
        # The end itself is rounded when it is read.
        return size, error.masked_fill(off, 0.0) + _unit(error) * end
    return size, error


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


@singledispatch
def rounded(operator: Operator, *inputs: tuple[Tensor, Tensor]) -> Tensor:
    """Error of an operator's output, from the magnitude and the error of every input.

    Raises
    ------
    MissingRule
        The operator has no rule; add one with ``rounded.register``.
    """
    raise MissingRule(
        f"no rounding rule for operator {type(operator).__name__}",
        "register one with sensverify.bounds.rounding.rounded.register",
    )


@rounded.register(Affine)
@rounded.register(Conv)
@rounded.register(ConvTranspose)
@rounded.register(Scale)
@rounded.register(Add)
@rounded.register(Pad)
@rounded.register(Select)
@rounded.register(Permute)
@rounded.register(Reshape)
@rounded.register(Concat)
def _(operator: Linear, *inputs: tuple[Tensor, Tensor]) -> Tensor:
    absolute, sums = _absolute(operator), _sums(operator)
    if not sums:
        return apply(_without_constants(absolute), *(error for _, error in inputs))
    unit = _unit(inputs[0][0])
    # The weights' own rounding, and one for a constant.
    share = (sums + 2) * unit
    total = apply(_without_constants(absolute), *(error + share * size for size, error in inputs))
    for name in ("bias", "shift"):
        constant = getattr(absolute, name, None)
        if constant is not None:
            if not isinstance(operator, Affine | Scale):
                constant = constant.reshape(-1, *(1,) * (total.ndim - 2))
            total = total + share * constant
    # What underflows is lost altogether, in a product or in a weight.
    largest = max(float(size.amax()) for size, _ in inputs)
    return total + torch.finfo(total.dtype).tiny * sums * (1 + largest)


@rounded.register
def _(operator: PiecewiseLinear, x: tuple[Tensor, Tensor]) -> Tensor:
    (size, error), unit = x, _unit(x[0])
    slopes = [torch.as_tensor(slope, dtype=size.dtype).to(size) for slope in operator.slopes]
    steep = torch.stack(torch.broadcast_tensors(*slopes)).abs().amax(dim=0).clamp(min=1.0)
    kinks = sum(abs(kink) for kink in operator.kinks if isfinite(kink))
    return steep * (error + _LIBRARY * unit * (size + kinks))


@rounded.register(Relu)
@rounded.register(Abs)
@rounded.register(Clip)
def _(operator: Elementwise, x: tuple[Tensor, Tensor]) -> Tensor:
    return x[1]


@rounded.register
def _(operator: LeakyRelu, x: tuple[Tensor, Tensor]) -> Tensor:
    size, error = x
    return operator.slope.abs().clamp(min=1.0) * (error + 2 * _unit(size) * size)


@rounded.register
def _smooth(operator: Smooth, x: tuple[Tensor, Tensor]) -> Tensor:
    size, error = x
    return _smooth_on(operator, error, -(size + error), size + error)


@rounded.register
def _(operator: Steps, x: tuple[Tensor, Tensor]) -> Tensor:
    size, error = x
    return _steps_on(operator, error, -(size + error), size + error)


def _steps_on(operator: Steps, error: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Error of what bounds say of steps on an interval.

    Bounds hold on both sides of a jump, also of one that is a little outside: then rounding only
    moves along lines. What is further off may be beyond a jump that bounds know nothing of.
    """
    reach = torch.stack(interval(operator, (low, high))).abs().amax(dim=0)
    near = _FACTOR * error <= jump_margin(low, high)
    beyond = (torch.floor(2 * _FACTOR * error / operator.spacing) + 1) * operator.height
    moved = torch.where(near, 2 * steepest_of_steps(operator) * error, beyond)
    still = operator.jump_from(low, torch) > high
    return torch.where(still, 0.0, moved) + _LIBRARY * _unit(low) * reach.clamp(min=1.0)


def _smooth_on(operator: Smooth, error: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Error of a function's values on an interval; NaN where it is not defined on all of it."""
    # The derivative is the steepest at an end, at an inflection or beside a kink.
    inner = [torch.full_like(low, point) for point in operator.inflections]
    kinks = [torch.full_like(low, point) for point in operator.kinks]
    inner += [torch.nextafter(kink, far) for kink in kinks for far in (kink - 1, kink + 1)]
    points = [low, high, *(torch.maximum(torch.minimum(point, high), low) for point in inner)]
    steep = torch.stack([operator.derivative(at, torch).abs() for at in points]).amax(dim=0)
    if isinstance(operator, Periodic):
        steep = torch.full_like(steep, operator.steepest)
    reach = torch.stack(interval(operator, (low, high))).abs().amax(dim=0)
    # Where nothing is off, a derivative without end makes it no more.
    moved = torch.where(error == 0, 0.0, steep * error)
    return moved + _LIBRARY * _unit(low) * reach.clamp(min=1.0)


@rounded.register
def _(operator: Max, x: tuple[Tensor, Tensor]) -> Tensor:
    return x[1].amax(dim=-1)


@rounded.register
def _(operator: Share, x: tuple[Tensor, Tensor]) -> Tensor:
    """The slopes' magnitudes sum to ``p (1 - p)``; intercepts are sums of products with them."""
    size, error = x
    terms = _LIBRARY + 4 * _sum(size.shape[-1])
    own = terms * _unit(size) * (1 + size.sum(dim=-1))
    return error.amax(dim=-1) / 4 + own + torch.finfo(size.dtype).tiny


@rounded.register
def _(operator: Product, x: tuple[Tensor, Tensor]) -> Tensor:
    (size, other_size), (error, other_error) = (part.unbind(dim=-1) for part in x)
    passed = size * other_error + other_size * error + error * other_error
    # The products at four corners, and planes through them, whose terms are larger than they are.
    return (
        passed
        + _LIBRARY * _unit(size) * size * other_size
        + torch.finfo(size.dtype).tiny * (1 + size + other_size)
    )


@rounded.register
def _(operator: Increment, x: tuple[Tensor, Tensor]) -> Tensor:
    (size, change), (error, off) = (part.unbind(dim=-1) for part in x)
    reach = size + change + error + off
    steep = torch.stack(secant_slopes(operator.function, -reach, reach)).abs().amax(dim=0)
    # An error of x moves both ends alike, and so the increment by twice itself at most.
    passed = steep * (off + 2 * torch.minimum(error, change + off))
    own = rounded(operator.function, (reach, torch.zeros_like(reach)))
    unit = _LIBRARY * _unit(size) * steep.clamp(min=1.0) * reach
    return passed + 2 * own + unit + torch.finfo(size.dtype).tiny


def _absolute(operator: Linear) -> Linear:
    """The map of magnitudes: the same with the magnitudes of its numbers."""
    changes: dict[str, Any] = {
        name: getattr(operator, name).abs()
        for name in ("weight", "bias", "scale", "shift")
        if getattr(operator, name, None) is not None
    }
    return replace(operator, **changes) if changes else operator


def _without_constants(operator: Linear) -> Linear:
    names = {item.name for item in fields(operator)}
    changes: dict[str, Any] = {name: None for name in ("bias", "shift") if name in names}
    if isinstance(operator, Pad):
        changes["value"] = 0.0
    return replace(operator, **changes) if changes else operator


def _sums(operator: Linear) -> float:
    """Units of error for one number that comes out, of a sum forward and of one backward."""
    if isinstance(operator, Affine):
        outputs, inputs = operator.weight.shape
        return float(_sum(inputs) + _sum(outputs))
    if isinstance(operator, Conv | ConvTranspose):
        first, second, *kernel = operator.weight.shape
        window = prod(kernel)
        first //= operator.groups
        return float(_sum(first * window) + _sum(second * window))
    if isinstance(operator, Scale | Add):
        return 2.0
    return 0.0
