"""ATen operators of the layers with weights: products, convolutions, batch normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sensverify.formats.modules.derived import Derived
from sensverify.formats.modules.emitting import Emitter, Flow, pairs, rule
from sensverify.network.operators import (
    Affine,
    BatchNorm,
    Conv,
    ConvTranspose,
    Pad,
    Permute,
    Scale,
)


@rule("linear")
def _linear(emit: Emitter, input: Any, weight: Any, bias: Any = None) -> Flow:
    weight = emit.array(weight)
    if weight.ndim == 1:
        return _matmul(emit, input, weight)
    return emit.add(Affine(weight, None if bias is None else emit.array(bias)), emit.flow(input))


@rule("matmul", "mm", "mv")
def _matmul(emit: Emitter, self: Any, other: Any = None, mat2: Any = None, vec: Any = None) -> Flow:
    right = next(value for value in (other, mat2, vec) if value is not None)
    if isinstance(self, Flow):
        weight = emit.array(right)
        if weight.ndim == 1:
            flow = emit.add(Affine(Derived.of(lambda w: w.unsqueeze(0), weight)), self)
            return emit.reshape(flow, flow.shape[:-1])
        if weight.ndim != 2:
            emit.refuse(f"takes a matrix of parameters, got an array of {weight.ndim} axes")
        return emit.add(Affine(Derived.of(lambda w: w.t(), weight)), self)
    weight, flow = emit.array(self), emit.flow(right)
    if weight.ndim != 2 or len(flow.shape) < 2:
        emit.refuse("works across the samples of a batch, and bounds are per sample")
    axes = (*range(len(flow.shape) - 2), len(flow.shape) - 1, len(flow.shape) - 2)
    return emit.add(Permute(axes), emit.add(Affine(weight), emit.add(Permute(axes), flow)))


@rule("addmm")
def _addmm(
    emit: Emitter, self: Any, mat1: Any, mat2: Any, beta: float = 1, alpha: float = 1
) -> Flow:
    weight, flow = emit.array(mat2), emit.flow(mat1)
    product = emit.add(Affine(Derived.of(lambda w: w.t() * alpha, weight)), flow)
    shift = emit.operand(self, len(product.shape))
    return emit.add(Scale(shift=Derived.of(lambda b: b * beta, shift)), product)


@rule("conv1d", "conv2d", "conv3d")
def _conv(
    emit: Emitter,
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sequence[int] | int = 1,
    padding: Sequence[int] | int | str = 0,
    dilation: Sequence[int] | int = 1,
    groups: int = 1,
) -> Flow:
    flow, weight = emit.flow(input), emit.array(weight)
    bias = None if bias is None else emit.array(bias)
    count = weight.ndim - 2
    stride, dilation = pairs(stride, count), pairs(dilation, count)
    if isinstance(padding, str):
        flow, padding = _named_padding(emit, flow, padding, weight.shape[2:], dilation)
    return emit.add(Conv(weight, bias, stride, pairs(padding, count), dilation, groups), flow)


def _named_padding(
    emit: Emitter, flow: Flow, padding: str, kernel: Sequence[int], dilation: tuple[int, ...]
) -> tuple[Flow, tuple[int, ...]]:
    """The symmetric part of ``'same'`` or ``'valid'`` padding, the rest put around the flow."""
    if padding == "valid":
        return flow, (0,) * len(dilation)
    totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if any(total % 2 for total in totals):
        # torch puts the odd one behind.
        after = (0, *(total % 2 for total in totals))
        flow = emit.add(Pad((0,) * len(after), after), flow)
    return flow, tuple(total // 2 for total in totals)


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _conv_transpose(
    emit: Emitter,
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sequence[int] | int = 1,
    padding: Sequence[int] | int = 0,
    output_padding: Sequence[int] | int = 0,
    groups: int = 1,
    dilation: Sequence[int] | int = 1,
) -> Flow:
    weight = emit.array(weight)
    count = weight.ndim - 2
    operator = ConvTranspose(
        weight,
        None if bias is None else emit.array(bias),
        pairs(stride, count),
        pairs(padding, count),
        pairs(output_padding, count),
        pairs(dilation, count),
        groups,
    )
    return emit.add(operator, emit.flow(input))


@rule("convolution")
def _convolution(
    emit: Emitter, transposed: bool, output_padding: Sequence[int], **arguments: Any
) -> Flow:
    if transposed:
        return _conv_transpose(emit, output_padding=output_padding, **arguments)
    return _conv(emit, **arguments)


@rule("batch_norm")
def _batch_norm(
    emit: Emitter,
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool = False,
    eps: float = 1e-5,
    **_: Any,
) -> Flow:
    if training or running_mean is None or running_var is None:
        emit.refuse(
            "normalises by the statistics of the batch in evaluation too, which works across "
            "samples; use track_running_stats=True"
        )
    weight, bias = (None if value is None else emit.array(value) for value in (weight, bias))
    mean, variance = emit.array(running_mean), emit.array(running_var)
    return emit.add(BatchNorm(weight, bias, mean, variance, eps), emit.flow(input))


@rule("_native_batch_norm_legit_no_training", "native_batch_norm", "cudnn_batch_norm")
def _native_batch_norm(emit: Emitter, **arguments: Any) -> list[Any]:
    return [_batch_norm(emit, **arguments), None, None]
