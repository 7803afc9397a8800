"""ONNX padding."""

from __future__ import annotations

import numpy as np

from sensverify.formats.onnx.call import Call, Value, Variable, handles
from sensverify.formats.onnx.lowering import rearranged
from sensverify.formats.onnx.shapes import axis_of
from sensverify.network.operators import Pad


@handles("Pad")
def pad(call: Call) -> Value:
    """A constant around x, or its own entries; a negative pad crops."""
    value: Value = call.variable(0)
    rank = len(value.shape)
    mode = call.attribute("mode", b"constant").decode()
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise call.refusal(f"mode '{mode}' is not supported")
    before, after = _pads(call, rank)
    crop = tuple(
        slice(max(-b, 0), n - max(-a, 0))
        for b, a, n in zip(before, after, value.shape, strict=True)
    )
    if any(s.stop <= s.start for s in crop):
        raise call.refusal("padding that leaves no entries is not supported")
    if any(n < 0 for n in (*before, *after)):
        if mode != "constant":
            raise call.refusal("negative pads are supported in mode 'constant' alone")
        value = rearranged(call, value, lambda values: values[crop])
    before, after = (tuple(max(n, 0) for n in side) for side in (before, after))
    call.reserve([b + n + a for b, n, a in zip(before, value.shape, after, strict=True)])
    widths = list(zip(before, after, strict=True))
    if mode == "reflect" and any(
        max(pair) >= max(n, 1) for pair, n in zip(widths, value.shape, strict=True)
    ):
        raise call.refusal(
            f"pads {widths} reflect more of {tuple(value.shape)} than an axis has beside its edge, "
            "which onnxruntime does not run",
            "pad twice",
        )
    if mode != "constant":
        return rearranged(call, value, lambda values: np.pad(values, widths, mode=mode))
    fill = _fill(call)
    return _padded(call, call.as_variable(value), before, after, fill)


def _padded(
    call: Call, variable: Variable, before: tuple[int, ...], after: tuple[int, ...], fill: float
) -> Variable:
    if not np.isfinite(fill):
        raise call.refusal(f"padding with {fill} is not supported")
    if not any((*before, *after)):
        return variable
    shape = tuple(b + n + a for b, n, a in zip(before, variable.shape, after, strict=True))
    drop = int(len(shape) >= 2 and shape[0] == 1)
    node = call.node_of(variable, variable.shape[drop:])
    return Variable(call.emit(Pad(before[drop:], after[drop:], fill), node), shape)


def _fill(call: Call) -> float:
    if call.opset < 11:
        return float(call.attribute("value", 0.0))
    values = call.optional_constant(2, "the value to pad with")
    return 0.0 if values is None else float(values.reshape(()))


def _pads(call: Call, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if call.opset < 11:
        pads = [int(n) for n in call.attribute("pads")]
    else:
        pads = call.integers(1, "the pads")
    axes = list(range(rank))
    if call.optional(3) is not None:
        axes = [axis_of(call, axis, rank) for axis in call.integers(3, "the axes")]
    if len(pads) != 2 * len(axes):
        raise call.invalid(f"{len(pads)} pads do not fit {len(axes)} axes")
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[i + len(axes)]
    return tuple(before), tuple(after)
