"""Frobenius norms of the input-output Jacobian: exact, and by random projections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from sensverify.bounds.tensors import flattened
from sensverify.errors import BadSetting
from sensverify.measures.measure import INITIAL, Measure, MeasuredClassifier, Reading

Function = Callable[[Tensor], Tensor]
"""Takes samples ``[batch, *features]`` to outputs ``[batch, *outputs]``, each by itself."""


def jacobian_norms(function: Function, x: Tensor, *, create_graph: bool = False) -> Tensor:
    """Frobenius norm of the Jacobian of every sample, ``sqrt(sum_jk (d f_j / d x_k)^2)``.

    One backward pass for each output.

    Parameters
    ----------
    function : callable
        Twice differentiable where ``create_graph`` is set; no sample may depend on another.
    x : Tensor, shape ``[batch, *features]``, floating
    create_graph : bool
        Whether the norms are differentiable in what the function depends on, and in x where that
        requires a gradient.

    Returns
    -------
    Tensor, shape ``[batch]``, of x's dtype
        In outputs per unit of x. The gradient at a Jacobian of zero is zero.

    Notes
    -----
    Source: Jakubovitz & Giryes 2018, *Improving DNN robustness to adversarial attacks using
    Jacobian regularization*.
    """
    squares = _summed_squares(function, x, _units, create_graph)
    positive = squares > 0
    # The slope of a root at 0 is infinite: take the root of 1 there, and no gradient.
    return torch.where(positive, torch.where(positive, squares, 1.0).sqrt(), 0.0)


def projected_norms(
    function: Function,
    x: Tensor,
    *,
    projections: int,
    generator: torch.Generator,
    create_graph: bool = False,
) -> Tensor:
    """Unbiased estimate of the squared Frobenius norm of the Jacobian of every sample.

    The mean over projections of ``m * norm(v J)^2``, where v is uniform on the unit sphere of the
    m outputs, drawn anew for every sample and projection. One backward pass for each projection.

    Parameters
    ----------
    function, x, create_graph
        As in `jacobian_norms`.
    projections : int
        At least 1.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    Tensor, shape ``[batch]``, of x's dtype

    Raises
    ------
    BadSetting
        There are no projections.

    Notes
    -----
    Source: Hoffman, Roberts & Yaida 2019, *Robust learning with Jacobian regularization*.
    """
    if projections < 1:
        raise BadSetting(f"the Jacobian needs at least 1 random projection, got {projections}")

    def drawn(outputs: Tensor) -> Iterator[Tensor]:
        for _ in range(projections):
            yield _on_sphere(outputs, generator) * outputs.shape[1] ** 0.5

    return _summed_squares(function, x, drawn, create_graph) / projections


def _summed_squares(
    function: Function,
    x: Tensor,
    cotangents: Callable[[Tensor], Iterator[Tensor]],
    create_graph: bool,
) -> Tensor:
    """Sum over cotangents v of the squared norms of ``v J``, ``[batch]``.

    The derivatives are those of `torch.func`, so that whoever transforms the whole can.
    """
    with torch.set_grad_enabled(create_graph):
        outputs, pull, *_ = torch.func.vjp(lambda points: flattened(function(points)), x)
        total = x.new_zeros(len(x))
        for cotangent in cotangents(outputs):
            (row,) = pull(cotangent)
            total = total + flattened(row).square().sum(1)
    return total


def _units(outputs: Tensor) -> Iterator[Tensor]:
    for column in range(outputs.shape[1]):
        unit = torch.zeros_like(outputs)
        unit[:, column] = 1
        yield unit


def _on_sphere(outputs: Tensor, generator: torch.Generator) -> Tensor:
    normal = torch.randn(outputs.shape, generator=generator, dtype=torch.float64)
    return (normal / normal.norm(dim=1, keepdim=True)).to(outputs)


def mean_jacobian(measured: MeasuredClassifier) -> Reading:
    """Mean Frobenius norm of the outputs' derivative in the inputs, over test samples.

    Raises
    ------
    NotMeasured
        Time is up.
    """
    function = measured.classifier
    parts = [jacobian_norms(function, measured.x[c]) for c in measured.parts(len(measured.x))]
    values = torch.cat(parts).double()
    return Reading(float(values.mean()), samples=len(values))


def _initial_jacobian(measured: MeasuredClassifier) -> Reading:
    return mean_jacobian(replace(measured, network=measured.require_initial()))


_JUNG = "Jung, Lukasik & Keuper 2023, Neural architecture design and robustness: a dataset"
_JACOBIAN = "mean over test samples of the Frobenius norm of the outputs' derivative in the inputs"

MEASURES: dict[str, Measure] = {
    "jacobian": Measure(_JACOBIAN, _JUNG, "gradient", mean_jacobian, unit="1 / unit of x"),
    "jacobian-init": Measure(
        f"{_JACOBIAN}, with the weights before training",
        _JUNG,
        "gradient",
        _initial_jacobian,
        (INITIAL,),
        "1 / unit of x",
    ),
}
"""By name."""
