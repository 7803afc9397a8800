"""Interval bound propagation: boxes through every operator in turn."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from functools import singledispatch
from math import isfinite, prod
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.domains import defined
from sensverify.bounds.extremes import largest_gap, smallest_gap, widened
from sensverify.bounds.first_layers import first_layers, over_set
from sensverify.bounds.forward import apply
from sensverify.bounds.increments import increment_range
from sensverify.bounds.method import PreActivationBounds
from sensverify.bounds.planes import product_range
from sensverify.bounds.unstable import unstable_at
from sensverify.core.box import Box
from sensverify.core.proof import Cells, Lines, Proof
from sensverify.core.results import Enclosure, Guarantee
from sensverify.core.sets import InputSet
from sensverify.errors import MissingRule
from sensverify.network import Network
from sensverify.network.operators import (
    Add,
    Affine,
    Concat,
    Conv,
    ConvTranspose,
    Increment,
    Linear,
    Max,
    Nonlinear,
    Operator,
    Pad,
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
from sensverify.runs.watch import Watch

Interval = tuple[Tensor, Tensor]

_MOST_KINDS = 16
"""So many different sets of rows are bounded for all samples, though each sample needs one."""

_ALIKE = 1 + 1e-4
"""Widths whose ratio is at most this may be the same but for rounding."""


@dataclass(frozen=True)
class Ibp(PreActivationBounds):
    """Interval arithmetic: the cheapest and the loosest sound bounds, two forward passes.

    A last affine layer and the objectives are bounded together, which is tighter than bounding
    the outputs first. Guarantee SOUND. Source: Gowal et al. 2018, *On the effectiveness of
    interval bound propagation*.
    """

    name: ClassVar[str] = "ibp"
    guarantee: ClassVar[Guarantee] = Guarantee.SOUND
    slope = None
    """No lines are needed to prove its bounds on layers."""
    anytime: ClassVar[bool] = True
    """It takes less time than a stop would save: a watch is not looked at."""
    sets = (InputSet,)
    proves_sets = True

    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        unstable = torch.zeros(box.batch, dtype=torch.int64)

        def count(position: int, interval: Interval) -> None:
            nonlocal unstable
            for reader in network.consumers[position]:
                if isinstance(network.nodes[reader].operator, Nonlinear):
                    unstable = unstable + unstable_at(network, reader, *interval)

        first = first_layers(network, box)
        if isinstance(box, InputSet) and not nonlinear_nodes(network):
            return Enclosure(*over_set(network, len(network.nodes) - 1, objectives, box))
        last = network.nodes[-1]
        if isinstance(last.operator, Affine) and len(last.shape) == 1:
            (end,), affine = last.inputs, last.operator
        else:
            end, affine = len(network.nodes) - 1, None
        ends = (box.lower, box.upper)
        intervals = interval_bounds(network, ends, until=end, keep={end}, known=first, seen=count)
        lower, upper = (side.reshape(box.batch, -1) for side in intervals[end])
        return Enclosure(*_rows_of(objectives, affine, lower, upper), unstable=unstable)

    def prove(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        """The bounds with their proof; see `interval_proof`."""
        found = self.bound(network, box, objectives)
        return replace(found, certificate=interval_proof(network, box.batch))

    def pre_activations(
        self, network: Network, box: Box, *, watch: Watch | None = None
    ) -> dict[int, Interval]:
        """Bounds on the input of every nonlinear node, keyed by the node."""
        first = first_layers(network, box)
        intervals = interval_bounds(network, (box.lower, box.upper), known=first)
        return {**self._inputs(network, intervals), **first}

    @staticmethod
    def _inputs(network: Network, intervals: dict[int, Interval]) -> dict[int, Interval]:
        return {p: intervals[network.nodes[p].inputs[0]] for p in nonlinear_nodes(network)}


def nonlinear_nodes(network: Network) -> list[int]:
    """Positions of the nodes that need a relaxation, in order."""
    return [
        position
        for position, node in enumerate(network.nodes)
        if isinstance(node.operator, Nonlinear)
    ]


def entries_of(network: Network) -> int:
    """The count of numbers that enter the network's nonlinear nodes."""
    nodes = network.nodes
    return sum(prod(nodes[nodes[p].inputs[0]].shape) for p in nonlinear_nodes(network))


def interval_proof(network: Network, batch: int) -> Proof:
    """A proof of interval arithmetic's bounds: the backward pass with level lines.

    Lines without slope end every pass at the nonlinear nodes it meets first, with their intervals:
    interval arithmetic on the affine maps in between, taken as one, which is never wider than one
    after the other.
    """
    level = np.zeros((1, entries_of(network)))
    cells = Cells.roots(np.arange(batch), lines=np.zeros(batch, np.int64))
    return Proof.of(cells, entries=level.shape[1], lines=Lines(level, level))


def interval_bounds(
    network: Network,
    box: Interval,
    *,
    until: int | None = None,
    keep: Container[int] | None = None,
    known: Mapping[int, Interval] | None = None,
    seen: Callable[[int, Interval], None] | None = None,
) -> dict[int, Interval]:
    """An interval for every node's output.

    Parameters
    ----------
    network : Network
        With tensors as parameters.
    box : pair of Tensor, shape ``[batch, *input_shape]``
    until : int, optional
        Stop at this node.
    keep : container of int, optional
        The nodes whose intervals are wanted; others are dropped once nothing needs them, which
        leaves their memory to those that follow; some are written over by their only reader.
        Default: all.
    known : mapping from nonlinear node to interval, optional
        Bounds on what enters these nodes, taken in place of the source's interval.
    seen : callable, optional
        Called with every node and its interval as soon as it is known. A copy is for it to make.

    Returns
    -------
    dict from position to ``(lower, upper)``, each ``[batch, *shape]``. SOUND.
    """
    intervals: dict[int, Interval] = {0: box}
    for position, node in enumerate(network.nodes[: None if until is None else until + 1]):
        if position:
            if known is not None and position in known:
                intervals[position] = interval(node.operator, known[position])
            elif keep is not None and _may_write_over(network, position, keep):
                lower, upper = intervals[node.inputs[0]]
                intervals[position] = lower.relu_(), upper.relu_()
            else:
                sources = (intervals[i] for i in node.inputs)
                intervals[position] = interval(node.operator, *sources)
        if seen is not None:
            seen(position, intervals[position])
        if keep is not None:
            for source in dict.fromkeys(node.inputs):
                if network.consumers[source][-1] == position and source not in keep:
                    del intervals[source]
    return intervals


def _may_write_over(network: Network, position: int, keep: Container[int]) -> bool:
    """True for a ReLU that alone reads numbers, in memory that is theirs alone.

    Fresh memory comes from the operating system page by page, which takes longer than a ReLU.
    """
    node = network.nodes[position]
    if not isinstance(node.operator, Relu):
        return False
    (source,) = node.inputs
    before = network.nodes[source]
    fresh = isinstance(before.operator, Affine | Conv | ConvTranspose) or (
        isinstance(before.operator, Add) and len(before.inputs) > 1
    )
    return fresh and source not in keep and network.consumers[source] == (position,)


def interval_at(
    network: Network, target: int, box: Interval, known: Mapping[int, Interval]
) -> Interval:
    """The interval of one node, from the nonlinear nodes before it whose inputs are bounded.

    Parameters
    ----------
    network, box, known
        As of `interval_bounds`.
    target : int

    Returns
    -------
    lower, upper : Tensor, shape ``[batch, *shape]``
        SOUND.
    """
    needed, waiting = set(), [target]
    while waiting:
        position = waiting.pop()
        if position not in needed:
            needed.add(position)
            waiting += [] if position in known else network.nodes[position].inputs
    intervals: dict[int, Interval] = {}
    for position in sorted(needed):
        node = network.nodes[position]
        sources = [known[position]] if position in known else [intervals[i] for i in node.inputs]
        intervals[position] = interval(node.operator, *sources) if position else box
    return intervals[target]


@singledispatch
def interval(operator: Operator, *inputs: Interval) -> Interval:
    """The operator's range over intervals, each a pair of tensors ``[batch, *shape]``."""
    raise MissingRule(
        f"no IBP rule for operator {type(operator).__name__}",
        "register one with sensverify.bounds.ibp.interval.register",
    )


@interval.register(Affine)
@interval.register(Conv)
@interval.register(ConvTranspose)
def _(operator: Affine | Conv | ConvTranspose, x: Interval) -> Interval:
    lower, upper = x
    if _only_adds(operator.weight):
        # Ends map to ends, and a sum of squares is not below 0 by the rounding of a difference.
        return apply(operator, lower), apply(operator, upper)
    radius = _same_for_all((upper - lower).mul_(0.5), upper)
    spread = apply(replace(operator, weight=operator.weight.abs(), bias=None), radius)
    return _around(apply(operator, torch.lerp(lower, upper, 0.5)), spread)


def _only_adds(weight: Tensor) -> bool:
    """True where no weight is below 0; of most layers a few of them say that it is not."""
    few = weight.flatten()[:8].tolist()
    return min(few, default=0.0) >= 0 and bool((weight >= 0).all())


def _around(middle: Tensor, spread: Tensor) -> Interval:
    """The ends ``middle -+ spread``; the memory of ``middle`` is used up."""
    return middle - spread, middle.add_(spread)


def _rows_of(objectives: Tensor, last: Affine | None, lower: Tensor, upper: Tensor) -> Interval:
    """Ends ``[batch, rows]`` of objectives of a last affine layer, both taken as one map."""
    center, radius = torch.lerp(lower, upper, 0.5), (upper - lower).mul_(0.5)
    kinds, kind = _kinds(objectives)
    weight = kinds if last is None else kinds @ last.weight
    if kind is None:
        middle = (weight @ center.unsqueeze(-1)).squeeze(-1)
        spread = (weight.abs() @ radius.unsqueeze(-1)).squeeze(-1)
    else:
        rows = weight.flatten(0, 1)
        middle, spread = (
            values.reshape(len(center), *weight.shape[:2])[torch.arange(len(center)), kind]
            for values in (center @ rows.T, radius @ rows.abs().T)
        )
    if last is not None and last.bias is not None:
        middle = middle + objectives @ last.bias
    return _around(middle, spread)


def _kinds(objectives: Tensor) -> tuple[Tensor, Tensor | int | None]:
    """Different sets of rows ``[kinds, rows, outputs]``, and which of them each sample has.

    Margins of one label are the same rows for many samples, and then one product of matrices. Where
    there are too many kinds, each sample keeps its own, and the second is None.
    """
    if len(objectives) == 1:
        return objectives, 0
    if not objectives.requires_grad:
        flat, kind = objectives.flatten(1).unique(dim=0, return_inverse=True)
        if len(flat) <= _MOST_KINDS:
            return flat.reshape(-1, *objectives.shape[1:]), kind
    return objectives, None


def _same_for_all(radius: Tensor, upper: Tensor) -> Tensor:
    """One sample's radii that stand for all, where they differ by their rounding alone.

    Boxes around samples with one radius have such ones, and one sample's product is enough then.
    The widest are taken, which is sound.
    """
    if len(radius) < 2 or radius.requires_grad:
        return radius
    flat = radius.flatten(1)
    probe = flat[:, flat[0].argmax()].tolist()
    if not max(probe) <= _ALIKE * min(probe):
        return radius
    largest, smallest = radius.amax(0, keepdim=True), radius.amin(0, keepdim=True)
    rounding = 4 * torch.finfo(radius.dtype).eps * upper.abs().amax()
    alike = (largest - smallest <= rounding) & (largest <= _ALIKE * smallest)
    return largest if bool(alike.all()) else radius


@interval.register
def _(operator: Scale, x: Interval) -> Interval:
    lower, upper = apply(operator, x[0]), apply(operator, x[1])
    return torch.minimum(lower, upper), torch.maximum(lower, upper)


@interval.register(Pad)
@interval.register(Select)
@interval.register(Permute)
@interval.register(Reshape)
@interval.register(Add)
@interval.register(Concat)
@interval.register(Max)
def _(operator: Linear | Max, *inputs: Interval) -> Interval:
    # Never decreasing in any input: the ends map to the ends.
    return apply(operator, *(x[0] for x in inputs)), apply(operator, *(x[1] for x in inputs))


@interval.register
def _(operator: Product, x: Interval) -> Interval:
    return product_range(*x)


@interval.register
def _(operator: Share, x: Interval) -> Interval:
    return apply(operator, x[1]), apply(operator, x[0])


@interval.register
def _(operator: Increment, x: Interval) -> Interval:
    return increment_range(operator, *x)


@interval.register
def _(operator: PiecewiseLinear, x: Interval) -> Interval:
    ends = apply(operator, x[0]), apply(operator, x[1])
    if operator.rising is not None:
        return ends if operator.rising else (ends[1], ends[0])
    lower, upper = torch.minimum(*ends), torch.maximum(*ends)
    for kink in filter(isfinite, operator.kinks):
        # Monotone on either side.
        value = apply(operator, x[0].new_full((1,) * x[0].ndim, kink))
        across = (x[0] < kink) & (x[1] > kink)
        lower = torch.where(across, lower.clamp(max=value), lower)
        upper = torch.where(across, upper.clamp(min=value), upper)
    return lower, upper


@interval.register
def _(operator: Steps, x: Interval) -> Interval:
    low, high = widened(*x)
    return apply(operator, low), apply(operator, high)


@interval.register
def _(operator: Smooth, x: Interval) -> Interval:
    if operator.rising is None:
        level = torch.zeros_like(x[0])
        found = smallest_gap(operator, level, *x), largest_gap(operator, level, *x)
    else:
        found = apply(operator, x[0]), apply(operator, x[1])
        found = found if operator.rising else (found[1], found[0])
    inside = defined(operator, *x)
    if inside is None:
        return found
    # NaN, which no bound behind it loses, and no check lets pass.
    return torch.where(inside, found[0], torch.nan), torch.where(inside, found[1], torch.nan)
