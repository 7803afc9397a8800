"""Bounds on how fast outputs change over boxes: Jacobians, Lipschitz constants, monotony.

The slope of every nonlinear function lies in an interval on what enters it. Backward from the
outputs, intervals of coefficients are multiplied with these, and by affine maps taken as they are:
the Jacobian at every point of the box, and the slope of every secant between two of its points, is
a product of such matrices. Source: Weng et al. 2018, *Towards fast computation of certified
robustness for ReLU networks*, Section 3.3 (Fast-Lip), with an interval for each slope of any
function.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import singledispatch
from math import inf, prod
from typing import Any, Literal

import torch
from torch import Tensor

from sensverify.bounds.adjoint import adjoint
from sensverify.bounds.crown import Crown
from sensverify.bounds.forward import forward_pass
from sensverify.bounds.increments import secant_slopes
from sensverify.bounds.method import PreActivationBounds
from sensverify.bounds.rounding import slack
from sensverify.bounds.shares import slopes_between
from sensverify.bounds.tensors import tensor_box, tensor_network
from sensverify.core.box import Box
from sensverify.errors import BadSetting, MissingRule, Unbounded
from sensverify.network import Network
from sensverify.network.operators import Elementwise, Max, Nonlinear, Operator, Product, Share

Ends = tuple[Tensor, Tensor]
Verdict = Literal["proven", "refuted", "undecided"]

_GRID = 17
"""Values of a feature between which an output is looked at."""

_POINTS = 64
"""Points of a box at which that is done."""


@dataclass(frozen=True, eq=False)
class JacobianBounds:
    """Bounds on the derivative of every output in every input, over boxes.

    Parameters
    ----------
    lower, upper : Tensor, shape ``[batch, outputs, inputs]``, float64
        SOUND: at every point of the box where the network has a derivative, and for every secant
        between two points of it, up to the rounding that is allowed for.
    """

    lower: Tensor
    upper: Tensor

    @property
    def magnitude(self) -> Tensor:
        """At least the magnitude of every entry."""
        return torch.maximum(self.lower.abs(), self.upper.abs())

    def lipschitz(self, norm: float = 2) -> Tensor:
        """A Lipschitz constant on each box, ``[batch]``, of inputs and outputs in one norm.

        Parameters
        ----------
        norm : 1, 2 or inf
            The largest sum of a column of magnitudes, of a row; for 2, the smaller one of the
            spectral norm of magnitudes and that of the middle plus that of the radius.

        Raises
        ------
        BadSetting
        """
        if norm == 1:
            return self.magnitude.sum(dim=1).amax(dim=1)
        if norm == inf:
            return self.magnitude.sum(dim=2).amax(dim=1)
        if norm != 2:
            raise BadSetting(f"`norm` is 1, 2 or inf, got {norm}")
        middle, radius = self.lower / 2 + self.upper / 2, self.upper / 2 - self.lower / 2
        parts = [torch.linalg.matrix_norm(m, 2) for m in (self.magnitude, middle, radius)]
        found = torch.minimum(parts[0], parts[1] + parts[2])
        return found * (1 + 1e-12)


def jacobian_bounds(
    network: Network,
    box: Box,
    *,
    hidden: PreActivationBounds | None = None,
    parts: int = 1,
) -> JacobianBounds:
    """Bound the Jacobian of a network over boxes.

    Parameters
    ----------
    network : Network
    box : Box, shape ``[batch, *input_shape]``
    hidden : method, optional
        What bounds the inputs of nonlinear functions; default `Crown`.
    parts : int
        Into how many parts each box is cut, one half after the other, where that promises most.

    Returns
    -------
    JacobianBounds
        Of all parts together.

    Raises
    ------
    MissingRule
        An operator has no rule; add one with ``slope_range.register``.
    Unbounded
        A slope is not bounded on the box.

    Examples
    --------
    >>> import numpy as np
    >>> import sensverify as sv
    >>> from sensverify.bounds.jacobian import jacobian_bounds
    >>> box = sv.Box(np.full((1, 4), 0.4), np.full((1, 4), 0.5))
    >>> found = jacobian_bounds(sv.load("iris"), box)
    >>> found.lower.shape, bool((found.lower <= found.upper).all())
    (torch.Size([1, 3, 4]), True)
    """
    network.require_operators()
    if parts < 1:
        raise BadSetting(f"`parts` must be at least 1, got {parts}")
    live = tensor_network(network, dtype=torch.float64, device=torch.device("cpu"))
    whole = tensor_box(box, dtype=torch.float64, device=torch.device("cpu"))
    with torch.no_grad():
        ends = [(whole.lower[i : i + 1], whole.upper[i : i + 1]) for i in range(whole.batch)]
        found = [_by_parts(live, each, hidden or Crown(), parts) for each in ends]
    lower, upper = (torch.cat([each[side] for each in found]) for side in (0, 1))
    if not bool((torch.isfinite(lower) & torch.isfinite(upper)).all()):
        raise Unbounded("a slope is not bounded on the box", "use a smaller box")
    return JacobianBounds(lower, upper)


def _by_parts(network: Network, ends: Ends, hidden: PreActivationBounds, parts: int) -> Ends:
    """The hull over the parts of one box, ``[1, outputs, inputs]``."""
    boxes = ends
    found = _bounds(network, Box(*boxes), hidden)
    while len(boxes[0]) * 2 <= parts:
        # Where a feature's width makes the most of what is not known.
        spread = (found[1] - found[0]).sum(dim=1)
        width = (boxes[1] - boxes[0]).flatten(1)
        worst = (spread * width).argmax(dim=1, keepdim=True)
        low, high = (end.flatten(1) for end in boxes)
        middle = (low / 2 + high / 2).gather(1, worst)
        below, above = high.scatter(1, worst, middle), low.scatter(1, worst, middle)
        shape = ends[0].shape[1:]
        boxes = (
            torch.cat([low, above]).reshape(-1, *shape),
            torch.cat([below, high]).reshape(-1, *shape),
        )
        found = _bounds(network, Box(*boxes), hidden)
    return found[0].amin(dim=0, keepdim=True), found[1].amax(dim=0, keepdim=True)


def _bounds(network: Network, box: Box, hidden: PreActivationBounds) -> Ends:
    known = hidden.pre_activations(network, box)
    size = prod(network.output_shape)
    eye = torch.eye(size, dtype=torch.float64).reshape(1, size, *network.output_shape)
    start = eye.expand(box.batch, *eye.shape[1:])
    pending: dict[int, Ends] = {len(network.nodes) - 1: (start, start)}
    for position in range(len(network.nodes) - 1, 0, -1):
        ends = pending.pop(position, None)
        if ends is None:
            continue
        node = network.nodes[position]
        if isinstance(node.operator, Nonlinear):
            slopes = slope_range(node.operator, *known[position])
            windowed = slopes[0].ndim > len(node.shape) + 1
            sources = [_times(ends, slopes, windowed)]
        else:
            shapes = tuple(network.nodes[source].shape for source in node.inputs)
            sources = _through(node.operator, ends, shapes)
        for source, part in zip(node.inputs, sources, strict=True):
            if source in pending:
                before = pending[source]
                part = _wider((before[0] + part[0], before[1] + part[1]), 1)
            pending[source] = part
    none = torch.zeros(box.batch, size, prod(network.input_shape), dtype=torch.float64)
    lower, upper = pending.get(0, (none, none))
    return lower.reshape(none.shape), upper.reshape(none.shape)


def _times(ends: Ends, slopes: Ends, windowed: bool) -> Ends:
    """The range of products of coefficients ``[batch, rows, *shape]`` and slopes."""
    low, high = (slope.unsqueeze(1) for slope in slopes)
    first, last = (end.unsqueeze(-1) if windowed else end for end in ends)
    products = [first * low, first * high, last * low, last * high]
    stacked = torch.stack(torch.broadcast_tensors(*products))
    return _wider((stacked.amin(dim=0), stacked.amax(dim=0)), 8)


def _through(operator: Operator, ends: Ends, shapes: tuple[Any, ...]) -> list[Ends]:
    """The range behind the transpose of an affine map.

    What is positive and what is negative are summed apart, each with its rounding: a sum of slopes
    of one sign keeps it.
    """
    low, high = ends
    unit = torch.finfo(torch.float64).eps * (low[0, 0].numel() + 4)
    parts = [(part.clamp(min=0), (-part).clamp(min=0)) for part in (low, high)]

    up, down = _signed(operator, 1), _signed(operator, -1)
    assert up is not None

    def total(first: Tensor, second: Tensor) -> list[Tensor]:
        found = adjoint(up, first, shapes)
        if down is None:
            return found
        return [x + y for x, y in zip(found, adjoint(down, second, shapes), strict=True)]

    (low_above, low_below), (high_above, high_below) = parts
    gains = total(low_above, high_below), total(high_above, low_below)
    losses = total(low_below, high_above), total(high_below, low_above)
    return [
        ((1 - unit) * gain - (1 + unit) * loss, (1 + unit) * more - (1 - unit) * less)
        for gain, loss, more, less in zip(gains[0], losses[0], gains[1], losses[1], strict=True)
    ]


def _wider(ends: Ends, units: float) -> Ends:
    unit = units * torch.finfo(torch.float64).eps
    return ends[0] - unit * ends[0].abs(), ends[1] + unit * ends[1].abs()


def _signed(operator: Operator, sign: int) -> Operator | None:
    """The map with the positive numbers of its matrix, or with minus the negative ones."""
    changes: dict[str, Any] = {
        item.name: (sign * getattr(operator, item.name)).clamp(min=0)
        for item in fields(operator)
        if item.name in ("weight", "scale") and getattr(operator, item.name) is not None
    }
    if changes:
        return replace(operator, **changes)
    return operator if sign > 0 else None


@singledispatch
def slope_range(operator: Operator, lower: Tensor, upper: Tensor) -> Ends:
    """The least and the largest derivative in each number that enters a nonlinear operator.

    Parameters
    ----------
    operator : Operator
    lower, upper : Tensor, shape ``[batch, *input_shape]``

    Returns
    -------
    pair of Tensor, shape ``[batch, *input_shape]``
    """
    raise MissingRule(
        f"the slopes of operator {type(operator).__name__} are not known on a box",
        "register them with sensverify.bounds.jacobian.slope_range.register",
    )


@slope_range.register
def _(operator: Elementwise, lower: Tensor, upper: Tensor) -> Ends:
    return secant_slopes(operator, lower, upper)


@slope_range.register
def _(operator: Max, lower: Tensor, upper: Tensor) -> Ends:
    """1 for a number that is the largest for sure, 0 for one that never is, else in between."""
    best = lower.amax(dim=-1, keepdim=True)
    possible = (upper >= best).to(lower)
    alone = possible.sum(dim=-1, keepdim=True) == 1
    return possible * alone, possible


@slope_range.register
def _(operator: Product, lower: Tensor, upper: Tensor) -> Ends:
    """The other number."""
    return lower.flip(-1), upper.flip(-1)


@slope_range.register
def _(operator: Share, lower: Tensor, upper: Tensor) -> Ends:
    return slopes_between(lower, upper)


@dataclass(frozen=True, eq=False)
class Monotony:
    """Whether one output rises, or falls, with one feature on a box.

    Parameters
    ----------
    verdict : str
        ``proven``, ``refuted`` by two inputs, or ``undecided``.
    first, second : Tensor or None, shape ``[*input_shape]``
        Inputs that differ in the feature alone, which is larger in the second, and whose outputs
        are the wrong way round by more than rounding.
    """

    verdict: Verdict
    first: Tensor | None = None
    second: Tensor | None = None


def monotone(
    network: Network,
    box: Box,
    feature: int,
    *,
    rising: bool = True,
    parts: int = 64,
    seed: int = 0,
) -> list[list[Monotony]]:
    """Whether every output rises, or falls, with a feature, whatever the others are in the box.

    An output that never falls counts as rising.

    Parameters
    ----------
    network : Network
    box : Box, shape ``[batch, *input_shape]``
    feature : int
        Counted in row-major order.
    rising : bool
        False: it is to fall.
    parts, seed : int
        As of `jacobian_bounds`; of the search for two inputs.

    Returns
    -------
    list of list of Monotony
        One for each box and output.

    Raises
    ------
    BadSetting
        There is no such feature.
    """
    if not 0 <= feature < prod(network.input_shape):
        raise BadSetting(
            f"there is no feature {feature}: the network has {prod(network.input_shape)}",
            "count features from 0",
        )
    whole = tensor_box(box, dtype=torch.float64, device=torch.device("cpu"))
    count = prod(network.output_shape)
    rows = torch.eye(count, dtype=torch.float64).unsqueeze(0)
    sign = 1.0 if rising else -1.0
    result = []
    for i in range(whole.batch):
        own = Box(whole.lower[i : i + 1], whole.upper[i : i + 1])
        pairs = _wrong_way(network, own, feature, sign, 2 * slack(network, own, rows)[0], seed)
        proven = _rises(network, own, feature, sign, parts) if None in pairs else [False] * count
        result.append(
            [
                Monotony("refuted", *pair) if pair else Monotony("proven" if yes else "undecided")
                for pair, yes in zip(pairs, proven, strict=True)
            ]
        )
    return result


def _rises(network: Network, box: Box, feature: int, sign: float, parts: int) -> list[bool]:
    """For every output whether its slope is known to have the sign, with ever more parts."""
    some, found = 1, [False] * prod(network.output_shape)
    while some <= parts and not all(found):
        bounds = jacobian_bounds(network, box, parts=some)
        ends = bounds.lower if sign > 0 else -bounds.upper
        found = [old or bool(end >= 0) for old, end in zip(found, ends[0, :, feature], strict=True)]
        some *= 4
    return found


def _wrong_way(
    network: Network, box: Box, feature: int, sign: float, room: Tensor, seed: int
) -> list[tuple[Tensor, Tensor] | None]:
    """For every output two inputs between which it moves the wrong way, where there are any."""
    generator = torch.Generator().manual_seed(seed)
    shape = (_POINTS, *box.lower.shape[1:])
    share = torch.rand(shape, generator=generator, dtype=torch.float64)
    points = (box.lower + share * (box.upper - box.lower)).flatten(1)
    low, high = (end.flatten(1)[0, feature] for end in (box.lower, box.upper))
    steps = torch.linspace(0, 1, _GRID, dtype=torch.float64)
    lines = points.unsqueeze(1).repeat(1, _GRID, 1)
    lines[:, :, feature] = (low + steps * (high - low)).clamp(low, high)
    flat = lines.reshape(-1, *box.lower.shape[1:])
    with torch.no_grad():
        values = forward_pass(network, flat).flatten(1).reshape(_POINTS, _GRID, -1)
    rise = sign * (values[:, 1:] - values[:, :-1])
    found: list[tuple[Tensor, Tensor] | None] = []
    for k in range(values.shape[2]):
        worst = int(rise[:, :, k].argmin())
        point, step = divmod(worst, _GRID - 1)
        if float(rise[point, step, k]) < -float(room[k]):
            pair = lines[point, step : step + 2].reshape(2, *box.lower.shape[1:])
            found.append((pair[0], pair[1]))
        else:
            found.append(None)
    return found
