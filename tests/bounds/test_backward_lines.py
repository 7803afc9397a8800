"""Linear functions of the input below objectives, and the multipliers of constraints."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.bounds import forward_pass
from sensverify.bounds.backward import backward_bounds, backward_lines
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Slope
from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box
from sensverify.network import NetworkBuilder
from sensverify.network.operators import Add, Affine, Relu
from tests.contracts.attained import attained
from tests.contracts.networks import NETWORKS, Case, cases, node_values

FAMILIES = st.one_of(*NETWORKS.values())
POINTS = 50


def filled(case: Case) -> LayerBounds:
    network = tensor_network(case.network, dtype=torch.float64, device=torch.device("cpu"))
    return LayerBounds(network, case.box_of(torch.float64), Slope.ADAPTIVE).fill()


def some_points(layers: LayerBounds, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    box = layers.box
    share = torch.rand(POINTS, *box.lower.shape, generator=generator, dtype=torch.float64)
    share[::2] = share[::2].round()
    points = box.lower + share * (box.upper - box.lower)
    return torch.minimum(torch.maximum(points, box.lower), box.upper)


def along(coefficients: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    return torch.einsum("brf,pbf->pbr", coefficients.flatten(2), points.flatten(2))


@given(cases(FAMILIES), st.integers(0, 2**31), st.booleans())
@settings(max_examples=30)
def test_lines_are_below_and_end_in_the_same_bounds(case: Case, seed: int, own: bool) -> None:
    layers = filled(case)
    network, box = layers.network, layers.box
    rng = np.random.default_rng(seed)
    rows = torch.tensor(rng.normal(size=(box.batch if own else 1, 2, *network.output_shape)))
    coefficients, constants, seen = backward_lines(network, rows, layers.relaxations)
    assert coefficients.shape[1:] == (2, *network.input_shape)
    assert coefficients.shape[0] in (1, box.batch)
    coefficients = coefficients.expand(box.batch, *coefficients.shape[1:])
    points = some_points(layers, seed)
    outputs = forward_pass(network, points.flatten(0, 1)).reshape(POINTS, box.batch, -1)
    values = torch.einsum("bro,pbo->pbr", rows.flatten(2).expand(box.batch, -1, -1), outputs)
    slack = 1e-11 * attained(case.network, box)[1] * (1 + rows.abs().sum())
    assert bool((along(coefficients, points) + constants <= values + slack).all())
    low, _ = backward_bounds(
        network, len(network.nodes) - 1, rows, layers.relaxations, box.lower, box.upper
    )
    corner = torch.where(coefficients > 0, box.lower.unsqueeze(1), box.upper.unsqueeze(1))
    least = (coefficients * corner).flatten(2).sum(2) + constants
    assert bool(((least - low).abs() <= slack).all())
    assert set(seen) <= set(layers.relaxations)
    for position, values in seen.items():
        assert values.shape[1:] == (2, *network.nodes[position].shape)


@given(cases(FAMILIES), st.integers(0, 2**31))
@settings(max_examples=30)
def test_multipliers_make_a_lagrangian(case: Case, seed: int) -> None:
    """Below ``c · f(x) + sum m_j z_j(x)`` on the whole box, whatever the multipliers."""
    layers = filled(case)
    network, box = layers.network, layers.box
    rng = np.random.default_rng(seed)
    rows = torch.tensor(rng.normal(size=(box.batch, 2, *network.output_shape)))
    sources = {p: network.nodes[p].inputs[0] for p in layers.relaxations}
    multipliers = {
        p: torch.tensor(rng.normal(size=(box.batch, 2, *network.nodes[source].shape)))
        for p, source in sources.items()
    }
    coefficients, constants, _ = backward_lines(
        network, rows, layers.relaxations, multipliers=multipliers
    )
    points = some_points(layers, seed)
    values = [v.reshape(POINTS, box.batch, -1) for v in node_values(network, points.flatten(0, 1))]
    total = torch.einsum("bro,pbo->pbr", rows.flatten(2), values[-1])
    size = 1 + rows.abs().sum()
    for position, weight in multipliers.items():
        total += torch.einsum("brn,pbn->pbr", weight.flatten(2), values[sources[position]])
        size = size + weight.abs().sum()
    slack = 1e-11 * attained(case.network, box)[1] * size
    assert bool((along(coefficients, points) + constants <= total + slack).all())


@given(cases(FAMILIES), st.integers(0, 2**31))
@settings(max_examples=20)
def test_lines_of_a_hidden_node(case: Case, seed: int) -> None:
    layers = filled(case)
    network, box = layers.network, layers.box
    rng = np.random.default_rng(seed)
    target = int(rng.integers(0, len(network.nodes)))
    rows = torch.tensor(rng.normal(size=(1, 2, *network.nodes[target].shape)))
    needed = {p: r for p, r in layers.relaxations.items() if p <= target}
    coefficients, constants, seen = backward_lines(network, rows, needed, target=target)
    points = some_points(layers, seed)
    value = node_values(network, points.flatten(0, 1))[target].reshape(POINTS, box.batch, -1)
    value = torch.einsum("ro,pbo->pbr", rows.flatten(2)[0], value)
    coefficients = coefficients.expand(box.batch, *coefficients.shape[1:])
    slack = 1e-11 * attained(case.network, box)[1] * (1 + rows.abs().sum())
    assert bool((along(coefficients, points) + constants <= value + slack).all())
    assert all(p <= target for p in seen)


def test_without_nonlinear_nodes_a_line_is_the_network() -> None:
    builder = NetworkBuilder((3,))
    weight, bias = np.arange(6.0).reshape(2, 3), np.array([1.0, -1.0])
    network = builder.build(builder.add(Affine(weight, bias), builder.input))
    live = tensor_network(network, dtype=torch.float64, device=torch.device("cpu"))
    rows = torch.eye(2, dtype=torch.float64).unsqueeze(0)
    coefficients, constants, seen = backward_lines(live, rows, {})
    assert np.array_equal(coefficients[0].numpy(), weight)
    assert np.array_equal(constants[0].numpy(), bias)
    assert seen == {}


def test_coefficients_on_the_way_add_up_over_branches() -> None:
    """``relu(z) + relu(z)`` weighs each ReLU once, and what enters them twice."""
    builder = NetworkBuilder((1,))
    node = builder.add(Affine(np.array([[2.0]]), np.array([5.0])), builder.input)
    both = builder.add(Add(), builder.add(Relu(), node), builder.add(Relu(), node))
    live = tensor_network(builder.build(both), dtype=torch.float64, device=torch.device("cpu"))
    ends = torch.ones(1, 1, dtype=torch.float64)
    layers = LayerBounds(live, Box(-ends, ends), Slope.ADAPTIVE).fill()
    coefficients, constants, seen = backward_lines(live, ends.unsqueeze(0), layers.relaxations)
    assert [float(values) for values in seen.values()] == [1.0, 1.0]
    assert float(coefficients) == pytest.approx(4.0)
    assert float(constants) == pytest.approx(10.0)
