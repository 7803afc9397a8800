"""Networks and boxes at the edge of what makes sense: each has an answer, and the right one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sensverify.bounds import Ibp, Method, compute_bounds, forward_pass
from sensverify.core.box import Box
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import (
    Abs,
    Add,
    Affine,
    Concat,
    Max,
    Operator,
    Permute,
    Relu,
    Reshape,
    Scale,
    Select,
    Tanh,
)
from sensverify.solvers.exact import Exact
from sensverify.solvers.lp import Lp
from tests.contracts.attained import attained, largest_violation
from tests.contracts.methods import METHODS
from tests.contracts.networks import random_box
from tests.pairwise import pairwise

every_method = pytest.mark.parametrize("method", METHODS, ids=repr)


def chain(shape: tuple[int, ...], *operators: Operator) -> Network:
    builder = NetworkBuilder(shape)
    node = builder.input
    for operator in operators:
        node = builder.add(operator, node)
    return builder.build(node)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(list(shape)).normal(size=shape)


@every_method
def test_the_identity_returns_its_box(method: Method) -> None:
    box = random_box(np.random.default_rng(0), (2, 3), 2, 1.0)
    outer = compute_bounds(chain((2, 3)), box, method).outer
    np.testing.assert_allclose(outer.lower, box.lower.reshape(2, 6), rtol=1e-15)
    np.testing.assert_allclose(outer.upper, box.upper.reshape(2, 6), rtol=1e-15)


@every_method
def test_a_network_without_nonlinear_nodes_is_exact(method: Method) -> None:
    network = chain(
        (2, 3),
        Permute((1, 0)),
        Scale(normal(3, 1), normal(2)),
        Affine(normal(4, 2), normal(4)),
        Reshape((12,)),
        Affine(normal(3, 12), None),
    )
    box = random_box(np.random.default_rng(1), (2, 3), 2, 1.0)
    low = compute_bounds(network, box, method).outer
    if method.name == "ibp":
        # Interval arithmetic forgets between the layers that do not fold into one.
        values, size = attained(network, Box(*map(torch.from_numpy, (box.lower, box.upper))))
        assert bool((largest_violation(low, values) <= 1e-12 * size).all())
        return
    x = torch.zeros(1, 2, 3, dtype=torch.float64)
    slope = torch.autograd.functional.jacobian(lambda v: forward_pass(network, v)[0], x)
    slope = slope.reshape(3, 6).numpy()
    center = forward_pass(network, torch.from_numpy(box.center)).numpy()
    spread = box.radius.reshape(2, 6) @ np.abs(slope).T
    np.testing.assert_allclose(low.lower, center - spread, atol=1e-12)
    np.testing.assert_allclose(low.upper, center + spread, atol=1e-12)


@every_method
@pytest.mark.parametrize("tail", [(), (Relu(),), (Scale(np.array(-2.0), np.array(1.0)),)], ids=len)
def test_an_output_may_be_one_number_without_axes(
    method: Method, tail: tuple[Operator, ...]
) -> None:
    network = chain((3,), Affine(normal(4, 3), normal(4)), Max(), *tail)
    assert network.output_shape == ()
    box = random_box(np.random.default_rng(2), (3,), 2, 0.5)
    bounds = compute_bounds(network, box, method)
    assert bounds.outer.shape == (1,)
    values, size = attained(network, Box(*map(torch.from_numpy, (box.lower, box.upper))))
    assert bool((largest_violation(bounds.outer, values) <= 1e-12 * size).all())


@every_method
def test_axes_can_be_taken_from_and_given_to_one_number(method: Method) -> None:
    network = chain((2,), Affine(normal(1, 2)), Reshape(()), Relu(), Reshape((1,)), Abs())
    box = random_box(np.random.default_rng(3), (2,), 3, 1.0)
    values, size = attained(network, Box(*map(torch.from_numpy, (box.lower, box.upper))))
    outer = compute_bounds(network, box, method).outer
    assert bool((largest_violation(outer, values) <= 1e-12 * size).all())


@every_method
def test_an_output_that_does_not_depend_on_the_input_has_width_zero(method: Method) -> None:
    weight = normal(2, 4)
    weight[0] = 0.0
    hidden = Affine(normal(4, 3), normal(4))
    network = chain((3,), hidden, Relu(), Affine(weight, np.array([0.75, 0.0])))
    box = random_box(np.random.default_rng(4), (3,), 2, 1.0)
    outer = compute_bounds(network, box, method).outer
    assert outer.lower[:, 0].tolist() == outer.upper[:, 0].tolist() == [0.75, 0.75]
    assert bool((outer.widths[:, 1] > 0).all())


@every_method
def test_a_network_of_zeros_is_constant(method: Method) -> None:
    network = chain((3,), Affine(np.zeros((4, 3))), Relu(), Affine(np.zeros((2, 4)), normal(2)))
    box = random_box(np.random.default_rng(5), (3,), 2, 1.0)
    outer = compute_bounds(network, box, method).outer
    np.testing.assert_array_equal(outer.lower, np.tile(normal(2), (2, 1)))
    np.testing.assert_array_equal(outer.upper, outer.lower)


@every_method
def test_a_constant_feature_and_one_sample_and_one_output(method: Method) -> None:
    network = chain((3,), Affine(normal(4, 3), normal(4)), Tanh(), Affine(normal(1, 4)))
    box = Box(np.array([[0.0, 0.5, -1.0]]), np.array([[0.0, 0.6, 1.0]]))
    outer = compute_bounds(network, box, method).outer
    assert outer.shape == (1,)
    values, _ = attained(network, Box(*map(torch.from_numpy, (box.lower, box.upper))))
    assert bool((largest_violation(outer, values) <= 1e-12).all())


@every_method
def test_a_node_read_twice_cancels_in_the_backward_pass(method: Method) -> None:
    builder = NetworkBuilder((3,))
    hidden = builder.add(Relu(), builder.add(Affine(normal(4, 3)), builder.input))
    total = builder.add(Add(), hidden, builder.add(Scale(np.array(-1.0)), hidden))
    box = random_box(np.random.default_rng(6), (3,), 2, 1.0)
    outer = compute_bounds(builder.build(total), box, method).outer
    assert bool((outer.lower <= 0).all())
    assert bool((outer.upper >= 0).all())
    if method.name != "ibp":
        np.testing.assert_allclose(outer.widths, 0, atol=1e-12)


@every_method
def test_copies_of_an_input_cancel(method: Method) -> None:
    """A `Select` may repeat entries; interval arithmetic alone takes them for independent."""
    network = chain((2,), Select(np.array([0, 0, 1])), Affine(np.array([[1.0, -1.0, 1.0]])), Relu())
    box = Box(np.array([[-1.0, 1.0]]), np.array([[1.0, 2.0]]))
    outer = compute_bounds(network, box, method).outer
    uses_intervals = method == Ibp() or getattr(method, "intermediate", None) == Ibp()
    assert bool((outer.lower <= 1).all())
    assert bool((outer.upper >= 2).all())
    if not uses_intervals:
        assert float(outer.lower) == 1
        assert float(outer.upper) == 2


@pairwise(
    method=[*METHODS, Lp(), Exact()],
    place=["input", "hidden", "output"],
    operator=[Add(), Concat(0)],
    times=[2, 3],
)
def test_one_value_may_be_read_several_times_by_a_node(
    method: Method, operator: Operator, times: int, place: str
) -> None:
    """``h + h`` has twice the bounds of h, and ``[h, h]`` the same ones twice."""
    first, second = Affine(normal(4, 3), normal(4)), normal(2, 4)
    copies = (second / times,) * times if isinstance(operator, Concat) else (second / times,)
    plain, built = NetworkBuilder((3,)), NetworkBuilder((3,))
    plain.add(Affine(second), plain.add(Relu(), plain.add(first, 0)))
    node = built.input
    if place == "input":
        node = built.add(operator, *[node] * times)
        weights = (first.weight / times,) * (len(copies))
        node = built.add(Affine(np.concatenate(weights, axis=1), first.bias), node)
        node = built.add(Affine(second), built.add(Relu(), node))
    else:
        node = built.add(Relu(), built.add(first, node))
        if place == "hidden":
            node = built.add(operator, *[node] * times)
            node = built.add(Affine(np.concatenate(copies, axis=1)), node)
        else:
            node = built.add(operator, *[built.add(Affine(second), node)] * times)
    box = random_box(np.random.default_rng(7), (3,), 2, 0.5)
    expected = compute_bounds(plain.build(3), box, method).outer
    found = compute_bounds(built.build(node), box, method).outer
    for end, wanted in ((found.lower, expected.lower), (found.upper, expected.upper)):
        if place == "output":
            wanted = (
                times * wanted if isinstance(operator, Add) else torch.cat([wanted] * times, dim=1)
            )
        np.testing.assert_allclose(end, wanted, atol=1e-5)
