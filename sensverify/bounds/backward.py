"""The backward pass: from objectives on a node to coefficients on the input box.

One pass serves LP-dual, CROWN and alpha-CROWN: it carries, for every objective, coefficients of a
linear function below and of one above it, replaces each nonlinear operator by its relaxation, and
ends at the input, where the extreme of a linear function over a box is known. Where all
relaxations have parallel lines the two linear functions share their coefficients, and one set is
carried (Wong & Kolter 2018, Algorithm 1, does this for the dual variables).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sensverify.bounds.adjoint import adjoint, offset
from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.relaxed_step import Intercepts, Line, batched_product, relaxed_step
from sensverify.bounds.support import least_value
from sensverify.bounds.workspace import Workspace
from sensverify.core.sets import InputSet
from sensverify.network import Network
from sensverify.network.operators import Add, Affine, Operator, Reshape, Scale, Select
from sensverify.network.shapes import Shape


@dataclass(frozen=True, eq=False)
class Lines:
    """Coefficients ``[batch or 1, rows, *shape]`` of the linear functions below and above.

    ``upper`` is the same object as ``lower`` when the two share their coefficients, and None when
    only lower bounds are asked for.
    """

    lower: Tensor
    upper: Tensor | None

    def __add__(self, other: Lines) -> Lines:
        lower = self.lower + other.lower
        if self.upper is None or other.upper is None:
            return Lines(lower, None)
        if self.upper is self.lower and other.upper is other.lower:
            return Lines(lower, lower)
        return Lines(lower, self.upper + other.upper)


def backward_bounds(
    network: Network,
    target: int,
    objectives: Tensor | slice,
    relaxations: Mapping[int, Relaxation],
    lower: Tensor,
    upper: Tensor,
    *,
    both: bool = True,
    workspace: Workspace | None = None,
    inside: InputSet | None = None,
    signs: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Bounds on linear functions of one node's output over input boxes.

    Parameters
    ----------
    network : Network
        With tensors as parameters.
    target : int
        Position of the node.
    objectives : Tensor ``[batch or 1, rows, *target_shape]``, slice, or integer Tensor
        Coefficients of the linear functions; a slice asks for these entries of the flattened
        node themselves, integers ``[batch, rows]`` for entries of each box's own.
    relaxations : mapping from position to Relaxation
        One for every nonlinear node that the target depends on.
    lower, upper : Tensor, shape ``[batch, *input_shape]``
        Ends of the input boxes.
    both : bool
        False asks for lower bounds only; the second result is then None.
    workspace : Workspace, optional
        Memory to compute in; shared by the tiles of a larger computation.
    inside : InputSet, optional
        Sets in these boxes: the pass ends at it, in place of the box around it.
    signs : Tensor ``[batch, rows]`` of 1 and -1, optional
        Of entries of the node: asks for one end that is as tight as ever, the lower one where the
        sign is 1, from one set of coefficients, which bounds the other end less tightly. Every
        relaxation has a ``mirror`` then, or parallel lines.

    Returns
    -------
    lower, upper : Tensor, shape ``[batch, rows]``
        SOUND: every attainable value lies between them in real arithmetic.
    """
    workspace = workspace or Workspace()
    workspace.reset()
    constants = _Constants()
    if isinstance(objectives, slice) or not objectives.is_floating_point():
        start = _Start(network, relaxations, constants, lower, both)
        pending = start.entries(target, objectives, signs)
    else:
        pending = {target: Lines(objectives, objectives if both else None)}
    steps = _Steps(network, relaxations, {}, constants, workspace, mirrored=signs is not None)
    lines = steps.to_input(target, pending)
    if lines is not None and inside is not None:
        low, high = _over_set(lines, constants, inside, both)
    else:
        low, high = _concretize(lines, constants, lower, upper, both, workspace)
    if signs is None or high is None:
        return low, high
    return torch.where(signs > 0, low, -high), torch.where(signs > 0, high, -low)


def backward_lines(
    network: Network,
    objectives: Tensor,
    relaxations: Mapping[int, Relaxation],
    *,
    target: int | None = None,
    multipliers: Mapping[int, Tensor] | None = None,
    workspace: Workspace | None = None,
) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
    """Linear functions of the input below linear functions of one node's output.

    Parameters
    ----------
    network : Network
        With tensors as parameters.
    objectives : Tensor ``[batch or 1, rows, *target_shape]``
    relaxations : mapping from position to Relaxation
        One for every nonlinear node that the target depends on.
    target : int, optional
        Position of the node; default the network's output.
    multipliers : mapping from position to Tensor ``[batch, rows, *shape]``, optional
        Added to the coefficients on what enters these nonlinear nodes. The functions are then
        below the objectives plus the multipliers' linear function of these values: the Lagrangian
        of constraints on them (beta-CROWN).
    workspace : Workspace, optional

    Returns
    -------
    coefficients : Tensor, shape ``[batch, rows, *input_shape]``
    constants : Tensor, shape ``[batch, rows]``
        ``coefficients · x + constants <= objectives · node(x)`` on the box that the relaxations
        hold on. SOUND.
    seen : dict from position to Tensor ``[batch or 1, rows, *shape]``
        Coefficients on the output of every nonlinear node, on the way.
    """
    workspace = workspace or Workspace()
    workspace.reset()
    constants, target = _Constants(), len(network.nodes) - 1 if target is None else target
    steps = _Steps(network, relaxations, multipliers or {}, constants, workspace, {})
    lines = steps.to_input(target, {target: Lines(objectives, None)})
    batch = max((r.lower_slope.shape[0] for r in relaxations.values()), default=1)
    batch, rows = max(batch, objectives.shape[0]), objectives.shape[1]
    constant = torch.as_tensor(constants.lower, dtype=objectives.dtype, device=objectives.device)
    shape = (batch, rows, *network.input_shape)
    coefficients = objectives.new_zeros(shape) if lines is None else lines.lower.expand(shape)
    return coefficients, constant.expand(batch, rows), steps.seen or {}


class _Constants:
    """Sums of what is constant in the linear functions below and above."""

    def __init__(self) -> None:
        self.lower: Tensor | float = 0.0
        self.upper: Tensor | float = 0.0

    def add(self, lower: Tensor | None, upper: Tensor | None) -> None:
        if lower is not None:
            self.lower = self.lower + lower
        if upper is not None:
            self.upper = self.upper + upper


@dataclass(frozen=True, eq=False)
class _Start:
    """The pass's state where the objectives are entries of the target itself.

    Entries that are picked, scaled or summed are followed to the nodes that compute them: rows as
    long as the target would hold hardly anything but zeros.
    """

    network: Network
    relaxations: Mapping[int, Relaxation]
    constants: _Constants
    like: Tensor
    both: bool
    pending: dict[int, Lines] = field(default_factory=dict)

    def entries(
        self, target: int, chosen: slice | Tensor, signs: Tensor | None
    ) -> dict[int, Lines]:
        if isinstance(chosen, slice):
            size = torch.Size(self.network.nodes[target].shape).numel()
            chosen = torch.arange(size, device=self.like.device)[chosen].unsqueeze(0)
        self._follow(target, chosen, signs)
        return self.pending

    def _follow(self, position: int, places: Tensor, factors: Tensor | None) -> None:
        """Add factors (None: one) times entries of a node to the objectives."""
        node = self.network.nodes[position]
        operator, sources = node.operator, node.inputs
        # A mask of windows is an affine operator with a relaxation.
        known = position not in self.relaxations
        if known and isinstance(operator, Reshape | Select | Add):
            places = operator.indices.flatten()[places] if isinstance(operator, Select) else places
            for source in sources:
                self._follow(source, places, factors)
        elif known and isinstance(operator, Scale):
            scale, shift = (
                None if values is None else values.expand(node.shape).flatten()[places]
                for values in (operator.scale, operator.shift)
            )
            self._add_constant(shift, factors)
            self._follow(sources[0], places, _times(scale, factors))
        elif known and isinstance(operator, Affine) and len(node.shape) == 1:
            # The first step of the pass is known: these rows of the weight matrix.
            self._add_constant(None if operator.bias is None else operator.bias[places], factors)
            rows = operator.weight[places]
            self._put(sources[0], rows if factors is None else rows * factors.unsqueeze(2))
        else:
            values = self.like.new_ones(places.shape) if factors is None else factors
            places = places.expand(values.shape)
            rows = self.like.new_zeros(*places.shape, torch.Size(node.shape).numel())
            rows = rows.scatter(2, places.unsqueeze(2), values.unsqueeze(2))
            self._put(position, rows.reshape(*places.shape, *node.shape))

    def _add_constant(self, values: Tensor | None, factors: Tensor | None) -> None:
        if values is not None:
            constant = _times(values, factors)
            self.constants.add(constant, constant)

    def _put(self, position: int, coefficient: Tensor) -> None:
        lines = Lines(coefficient, coefficient if self.both else None)
        there = self.pending.get(position)
        self.pending[position] = lines if there is None else there + lines


def _times(values: Tensor | None, factors: Tensor | None) -> Tensor | None:
    """The product; None is one."""
    if values is None or factors is None:
        return factors if values is None else values
    return values * factors


@dataclass(frozen=True, eq=False)
class _Steps:
    """One pass from a node to the input.

    ``seen`` collects the coefficients on the outputs of nonlinear nodes; None collects nothing.
    ``mirrored`` lets lines that share their coefficients share them behind every relaxation.
    """

    network: Network
    relaxations: Mapping[int, Relaxation]
    multipliers: Mapping[int, Tensor]
    constants: _Constants
    workspace: Workspace
    seen: dict[int, Tensor] | None = None
    mirrored: bool = False

    def to_input(self, target: int, pending: dict[int, Lines]) -> Lines | None:
        """Coefficients on the input; None where nothing depends on it."""
        for position in range(target, 0, -1):
            lines = pending.pop(position, None)
            if lines is None:
                continue
            if position in self.relaxations:
                parts = [self._relaxed(position, lines)]
            else:
                parts = self._linear(position, lines)
            for source, part in parts:
                pending[source] = pending[source] + part if source in pending else part
        return pending.get(0)

    def _linear(self, position: int, lines: Lines) -> list[tuple[int, Lines]]:
        """Through an affine operator."""
        node = self.network.nodes[position]
        shapes = tuple(self.network.nodes[source].shape for source in node.inputs)
        constant = offset(node.operator, lines.lower)
        below = _adjoint(node.operator, lines.lower, shapes, self.workspace)
        if lines.upper is None or lines.upper is lines.lower:
            self.constants.add(constant, constant)
            above = [None] * len(below) if lines.upper is None else below
        else:
            self.constants.add(constant, offset(node.operator, lines.upper))
            above = _adjoint(node.operator, lines.upper, shapes, self.workspace)
        return [
            (source, Lines(low, high))
            for source, low, high in zip(node.inputs, below, above, strict=True)
        ]

    def _relaxed(self, position: int, lines: Lines) -> tuple[int, Lines]:
        """Through a nonlinear node, and through the affine node in front of it, if any."""
        node = self.network.nodes[position]
        (source,) = node.inputs
        before = self.network.nodes[source]
        if self.seen is not None:
            self.seen[position] = lines.lower
        relaxation = self.relaxations[position]
        multiplier = self.multipliers.get(position)
        # Not for windows, whose intercepts are not those of their single numbers.
        alone = len(self.network.consumers[source]) == 1 and before.shape == node.shape
        fused = alone and len(before.shape) == 1 and multiplier is None
        if fused and isinstance(before.operator, Affine):
            return before.inputs[0], self._lines(lines, relaxation, before.operator)
        lines = self._lines(lines, relaxation, None)
        if multiplier is not None:
            lines = Lines(lines.lower + multiplier, None)
        return source, lines

    def _lines(self, lines: Lines, relaxation: Relaxation, affine: Affine | None) -> Lines:
        constants, workspace = self.constants, self.workspace
        return _relax_lines(lines, relaxation, affine, constants, workspace, mirrored=self.mirrored)


def _adjoint(
    operator: Operator, coefficient: Tensor, shapes: tuple[Shape, ...], workspace: Workspace
) -> list[Tensor]:
    # The most frequent case by far, and the one whose result is worth reusing memory for.
    if isinstance(operator, Affine):
        return [workspace.matmul(coefficient, operator.weight)]
    return adjoint(operator, coefficient, shapes)


def _relax_lines(
    lines: Lines,
    relaxation: Relaxation,
    affine: Affine | None,
    constants: _Constants,
    workspace: Workspace,
    *,
    mirrored: bool,
) -> Lines:
    """Each coefficient picks the line that keeps the bound valid; then the affine map, if any."""
    low = _behind((relaxation.lower_slope, relaxation.lower_intercept), affine)
    high = _behind((relaxation.upper_slope, relaxation.upper_intercept), affine)
    matrix = None if affine is None else affine.weight
    mirror: Intercepts | None = None
    if lines.upper is lines.lower:
        if relaxation.parallel:
            mirror = high[1], low[1]
        elif mirrored and relaxation.mirror is not None:
            over, under = relaxation.mirror
            mirror = (
                _behind((relaxation.lower_slope, over), affine)[1],
                _behind((relaxation.upper_slope, under), affine)[1],
            )
    shared = mirror is not None
    below, constant, other = relaxed_step(lines.lower, low, high, matrix, workspace, mirror=mirror)
    constants.add(constant, other)
    if lines.upper is None or shared:
        return Lines(below, below if shared else None)
    above, constant, _ = relaxed_step(lines.upper, high, low, matrix, workspace)
    constants.add(None, constant)
    return Lines(below, above)


def _behind(line: Line, affine: Affine | None) -> Line:
    """The line over what enters the affine node: its bias moves into the intercept."""
    slope, intercept = line
    if affine is None or affine.bias is None:
        return line
    if intercept is None:
        return slope, slope * affine.bias
    return slope, torch.addcmul(intercept, slope, affine.bias)


def _over_set(
    lines: Lines, constants: _Constants, inside: InputSet, both: bool
) -> tuple[Tensor, Tensor | None]:
    """The smallest and largest value of the linear functions over input sets."""
    low = least_value(inside, lines.lower) + constants.lower
    if not both or lines.upper is None:
        return low, None
    return low, constants.upper - least_value(inside, -lines.upper)


def _concretize(
    lines: Lines | None,
    constants: _Constants,
    lower: Tensor,
    upper: Tensor,
    both: bool,
    workspace: Workspace,
) -> tuple[Tensor, Tensor | None]:
    """The smallest and largest value of the linear functions over the boxes."""
    if lines is None:
        # The target does not depend on the input: the constants are the answer.
        low, high = (
            torch.as_tensor(c, dtype=lower.dtype) for c in (constants.lower, constants.upper)
        )
        shape = (lower.shape[0], low.shape[-1])
        return low.expand(shape), high.expand(shape) if both else None
    center = (lower / 2 + upper / 2).unsqueeze(1)
    radius = (upper / 2 - lower / 2).unsqueeze(1)
    middle = batched_product(lines.lower, center)
    spread = batched_product(workspace.absolute(lines.lower), radius)
    low = middle - spread + constants.lower
    if not both or lines.upper is None:
        return low, None
    if lines.upper is not lines.lower:
        middle = batched_product(lines.upper, center)
        spread = batched_product(workspace.absolute(lines.upper), radius)
    return low, middle + spread + constants.upper
