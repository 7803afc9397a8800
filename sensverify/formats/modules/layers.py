"""ATen operators of convolutions and of batch normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sensverify.formats.modules.composites import grouped
from sensverify.formats.modules.emitting import Emitter, Variable, per_axis, rule
from sensverify.network.operators import BatchNorm, Conv, ConvTranspose, Pad


@rule("conv1d", "conv2d", "conv3d")
def _conv(
    emit: Emitter,
    input: Variable,
    weight: Any,
    bias: Any = None,
    stride: Sequence[int] | int = 1,
    padding: Sequence[int] | int | str = 0,
    dilation: Sequence[int] | int = 1,
    groups: int = 1,
) -> Variable:
    weight = emit.array(weight)
    bias = emit.optional_array(bias)
    count = weight.ndim - 2
    stride, dilation = per_axis(stride, count), per_axis(dilation, count)
    if isinstance(padding, str):
        input, padding = _named_padding(emit, input, padding, weight.shape[2:], dilation)
    return emit.add(Conv(weight, bias, stride, per_axis(padding, count), dilation, groups), input)


def _named_padding(
    emit: Emitter,
    variable: Variable,
    padding: str,
    kernel: Sequence[int],
    dilation: tuple[int, ...],
) -> tuple[Variable, tuple[int, ...]]:
    """The symmetric part of ``'same'`` or ``'valid'`` padding, the rest put around the variable."""
    if padding == "valid":
        return variable, (0,) * len(dilation)
    totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if any(total % 2 for total in totals):
        # torch puts the odd one behind.
        after = (0, *(total % 2 for total in totals))
        variable = emit.add(Pad((0,) * len(after), after), variable)
    return variable, tuple(total // 2 for total in totals)


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _conv_transpose(
    emit: Emitter,
    input: Variable,
    weight: Any,
    bias: Any = None,
    stride: Sequence[int] | int = 1,
    padding: Sequence[int] | int = 0,
    output_padding: Sequence[int] | int = 0,
    groups: int = 1,
    dilation: Sequence[int] | int = 1,
) -> Variable:
    weight = emit.array(weight)
    count = weight.ndim - 2
    operator = ConvTranspose(
        weight,
        emit.optional_array(bias),
        per_axis(stride, count),
        per_axis(padding, count),
        per_axis(output_padding, count),
        per_axis(dilation, count),
        groups,
    )
    return emit.add(operator, input)


@rule("convolution")
def _convolution(
    emit: Emitter, transposed: bool, output_padding: Sequence[int], **arguments: Any
) -> Variable:
    if transposed:
        return _conv_transpose(emit, output_padding=output_padding, **arguments)
    return _conv(emit, **arguments)


@rule("batch_norm")
def _batch_norm(
    emit: Emitter,
    input: Variable,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool = False,
    eps: float = 1e-5,
    **_: Any,
) -> Variable:
    if training or running_mean is None or running_var is None:
        emit.refuse(
            "normalises by the statistics of the batch in evaluation too, which works across "
            "samples",
            "use track_running_stats=True",
        )
    weight, bias = emit.optional_array(weight), emit.optional_array(bias)
    mean, variance = emit.array(running_mean), emit.array(running_var)
    return emit.add(BatchNorm(weight, bias, mean, variance, eps), input)


@rule("_native_batch_norm_legit_no_training", "native_batch_norm", "cudnn_batch_norm")
def _native_batch_norm(emit: Emitter, input: Variable, **arguments: Any) -> list[Any]:
    return [_batch_norm(emit, input, **arguments), None, None]


@rule("instance_norm")
def _instance_norm(
    emit: Emitter, use_input_stats: bool, cudnn_enabled: bool = False, **arguments: Any
) -> Variable:
    if use_input_stats:
        lines = arguments["weight"], arguments["bias"]
        variable = arguments["input"]
        return grouped(emit, variable, variable.shape[0], lines, arguments["eps"])
    return _batch_norm(emit, **arguments)
