"""ONNX attention as one operator: a softmax between two products of matrices."""

from __future__ import annotations

from math import isqrt, sqrt

import numpy as np

from sensverify.formats.onnx.bilinear import matrices_multiplied
from sensverify.formats.onnx.call import Call, Result, Value, Variable, handles
from sensverify.formats.onnx.lowering import (
    activated,
    divided,
    rearranged,
    reshaped,
    scaled,
    transposed,
)
from sensverify.formats.onnx.softmax import masked_shares
from sensverify.network.operators import Tanh

_LAST = 3
"""Output that holds products of queries and keys."""


@handles("Attention")
def attention(call: Call) -> list[Result]:
    """``softmax(scale q k' + mask) v``, by heads; then the keys and the values by heads."""
    flat = len(call.input(0).shape) == 3
    heads = [int(call.attribute(name, 0)) for name in ("q_num_heads", "kv_num_heads")]
    counts = heads[0], heads[1], heads[1]
    query, key, value = (_by_heads(call, i, n) for i, n in enumerate(counts))
    if any(call.optional(i) is not None for i in range(4, len(call.inputs))):
        raise call.refusal("keys and values of earlier calls are not supported")
    if len(call.node.output) > _LAST and call.node.output[_LAST]:
        raise call.refusal("its products of queries and keys as an output are not supported")
    for name in ("qk_matmul_output_mode", "softmax_precision"):
        call.attribute(name)
    shared = [_repeated(call, each, query.shape[1]) for each in (key, value)]
    scores = _scores(call, query, shared[0])
    mask = _mask(call, scores.shape)
    cap = float(call.attribute("softcap", 0.0))
    if cap:
        if mask.any():
            raise call.refusal("a cap on scores beside a mask is not supported")
        scores = scaled(call, activated(call, divided(call, scores, cap), Tanh()), cap)
    result: Value = matrices_multiplied(call, masked_shares(call, scores, mask), shared[1])
    if flat:
        batch, count, rows, columns = result.shape
        together = transposed(call, result, (0, 2, 1, 3))
        result = reshaped(call, together, (batch, rows, count * columns))
    return [result, key, value]


def _by_heads(call: Call, index: int, heads: int) -> Variable:
    """Queries, keys or values, ``[batch, heads, length, size]``."""
    variable = call.variable(index)
    if len(variable.shape) == 4:
        return variable
    if len(variable.shape) != 3 or heads < 1 or variable.shape[-1] % heads:
        raise call.invalid(f"an input of shape {variable.shape} does not fit {heads} heads")
    batch, length, size = variable.shape
    apart = reshaped(call, variable, (batch, length, heads, size // heads))
    return transposed(call, apart, (0, 2, 1, 3))  # type: ignore[return-value]


def _repeated(call: Call, variable: Variable, heads: int) -> Variable:
    """Keys or values that several heads in turn share."""
    own = variable.shape[1]
    if own == heads:
        return variable
    if heads % own:
        raise call.invalid(f"{heads} heads cannot share {own}")
    return rearranged(call, variable, lambda values: np.repeat(values, heads // own, axis=1))  # type: ignore[return-value]


def _scores(call: Call, query: Variable, key: Variable) -> Variable:
    keys: Variable = transposed(call, key, (0, 1, 3, 2))  # type: ignore[assignment]
    products = matrices_multiplied(call, query, keys)
    scale, size = float(call.attribute("scale", 0.0)), query.shape[-1]
    if scale:
        return scaled(call, products, scale)
    if isqrt(size) ** 2 == size:
        return divided(call, products, isqrt(size))
    if call.exact:
        raise call.refusal(
            f"it scales by 1 over the root of {size}, which no number of the file is",
            "export it with a scale",
        )
    return scaled(call, products, 1 / sqrt(size))


def _mask(call: Call, shape: tuple[int, ...]) -> np.ndarray:
    """The numbers that are added to scores: minus infinity where nothing is seen."""
    given = call.optional_constant(3, "the mask")
    values = np.zeros((), call.dtype) if given is None else given
    if values.dtype.kind == "b":
        values = np.where(values, np.zeros((), call.dtype), -np.inf)
    if values.ndim and values.shape[-1] < shape[-1]:
        raise call.refusal("a mask that is shorter than the keys is not supported")
    if call.attribute("is_causal", 0):
        values = np.where(np.tril(np.ones(shape[-2:], bool)), values, -np.inf)
    return np.broadcast_to(values, shape)
