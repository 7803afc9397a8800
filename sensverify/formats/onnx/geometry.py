"""Positions of the windows of convolutions and pooling layers."""

from __future__ import annotations

from sensverify.formats.onnx.call import Call
from sensverify.formats.windows import Windows
from sensverify.network.shapes import Shape

MAX_ATTRIBUTE = 2**31


def integers(call: Call, name: str, count: int, default: int, least: int = 1) -> Shape:
    """An attribute with one integer for each spatial axis.

    Raises
    ------
    BadModelFile
        It has another length, or a number below ``least``.
    """
    values = tuple(int(n) for n in call.attribute(name) or (default,) * count)
    if len(values) != count or not all(least <= n < MAX_ATTRIBUTE for n in values):
        raise call.invalid(f"attribute '{name}' is {values}; expected {count} integers")
    return values


def auto_pad(call: Call) -> str:
    """The attribute ``auto_pad`` as text."""
    value = call.attribute("auto_pad", b"NOTSET").decode(errors="replace")
    if value not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise call.invalid(f"attribute 'auto_pad' is '{value}'")
    if value != "NOTSET" and "pads" in call.attributes and "Conv" in call.operator_type:
        raise call.invalid(f"it has both pads and auto_pad '{value}', and means one of them")
    return value


def placement(call: Call, count: int) -> tuple[Shape, Shape, Shape]:
    """The attributes ``strides``, ``dilations`` and ``pads`` for so many spatial axes."""
    stride, dilation = (integers(call, name, count, 1) for name in ("strides", "dilations"))
    return stride, dilation, integers(call, "pads", 2 * count, 0, least=0)


def halves(counts: Shape, mode: str) -> tuple[Shape, Shape]:
    """Counts in two parts; an odd one is larger behind with ``SAME_UPPER``, else in front."""
    small, large = tuple(n // 2 for n in counts), tuple(n - n // 2 for n in counts)
    return (small, large) if mode == "SAME_UPPER" else (large, small)


def windows(call: Call, spatial: Shape, kernel: Shape, *, ceil_mode: bool = False) -> Windows:
    """The windows of a convolution or pooling node over an input of the spatial shape given.

    Raises
    ------
    BadModelFile
        They do not fit the input.
    UnsupportedOperator
        Runtimes do not agree on where they lie.
    """
    count = len(spatial)
    stride, dilation, pads = placement(call, count)
    before, after = pads[:count], pads[count:]
    extents = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    mode = auto_pad(call)
    if mode == "VALID":
        before = after = (0,) * count
    elif mode.startswith("SAME"):
        if set(dilation) != {1}:
            # onnxruntime refuses or misreads it, so nothing could be replayed there.
            raise call.refusal(f"auto_pad '{mode}' together with dilation is not supported")
        outputs = tuple(-(-n // s) for n, s in zip(spatial, stride, strict=True))
        missing = tuple(
            (m - 1) * s + e - n
            for m, s, e, n in zip(outputs, stride, extents, spatial, strict=True)
        )
        _check_gaps(call, mode, min(missing), ceil_mode=ceil_mode)
        missing = tuple(max(n, 0) for n in missing)
        before, after = halves(missing, mode)
    result = Windows(spatial, kernel, stride, before, after, dilation, ceil_mode)
    if min(result.outputs, default=1) < 1:
        raise call.invalid(f"windows of {kernel} do not fit an input of {spatial}")
    return result


def _check_gaps(call: Call, mode: str, missing: int, *, ceil_mode: bool) -> None:
    """Refuse windows that leave so much between them that "same" padding would be below zero.

    Where onnxruntime runs that at all, it crops the front by half of it; others crop nothing. A
    gap of one entry is halved to nothing.
    """
    halved = call.operator_type == "Conv" or (
        call.operator_type == "AveragePool" and call.opset >= 19 and not ceil_mode
    )
    if missing < -1 or (missing < 0 and not halved):
        raise call.refusal(
            f"auto_pad '{mode}' with windows smaller than the stride leaves gaps, and runtimes put "
            "the windows elsewhere",
            "export it with pads",
        )
