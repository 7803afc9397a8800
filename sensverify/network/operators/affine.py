"""The network's input and the affine maps."""

from __future__ import annotations

from dataclasses import dataclass

from sensverify.core.box import Array
from sensverify.network.operators.base import Linear, Operator


@dataclass(frozen=True, eq=False)
class Input(Operator):
    """The network's one input."""

    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Affine(Linear):
    """``y = x @ weight.T + bias`` along the last axis.

    ``weight``: ``[out, in]``; ``bias``: ``[out]`` or None; x: ``[..., in]``.
    """

    weight: Array
    bias: Array | None = None


@dataclass(frozen=True, eq=False)
class Conv(Linear):
    """Cross-correlation over one to three spatial axes, as in torch and ONNX.

    ``weight``: ``[out, in / groups, *kernel]``; ``bias``: ``[out]`` or None; x: ``[in, *spatial]``.
    ``padding`` is symmetric zero padding; an asymmetric one is a `Pad` before the convolution.
    """

    weight: Array
    bias: Array | None
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1


@dataclass(frozen=True, eq=False)
class ConvTranspose(Linear):
    """The transpose of `Conv`, plus a bias.

    ``weight``: ``[in, out / groups, *kernel]``; ``bias``: ``[out]`` or None; x: ``[in, *spatial]``.
    """

    weight: Array
    bias: Array | None
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    output_padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Scale(Linear):
    """``y = scale * x + shift``; both broadcast to the shape of x, either may be None."""

    scale: Array | None = None
    shift: Array | None = None


@dataclass(frozen=True, eq=False)
class Divide(Linear):
    """``y = x / divisor``; ``divisor`` broadcasts to the shape of x and is nowhere 0.

    Kept apart from `Scale` so that a network holds the numbers of its file, where a reciprocal
    would be rounded; rewritten to `Scale` before any bound is computed.
    """

    divisor: Array


@dataclass(frozen=True, eq=False)
class BatchNorm(Linear):
    """Batch normalisation with its evaluation statistics, over the channels (axis 0).

    ``y = (x - mean) / sqrt(variance + epsilon) * weight + bias``. Kept apart from `Scale` so that
    bounds of a live module follow its parameters, and a network holds the numbers of its file;
    rewritten to `Scale` before any bound is computed.
    """

    weight: Array | None
    bias: Array | None
    mean: Array
    variance: Array
    epsilon: float


@dataclass(frozen=True, eq=False)
class Pad(Linear):
    """Surround x with a constant: ``before`` and ``after`` hold one count for every axis."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    value: float = 0.0


@dataclass(frozen=True, eq=False)
class Select(Linear):
    """Pick entries: ``y = x.flatten()[indices]``.

    ``indices`` is an integer numpy array of the output's shape. Slices, splits, gathers, expands,
    windows of a pooling layer and reflected padding are all of this form.
    """

    indices: Array


@dataclass(frozen=True, eq=False)
class Permute(Linear):
    """``y = x.transpose(axes)``."""

    axes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Reshape(Linear):
    """The same numbers in row-major order under another shape."""

    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Add(Linear):
    """The sum of two or more inputs of one shape."""


@dataclass(frozen=True, eq=False)
class Concat(Linear):
    """Inputs joined along one axis."""

    axis: int
