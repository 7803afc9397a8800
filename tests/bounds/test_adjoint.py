"""The adjoint and the offset of every affine operator: ``<A, W x + b> = <adjoint(A), x> + A b``."""

from __future__ import annotations

from math import isfinite, prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.bounds import convolutions
from sensverify.bounds.adjoint import adjoint, offset
from sensverify.bounds.forward import apply
from sensverify.errors import MissingRule
from sensverify.network import output_shape
from sensverify.network.operators import (
    Add,
    Affine,
    Concat,
    Conv,
    ConvTranspose,
    Operator,
    Pad,
    Permute,
    Reshape,
    Scale,
    Select,
)

Shapes = tuple[tuple[int, ...], ...]


def t(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng([7, *shape]).normal(size=shape))


@st.composite
def conv_operators(draw, *, transposed: bool = True) -> tuple[Operator, Shapes]:
    axes = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 2]))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    kernel, stride, padding, dilation = each(1, 3), each(1, 3), each(0, 2), each(1, 2)
    spatial = each(3, 7)
    bias = t(4) if draw(st.booleans()) else None
    if not transposed or draw(st.booleans()):
        # Every size that remains of a stride: 0, 1 and 2 rows at the end are read by no kernel.
        sizes = (n + 2 * p - d * (k - 1) for n, p, d, k in zip(spatial, padding, dilation, kernel))  # noqa: B905
        spatial = tuple(n + max(0, 1 - s) for n, s in zip(spatial, sizes, strict=True))
        weight = t(4, 4 // groups, *kernel)
        return Conv(weight, bias, stride, padding, dilation, groups), ((4, *spatial),)
    extra = tuple(
        draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)
    )
    weight = t(4, 4 // groups, *kernel)
    padding = tuple(min(p, d * (k - 1)) for p, d, k in zip(padding, dilation, kernel, strict=True))
    return ConvTranspose(weight, bias, stride, padding, extra, dilation, groups), ((4, *spatial),)


def check(operator: Operator, shapes: Shapes, rows: int = 3, batch: int = 2) -> None:
    inputs = [t(batch, *shape).requires_grad_() for shape in shapes]
    y = apply(operator, *inputs)
    assert tuple(y.shape[1:]) == output_shape(operator, *shapes)
    coefficient = t(batch, rows, *y.shape[1:])
    found = adjoint(operator, coefficient, shapes)
    constant = offset(operator, coefficient)
    assert len(found) == len(inputs)
    for row in range(rows):
        expected = torch.autograd.grad((coefficient[:, row] * y).sum(), inputs, retain_graph=True)
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a[:, row], b, rtol=1e-12, atol=1e-12)
        total = (coefficient[:, row] * y).reshape(batch, -1).sum(1)
        for a, x in zip(found, inputs, strict=True):
            total = total - (a[:, row] * x).reshape(batch, -1).sum(1)
        shift = torch.zeros(batch).double() if constant is None else constant[:, row]
        torch.testing.assert_close(total, shift, rtol=1e-11, atol=1e-11)


@given(conv_operators())
@settings(max_examples=80)
def test_convolutions(pair: tuple[Operator, Shapes]) -> None:
    operator, shapes = pair
    check(operator, shapes)


@given(conv_operators(transposed=False), st.integers(0, 2))
@settings(max_examples=120)
def test_every_way_through_a_convolution(pair: tuple[Conv, Shapes], way: int) -> None:
    """Whichever costs least: all that are possible give the transposed convolution."""
    operator, shapes = pair
    geometry = operator.weight.shape, operator.stride, operator.dilation, operator.groups
    possible = [i for i, cost in enumerate(convolutions._costs(1, *geometry)) if isfinite(cost)]
    chosen = possible[way % len(possible)]
    with pytest.MonkeyPatch.context() as patch:
        costs = tuple(float(other != chosen) for other in range(3))
        patch.setattr(convolutions, "_costs", lambda *_: costs)
        check(operator, shapes)


@pytest.mark.parametrize(
    ("operator", "shapes"),
    [
        (Affine(t(4, 3), t(4)), ((3,),)),
        (Affine(t(4, 3)), ((3,),)),
        (Affine(t(4, 3), t(4)), ((2, 5, 3),)),
        (Scale(t(3, 1, 1), t(3, 1, 1)), ((3, 2, 2),)),
        (Scale(t(2), None), ((3, 2),)),
        (Scale(None, t(1)), ((3, 2),)),
        (Scale(None, None), ((3, 2),)),
        (Scale(torch.tensor(2.0).double(), torch.tensor(1.0).double()), ((),)),
        (Pad((0, 1, 2), (0, 0, 3)), ((2, 3, 3),)),
        (Pad((1, 1), (0, 2), 0.5), ((2, 3),)),
        (Select(torch.tensor([[0, 0], [5, 2]])), ((2, 3),)),
        (Select(torch.tensor(4)), ((2, 3),)),
        (Select(torch.tensor([0, 0])), ((),)),
        (Permute((2, 0, 1)), ((2, 3, 4),)),
        (Permute(()), ((),)),
        (Reshape((6, 2)), ((3, 4),)),
        (Reshape(()), ((1, 1),)),
        (Add(), ((2, 3), (2, 3))),
        (Add(), ((2,), (2,), (2,))),
        (Concat(0), ((2, 3), (1, 3))),
        (Concat(1), ((2, 3), (2, 1), (2, 2))),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Operator) else str(value),
)
def test_other_affine_operators(operator: Operator, shapes: Shapes) -> None:
    check(operator, shapes)
    check(operator, shapes, rows=1, batch=1)


def test_coefficients_may_be_shared_between_samples() -> None:
    operator = Affine(t(4, 3), t(4))
    shared, each = t(1, 2, 4), t(1, 2, 4).expand(5, 2, 4)
    (a,), (b,) = (adjoint(operator, c, ((3,),)) for c in (shared, each))
    assert a.shape == (1, 2, 3)
    torch.testing.assert_close(a.expand(5, 2, 3), b)
    assert prod(offset(operator, shared).shape) == 2


def test_a_missing_rule_says_how_to_add_it() -> None:
    class Cube(Operator):
        pass

    with pytest.raises(MissingRule, match=r"Cube.*adjoint\.register.*relax\.register"):
        adjoint(Cube(), t(1, 1, 2), ((2,),))
    with pytest.raises(MissingRule, match=r"Cube.*apply\.register"):
        apply(Cube(), t(1, 2))
