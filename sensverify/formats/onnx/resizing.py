"""ONNX resizing: along every axis, a linear map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, lcm

import numpy as np

from sensverify.formats.onnx.call import INTEGERS, Call, Value, Variable, handles
from sensverify.formats.onnx.lowering import along_axis, rearranged, scaled

ROUNDINGS: dict[bytes, Callable[[np.ndarray], np.ndarray]] = {
    b"round_prefer_floor": lambda x: np.ceil(x - 0.5),
    b"round_prefer_ceil": lambda x: np.floor(x + 0.5),
    b"floor": np.floor,
    b"ceil": np.ceil,
}

CROP = b"tf_crop_and_resize"

Row = dict[int, Fraction]
"""Input position -> its weight in one output entry."""


@dataclass(frozen=True)
class Axis:
    """One axis that is resized.

    Parameters
    ----------
    index : int
    length, target : int
        Entries before and after.
    scale : Fraction
        As the file has it; ``target / length`` where it has sizes.
    start, end : Fraction
        The part of the input that a crop is made from, as shares of its length.
    """

    index: int
    length: int
    target: int
    scale: Fraction
    start: Fraction = Fraction(0)
    end: Fraction = Fraction(1)


@dataclass(frozen=True)
class Mode:
    """Attributes of a node that resizes, by their names."""

    mode: bytes
    transform: bytes
    nearest: Callable[[np.ndarray], np.ndarray] | None
    antialias: bool = False
    cubic: Fraction = Fraction(-3, 4)
    exclude: bool = False
    extrapolation: float = 0.0


@handles("Upsample", "Resize")
def resize(call: Call) -> Value:
    """Nearest neighbours, or linear or cubic interpolation, along every axis.

    Refused where it depends on how a runtime rounds a scale.
    """
    variable = call.variable(0)
    mode = _mode(call)
    axes = _axes(call, variable.shape, mode)
    outside: list[tuple[Axis, np.ndarray]] = []
    picks = [np.arange(n) for n in variable.shape]
    for axis in axes:
        source = _coordinates(call, mode.transform, axis)
        if mode.transform == CROP:
            outside.append((axis, _outside(call, axis, source)))
        if mode.mode == b"nearest":
            picks[axis.index] = _picks(call, mode, axis, source)
        else:
            variable = _interpolated(call, variable, mode, axis, source)
    if mode.mode == b"nearest":
        call.reserve([len(pick) for pick in picks])
        variable = rearranged(call, variable, lambda v: v[np.ix_(*picks)])  # type: ignore[assignment]
    return _extrapolated(call, variable, outside, mode.extrapolation)


def _mode(call: Call) -> Mode:
    name = call.attribute("mode", b"nearest")
    if name not in (b"nearest", b"linear", b"cubic"):
        raise call.refusal(f"the mode '{name.decode()}' is not supported")
    if call.operator_type == "Upsample" or call.opset < 11:
        return Mode(name, b"asymmetric", None)
    return Mode(
        name,
        call.attribute("coordinate_transformation_mode", b"half_pixel"),
        ROUNDINGS[call.attribute("nearest_mode", b"round_prefer_floor")],
        bool(call.attribute("antialias", 0)) and name != b"nearest",
        Fraction(call.attribute("cubic_coeff_a", -0.75)),
        bool(call.attribute("exclude_outside", 0)),
        call.attribute("extrapolation_value", 0.0),
    )


def _axes(call: Call, shape: tuple[int, ...], mode: Mode) -> list[Axis]:
    """The axes that change, from scales or sizes, given for all axes or some."""
    rank = len(shape)
    if call.operator_type == "Upsample" and call.opset < 9:
        factors, sizes = [float(s) for s in call.attribute("scales")], None
    else:
        place = 1 if call.operator_type == "Upsample" or call.opset < 11 else 2
        values = call.optional_constant(place, "the scales")
        factors = [float(s) for s in values.reshape(-1)] if values is not None else []
        has_sizes = place == 2 and call.optional(3) is not None
        sizes = call.integers(3, "the sizes") if has_sizes else None
    places = [int(axis) % rank for axis in call.attribute("axes") or range(rank)]
    if call.attribute("keep_aspect_ratio_policy", b"stretch") != b"stretch":
        raise call.refusal("only the policy 'stretch' is supported")
    chosen = sizes if sizes is not None else factors
    if len(chosen) != len(places) or not all(0 < n < 2**31 for n in chosen):
        raise call.invalid(f"scales or sizes {chosen} do not fit {shape}")
    ends = _region(call, len(places)) if mode.transform == CROP else [(Fraction(0), Fraction(1))]
    axes = []
    for i, (place, number) in enumerate(zip(places, chosen, strict=True)):
        length = shape[place]
        target = int(number) if sizes is not None else floor(length * number)
        if sizes is None and target != floor(np.float32(length) * np.float32(number)):
            raise call.refusal(f"a scale of {number} makes no definite length of {length}")
        scale = Fraction(target, length) if sizes is not None else Fraction(number)
        start, end = ends[i % len(ends)]
        if target == length and scale == 1 and start == 0 and end == 1:
            continue
        if target == length and scale != 1:
            # onnxruntime copies, the definition picks along the scale.
            raise call.refusal(f"a scale of {number} that keeps {length} entries is not supported")
        axes.append(Axis(place, length, target, scale, start, end))
    return axes


def _region(call: Call, count: int) -> list[tuple[Fraction, Fraction]]:
    """The part of every axis that a crop is made from."""
    values = call.constant(1, "the region").reshape(-1)
    if len(values) != 2 * count:
        raise call.invalid(f"a region of {len(values)} numbers does not fit {count} axes")
    ends = [Fraction(float(value)) for value in values]
    return list(zip(ends[:count], ends[count:], strict=True))


def _coordinates(call: Call, transform: bytes, axis: Axis) -> list[Fraction]:
    """Coordinate in the input of every output position."""
    n, m, scale, half = axis.length, axis.target, axis.scale, Fraction(1, 2)
    call.reserve([m])
    rows = range(m)
    if transform == b"asymmetric":
        return [i / scale for i in rows]
    if transform == b"half_pixel" or (transform == b"pytorch_half_pixel" and m > 1):
        return [(i + half) / scale - half for i in rows]
    if transform == b"half_pixel_symmetric":
        offset = Fraction(n, 2) * (1 - m / (scale * n))
        return [offset + (i + half) / scale - half for i in rows]
    if transform == b"tf_half_pixel_for_nn":
        return [(i + half) / scale for i in rows]
    if transform == CROP:
        if m == 1:
            return [(axis.start + axis.end) * (n - 1) / 2]
        step = (axis.end - axis.start) * (n - 1) / (m - 1)
        return [axis.start * (n - 1) + i * step for i in rows]
    if transform in (b"align_corners", b"pytorch_half_pixel"):
        return [Fraction(i * (n - 1), m - 1) if m > 1 else Fraction(0) for i in rows]
    raise call.refusal(f"the coordinates '{transform.decode()}' are not supported")


def _picks(call: Call, mode: Mode, axis: Axis, source: list[Fraction]) -> np.ndarray:
    """Index of the input entry that every output position takes.

    Runtimes compute coordinates in single precision. Where that decides to which side one is
    rounded, the entry is not defined and the node refused; exact ties of exact scales are.
    """
    # Undefined before operator set 11; this is what onnxruntime does.
    rounding = mode.nearest or (np.ceil if axis.scale < 1 else np.floor)
    places = np.array([float(x) for x in source])
    margin = max(1e-4, axis.length * 2.0**-22)
    nearby = (places - margin, places, places + margin)
    low, picks, high = (np.clip(rounding(x), 0, axis.length - 1).astype(np.int64) for x in nearby)
    exact = mode.transform == b"align_corners" or np.float32(float(axis.scale)) == axis.scale
    exact = exact and (mode.transform != CROP or {axis.start, axis.end} <= {0, 1})
    tie = (2 * places == np.round(2 * places)) & (exact | (places == 0))
    if ((low != high) & ~tie).any():
        raise call.refusal(
            f"a scale of {float(axis.scale)} puts entries so close to a rounding boundary that "
            "runtimes disagree on them",
            "resize by a whole number",
        )
    return picks


def _outside(call: Call, axis: Axis, source: list[Fraction]) -> np.ndarray:
    """Mask of the output positions outside of the input; refused where rounding decides it."""
    margin = Fraction(max(1e-4, axis.length * 2.0**-22))
    whole = {axis.start, axis.end} <= {0, 1}
    for x in source:
        gap = min(abs(x), abs(x - (axis.length - 1)))
        if gap < margin and not (gap == 0 and whole):
            raise call.refusal("a region so close to the edge that runtimes disagree on it")
    return np.array([not 0 <= x <= axis.length - 1 for x in source])


def _interpolated(
    call: Call, variable: Variable, mode: Mode, axis: Axis, source: list[Fraction]
) -> Variable:
    call.reserve([axis.target, axis.length])
    rows = [_row(mode, axis, x) for x in source]
    weight = np.zeros((axis.target, axis.length))
    divisor = lcm(*(share.denominator for row in rows for share in row.values()))
    whole = 2 * divisor < INTEGERS
    if call.exact and not whole:
        raise call.refusal(
            "its weights have no common denominator below 2 to the 52, so they are rounded",
            "resize by a whole number",
        )
    for i, row in enumerate(rows):
        for place, share in row.items():
            weight[i, place] = share * divisor if whole else share
    return along_axis(call, variable, axis.index, weight, divisor if whole else 1)


def _row(mode: Mode, axis: Axis, x: Fraction) -> Row:
    """The weights of the input's entries in the output entry that lies at x."""
    last = axis.length - 1
    if mode.transform == CROP and not 0 <= x <= last:
        return {}
    stretch = max(Fraction(1), 1 / axis.scale) if mode.antialias else Fraction(1)
    reach = stretch * (2 if mode.mode == b"cubic" else 1)
    shares: Row = {}
    for place in range(ceil(x - reach), floor(x + reach) + 1):
        share = _kernel(mode, abs(x - place) / stretch)
        inside = min(max(place, 0), last)
        if inside != place and mode.exclude:
            continue
        shares[inside] = shares.get(inside, Fraction(0)) + share
    total = sum(shares.values())
    return {place: share / total for place, share in shares.items() if share}


def _kernel(mode: Mode, distance: Fraction) -> Fraction:
    """The weight of an entry by its distance (Keys 1981, with coefficient a, for 'cubic')."""
    d, a = distance, mode.cubic
    if mode.mode == b"linear":
        return max(1 - d, Fraction(0))
    if d <= 1:
        return ((a + 2) * d - (a + 3)) * d * d + 1
    return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a if d < 2 else Fraction(0)


def _extrapolated(
    call: Call, variable: Variable, outside: list[tuple[Axis, np.ndarray]], value: float
) -> Variable:
    """The variable with ``value`` at every entry outside of the input on some axis."""
    missing = np.zeros((1,) * len(variable.shape), bool)
    for axis, flags in outside:
        missing = missing | flags.reshape(
            [-1 if i == axis.index else 1 for i in range(missing.ndim)]
        )
    if not missing.any():
        return variable
    call.reserve(variable.shape)
    inside = scaled(call, variable, (~missing).astype(np.float64))
    return scaled(call, inside, shift=np.where(missing, np.float32(value), np.float32(0)))
