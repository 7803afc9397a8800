"""The adjoint of every affine operator: how coefficients on its output act on its inputs.

For an affine operator ``y = W x + b`` and coefficients ``A`` on y, ``A y = (A W) x + A b``:
`adjoint` gives ``A W`` for each input and `offset` gives ``A b``. The backward pass is made of
these two and of the relaxations of nonlinear operators.
"""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import Tensor

from sensverify.bounds.convolutions import carried_back
from sensverify.bounds.forward import CONV
from sensverify.errors import MissingRule
from sensverify.network.operators import (
    Add,
    Affine,
    Concat,
    Conv,
    ConvTranspose,
    Operator,
    Pad,
    Permute,
    Reshape,
    Scale,
    Select,
)
from sensverify.network.shapes import Shape


@singledispatch
def adjoint(operator: Operator, coefficient: Tensor, inputs: tuple[Shape, ...]) -> list[Tensor]:
    """Coefficients on the inputs of an affine operator.

    Parameters
    ----------
    operator : Operator
        Its parameters are tensors.
    coefficient : Tensor, shape ``[batch, rows, *output_shape]``
    inputs : tuple of shapes
        Shapes of the operator's inputs, without the batch axis.

    Returns
    -------
    list of Tensor, one for each input, shape ``[batch, rows, *input_shape]``

    Raises
    ------
    MissingRule
        The operator has no rule; add one with ``adjoint.register``.
    """
    raise MissingRule(
        f"no CROWN rule for operator {type(operator).__name__}",
        "register one with sensverify.bounds.adjoint.adjoint.register (affine operators) or "
        "sensverify.bounds.relaxation.relax.register (nonlinear ones), or use method ibp",
    )


@singledispatch
def offset(operator: Operator, coefficient: Tensor) -> Tensor | None:
    """The constant ``A b`` that an affine operator adds, shape ``[batch, rows]``; None is zero."""
    return None


def _contract(coefficient: Tensor, values: Tensor) -> Tensor:
    """``sum(coefficient * values)`` over all but the first two axes; values ``[*shape]``."""
    flat = coefficient.reshape(*coefficient.shape[:2], -1)
    return flat @ values.expand(coefficient.shape[2:]).flatten()


@adjoint.register
def _(operator: Affine, coefficient: Tensor, inputs: tuple[Shape, ...]) -> list[Tensor]:
    return [coefficient @ operator.weight]


@offset.register
def _(operator: Affine, coefficient: Tensor) -> Tensor | None:
    return None if operator.bias is None else _contract(coefficient, operator.bias)


@adjoint.register
def _(operator: Conv, coefficient: Tensor, inputs: tuple[Shape, ...]) -> list[Tensor]:
    images = carried_back(operator, coefficient.flatten(0, 1), inputs[0][1:])
    return [images.unflatten(0, coefficient.shape[:2])]


@offset.register(Conv)
@offset.register(ConvTranspose)
def _(operator: Conv | ConvTranspose, coefficient: Tensor) -> Tensor | None:
    if operator.bias is None:
        return None
    return coefficient.flatten(3).sum(-1) @ operator.bias


@adjoint.register
def _(operator: ConvTranspose, coefficient: Tensor, inputs: tuple[Shape, ...]) -> list[Tensor]:
    images = coefficient.flatten(0, 1)
    result = CONV[len(operator.stride)](
        images,
        operator.weight,
        None,
        operator.stride,
        operator.padding,
        operator.dilation,
        operator.groups,
    )
    # Output padding of a stride or more (a larger dilation allows it) adds places of its own.
    for axis, size in enumerate(inputs[0][1:], start=2):
        result = result.narrow(axis, 0, size)
    return [result.unflatten(0, coefficient.shape[:2])]


@adjoint.register
def _(operator: Scale, coefficient: Tensor, inputs: tuple[Shape, ...]) -> list[Tensor]:
    return [coefficient if operator.scale is None else coefficient * operator.scale]


@offset.register
def _(operator: Scale, coefficient: Tensor) -> Tensor | None:
    return None if operator.shift is None else _contract(coefficient, operator.shift)


@adjoint.register
def _(operator: Pad, coefficient: Tensor, inputs: tuple[Shape, ...]) -> list[Tensor]:
    for axis, (before, size) in enumerate(zip(operator.before, inputs[0], strict=True)):
        coefficient = coefficient.narrow(axis + 2, before, size)
    return [coefficient]


@offset.register
def _(operator: Pad, coefficient: Tensor) -> Tensor | None:
    if operator.value == 0.0:
        return None
    inside = coefficient
    for axis, (before, after) in enumerate(zip(operator.before, operator.after, strict=True)):
        size = coefficient.shape[axis + 2] - before - after
        inside = inside.narrow(axis + 2, before, size)
    return operator.value * (coefficient.flatten(2).sum(-1) - inside.flatten(2).sum(-1))


@adjoint.register
def _(operator: Select, coefficient: Tensor, inputs: tuple[Shape, ...]) -> list[Tensor]:
    flat = coefficient.reshape(*coefficient.shape[:2], -1)
    size = torch.Size(inputs[0]).numel()
    result = flat.new_zeros(*flat.shape[:2], size)
    result = result.index_add(2, operator.indices.flatten(), flat)
    return [result.reshape(*coefficient.shape[:2], *inputs[0])]


@adjoint.register
def _(operator: Permute, coefficient: Tensor, inputs: tuple[Shape, ...]) -> list[Tensor]:
    inverse = sorted(range(len(operator.axes)), key=lambda axis: operator.axes[axis])
    return [coefficient.permute(0, 1, *(axis + 2 for axis in inverse))]


@adjoint.register
def _(operator: Reshape, coefficient: Tensor, inputs: tuple[Shape, ...]) -> list[Tensor]:
    return [coefficient.reshape(*coefficient.shape[:2], *inputs[0])]


@adjoint.register
def _(operator: Add, coefficient: Tensor, inputs: tuple[Shape, ...]) -> list[Tensor]:
    return [coefficient] * len(inputs)


@adjoint.register
def _(operator: Concat, coefficient: Tensor, inputs: tuple[Shape, ...]) -> list[Tensor]:
    sizes = [shape[operator.axis] for shape in inputs]
    return list(torch.split(coefficient, sizes, dim=operator.axis + 2))
