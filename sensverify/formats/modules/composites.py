"""ATen operators made of several: softmax, normalisation by the input's own statistics, attention.

They are written as in ONNX files, by `sensverify.formats.composites`.
"""

from __future__ import annotations

from math import prod, sqrt
from typing import Any

import numpy as np
import torch

from sensverify.formats import composites
from sensverify.formats.composites import Mask
from sensverify.formats.modules.arithmetic import times
from sensverify.formats.modules.bilinear import matrices_multiplied, product_of
from sensverify.formats.modules.emitting import Emitter, Variable, rule
from sensverify.formats.modules.expressions import Expression, Origin, current, origin
from sensverify.network.operators import (
    Affine,
    Concat,
    Permute,
    Scale,
    Sigmoid,
    Sqrt,
    Square,
)
from sensverify.network.shapes import Shape


@rule("softmax", "log_softmax", "_softmax", "_log_softmax", "softmin")
def softmax(emit: Emitter, self: Variable, dim: int, **_: Any) -> Variable:
    """Shares of exponentials along an axis, or their logarithms."""
    axis = emit.axis(dim, self.ndim)
    rank = len(self.shape)
    order = (*(a for a in range(rank) if a != axis), axis)
    last = _permuted(emit, self, order)
    if emit.operator == "softmin":
        last = times(emit, last, -1.0)
    if "log" in emit.operator:
        result = emit.node(composites.log_shares(emit, last.position))
    else:
        result = _shares(emit, last)
    return _permuted(emit, result, tuple(int(a) for a in np.argsort(order)))


def _shares(emit: Emitter, last: Variable) -> Variable:
    """A softmax along the last axis: a mask that is added to what enters it is looked at first."""
    operator, inputs = emit.behind(last)
    if not isinstance(operator, Scale) or operator.shift is None:
        return emit.node(composites.shares(emit, last.position))
    shift = operator.shift
    if origin(shift) is Origin.PARAMETER:
        # A bias that is trained hides nothing.
        return emit.node(composites.shares(emit, last.position))
    values = current(shift).detach().to(torch.float64).expand(last.shape).numpy()
    mask = Mask.of(values)
    if mask.plain:
        return emit.node(composites.shares(emit, last.position))
    before = emit.node(inputs[0])
    if operator.scale is not None:
        before = emit.add(Scale(operator.scale), before)
    return _seen(emit, before, mask)


def _seen(emit: Emitter, scores: Variable, mask: Mask) -> Variable:
    found = composites.masked_shares(emit, scores.position, mask)
    if found is None:
        emit.refuse("has a mask that hides everything from an entry")
    return emit.node(found)


@rule("logsumexp")
def _log_sum_exp(emit: Emitter, self: Variable, dim: Any, keepdim: bool = False) -> Variable:
    axes = emit.axes(dim, self.ndim)
    last = _last(emit, self, axes)
    result = emit.node(composites.log_sum_exp(emit, last.position))
    return _reduced(emit, self, axes, result, keepdim=keepdim)


@rule("layer_norm")
def _layer_norm(
    emit: Emitter,
    input: Variable,
    normalized_shape: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    **_: Any,
) -> Variable:
    result = _over_last(emit, input, len(normalized_shape), eps, centre=True)
    return _scaled(emit, result, weight, bias)


@rule("rms_norm")
def _rms_norm(
    emit: Emitter,
    input: Variable,
    normalized_shape: Any,
    weight: Any = None,
    eps: float | None = None,
) -> Variable:
    # That of the numbers that are normalised, as torch takes it.
    epsilon = float(torch.finfo(emit.call.traced.dtype).eps) if eps is None else eps
    result = _over_last(emit, input, len(normalized_shape), epsilon, centre=False)
    return _scaled(emit, result, weight, None)


def _over_last(
    emit: Emitter, input: Variable, count: int, epsilon: float, *, centre: bool
) -> Variable:
    """Normalisation over the last axes."""
    if count > len(input.shape):
        emit.refuse_mixing()
    kept = input.shape[: len(input.shape) - count]
    rows = emit.reshape(input, (*kept, prod(input.shape[len(kept) :])))
    return emit.reshape(normalised(emit, rows, epsilon, centre=centre), input.shape)


@rule("native_layer_norm")
def _native_layer_norm(
    emit: Emitter, input: Variable, normalized_shape: Any, weight: Any, bias: Any, eps: float
) -> list[Variable | None]:
    return [_layer_norm(emit, input, normalized_shape, weight, bias, eps), None, None]


@rule("group_norm")
def _group_norm(
    emit: Emitter,
    input: Variable,
    num_groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    **_: Any,
) -> Variable:
    return grouped(emit, input, num_groups, (weight, bias), eps)


@rule("native_group_norm")
def _native_group_norm(
    emit: Emitter, input: Variable, weight: Any, bias: Any, group: int, eps: float, **_: Any
) -> list[Variable | None]:
    return [grouped(emit, input, group, (weight, bias), eps), None, None]


def grouped(
    emit: Emitter, variable: Variable, groups: int, lines: tuple[Any, Any], epsilon: float
) -> Variable:
    """Normalisation of groups of channels over all of their entries."""
    rows = emit.reshape(variable, (groups, prod(variable.shape) // groups))
    result = emit.reshape(normalised(emit, rows, epsilon, centre=True), variable.shape)
    ones = (1,) * (len(variable.shape) - 1)
    scale, shift = (
        None if v is None else Expression.of(lambda w: w.reshape(-1, *ones), emit.array(v))
        for v in lines
    )
    return result if scale is None and shift is None else emit.add(Scale(scale, shift), result)


def normalised(emit: Emitter, rows: Variable, epsilon: float, *, centre: bool) -> Variable:
    """`sensverify.formats.composites.normalised` along the last axis."""
    if epsilon <= 0:
        emit.refuse("divides by 0 where all inputs are equal: its epsilon is not above 0")
    return emit.node(composites.normalised(emit, rows.position, epsilon, centre=centre))


def _scaled(emit: Emitter, variable: Variable, weight: Any, bias: Any) -> Variable:
    if weight is None and bias is None:
        return variable
    lines = emit.optional_array(weight), emit.optional_array(bias)
    return emit.add(Scale(*lines), variable)


@rule("var", "std")
def _variance(
    emit: Emitter,
    self: Variable,
    dim: Any = None,
    unbiased: bool = True,
    correction: Any = None,
    keepdim: bool = False,
) -> Variable:
    axes = emit.axes(dim, self.ndim)
    last = emit.node(composites.centred(emit, _last(emit, self, axes).position))
    size = last.shape[-1]
    less = int(unbiased) if correction is None else correction
    if size <= less:
        emit.refuse(f"divides by {size - less}")
    each = torch.full((1, size), 1 / (size - less), dtype=torch.float64)
    result = emit.add(Affine(each), emit.add(Square(), last))
    if emit.operator == "std":
        result = emit.add(Sqrt(), result)
    return _reduced(emit, self, axes, result, keepdim=keepdim)


@rule("norm", "linalg_vector_norm")
def _norm(
    emit: Emitter, self: Variable, ord: Any = 2, dim: Any = None, keepdim: bool = False, **more: Any
) -> Variable:
    order = more.get("p", ord)
    if order not in (2, None):
        emit.refuse(f"is supported of order 2 alone, got {order}")
    axes = emit.axes(dim, self.ndim)
    last = _last(emit, self, axes)
    ones = torch.ones(1, last.shape[-1], dtype=torch.float64)
    result = emit.add(Sqrt(), emit.add(Affine(ones), emit.add(Square(), last)))
    return _reduced(emit, self, axes, result, keepdim=keepdim)


@rule("prod")
def _prod(emit: Emitter, self: Variable, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    axes = emit.axes(dim, self.ndim)
    last = _last(emit, self, axes)
    while (n := last.shape[-1]) > 1:
        places = np.arange(prod(last.shape)).reshape(last.shape)
        half = n // 2
        first, second = (
            emit.select(last, places[..., part]) for part in (slice(half), slice(half, 2 * half))
        )
        pairs = product_of(emit, first, second)
        last = pairs if n % 2 == 0 else _beside(emit, pairs, last, places[..., n - 1 :])
    return _reduced(emit, self, axes, last, keepdim=keepdim)


def _beside(emit: Emitter, pairs: Variable, last: Variable, rest: np.ndarray) -> Variable:
    return emit.add(Concat(len(pairs.shape) - 1), pairs, emit.select(last, rest))


@rule("glu")
def _glu(emit: Emitter, self: Variable, dim: int = -1) -> Variable:
    axis = emit.axis(dim % self.ndim, self.ndim)
    places = np.arange(prod(self.shape)).reshape(self.shape)
    first, second = (emit.select(self, part) for part in np.split(places, 2, axis))
    return product_of(emit, first, emit.add(Sigmoid(), second))


@rule("scaled_dot_product_attention")
def attention(
    emit: Emitter,
    query: Variable,
    key: Variable,
    value: Variable,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    **_: Any,
) -> Variable:
    """``softmax(scale q k' + mask) v``; what a mask hides is left out of the softmax."""
    if dropout_p or enable_gqa:
        emit.refuse("drops out at random, or shares keys between heads, which is not supported")
    axes = (*range(len(key.shape) - 2), len(key.shape) - 1, len(key.shape) - 2)
    factor = 1 / sqrt(query.shape[-1]) if scale is None else scale
    keys = emit.add(Permute(axes), key)
    scores = times(emit, matrices_multiplied(emit, query, keys), factor)
    mask = _mask_of(emit, scores.shape, attn_mask, causal=is_causal)
    return matrices_multiplied(emit, _seen(emit, scores, mask), value)


def _mask_of(emit: Emitter, shape: Shape, mask: Any, *, causal: bool) -> Mask:
    """The mask of numbers or truths, and of an order in which nothing sees what follows."""
    values = np.zeros(shape)
    if mask is not None:
        if isinstance(mask, Variable):
            emit.refuse("has a mask that is computed from the input")
        array = emit.operand(mask, len(shape)).detach().to(torch.float64).expand(shape).numpy()
        values = np.where(array != 0, 0.0, -np.inf) if mask.dtype == torch.bool else array
    if causal:
        values = np.where(np.tril(np.ones(shape[-2:], bool)), values, -np.inf)
    return Mask.of(values)


def _permuted(emit: Emitter, variable: Variable, order: tuple[int, ...]) -> Variable:
    return variable if order == tuple(range(len(order))) else emit.add(Permute(order), variable)


def _last(emit: Emitter, variable: Variable, axes: tuple[int, ...]) -> Variable:
    """The variable with some axes flattened into one behind the others."""
    rest = tuple(axis for axis in range(len(variable.shape)) if axis not in axes)
    shape = (*(variable.shape[axis] for axis in rest), prod(variable.shape[axis] for axis in axes))
    return emit.reshape(_permuted(emit, variable, rest + axes), shape)


def _reduced(
    emit: Emitter, variable: Variable, axes: tuple[int, ...], outcome: Variable, *, keepdim: bool
) -> Variable:
    """The outcome of a reduction under its shape: with axes of length 1 where asked."""
    lengths = [
        1 if axis in axes else n
        for axis, n in enumerate(variable.shape)
        if keepdim or axis not in axes
    ]
    return emit.reshape(outcome, lengths)
