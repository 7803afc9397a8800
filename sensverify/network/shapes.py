"""The output shape of every operator, and the checks that its inputs and parameters fit."""

from __future__ import annotations

from functools import singledispatch
from math import prod
from typing import Any

from sensverify.errors import BadShape, MissingRule
from sensverify.network.operators import (
    Add,
    Affine,
    BatchNorm,
    Concat,
    Conv,
    ConvTranspose,
    Divide,
    Elementwise,
    Increment,
    Input,
    Max,
    Operator,
    Pad,
    Permute,
    Product,
    Reshape,
    Scale,
    Select,
    Share,
)

Shape = tuple[int, ...]


@singledispatch
def output_shape(operator: Operator, *inputs: Shape) -> Shape:
    """Shape of an operator's output, without the batch axis.

    Raises
    ------
    BadShape
        The inputs or the parameters do not fit; the message says which.
    MissingRule
        The operator's class has no rule; add one with ``output_shape.register``.
    """
    raise MissingRule(
        f"no shape rule for operator {type(operator).__name__}",
        "register one with sensverify.network.output_shape.register",
    )


@output_shape.register
def _(operator: Input) -> Shape:
    return tuple(operator.shape)


@output_shape.register
def _(operator: Affine, x: Shape) -> Shape:
    rows, columns = operator.weight.shape
    if not x or x[-1] != columns:
        raise BadShape(f"an affine layer of {columns} inputs cannot take an array of shape {x}")
    _expect_bias(operator.bias, rows)
    return (*x[:-1], int(rows))


@output_shape.register
def _(operator: Conv, x: Shape) -> Shape:
    out, per_group, *kernel = (int(n) for n in operator.weight.shape)
    _expect_spatial(x, per_group * operator.groups, kernel, "convolution")
    _expect_bias(operator.bias, out)
    sizes = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(
            x[1:], kernel, operator.stride, operator.padding, operator.dilation, strict=True
        )
    ]
    if any(n < 1 for n in sizes) or out % operator.groups:
        raise BadShape(f"a convolution with kernel {tuple(kernel)} does not fit input {x}")
    return (out, *sizes)


@output_shape.register
def _(operator: ConvTranspose, x: Shape) -> Shape:
    channels, per_group, *kernel = (int(n) for n in operator.weight.shape)
    _expect_spatial(x, channels, kernel, "transposed convolution")
    out = per_group * operator.groups
    _expect_bias(operator.bias, out)
    sizes = [
        (n - 1) * s - 2 * p + d * (k - 1) + extra + 1
        for n, k, s, p, d, extra in zip(
            x[1:],
            kernel,
            operator.stride,
            operator.padding,
            operator.dilation,
            operator.output_padding,
            strict=True,
        )
    ]
    if any(n < 1 for n in sizes):
        raise BadShape(f"a transposed convolution with kernel {tuple(kernel)} does not fit {x}")
    return (out, *sizes)


@output_shape.register
def _(operator: Scale, x: Shape) -> Shape:
    _expect_broadcast("scale", operator.scale, x)
    _expect_broadcast("shift", operator.shift, x)
    return x


@output_shape.register
def _(operator: Divide, x: Shape) -> Shape:
    _expect_broadcast("divisor", operator.divisor, x)
    return x


@output_shape.register
def _(operator: BatchNorm, x: Shape) -> Shape:
    for name in ("weight", "bias", "mean", "variance"):
        values = getattr(operator, name)
        if values is not None and (not x or tuple(values.shape) != (x[0],)):
            raise BadShape(
                f"batch normalisation {name} of shape {tuple(values.shape)} does not fit input {x}"
            )
    return x


@output_shape.register
def _(operator: Pad, x: Shape) -> Shape:
    if len(operator.before) != len(x) or len(operator.after) != len(x):
        raise BadShape(f"padding of {len(operator.before)} axes does not fit input {x}")
    if min((*operator.before, *operator.after), default=0) < 0:
        raise BadShape("a pad cannot be negative", "crop with a Select")
    return tuple(b + n + a for b, n, a in zip(operator.before, x, operator.after, strict=True))


@output_shape.register
def _(operator: Select, x: Shape) -> Shape:
    indices = operator.indices
    if indices.size and not (indices.min() >= 0 and indices.max() < prod(x)):
        raise BadShape(f"selected indices reach outside of an input of shape {x}")
    return tuple(int(n) for n in indices.shape)


@output_shape.register
def _(operator: Permute, x: Shape) -> Shape:
    if sorted(operator.axes) != list(range(len(x))):
        raise BadShape(f"axes {operator.axes} are no permutation of the axes of {x}")
    return tuple(x[axis] for axis in operator.axes)


@output_shape.register
def _(operator: Reshape, x: Shape) -> Shape:
    if prod(operator.shape) != prod(x):
        raise BadShape(f"cannot reshape {x} to {operator.shape}: the sizes differ")
    return tuple(operator.shape)


@output_shape.register
def _(operator: Add, *inputs: Shape) -> Shape:
    if len(inputs) < 2 or len(set(inputs)) != 1:
        raise BadShape(f"a sum needs two or more inputs of one shape, got {inputs}")
    return inputs[0]


@output_shape.register
def _(operator: Concat, *inputs: Shape) -> Shape:
    axis = operator.axis
    rest = {(*x[:axis], *x[axis + 1 :]) for x in inputs}
    if not inputs or not 0 <= axis < len(inputs[0]) or len(rest) != 1:
        raise BadShape(f"cannot join inputs of shapes {inputs} along axis {axis}")
    first = inputs[0]
    return (*first[:axis], sum(x[axis] for x in inputs), *first[axis + 1 :])


@output_shape.register
def _(operator: Elementwise, x: Shape) -> Shape:
    return x


@output_shape.register
def _(operator: Max, x: Shape) -> Shape:
    if not x or x[-1] < 1:
        raise BadShape(f"a maximum needs at least one number along the last axis, got {x}")
    return x[:-1]


@output_shape.register
def _(operator: Share, x: Shape) -> Shape:
    if not x or x[-1] < 1:
        raise BadShape(f"a share needs at least one number along the last axis, got {x}")
    return x[:-1]


@output_shape.register
def _(operator: Product, x: Shape) -> Shape:
    if not x or x[-1] != 2:
        raise BadShape(f"a product takes two numbers along the last axis, got {x}")
    return x[:-1]


@output_shape.register
def _(operator: Increment, x: Shape) -> Shape:
    if not x or x[-1] != 2:
        raise BadShape(f"an increment takes a number and its change along the last axis, got {x}")
    return output_shape(operator.function, x[:-1])


def _expect_bias(bias: object, size: int) -> None:
    shape = None if bias is None else tuple(bias.shape)  # type: ignore[attr-defined]
    if shape is not None and shape != (size,):
        raise BadShape(f"a bias of shape {shape} does not fit {size} outputs")


def _expect_spatial(x: Shape, channels: int, kernel: list[int], what: str) -> None:
    if len(x) != len(kernel) + 1 or x[0] != channels or not 1 <= len(kernel) <= 3:
        raise BadShape(
            f"a {what} with {channels} input channels and kernel {tuple(kernel)} cannot take an "
            f"array of shape {x}"
        )


def _expect_broadcast(name: str, values: Any, x: Shape) -> None:
    if values is not None and not _broadcasts(tuple(values.shape), x):
        raise BadShape(f"{name} of shape {tuple(values.shape)} does not broadcast to {x}")


def _broadcasts(small: Shape, large: Shape) -> bool:
    if len(small) > len(large):
        return False
    tail = large[len(large) - len(small) :]
    return all(a in (1, b) for a, b in zip(small, tail, strict=True))
