"""The search for slopes: every linear function of a node is bounded by lines of its own.

Any slopes are sound, so the search needs no care: it takes gradient steps and keeps, for every
function, the best bound that it has come across. As a function of the slopes of one layer, a bound
is concave; its gradient is another pass, forward, of the same cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from sensverify.bounds.adjoint import adjoint, offset
from sensverify.bounds.backward import backward_bounds
from sensverify.bounds.forward import apply
from sensverify.bounds.free_lines import chosen_lines, crown_choice
from sensverify.bounds.ibp import Interval
from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.workspace import Workspace
from sensverify.core.sets import InputSet
from sensverify.network import Network
from sensverify.network.operators import (
    Affine,
    Conv,
    ConvTranspose,
    Elementwise,
    Operator,
    Pad,
    Permute,
    Product,
    Relu,
    Reshape,
    Scale,
    Select,
    Share,
)
from sensverify.runs.watch import Watch

Slopes = dict[int, tuple[Tensor, Tensor | None]]
"""For a node, its free lower slopes and, unless it is a ReLU, its free upper slopes, each
``[batch, rows, *shape]``; of a `Product` and a `Share`, shares in [0, 1]."""

_MOMENTUM, _SCALE = 0.3, 0.9
"""How much the averages of gradients and of their squares keep from step to step. Little momentum
and steps that shrink to nothing: 8 of them find what 20 of Adam do with its own averages (.9, .999)
and a step that hardly shrinks (measured on fully connected, convolutional and residual networks).
"""


_POINTS = 17
"""Points of a function that tell which slopes are of use."""


@dataclass(frozen=True, eq=False)
class Functions:
    """Linear functions of one node's output over boxes, and the lines of the layers before it.

    Parameters
    ----------
    network : Network
        With tensors as parameters.
    target : int
        Position of the node.
    objectives : Tensor, shape ``[batch or 1, rows, *target_shape]``
    relaxations : mapping from position to Relaxation
        CROWN's, for every nonlinear node that the target depends on.
    ends : mapping from position to ``(lower, upper)``, each ``[batch, 1, *shape]``
        Bounds on what enters them. A node without any keeps its lines, unless it is a ReLU.
    lower, upper : Tensor, shape ``[batch, *input_shape]``
        Ends of the input boxes.
    inside : InputSet, optional
        Sets in these boxes.
    """

    network: Network
    target: int
    objectives: Tensor
    relaxations: Mapping[int, Relaxation]
    ends: Mapping[int, Interval]
    lower: Tensor
    upper: Tensor
    inside: InputSet | None = None

    def detached(self) -> Functions:
        """The same numbers, of which nothing is differentiated."""
        ends = {p: (low.detach(), high.detach()) for p, (low, high) in self.ends.items()}
        return replace(
            self,
            network=self.network.map_arrays(Tensor.detach),
            objectives=self.objectives.detach(),
            relaxations={p: each.map(Tensor.detach) for p, each in self.relaxations.items()},
            ends=ends,
            lower=self.lower.detach(),
            upper=self.upper.detach(),
        )

    def free(self) -> list[int]:
        """Nodes whose slopes can be chosen."""
        return [p for p in self.relaxations if p <= self.target and self._is_free(p)]

    def _is_free(self, position: int) -> bool:
        operator = self.network.nodes[position].operator
        if isinstance(operator, Relu):
            return not self.relaxations[position].parallel
        return isinstance(operator, Elementwise | Product | Share) and position in self.ends

    def with_slopes(self, slopes: Slopes) -> dict[int, Relaxation]:
        """The relaxations with free slopes put in; intercepts follow, so each is sound."""
        result = dict(self.relaxations)
        for position, (low, high) in slopes.items():
            fixed, operator = result[position], self.network.nodes[position].operator
            if high is None:
                unstable = _unstable(fixed)
                low = torch.where(unstable, low, fixed.upper_slope)
                result[position] = Relaxation(low, fixed.upper_slope, None, fixed.upper_intercept)
                continue
            result[position] = chosen_lines(operator, (low, high), fixed, *self.ends[position])
        return result

    def least(self, slopes: Slopes, workspace: Workspace | None = None) -> Tensor:
        """Lower bounds with these slopes, ``[batch, rows]``."""
        return backward_bounds(
            self.network,
            self.target,
            self.objectives,
            self.with_slopes(slopes),
            self.lower,
            self.upper,
            both=False,
            workspace=workspace,
            inside=self.inside,
        )[0]

    def at_last_nonlinear(self) -> tuple[Functions, Tensor | float]:
        """Equal functions of an earlier node, and what is constant in them.

        The first steps of the pass, through affine operators, are taken once and not in every step
        of a search.
        """
        target, objectives = self.target, self.objectives
        constant: Tensor | float = 0.0
        # Not through what masks windows, an affine operator with a relaxation.
        while target not in self.relaxations and isinstance(
            self.network.nodes[target].operator, _PASSED
        ):
            node = self.network.nodes[target]
            (source,) = node.inputs
            added = offset(node.operator, objectives)
            constant = constant if added is None else constant + added
            shapes = (self.network.nodes[source].shape,)
            (objectives,) = adjoint(node.operator, objectives, shapes)
            target = source
        return replace(self, target=target, objectives=objectives), constant


_PASSED = (Affine, Conv, ConvTranspose, Pad, Permute, Reshape, Scale, Select)


def best_slopes(
    functions: Functions,
    steps: int,
    learning_rate: float,
    watch: Watch,
    *,
    known: Tensor,
    keep: bool = False,
) -> tuple[Tensor, Slopes]:
    """The best lower bounds that gradient steps come across, from CROWN's slopes on.

    Parameters
    ----------
    functions : Functions
    steps : int
    learning_rate : float
        Of the first step, as a share of the range of a slope; it falls to 0 in equal parts.
    watch : Watch
        What is found by the time it is over is returned.
    known : Tensor, shape ``[batch, rows]``
        Lower bounds with CROWN's slopes.
    keep : bool
        Whether the slopes behind the bounds are wanted.

    Returns
    -------
    best : Tensor, shape ``[batch, rows]``
        Without a gradient. Never below ``known``.
    slopes : Slopes
        Those behind the bounds; empty unless they are kept.
    """
    functions = functions.detached()
    with torch.no_grad():
        inner, constant = functions.at_last_nonlinear()
        batch, rows = known.shape
        frees = [free for p in inner.free() for free in _frees(inner, p, batch, rows)]
        best, chosen = known.detach().clone(), _copied(frees) if keep else {}
    if not frees:
        return best, chosen
    workspace = Workspace()
    for step in range(steps + 1):
        if watch.over:
            break
        last = step == steps
        with torch.set_grad_enabled(not last):
            for free in frees:
                free.values.requires_grad_(not last)
            bound = inner.least(_slopes(frees), workspace)
            total = bound.sum()
        found = bound.detach() + constant
        better = found > best
        best = torch.where(better, found, best)
        if keep:
            _keep_better(chosen, frees, better)
        if last or not total.requires_grad:
            break
        values = [free.values for free in frees]
        gradients = torch.autograd.grad(total, values, allow_unused=True)
        for free, gradient in zip(frees, gradients, strict=True):
            free.values = free.values.detach()
            if gradient is not None:
                free.move(gradient, learning_rate * (1 - step / steps), step + 1)
    return best, chosen


@dataclass(eq=False)
class _Free:
    """Slopes of one line of a node, and the averages that tell where they go."""

    position: int
    values: Tensor
    within: Interval | None = None
    """The least and the largest slope; None: 0 and 1."""
    first: Tensor = field(init=False)
    second: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.first, self.second = torch.zeros_like(self.values), torch.zeros_like(self.values)

    def move(self, gradient: Tensor, rate: float, number: int) -> None:
        """Step number ``number``: the mean gradient over its size, as a share of the range."""
        if self.within is not None:
            # Where a function is vertical, or a wave far out, gradients may be no numbers.
            gradient = gradient.nan_to_num(0.0, 0.0, 0.0)
        self.first.lerp_(gradient, 1 - _MOMENTUM)
        self.second.mul_(_SCALE).addcmul_(gradient, gradient, value=1 - _SCALE)
        size = self.second.sqrt().add_(torch.finfo(gradient.dtype).tiny ** 0.5)
        # What the averages miss at the start, because they start at 0.
        factor = rate * (1 - _SCALE**number) ** 0.5 / (1 - _MOMENTUM**number)
        if self.within is None:
            self.values.addcdiv_(self.first, size, value=factor).clamp_(0.0, 1.0)
        else:
            least, most = self.within
            share = self.first.div(size).mul_(most - least)
            self.values = self.values.add_(share, alpha=factor).maximum(least).minimum(most)


def _frees(functions: Functions, position: int, batch: int, rows: int) -> list[_Free]:
    """CROWN's slopes of a node for every function, to be moved."""
    relaxation = functions.relaxations[position]
    operator = functions.network.nodes[position].operator

    def spread(values: Tensor) -> Tensor:
        return values.expand(batch, rows, *values.shape[2:]).clone()

    if isinstance(operator, Relu):
        return [_Free(position, spread(relaxation.lower_slope))]
    lower, upper = functions.ends[position]
    low, high = crown_choice(operator, relaxation, lower, upper)
    assert high is not None
    if isinstance(operator, Product | Share):
        return [_Free(position, spread(share)) for share in (low, high)]
    slopes = low, high
    useful = _useful_slopes(operator, lower, upper, slopes)
    return [
        _Free(position, spread(slope), within) for slope, within in zip(slopes, useful, strict=True)
    ]


def _useful_slopes(
    operator: Operator, lower: Tensor, upper: Tensor, slopes: tuple[Tensor, Tensor]
) -> list[Interval]:
    """The least and the largest slope of a line worth having, below and above a function.

    A line below that is steeper than all secants to the upper end, or less steep than all from the
    lower one, touches the function at that end alone: another line is higher everywhere. The
    function is looked at in some points, and CROWN's slopes are among the useful ones.
    """
    share = torch.linspace(0, 1, _POINTS, dtype=lower.dtype, device=lower.device)
    points = torch.lerp(lower, upper, share.reshape(-1, *(1,) * lower.ndim))
    values = apply(operator, points)
    start = (values[1:] - values[0]) / (points[1:] - points[0])
    end = (values[-1] - values[:-1]) / (points[-1] - points[:-1])
    found = (start.amin(dim=0), end.amax(dim=0)), (end.amin(dim=0), start.amax(dim=0))
    return [
        # Between two equal numbers a secant has no slope, or an infinite one.
        (
            torch.where((least < own) & torch.isfinite(least), least, own),
            torch.where((most > own) & torch.isfinite(most), most, own),
        )
        for (least, most), own in zip(found, slopes, strict=True)
    ]


def _unstable(relaxation: Relaxation) -> Tensor:
    """Where the lines around a ReLU are not the ReLU itself."""
    assert relaxation.upper_intercept is not None
    return relaxation.upper_intercept > 0


def _slopes(frees: list[_Free]) -> Slopes:
    result: Slopes = {}
    for free in frees:
        first = result.get(free.position)
        result[free.position] = (free.values, None) if first is None else (first[0], free.values)
    return result


def _copied(frees: list[_Free]) -> Slopes:
    return {
        p: (low.clone(), None if high is None else high.clone())
        for p, (low, high) in _slopes(frees).items()
    }


def _keep_better(chosen: Slopes, frees: list[_Free], better: Tensor) -> None:
    for position, pair in _slopes(frees).items():
        for kept, new in zip(chosen[position], pair, strict=True):
            if kept is not None and new is not None:
                mask = better.reshape(*better.shape, *(1,) * (new.ndim - 2))
                kept.copy_(torch.where(mask, new.detach(), kept))
