"""Bounds are differentiable in the box and in the parameters of a live module."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sensverify.bounds import (
    AlphaCrown,
    Crown,
    Ibp,
    LpDual,
    Method,
    compute_bounds,
    tiles,
)
from sensverify.core.box import Box
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Conv, Elementwise, LeakyRelu, Relu, Reshape, Tanh

METHODS = [Ibp(), LpDual(), Crown(), Crown(intermediate=Ibp()), LpDual(intermediate=Ibp())]
every_method = pytest.mark.parametrize("method", METHODS, ids=repr)


def parameters(*shapes: tuple[int, ...], seed: int = 3) -> list[Tensor]:
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.normal(size=s)).requires_grad_() for s in shapes]


def mlp(weights: list[Tensor], activation: Elementwise) -> Network:
    first, bias, second, last = weights
    builder = NetworkBuilder((2,))
    node = builder.add(activation, builder.add(Affine(first, bias), builder.input))
    node = builder.add(activation, builder.add(Affine(second), node))
    return builder.build(builder.add(Affine(last), node))


def conv_net(weights: list[Tensor]) -> Network:
    first, bias, second, last = weights
    builder = NetworkBuilder((1, 6, 6))
    node = builder.add(Conv(first, bias, (1, 1), (1, 1), (1, 1)), builder.input)
    node = builder.add(Relu(), node)
    node = builder.add(Relu(), builder.add(Conv(second, None, (2, 2), (1, 1), (1, 1)), node))
    node = builder.add(Reshape((18,)), node)
    return builder.build(builder.add(Affine(last), node))


MLP_SHAPES = ((4, 2), (4,), (3, 4), (2, 3))
CONV_SHAPES = ((2, 1, 3, 3), (2,), (2, 2, 3, 3), (2, 18))


def ends_of(network: Network, box: Box, method: Method) -> Tensor:
    outer = compute_bounds(network, box, method).outer
    return torch.cat([outer.lower, outer.upper])


@every_method
@pytest.mark.parametrize(
    "activation",
    [Relu(), Tanh(), LeakyRelu(np.array(0.2))],
    ids=lambda operator: type(operator).__name__,
)
def test_gradients_in_weights_and_box_are_right(method: Method, activation: Elementwise) -> None:
    smooth = isinstance(activation, Tanh) and method.name == "crown"
    weights = parameters(*MLP_SHAPES)
    lower = torch.tensor([[0.1, -0.4], [-0.2, 0.3]], dtype=torch.float64, requires_grad=True)
    width = torch.tensor([[0.3, 0.5], [0.2, 0.1]], dtype=torch.float64, requires_grad=True)

    def function(low: Tensor, wide: Tensor, *values: Tensor) -> Tensor:
        return ends_of(mlp(list(values), activation), Box(low, low + wide.abs()), method)

    if smooth:
        # The slopes of tangents are taken as constants: gradients are those of one sound bound
        # among many, and only finite differences that move the slopes too would tell.
        gradients = torch.autograd.grad(function(lower, width, *weights).sum(), [lower, *weights])
        assert all(bool(torch.isfinite(g).all()) for g in gradients)
        return
    inputs = (lower, width, *weights)
    assert torch.autograd.gradcheck(function, inputs, atol=1e-5, rtol=1e-4, fast_mode=True)


@pytest.mark.parametrize("method", [LpDual(), Crown()], ids=repr)
def test_gradients_through_windows_are_right(method: Method) -> None:
    weights = parameters(*CONV_SHAPES)
    center = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, 6, 6)))
    box = Box(center - 0.05, center + 0.05)

    def function(*values: Tensor) -> Tensor:
        return ends_of(conv_net(list(values)), box, method)

    assert torch.autograd.gradcheck(function, tuple(weights), atol=1e-5, rtol=1e-4, fast_mode=True)


@every_method
@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_tiles_change_no_gradient(
    method: Method, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept, or computed again in the backward sweep, which must find everything as it was."""
    shapes = MLP_SHAPES if kind == "mlp" else CONV_SHAPES
    shape = (2,) if kind == "mlp" else (1, 6, 6)
    center = torch.from_numpy(np.random.default_rng(0).normal(size=(3, *shape)))
    found = []
    for entries, kept in ((1 << 19, 1 << 28), (50, 1 << 28), (50, 0), (1, 0)):
        monkeypatch.setattr(tiles, "_TILE", {"cpu": entries})
        monkeypatch.setattr(tiles, "_KEPT", {"cpu": kept})
        weights = parameters(*shapes)
        network = mlp(weights, Relu()) if kind == "mlp" else conv_net(weights)
        radius = torch.full_like(center, 0.1).requires_grad_()
        ends = ends_of(network, Box(center - radius, center + radius), method)
        signs = torch.linspace(-1, 1, ends.numel(), dtype=torch.float64).reshape(ends.shape)
        found.append(torch.autograd.grad((ends * signs).sum(), [radius, *weights]))
    for gradients in found[1:]:
        for a, b in zip(found[0], gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@every_method
@pytest.mark.parametrize("activation", [Relu(), Tanh()], ids=["relu", "tanh"])
def test_gradients_are_finite_on_degenerate_boxes(method: Method, activation: Elementwise) -> None:
    weights = parameters(*MLP_SHAPES)
    with torch.no_grad():
        # A neuron that is zero on every input, and one that is exactly zero at the centre.
        weights[0][0] = 0.0
        weights[1][0] = 0.0
    point = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
    ends = ends_of(mlp(weights, activation), Box(point, point + 0.0), method)
    for gradient in torch.autograd.grad(ends.sum(), [point, *weights], allow_unused=True):
        assert gradient is None or bool(torch.isfinite(gradient).all())


def test_alpha_crown_is_differentiable_at_its_slopes() -> None:
    weights = parameters(*MLP_SHAPES)
    lower = torch.tensor([[0.1, -0.4]], dtype=torch.float64)
    method = AlphaCrown(steps=5, intermediate=Ibp())
    ends = ends_of(mlp(weights, Relu()), Box(lower, lower + 0.5), method)
    gradients = torch.autograd.grad((ends[1] - ends[0]).sum(), weights)
    assert all(bool(torch.isfinite(g).all()) for g in gradients)
    assert any(bool((g != 0).any()) for g in gradients)
    with torch.no_grad():
        same = ends_of(mlp(weights, Relu()), Box(lower, lower + 0.5), method)
    torch.testing.assert_close(ends.detach(), same, rtol=1e-9, atol=1e-9)


@every_method
def test_values_do_not_depend_on_whether_gradients_are_wanted(method: Method) -> None:
    weights = parameters(*CONV_SHAPES)
    center = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 1, 6, 6)))
    box = Box(center - 0.1, center + 0.1)
    with_graph = ends_of(conv_net(weights), box, method)
    with torch.no_grad():
        without = ends_of(conv_net(weights), box, method)
    assert with_graph.requires_grad
    assert not without.requires_grad
    torch.testing.assert_close(with_graph.detach(), without, rtol=1e-12, atol=1e-12)
    with torch.inference_mode():
        third = ends_of(conv_net(weights), box, method)
    torch.testing.assert_close(third.clone(), without, rtol=1e-12, atol=1e-12)
