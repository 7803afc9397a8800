"""ONNX padding and resizing."""

from __future__ import annotations

from collections.abc import Callable
from math import floor

import numpy as np

from sensverify.errors import BadModelFile
from sensverify.formats.onnx.call import Call, Value, Variable, handles
from sensverify.formats.onnx.lowering import rearranged
from sensverify.network.operators import Pad

ROUNDINGS: dict[bytes, Callable[[np.ndarray], np.ndarray]] = {
    b"round_prefer_floor": lambda x: np.ceil(x - 0.5),
    b"round_prefer_ceil": lambda x: np.floor(x + 0.5),
    b"floor": np.floor,
    b"ceil": np.ceil,
}


@handles("Pad")
def pad(call: Call) -> Value:
    """A constant around x, or its own entries; a negative pad crops."""
    value = call.input(0)
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
            "which onnxruntime does not run; pad twice"
        )
    if mode != "constant":
        return rearranged(call, value, lambda values: np.pad(values, widths, mode=mode))
    fill = _fill(call)
    if isinstance(value, np.ndarray):
        return np.pad(value, widths, constant_values=fill)
    return _padded(call, value, before, after, fill)


def _padded(
    call: Call, variable: Variable, before: tuple[int, ...], after: tuple[int, ...], fill: float
) -> Variable:
    if not np.isfinite(fill):
        raise call.refusal(f"padding with {fill} is not supported")
    if not any((*before, *after)):
        return variable
    shape = tuple(b + n + a for b, n, a in zip(before, variable.shape, after, strict=True))
    drop = int(len(shape) >= 2 and shape[0] == 1)
    node = call.at(variable, variable.shape[drop:])
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
        axes = call.integers(3, "the axes")
        if not all(-rank <= axis < rank for axis in axes):
            raise BadModelFile(f"{call}: axes {axes} do not fit {rank} axes")
    if len(pads) != 2 * len(axes):
        raise BadModelFile(f"{call}: {len(pads)} pads do not fit {len(axes)} axes")
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[i + len(axes)]
    return tuple(before), tuple(after)


@handles("Upsample", "Resize")
def resize(call: Call) -> Value:
    """Nearest neighbours; other modes are refused, and what depends on how a scale is rounded."""
    value = call.input(0)
    if call.attribute("mode", b"nearest") != b"nearest":
        raise call.refusal("only the mode 'nearest' is supported")
    lengths, scales = _target(call, tuple(value.shape))
    picks = []
    if call.operator_type == "Upsample" or call.opset < 11:
        transform, rounding = b"asymmetric", None
    else:
        transform = call.attribute("coordinate_transformation_mode", b"half_pixel")
        rounding = ROUNDINGS[call.attribute("nearest_mode", b"round_prefer_floor")]
        for name in ("cubic_coeff_a", "exclude_outside", "extrapolation_value"):
            call.attribute(name)  # without effect on this mode
        if call.attribute("antialias", 0):
            raise call.refusal("antialiasing is not supported")
    call.reserve(lengths)
    for length, target, scale in zip(value.shape, lengths, scales, strict=True):
        if target == length and scale == 1:
            picks.append(np.arange(length))
            continue
        if target == length:
            # onnxruntime copies, the definition picks along the scale.
            raise call.refusal(f"a scale of {scale} that keeps {length} entries is not supported")
        # Undefined before operator set 11; this is what onnxruntime does.
        function = rounding or (np.ceil if scale < 1 else np.floor)
        picks.append(_picks(call, transform, function, length, target, scale))
    return rearranged(call, value, lambda values: values[np.ix_(*picks)])


def _picks(
    call: Call,
    transform: bytes,
    rounding: Callable[[np.ndarray], np.ndarray],
    length: int,
    target: int,
    scale: float,
) -> np.ndarray:
    """For every output position, which input entry it takes.

    Runtimes compute coordinates in single precision. Where that decides to which side one is
    rounded, the entry is not defined and the node refused; exact ties of exact scales are.
    """
    source = _coordinates(call, transform, length, target, scale)
    margin = max(1e-4, length * 2.0**-22)
    nearby = (source - margin, source, source + margin)
    low, picks, high = (np.clip(rounding(x), 0, length - 1).astype(np.int64) for x in nearby)
    exact = transform == b"align_corners" or float(np.float32(scale)) == scale
    tie = (2 * source == np.round(2 * source)) & (exact | (source == 0))
    if ((low != high) & ~tie).any():
        raise call.refusal(
            f"a scale of {scale} puts entries so close to a rounding boundary that runtimes "
            "disagree on them; resize by a whole number"
        )
    return picks


def _coordinates(
    call: Call, transform: bytes, length: int, target: int, scale: float
) -> np.ndarray:
    """For every output position, where it lies in the input."""
    x = np.arange(target, dtype=np.float64)
    if transform == b"asymmetric":
        return x / scale
    if transform == b"half_pixel":
        return (x + 0.5) / scale - 0.5
    if transform == b"pytorch_half_pixel":
        return (x + 0.5) / scale - 0.5 if target > 1 else x * 0
    if transform == b"align_corners":
        return x * (length - 1) / (target - 1) if target > 1 else x * 0
    raise call.refusal(f"the coordinates '{transform.decode()}' are not supported")


def _target(call: Call, shape: tuple[int, ...]) -> tuple[list[int], list[float]]:
    """Length and scale along every axis, from scales or sizes, given for all axes or some."""
    rank = len(shape)
    if call.operator_type == "Upsample" and call.opset < 9:
        factors, sizes = [float(s) for s in call.attribute("scales")], None
    else:
        place = 1 if call.operator_type == "Upsample" or call.opset < 11 else 2
        values = call.optional_constant(place, "the scales")
        factors = [float(s) for s in values.reshape(-1)] if values is not None else []
        given = place == 2 and call.optional(3) is not None
        sizes = call.integers(3, "the sizes") if given else None
    axes = [int(axis) % rank for axis in call.attribute("axes") or range(rank)]
    if call.attribute("keep_aspect_ratio_policy", b"stretch") != b"stretch":
        raise call.refusal("only the policy 'stretch' is supported")
    chosen = sizes if sizes is not None else factors
    if len(chosen) != len(axes) or not all(0 < n < 2**31 for n in chosen):
        raise BadModelFile(f"{call}: scales or sizes {chosen} do not fit {shape}")
    lengths, scales = list(shape), [1.0] * rank
    for axis, number in zip(axes, chosen, strict=True):
        rounded = floor(np.float32(shape[axis]) * np.float32(number))
        if sizes is None and floor(shape[axis] * number) != rounded:
            raise call.refusal(f"a scale of {number} makes no definite length of {shape[axis]}")
        lengths[axis] = int(number) if sizes is not None else floor(shape[axis] * number)
        scales[axis] = lengths[axis] / shape[axis] if sizes is not None else number
    return lengths, scales
