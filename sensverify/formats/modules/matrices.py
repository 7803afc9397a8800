"""ATen operators that multiply by matrices: products, and all others that are linear."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from sensverify.formats.modules.bilinear import contracted, matrices_multiplied
from sensverify.formats.modules.emitting import (
    RULES,
    Emitter,
    Variable,
    resampled,
    rule,
)
from sensverify.formats.modules.expressions import Expression, Origin, current, origin
from sensverify.network.operators import Add, Affine, Permute, Scale

AFFINE = (
    "_upsample_bicubic2d_aa",
    "_upsample_bilinear2d_aa",
    "addbmm",
    "baddbmm",
    "bilinear",
    "bmm",
    "col2im",
    "cross",
    "cumsum",
    "einsum",
    "grid_sampler",
    "grid_sampler_2d",
    "grid_sampler_3d",
    "index_add",
    "inner",
    "kron",
    "linalg_cross",
    "scatter_add",
    "tensordot",
    "upsample_bicubic2d",
    "upsample_bilinear2d",
    "upsample_linear1d",
    "upsample_trilinear3d",
)
"""Operators that are affine in what depends on the input, as long as that is one argument."""

PER_CHANNEL = (
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "_upsample_bicubic2d_aa",
    "_upsample_bilinear2d_aa",
    "upsample_bicubic2d",
    "upsample_bilinear2d",
    "upsample_linear1d",
    "upsample_trilinear3d",
)
"""Operators of one argument that do the same to every channel."""

LARGEST = 2**26
"""Entries of the largest matrix that an operator is written out as."""


@rule("linear")
def _linear(emit: Emitter, input: Any, weight: Any, bias: Any = None) -> Variable:
    weight = emit.array(weight)
    if weight.ndim == 1:
        return _matmul(emit, input, weight)
    return emit.add(Affine(weight, emit.optional_array(bias)), emit.variable(input))


@rule("matmul", "mm", "mv", "linalg_matmul", "bmm")
def _matmul(
    emit: Emitter, self: Any, other: Any = None, mat2: Any = None, vec: Any = None
) -> Variable:
    right = next(value for value in (other, mat2, vec) if value is not None)
    if isinstance(self, Variable) and isinstance(right, Variable):
        return matrices_multiplied(emit, self, right)
    if isinstance(self, Variable):
        weight = _matrix(emit, right)
        if weight.ndim == 1:
            variable = emit.add(Affine(Expression.of(lambda w: w.unsqueeze(0), weight)), self)
            return emit.reshape(variable, variable.shape[:-1])
        if weight.ndim == 2:
            return emit.add(Affine(Expression.of(lambda w: w.t(), weight)), self)
        return affine(emit, **emit.call.arguments)
    weight, variable = _matrix(emit, self), emit.variable(right)
    if weight.ndim > 2 or len(variable.shape) < 2:
        return affine(emit, **emit.call.arguments)
    if weight.ndim == 1:
        weight = Expression.of(lambda w: w.unsqueeze(0), weight)
    axes = (*range(len(variable.shape) - 2), len(variable.shape) - 1, len(variable.shape) - 2)
    product = emit.add(Affine(weight), emit.add(Permute(axes), variable))
    if emit.array(self).ndim == 1:
        return emit.reshape(product, product.shape[:-1])
    return emit.add(Permute(axes), product)


@rule("einsum")
def _einsum(emit: Emitter, equation: str, tensors: list[Any], **_: Any) -> Variable:
    if not (len(tensors) == 2 and all(isinstance(each, Variable) for each in tensors)):
        return affine(emit, **emit.call.arguments)
    left, arrow, output = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow or not all(part.isalpha() for part in (*terms, output)):
        emit.refuse(f"has the equation '{equation}'; one with letters alone and an arrow is known")
    batch = terms[0][0]
    if any(term[0] != batch or batch in term[1:] for term in (*terms, output)):
        emit.refuse_mixing()
    return contracted(emit, (terms[0][1:], terms[1][1:]), output[1:], *tensors)


def _matrix(emit: Emitter, value: Any) -> Tensor | Expression:
    """A constant factor as one sample sees it, without leading axes of length 1."""
    weight = emit.sample(emit.array(value))
    while weight.ndim > 2 and weight.shape[0] == 1:
        weight = Expression.of(lambda w: w[0], weight)
    return weight


@rule("addmm", "addmv")
def _addmm(emit: Emitter, self: Any, beta: float = 1, alpha: float = 1, **factors: Any) -> Variable:
    left, right = factors.values()
    weight, variable = emit.array(right), emit.variable(left)
    if weight.ndim == 1:
        weight = Expression.of(lambda w: w.unsqueeze(1), weight)
    product = emit.add(Affine(Expression.of(lambda w: w.t() * alpha, weight)), variable)
    if emit.operator == "addmv":
        product = emit.reshape(product, product.shape[:-1])
    whole, term = emit.broadcast(product, self)
    if isinstance(term, Variable):
        return emit.add(Add(), emit.variable(whole), emit.add(Scale(emit.array(beta)), term))
    return emit.add(Scale(shift=Expression.of(lambda b: b * beta, term)), emit.variable(whole))


def affine(emit: Emitter, **arguments: Any) -> Variable:
    """An operator as the matrix and the vector that it is for one sample.

    Row by row: the operator itself is applied to a batch of unit vectors.
    """
    variables = [value for value in arguments.values() if isinstance(value, Variable)]
    variables += [
        v
        for value in arguments.values()
        if isinstance(value, list)
        for v in value
        if isinstance(v, Variable)
    ]
    if len(variables) != 1:
        emit.refuse(
            "combines several values computed from the input; one of them can depend on the input",
            "write it with matmul, einsum of two operands, or products of entries",
        )
    (variable,) = variables
    per_channel = emit.operator in PER_CHANNEL
    place = variable.shape[1:] if per_channel else variable.shape
    outcome = emit.call.traced.shape[2:] if per_channel else emit.call.traced.shape[1:]
    size, outputs = prod(place), prod(int(n) for n in outcome)
    if size * outputs > LARGEST:
        emit.refuse(
            f"would become a matrix of {outputs} x {size} numbers, more than the {LARGEST} that "
            "are allowed"
        )
    dtype = _dtype(arguments)

    def rows(*_: Any) -> Tensor:
        """Outcome at every unit vector, and last at the origin."""
        device = _device(arguments)
        units = torch.eye(size + 1, size, dtype=dtype, device=device)
        units = units.reshape(size + 1, *((1,) if per_channel else ()), *place)
        batched = resampled(emit.call, _with(arguments, variable, units), size + 1)
        return emit.call.target(**batched).reshape(size + 1, outputs)

    found = Expression(
        rows, torch.Size((size + 1, outputs)), dtype, origin(list(arguments.values()))
    )
    if found.origin is Origin.FIXED:
        found = Expression.fixed(rows())
    flat = emit.reshape(variable, (*variable.shape[:1], size) if per_channel else (size,))
    weight = Expression.of(lambda values: (values[:-1] - values[-1]).t(), found)
    offset = Expression.of(lambda values: values[-1], found)
    bias = offset if bool(offset.detach().any()) or offset.origin is not Origin.FIXED else None
    flat = emit.add(Affine(weight, bias), flat)
    return emit.reshape(flat, (*variable.shape[:1], *outcome) if per_channel else outcome)


def _with(arguments: dict[str, Any], variable: Variable, values: Tensor) -> dict[str, Any]:
    """Arguments with a tensor in the place of the variable."""

    def put(value: Any) -> Any:
        if isinstance(value, list):
            return [put(item) for item in value]
        return values if value is variable else value

    return {name: put(value) for name, value in arguments.items()}


def _arrays(value: Any) -> list[Any]:
    if isinstance(value, dict | list | tuple):
        items = value.values() if isinstance(value, dict) else value
        return [array for item in items for array in _arrays(item)]
    return [value] if isinstance(value, Tensor | Expression) else []


def _dtype(arguments: dict[str, Any]) -> torch.dtype:
    """The floating dtype of the constants of an operator; float64 where it has none."""
    found = [a.dtype for a in _arrays(arguments) if a.dtype.is_floating_point]
    return found[0] if found else torch.float64


def _device(arguments: dict[str, Any]) -> torch.device:
    devices = [current(array).device for array in _arrays(arguments)]
    return next((d for d in devices if d.type != "cpu"), torch.device("cpu"))


RULES.update({name: affine for name in AFFINE if name not in RULES})
