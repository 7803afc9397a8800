"""Coefficients through a nonlinear node, and the affine node in front of it, in one step.

This is where the backward pass spends its time. As one differentiable step, the relaxed
coefficients between the two nodes, the largest arrays of all, are never kept for the gradient:
they are cheap to make again, in memory that all tiles share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sensverify.bounds.tensors import flattened
from sensverify.bounds.workspace import Workspace

Line = tuple[Tensor, Tensor | None]
"""Slope and intercept of a relaxation; an intercept of None is zero."""

Intercepts = tuple[Tensor | None, Tensor | None]
"""Of the lines for positive and for negative coefficients."""

Step = tuple[Tensor, Tensor | None, Tensor | None]
"""Coefficients behind the step, and what its constant terms add: `relaxed_step`."""


def relaxed_step(
    coefficient: Tensor,
    first: Line,
    second: Line,
    matrix: Tensor | None,
    workspace: Workspace,
    *,
    mirror: Intercepts | None = None,
) -> Step:
    """Multiply positive coefficients with one line and negative ones with another.

    Parameters
    ----------
    coefficient : Tensor, shape ``[batch or 1, rows, *shape]``
        c, the coefficients on the nonlinear node's output.
    first, second : pair of slope and intercept, shape ``[batch, rows or 1, *shape]``
        The lines for positive and for negative coefficients. The slopes of `Windowed` operators
        have one more axis, for the numbers of a window.
    matrix : Tensor ``[n, m]`` or None
        Weight of the affine node in front of the nonlinear one; the shape is then ``[n]``.
    workspace : Workspace
        Memory to compute in; a result may lie in it where nothing is differentiated.
    mirror : pair of intercepts, optional
        Of lines on the other side with the same two slopes; asks for their constant, too.

    Returns
    -------
    product : Tensor, shape ``[batch, rows, *shape]`` or ``[batch, rows, m]``
        ``(max(c, 0) * first_slope + min(c, 0) * second_slope) @ matrix``.
    constant : Tensor, shape ``[batch, rows]``, or None
        ``sum(max(c, 0) * first_intercept + min(c, 0) * second_intercept)``.
    mirror : Tensor, shape ``[batch, rows]``, or None
        The same with the intercepts of ``mirror``.

    All are once differentiable in every tensor.
    """
    slopes, intercepts = (first[0], second[0]), (first[1], second[1])
    tensors = (coefficient, *slopes, *intercepts, matrix)
    tracked = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    plain = slopes[0].ndim > coefficient.ndim or any(
        t is not None and t.shape[1] != 1 for t in intercepts
    )
    plain = plain or (mirror is not None and mirror[0] is not intercepts[1])
    if tracked and not plain:
        apply: Callable[..., Step] = _RelaxedStep.apply
        return apply(*tensors, workspace, mirror is not None)
    # Where autograd follows every operation, the workspace hands out fresh memory by itself.
    return _step(coefficient, slopes, intercepts, matrix, workspace, workspace, mirror)


def _step(
    coefficient: Tensor,
    slopes: tuple[Tensor, Tensor],
    intercepts: Intercepts,
    matrix: Tensor | None,
    scratch: Workspace,
    results: Workspace,
    mirror: Intercepts | None,
) -> Step:
    positive, negative = _signs(coefficient, scratch)
    middle = _blend(coefficient, positive, negative, slopes, results if matrix is None else scratch)
    product = middle if matrix is None else results.matmul(middle, matrix)
    constant = _dot(positive, intercepts[0], negative, intercepts[1])
    other = None if mirror is None else _dot(positive, mirror[0], negative, mirror[1])
    return product, constant, other


def _signs(coefficient: Tensor, workspace: Workspace) -> tuple[Tensor, Tensor]:
    return workspace.clamp(coefficient, low=0.0), workspace.clamp(coefficient, high=0.0)


def _blend(
    coefficient: Tensor,
    positive: Tensor,
    negative: Tensor,
    slopes: tuple[Tensor, Tensor],
    workspace: Workspace,
) -> Tensor:
    first, second = slopes
    if first.ndim > coefficient.ndim:
        coefficient, positive, negative = (
            c.unsqueeze(-1) for c in (coefficient, positive, negative)
        )
    if first is second:
        return workspace.multiply(coefficient, first)
    # In place on a fresh product: neither operation needs it for its gradient.
    return workspace.multiply(positive, first).addcmul_(negative, second)


def _dot(
    positive: Tensor, first: Tensor | None, negative: Tensor, second: Tensor | None
) -> Tensor | None:
    terms = [
        batched_product(coefficient, values)
        for coefficient, values in ((positive, first), (negative, second))
        if values is not None
    ]
    return sum(terms[1:], start=terms[0]) if terms else None


def batched_product(coefficient: Tensor, values: Tensor) -> Tensor:
    """Sum over neurons of ``[batch or 1, rows, ...]`` times ``[batch, rows or 1, ...]``."""
    # Not flatten: a node may be one number without axes.
    coefficient, values = (v.reshape(*v.shape[:2], -1) for v in (coefficient, values))
    if values.shape[1] != 1:
        return (coefficient * values).sum(-1)
    if coefficient.shape[0] == 1:
        return values.squeeze(1) @ coefficient.squeeze(0).T
    return (values @ coefficient.transpose(1, 2)).squeeze(1)


class _Fresh(Workspace):
    """A workspace whose memory is its users' to keep."""

    def like(self, shape: tuple[int, ...], values: Tensor) -> Tensor | None:
        return None


class _RelaxedStep(torch.autograd.Function):
    """`relaxed_step` with intercepts that all rows share."""

    @staticmethod
    def forward(
        ctx: Any,
        coefficient: Tensor,
        first: Tensor,
        second: Tensor,
        first_intercept: Tensor | None,
        second_intercept: Tensor | None,
        matrix: Tensor | None,
        workspace: Workspace,
        mirrored: bool,
    ) -> Step:
        ctx.parallel = first is second
        ctx.workspace = workspace
        ctx.set_materialize_grads(False)
        intercepts = (first_intercept, second_intercept)
        ctx.save_for_backward(coefficient, first, second, *intercepts, matrix)
        slopes = (first, second)
        mirror = intercepts[::-1] if mirrored else None
        return _step(coefficient, slopes, intercepts, matrix, workspace, _Fresh(), mirror)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        coefficient, first, second, first_intercept, second_intercept, matrix = ctx.saved_tensors
        product, constant, mirror = outputs
        workspace: Workspace = ctx.workspace
        workspace.reset()
        wanted = ctx.needs_input_grad
        slopes = (first, first if ctx.parallel else second)
        signs = _signs(coefficient, workspace)
        in_matrix = None
        if matrix is not None and product is not None:
            if wanted[5]:
                middle = _blend(coefficient, *signs, slopes, workspace)
                in_matrix = middle.flatten(0, 1).T @ product.flatten(0, 1)
            product = workspace.matmul(product.contiguous(), matrix.T)
        in_slopes: list[Tensor | None] = [None, None]
        if product is not None and (wanted[1] or wanted[2]):
            # Parallel slopes are one tensor given twice: the first takes the gradient of both.
            factors = (coefficient,) if ctx.parallel else signs
            for i, factor in enumerate(factors):
                in_slopes[i] = _summed(workspace.multiply(product, factor), slopes[i])
        in_intercepts = [
            _intercept_gradient(values, ((constant, signs[i]), (mirror, signs[1 - i])))
            for i, values in enumerate((first_intercept, second_intercept))
        ]
        in_coefficient: Tensor | None = None
        if wanted[0]:
            lines = (
                (slopes[0], ((constant, first_intercept), (mirror, second_intercept))),
                (slopes[1], ((constant, second_intercept), (mirror, first_intercept))),
            )
            positive, negative = (
                _coefficient_gradient(coefficient, product, slope, terms, workspace)
                for slope, terms in lines
            )
            in_coefficient = torch.where(coefficient >= 0, positive, negative)
        return in_coefficient, *in_slopes, *in_intercepts, in_matrix, None, None


def _summed(values: Tensor, like: Tensor) -> Tensor:
    """The sum of the workspace's values to a shape, never the workspace's own memory."""
    return values.clone() if values.shape == like.shape else values.sum_to_size(like.shape)


def _intercept_gradient(
    intercept: Tensor | None, terms: tuple[tuple[Tensor | None, Tensor], ...]
) -> Tensor | None:
    """Sum over rows of gradient times coefficient, shape of the intercept."""
    if intercept is None:
        return None
    total: Tensor | None = None
    for gradient, coefficient in terms:
        if gradient is None:
            continue
        flat = coefficient.reshape(*coefficient.shape[:2], -1)
        if flat.shape[0] == 1:
            part = gradient @ flat.squeeze(0)
        else:
            part = (gradient.unsqueeze(1) @ flat).squeeze(1)
        total = part if total is None else total + part
    return None if total is None else total.reshape(intercept.shape)


def _coefficient_gradient(
    coefficient: Tensor,
    product: Tensor | None,
    slope: Tensor,
    terms: tuple[tuple[Tensor | None, Tensor | None], ...],
    workspace: Workspace,
) -> Tensor:
    """The gradient in coefficients of one sign, shape of the coefficient."""
    shape = (slope.shape[0], *coefficient.shape[1:])
    if product is None:
        total = torch.zeros(shape, dtype=slope.dtype, device=slope.device)
    else:
        total = workspace.multiply(product, slope)
    if coefficient.shape[0] != 1:
        for gradient, intercept in terms:
            if gradient is not None and intercept is not None:
                ones = (1,) * (coefficient.ndim - 2)
                total.addcmul_(gradient.reshape(*gradient.shape, *ones), intercept)
        return total
    total = total.sum_to_size(coefficient.shape)
    for gradient, intercept in terms:
        if gradient is not None and intercept is not None:
            total = total + (gradient.T @ flattened(intercept)).reshape(total.shape)
    return total
