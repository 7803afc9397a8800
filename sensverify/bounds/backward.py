"""The backward pass: from objectives on a node to coefficients on the input box.

One pass serves LP-dual, CROWN and alpha-CROWN: it carries, for every objective, coefficients of a
linear function below and of one above it, replaces each nonlinear operator by its relaxation, and
ends at the input, where the extreme of a linear function over a box is known. Where all
relaxations have parallel lines the two linear functions share their coefficients, and one set is
carried (Wong & Kolter 2018, Algorithm 1, does this for the dual variables).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sensverify.bounds.adjoint import adjoint, offset
from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.relaxed_step import Line, batched_product, relaxed_step
from sensverify.bounds.workspace import Workspace
from sensverify.network import Network
from sensverify.network.operators import Affine, Operator
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
) -> tuple[Tensor, Tensor | None]:
    """Bounds on linear functions of one node's output over input boxes.

    Parameters
    ----------
    network : Network
        With tensors as parameters.
    target : int
        Position of the node.
    objectives : Tensor ``[batch or 1, rows, *target_shape]``, or slice
        Coefficients of the linear functions; a slice asks for these entries of the flattened
        node themselves.
    relaxations : mapping from position to Relaxation
        One for every nonlinear node that the target depends on.
    lower, upper : Tensor, shape ``[batch, *input_shape]``
        Ends of the input boxes.
    both : bool
        False asks for lower bounds only; the second result is then None.
    workspace : Workspace, optional
        Memory to compute in; shared by the tiles of a larger computation.

    Returns
    -------
    lower, upper : Tensor, shape ``[batch, rows]``
        SOUND: every attainable value lies between them in real arithmetic.
    """
    workspace = workspace or Workspace()
    workspace.reset()
    constants = _Constants()
    if isinstance(objectives, slice):
        pending = _identity(network, target, objectives, lower, constants, both)
    else:
        pending = {target: Lines(objectives, objectives if both else None)}
    for position in range(target, 0, -1):
        lines = pending.pop(position, None)
        if lines is None:
            continue
        if position in relaxations:
            parts = [_relax(network, position, lines, relaxations[position], constants, workspace)]
        else:
            parts = _linear_lines(network, position, lines, constants, workspace)
        for source, part in parts:
            pending[source] = pending[source] + part if source in pending else part
    return _concretize(pending.get(0), constants, lower, upper, both, workspace)


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


def _identity(
    network: Network,
    target: int,
    rows: slice,
    like: Tensor,
    constants: _Constants,
    both: bool,
) -> dict[int, Lines]:
    """The pass's state when the objectives are entries of the target itself."""
    node = network.nodes[target]
    if isinstance(node.operator, Affine) and len(node.shape) == 1:
        # The first step of the pass is known: these rows of the weight matrix.
        coefficient = node.operator.weight[rows].unsqueeze(0)
        if node.operator.bias is not None:
            bias = node.operator.bias[rows].unsqueeze(0)
            constants.add(bias, bias)
        return {node.inputs[0]: Lines(coefficient, coefficient if both else None)}
    size = torch.Size(node.shape).numel()
    chosen = range(size)[rows]
    coefficient = like.new_zeros(1, len(chosen), size)
    coefficient[0, torch.arange(len(chosen)), torch.tensor(list(chosen))] = 1.0
    coefficient = coefficient.reshape(1, len(chosen), *node.shape)
    return {target: Lines(coefficient, coefficient if both else None)}


def _linear_lines(
    network: Network,
    position: int,
    lines: Lines,
    constants: _Constants,
    workspace: Workspace,
) -> list[tuple[int, Lines]]:
    """Through an affine operator."""
    node = network.nodes[position]
    shapes = tuple(network.nodes[source].shape for source in node.inputs)
    constant = offset(node.operator, lines.lower)
    below = _adjoint(node.operator, lines.lower, shapes, workspace)
    if lines.upper is None or lines.upper is lines.lower:
        constants.add(constant, constant)
        above = [None] * len(below) if lines.upper is None else below
    else:
        constants.add(constant, offset(node.operator, lines.upper))
        above = _adjoint(node.operator, lines.upper, shapes, workspace)
    return [
        (source, Lines(low, high))
        for source, low, high in zip(node.inputs, below, above, strict=True)
    ]


def _adjoint(
    operator: Operator, coefficient: Tensor, shapes: tuple[Shape, ...], workspace: Workspace
) -> list[Tensor]:
    # The most frequent case by far, and the one whose result is worth reusing memory for.
    if isinstance(operator, Affine):
        return [workspace.matmul(coefficient, operator.weight)]
    return adjoint(operator, coefficient, shapes)


def _relax(
    network: Network,
    position: int,
    lines: Lines,
    relaxation: Relaxation,
    constants: _Constants,
    workspace: Workspace,
) -> tuple[int, Lines]:
    """Through a nonlinear node, and through the affine node in front of it where it has one."""
    node = network.nodes[position]
    (source,) = node.inputs
    before = network.nodes[source]
    # Not for a `Max`, whose intercepts are not those of its single numbers.
    alone = len(network.consumers[source]) == 1 and before.shape == node.shape
    if isinstance(before.operator, Affine) and alone and len(before.shape) == 1:
        lines = _relax_lines(lines, relaxation, before.operator, constants, workspace)
        return before.inputs[0], lines
    return source, _relax_lines(lines, relaxation, None, constants, workspace)


def _relax_lines(
    lines: Lines,
    relaxation: Relaxation,
    affine: Affine | None,
    constants: _Constants,
    workspace: Workspace,
) -> Lines:
    """Each coefficient picks the line that keeps the bound valid; then the affine map, if any."""
    low = _behind((relaxation.lower_slope, relaxation.lower_intercept), affine)
    high = _behind((relaxation.upper_slope, relaxation.upper_intercept), affine)
    matrix = None if affine is None else affine.weight
    shared = lines.upper is lines.lower and relaxation.parallel
    below, constant, mirror = relaxed_step(
        lines.lower, low, high, matrix, workspace, mirrored=shared
    )
    constants.add(constant, mirror)
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
