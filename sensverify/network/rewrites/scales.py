"""Neighbouring affine operators as one."""

from __future__ import annotations

from math import prod
from typing import Any

from sensverify.network.graph import Network, Node
from sensverify.network.operators import Affine, Conv, ConvTranspose, Operator, Scale
from sensverify.network.rewrites.editing import Edit, expand, rewrite, wide
from sensverify.network.shapes import Shape


def fold_scales(network: Network) -> Network:
    """Fold affine operators into the affine operator in front of them, where nobody else reads it.

    - a `Scale` into an `Affine` (one number, or one for every output), `Conv` or `ConvTranspose`
      (one number, or one for every channel) or `Scale`;
    - an `Affine` into a `Scale` without shift, or into an `Affine` where that saves work.

    A shift in front of a multiplication stays where it is: ``(x - mean) / deviation`` is exact
    for x near the mean where ``x / deviation - mean / deviation`` cancels.

    Numpy parameters are folded in float64 and stay in it, whatever the dtype they came in: bounds
    are computed in a dtype chosen later, and lose no digit to this. Tensors are folded in their
    own dtype, with their autograd history.
    """
    return rewrite(network, _rule)


def _rule(edit: Edit, node: Node) -> bool:
    if not isinstance(node.operator, Scale | Affine) or not edit.exclusive(node):
        return False
    source = edit.source(node)
    folded = _fold(source.operator, node.operator, source.shape, node.shape)
    if folded is None:
        return False
    edit.put(node, folded, source.inputs, node.shape)
    return True


def _fold(first: Operator, second: Operator, middle: Shape, last: Shape) -> Operator | None:
    """``second(first(x))`` as one operator, or None where it should stay two."""
    if isinstance(second, Scale):
        if isinstance(first, Scale):
            return _scale_of_scale(first, second)
        if isinstance(first, Affine):
            return _scale_of_affine(first, second, last)
        if isinstance(first, Conv | ConvTranspose):
            return _scale_of_conv(first, second, last)
    if isinstance(second, Affine):
        if isinstance(first, Scale):
            return _affine_of_scale(first, second, middle)
        if isinstance(first, Affine):
            return _affine_of_affine(first, second, middle)
    return None


def _scale_of_scale(first: Scale, second: Scale) -> Scale | None:
    if first.shift is not None and second.scale is not None:
        return None
    return Scale(_times(first.scale, second.scale), _plus(first.shift, second.shift))


def _scale_of_affine(first: Affine, second: Scale, shape: Shape) -> Affine | None:
    features = (*(1 for _ in shape[:-1]), shape[-1])
    rows = _vectors(second, features)
    if rows is None:
        return None
    scale, shift = rows
    weight = wide(first.weight)
    if scale is not None:
        weight = weight * scale.reshape(-1, 1)
    return Affine(weight, _bias(first.bias, scale, shift))


def _scale_of_conv(
    first: Conv | ConvTranspose, second: Scale, shape: Shape
) -> Conv | ConvTranspose | None:
    channels = (shape[0], *(1 for _ in shape[1:]))
    rows = _vectors(second, channels)
    if rows is None:
        return None
    scale, shift = rows
    weight = wide(first.weight)
    if scale is not None:
        kernel = tuple(int(n) for n in weight.shape[2:])
        ones = tuple(1 for _ in kernel)
        if isinstance(first, Conv):
            weight = weight * scale.reshape(-1, 1, *ones)
        else:
            groups = first.groups
            inputs, per_group = int(weight.shape[0]), int(weight.shape[1])
            grouped = weight.reshape(groups, inputs // groups, per_group, *kernel)
            grouped = grouped * scale.reshape(groups, 1, per_group, *ones)
            weight = grouped.reshape(inputs, per_group, *kernel)
    return _replaced(first, weight, _bias(first.bias, scale, shift))


def _replaced(first: Conv | ConvTranspose, weight: Any, bias: Any) -> Conv | ConvTranspose:
    if isinstance(first, Conv):
        return Conv(weight, bias, first.stride, first.padding, first.dilation, first.groups)
    return ConvTranspose(
        weight,
        bias,
        first.stride,
        first.padding,
        first.output_padding,
        first.dilation,
        first.groups,
    )


def _affine_of_scale(first: Scale, second: Affine, shape: Shape) -> Affine | None:
    if first.shift is not None:
        return None
    rows = _vectors(first, (*(1 for _ in shape[:-1]), shape[-1]))
    if rows is None or rows[0] is None:
        return None
    return Affine(wide(second.weight) * rows[0].reshape(1, -1), second.bias)


def _affine_of_affine(first: Affine, second: Affine, middle: Shape) -> Affine | None:
    (hidden, inputs), (outputs, _) = first.weight.shape, second.weight.shape
    if outputs * inputs > hidden * (inputs + outputs):
        return None
    weight = wide(second.weight) @ wide(first.weight)
    bias = second.bias
    if first.bias is not None:
        bias = _plus(wide(second.weight) @ wide(first.bias), second.bias)
    return Affine(weight, bias)


def _vectors(scale: Scale, pattern: Shape) -> tuple[Any, Any] | None:
    """Scale and shift as vectors along the only axis of ``pattern`` that is not 1, or None."""
    size = prod(pattern)
    vectors: list[Any] = []
    for values in (scale.scale, scale.shift):
        if values is None:
            vectors.append(None)
            continue
        shape = (*(1 for _ in range(len(pattern) - len(values.shape))), *values.shape)
        if any(n not in (1, m) for n, m in zip(shape, pattern, strict=True)):
            return None
        vectors.append(expand(wide(values).reshape(-1), (size,)))
    return vectors[0], vectors[1]


def _bias(bias: Any, scale: Any, shift: Any) -> Any:
    """``bias * scale + shift`` where each may be None."""
    if bias is not None:
        bias = _times(bias, scale)
    return _plus(bias, shift)


def _times(first: Any, second: Any) -> Any:
    if first is None or second is None:
        return second if first is None else first
    return wide(first) * wide(second)


def _plus(first: Any, second: Any) -> Any:
    if first is None or second is None:
        return second if first is None else first
    return wide(first) + wide(second)
