"""Bounds on Jacobians, and what follows from them."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sensverify.bounds import Ibp, forward_pass
from sensverify.bounds.jacobian import jacobian_bounds, monotone
from sensverify.core.box import Box
from sensverify.errors import BadSetting, MissingRule
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import (
    Affine,
    Elementwise,
    Product,
    Relu,
    Reshape,
    Select,
    Sigmoid,
    Tanh,
)
from tests.contracts.networks import NETWORKS, Case, cases


def jacobians(network: Network, x: Tensor) -> Tensor:
    """At points ``[points, *input_shape]``, by automatic differentiation."""
    x = x.clone().requires_grad_()
    y = forward_pass(network, x).flatten(1)
    rows = [
        torch.autograd.grad(y[:, k].sum(), x, retain_graph=True, allow_unused=True)[0]
        for k in range(y.shape[1])
    ]
    return torch.stack([torch.zeros_like(x) if r is None else r for r in rows], 1).flatten(2)


@pytest.mark.parametrize("family", NETWORKS)
@given(data=st.data())
@settings(max_examples=15)
def test_derivatives_and_secants_lie_inside(family: str, data: st.DataObject) -> None:
    case: Case = data.draw(cases(NETWORKS[family]))
    rng, box = np.random.default_rng(0), case.box
    for hidden in (None, Ibp()):
        found = jacobian_bounds(case.network, box, hidden=hidden)
        assert found.lower.shape[1:] == (case.outputs, int(np.prod(case.network.input_shape)))
        x = torch.from_numpy(rng.uniform(box.lower, box.upper, (20, *box.lower.shape)))
        y = torch.from_numpy(rng.uniform(box.lower, box.upper, (20, *box.lower.shape)))
        for i in range(box.batch):
            own = jacobians(case.network, x[:, i])
            size = 1e-9 * (1 + own.abs().amax())
            assert bool((found.lower[i] <= own + size).all())
            assert bool((own <= found.upper[i] + size).all())
            rise = forward_pass(case.network, y[:, i]) - forward_pass(case.network, x[:, i])
            run = (y[:, i] - x[:, i]).flatten(1)
            for norm in (1, 2, inf):
                reach = found.lipschitz(norm)[i] * torch.linalg.vector_norm(run, norm, dim=1)
                moved = torch.linalg.vector_norm(rise.flatten(1), norm, dim=1)
                assert bool((moved <= reach * (1 + 1e-9) + 1e-9).all())


def test_of_a_linear_network_they_are_the_weights() -> None:
    weight = np.random.default_rng(0).normal(size=(3, 4))
    builder = NetworkBuilder((4,))
    network = builder.build(builder.add(Affine(weight), builder.input))
    found = jacobian_bounds(network, Box(np.full((1, 4), -1.0), np.full((1, 4), 1.0)))
    for end in (found.lower, found.upper):
        np.testing.assert_allclose(end[0], weight, rtol=1e-13)
    for norm in (1, 2, inf):
        np.testing.assert_allclose(found.lipschitz(norm)[0], np.linalg.norm(weight, norm))
    with pytest.raises(BadSetting):
        found.lipschitz(3)


def net(seed: int, function: Elementwise, *, signs: bool = False) -> Network:
    rng, builder = np.random.default_rng(seed), NetworkBuilder((3,))
    weights = [rng.normal(size=(8, 3)), rng.normal(size=(2, 8))]
    weights = [abs(w) for w in weights] if signs else weights
    node = builder.add(function, builder.add(Affine(weights[0], rng.normal(size=8)), 0))
    return builder.build(builder.add(Affine(weights[1]), node))


def test_parts_are_no_wider() -> None:
    network = net(0, Relu())
    box = Box(np.full((1, 3), -1.0), np.full((1, 3), 1.0))
    one, many = (jacobian_bounds(network, box, parts=parts) for parts in (1, 64))
    assert bool((many.lower >= one.lower - 1e-12).all())
    assert bool((many.upper <= one.upper + 1e-12).all())
    assert float((many.upper - many.lower).sum()) < float((one.upper - one.lower).sum())
    with pytest.raises(BadSetting):
        jacobian_bounds(network, box, parts=0)


def test_a_product_by_hand() -> None:
    """The derivative of x y in x is y."""
    builder = NetworkBuilder((2,))
    node = builder.add(Product(), builder.add(Select(np.array([[0, 1]])), builder.input))
    network = builder.build(builder.add(Reshape((1,)), node))
    found = jacobian_bounds(network, Box(np.array([[1.0, -2.0]]), np.array([[3.0, 5.0]])))
    np.testing.assert_allclose(found.lower[0, 0], [-2.0, 1.0], rtol=1e-12)
    np.testing.assert_allclose(found.upper[0, 0], [5.0, 3.0], rtol=1e-12)


@pytest.mark.parametrize("function", [Relu(), Sigmoid(), Tanh()], ids=str)
def test_positive_weights_rise(function: Elementwise) -> None:
    network = net(0, function, signs=True)
    box = Box(np.full((2, 3), -1.0), np.full((2, 3), 1.0))
    for feature in range(3):
        for outcome in monotone(network, box, feature):
            assert [each.verdict for each in outcome] == ["proven"] * 2


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rising", [True, False])
def test_verdicts_hold(seed: int, rising: bool) -> None:
    network = net(seed, Tanh())
    box = Box(np.full((1, 3), -0.3), np.full((1, 3), 0.3))
    x = torch.from_numpy(np.random.default_rng(1).uniform(-0.3, 0.3, (400, 3)))
    sign = 1 if rising else -1
    for feature in range(3):
        slopes = sign * jacobians(network, x)[:, :, feature]
        (outcome,) = monotone(network, box, feature, rising=rising)
        for k, each in enumerate(outcome):
            if each.verdict == "proven":
                assert bool((slopes[:, k] >= -1e-12).all())
            elif each.verdict == "refuted":
                assert each.first is not None
                assert each.second is not None
                moved = (each.second - each.first).tolist()
                assert moved[feature] > 0
                assert [m for i, m in enumerate(moved) if i != feature] == [0.0, 0.0]
                pair = torch.stack([each.first, each.second])
                values = sign * forward_pass(network, pair)[:, k]
                assert float(values[1]) < float(values[0])
                assert bool((abs(pair) <= 0.3).all())


def test_a_constant_feature_is_monotone_either_way() -> None:
    builder = NetworkBuilder((2,))
    network = builder.build(builder.add(Affine(np.array([[1.0, 0.0]])), builder.input))
    box = Box(np.zeros((1, 2)), np.ones((1, 2)))
    for rising in (True, False):
        assert monotone(network, box, 1, rising=rising)[0][0].verdict == "proven"


def test_bad_input() -> None:
    box = Box(np.zeros((1, 3)), np.ones((1, 3)))
    with pytest.raises(BadSetting):
        monotone(net(0, Relu()), box, 3)

    class Sine(Elementwise):
        def value(self, x, xp):
            return xp.sin(x)

    builder = NetworkBuilder((3,))
    with pytest.raises(MissingRule):
        jacobian_bounds(builder.build(builder.add(Sine(), builder.input)), box, hidden=Ibp())
