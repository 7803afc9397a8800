"""ONNX convolutions and transposed convolutions."""

from __future__ import annotations

import numpy as np

from sensverify.formats.onnx.call import Call, Value, Variable, handles
from sensverify.formats.onnx.geometry import auto_pad, halves, integers, windows
from sensverify.formats.onnx.lowering import rearranged, repeated
from sensverify.network.operators import Conv, ConvTranspose, Pad
from sensverify.network.shapes import Shape


@handles("Conv")
def conv(call: Call) -> Value:
    """A convolution over one to three axes; padding that is not symmetric becomes a `Pad`."""
    weight, bias = call.constant(1, "the kernel"), call.optional_constant(2, "the bias")
    return convolved(call, call.variable(0), weight, bias)


def convolved(
    call: Call, variable: Variable, weight: np.ndarray, bias: np.ndarray | None
) -> Variable:
    """A convolution with these parameters, by the attributes of a node."""
    groups = _groups(call, variable, weight)
    batch, channels, *spatial = variable.shape
    kernel = weight.shape[2:]
    if weight.shape[1] * groups != channels or weight.shape[0] % groups:
        raise call.invalid(f"a kernel {weight.shape} does not fit {variable.shape}")
    place = windows(call, tuple(spatial), kernel)
    node = call.node_of(variable, (batch * channels, *spatial))
    padding = place.before
    if place.before != place.after:
        node = call.emit(Pad((0, *place.before), (0, *place.after)), node)
        padding = (0,) * len(kernel)
    weight = repeated(call, batch, weight)
    bias = None if bias is None else repeated(call, batch, bias)
    operator = Conv(weight, bias, place.stride, padding, place.dilation, groups * batch)
    node = call.emit(operator, node)
    return Variable(node, (batch, weight.shape[0] // batch, *place.outputs))


@handles("ConvTranspose")
def conv_transpose(call: Call) -> Value:
    """A transposed convolution; cropping that is not symmetric becomes a `Select`."""
    variable, weight = call.variable(0), call.constant(1, "the kernel")
    bias = call.optional_constant(2, "the bias")
    groups = _groups(call, variable, weight)
    batch, channels, *spatial = variable.shape
    kernel = weight.shape[2:]
    count = len(kernel)
    if weight.shape[0] != channels or channels % groups:
        raise call.invalid(f"a kernel {weight.shape} does not fit {variable.shape}")
    stride = integers(call, "strides", count, 1)
    dilation = integers(call, "dilations", count, 1)
    extra = integers(call, "output_padding", count, 0, least=0)
    if any(e >= s for e, s in zip(extra, stride, strict=True)):
        raise call.refusal("output_padding must be smaller than the stride")
    full = tuple(
        (n - 1) * s + (k - 1) * d + 1 + e
        for n, s, k, d, e in zip(spatial, stride, kernel, dilation, extra, strict=True)
    )
    before, after = _crops(call, full, tuple(n * s for n, s in zip(spatial, stride, strict=True)))
    padding = before if before == after else (0,) * count
    weight = repeated(call, batch, weight)
    bias = None if bias is None else repeated(call, batch, bias)
    operator = ConvTranspose(weight, bias, stride, padding, extra, dilation, groups * batch)
    node = call.emit(operator, call.node_of(variable, (batch * channels, *spatial)))
    result = Variable(node, (batch, weight.shape[1] * groups, *call.builder.shape(node)[1:]))
    if before == after:
        return result
    inside = (slice(b, n - a) for b, a, n in zip(before, after, full, strict=True))
    picks = (slice(None), slice(None), *inside)
    return rearranged(call, result, lambda values: values[picks])


def _crops(call: Call, full: Shape, same: Shape) -> tuple[Shape, Shape]:
    """Entries of the full output cropped before and after, along every axis."""
    count = len(full)
    pads = integers(call, "pads", 2 * count, 0, least=0)
    wanted = call.attribute("output_shape")
    mode = auto_pad(call)
    if wanted is None and not mode.startswith("SAME"):
        before, after = (pads[:count], pads[count:]) if mode == "NOTSET" else ((0,) * count,) * 2
    else:
        target = tuple(int(n) for n in wanted[-count:]) if wanted is not None else same
        surplus = tuple(n - m for n, m in zip(full, target, strict=True))
        if min(surplus) < 0:
            raise call.refusal(f"an output_shape {target} beyond {full} is not supported")
        before, after = halves(surplus, mode)
    if any(b + a >= n for b, a, n in zip(before, after, full, strict=True)):
        raise call.invalid(f"padding leaves nothing of an output of {full}")
    return before, after


def _groups(call: Call, variable: Variable, weight: np.ndarray) -> int:
    """The attribute ``group``; refuses kernels of no convolution."""
    groups = int(call.attribute("group", 1))
    if len(variable.shape) != weight.ndim or weight.ndim < 3 or groups < 1 or not weight.size:
        raise call.invalid(f"a kernel {weight.shape} does not fit {variable.shape}")
    if weight.ndim > 5:
        raise call.refusal("convolutions over more than three axes are not supported")
    kernel = call.attribute("kernel_shape")
    if kernel is not None and tuple(kernel) != weight.shape[2:]:
        raise call.invalid(f"kernel_shape {tuple(kernel)} is not that of the weights")
    return groups
