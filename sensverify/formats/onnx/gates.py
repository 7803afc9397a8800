"""Functions of one number that exporters write as products: GELU, SiLU, Mish, HardSwish, squares.

A product of two values that depend on the input has looser bounds than one function of one number:
so products are looked at before they are lowered.
"""

from __future__ import annotations

from math import isclose, pi, sqrt
from typing import NamedTuple

import numpy as np

from sensverify.formats.onnx.call import Call, Variable
from sensverify.formats.onnx.lowering import activated, scaled
from sensverify.network.operators import (
    Abs,
    Add,
    Clip,
    Divide,
    Elementwise,
    Erf,
    Gelu,
    HardSwish,
    Mish,
    Pow,
    Scale,
    Sigmoid,
    Silu,
    Softplus,
    Softsign,
    Square,
    Tanh,
    TanhGelu,
)

_CUBIC = 0.044715

_AS_GOOD = 1e-6
"""Relative error of constants that were rounded to float32."""


class _Line(NamedTuple):
    """``scale * node + shift``, the same numbers for all entries."""

    node: int
    scale: float
    shift: float


def gated(call: Call, first: Variable, second: Variable) -> Variable | None:
    """The product as one function of one number, if it is one that is known."""
    if call.exact or first.shape != second.shape:
        # Constants of the file would be rounded, or stand for others.
        return None
    if first.node == second.node:
        return None
    for factor, share in ((first, second), (second, first)):
        found = _gate(call, _line(call, factor.node), _line(call, share.node))
        if found is not None:
            operator, source, inner, outer = found
            start = Variable(source, factor.shape)
            start = start if inner == 1 else scaled(call, start, inner)
            result = activated(call, start, operator)
            return result if outer == 1 else scaled(call, result, outer)
    return None


def softsign(call: Call, first: Variable, second: Variable) -> Variable | None:
    """``x / (1 + |x|)`` as one function."""
    line = _line(call, second.node)
    node = call.builder.nodes[line.node]
    if line[1:] != (1.0, 1.0) or not isinstance(node.operator, Abs):
        return None
    same = node.inputs == (first.node,) and first.shape == second.shape
    return activated(call, first, Softsign()) if same else None


def _gate(call: Call, factor: _Line, share: _Line) -> tuple[Elementwise, int, float, float] | None:
    """An operator, the node it is of, and the factors before and behind it.

    ``(a x) * (c g(b x) + d)``, each g with the d that makes it a share.
    """
    gate = call.builder.nodes[share.node]
    if factor.shift or not isinstance(gate.operator, Elementwise):
        return None
    if isinstance(gate.operator, Square) and not share.shift and gate.inputs == (factor.node,):
        return Pow(3.0), factor.node, 1.0, factor.scale * share.scale
    inner = _line(call, gate.inputs[0])
    size = factor.scale * share.scale
    halved = isclose(share.shift, share.scale, rel_tol=_AS_GOOD)
    if isinstance(gate.operator, Tanh):
        return _of_tanh(call, factor, share, inner, size, halved=halved)
    if inner.node != factor.node:
        return None
    found: tuple[Elementwise, float, float] | None = None
    if isinstance(gate.operator, Sigmoid) and not (share.shift or inner.shift):
        found = Silu(), inner.scale, size / inner.scale
    elif isinstance(gate.operator, Erf) and halved and not inner.shift:
        rate = sqrt(2) * inner.scale
        rate = 1.0 if isclose(rate, 1.0, rel_tol=_AS_GOOD) else rate
        found = Gelu(), rate, 2 * size / rate
    elif isinstance(gate.operator, Clip) and not share.shift:
        found = _hard(gate.operator, inner, size)
    return None if found is None else (found[0], factor.node, found[1], found[2])


def _hard(clip: Clip, inner: _Line, size: float) -> tuple[Elementwise, float, float] | None:
    """``x * clip(x / 6 + 1/2, 0, 1)``, or ``x * clip(x + 3, 0, 6)``."""
    if clip.low != 0 or not isclose(inner.shift, clip.high / 2, rel_tol=_AS_GOOD):
        return None
    rate = 6 * inner.scale / clip.high
    if not isclose(rate, 1.0, rel_tol=_AS_GOOD):
        return None
    return HardSwish(), 1.0, size * clip.high


def _of_tanh(
    call: Call, factor: _Line, share: _Line, inner: _Line, size: float, *, halved: bool
) -> tuple[Elementwise, int, float, float] | None:
    """Mish, or GELU as it is approximated."""
    nodes = call.builder.nodes
    before = nodes[inner.node]
    plus = before.operator
    if (
        isinstance(plus, Softplus)
        and plus.beta == 1
        and inner[1:] == (1.0, 0.0)
        and not share.shift
    ):
        return (Mish(), factor.node, 1.0, size) if before.inputs == (factor.node,) else None
    if not (isinstance(plus, Add) and halved and not inner.shift and len(before.inputs) == 2):
        return None
    for linear, cubic in (before.inputs, before.inputs[::-1]):
        first, third = _line(call, linear), _line(call, cubic)
        power = nodes[third.node]
        cube = isinstance(power.operator, Pow) and power.operator.exponent == 3
        if not cube or power.inputs != (factor.node,) or first.node != factor.node:
            continue
        rate, bent = inner.scale * first.scale, inner.scale * third.scale
        right = isclose(rate, sqrt(2 / pi), rel_tol=_AS_GOOD)
        right &= isclose(bent, sqrt(2 / pi) * _CUBIC, rel_tol=_AS_GOOD)
        if right and not (first.shift or third.shift):
            return TanhGelu(), factor.node, 1.0, 2 * size
    return None


def _line(call: Call, node: int) -> _Line:
    """A node as a line in the one behind which nothing is scaled any more."""
    scale, shift = 1.0, 0.0
    nodes = call.builder.nodes
    while isinstance(operator := nodes[node].operator, Scale | Divide):
        factor: float | None
        moved: float | None
        if isinstance(operator, Divide):
            divisor, moved = _number(operator.divisor), 0.0
            factor = None if divisor is None else 1 / divisor
        else:
            factor = 1.0 if operator.scale is None else _number(operator.scale)
            moved = 0.0 if operator.shift is None else _number(operator.shift)
        if factor is None or moved is None or factor == 0:
            break
        shift, scale = shift + scale * moved, scale * factor
        (node,) = nodes[node].inputs
    return _Line(node, scale, shift)


def _number(values: np.ndarray) -> float | None:
    """The number that all entries are, or None."""
    flat = np.asarray(values, np.float64).reshape(-1)
    return float(flat[0]) if flat.size and (flat == flat[0]).all() else None
