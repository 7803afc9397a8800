"""Bounds over input sets: against closed forms, linear programs, sampled points and boxes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

import sensverify as sv
from sensverify.bounds.relaxation import Slope, relax
from sensverify.bounds.support import least_value
from sensverify.bounds.tensors import tensor_box
from sensverify.errors import BadSetting, MissingRule
from sensverify.formats.modules import from_module
from sensverify.network import Network
from sensverify.network.operators import Clip
from sensverify.solvers.branch_and_bound import BranchAndBound as Branching
from tests.core.sets.examples import SETS, X

ROWS = np.random.default_rng(1).normal(size=(4, 5, 6))
METHODS = ("ibp", "crown", "lp-dual", "alpha-crown", "crown(intermediate=ibp)")


def tensors(inside: sv.Box) -> Any:
    return tensor_box(inside, device=torch.device("cpu"))


def net(*sizes: int, act: type[nn.Module] = nn.ReLU) -> nn.Module:
    torch.manual_seed(3)
    layers: list[nn.Module] = []
    for first, second in pairwise(sizes):
        layers += [nn.Linear(first, second), act()]
    return nn.Sequential(*layers[:-1]).double().requires_grad_(requires_grad=False)


@cache
def traced(*sizes: int, act: type[nn.Module] = nn.ReLU) -> Network:
    return from_module(net(*sizes, act=act), sizes[:1])


@pytest.mark.parametrize("name", SETS)
def test_least_values_are_below_samples_and_attained(name: str) -> None:
    inside = SETS[name]
    rows = torch.from_numpy(ROWS).requires_grad_()
    found = least_value(tensors(inside), rows)
    values = np.einsum("sbn,brn->sbr", inside.sample(500), ROWS).min(axis=0)
    assert (found.detach().numpy() <= values + 1e-12).all()
    # The gradient is the input where the function is least.
    (at,) = torch.autograd.grad(found.sum(), rows)
    assert torch.allclose((at * rows).sum(-1), found, atol=1e-9)
    if isinstance(inside, sv.Varied) and inside.clip is not None:
        # Lines stand for the clip, and lose a small part of what the box loses.
        ends = np.where(ROWS > 0, inside.lower[:, None], inside.upper[:, None])
        box = values - (ROWS * ends).sum(axis=-1)
        share = (values - found.detach().numpy()) / box
        assert share.mean() < (0.02 if inside.least.shape[1] == 1 else 0.15)
        return
    for row in range(5):
        assert inside.contains(at[:, row].numpy(), tolerance=1e-8).all()


def test_a_euclidean_ball_has_its_closed_form() -> None:
    inside = sv.Ball.around(X, 0.3)
    found = least_value(tensors(inside), torch.from_numpy(ROWS)).numpy()
    expected = np.einsum("bn,brn->br", X, ROWS) - 0.3 * np.linalg.norm(ROWS, axis=-1)
    assert np.allclose(found, expected, atol=1e-12)


def test_a_ball_of_the_sum_norm_has_its_closed_form() -> None:
    inside = sv.Ball.around(X, 0.3, order=1)
    found = least_value(tensors(inside), torch.from_numpy(ROWS)).numpy()
    expected = np.einsum("bn,brn->br", X, ROWS) - 0.3 * abs(ROWS).max(axis=-1)
    assert np.allclose(found, expected, atol=1e-12)


def program(inside: sv.Constrained, sample: int, row: np.ndarray) -> float:
    equal = np.array(inside.equal)
    matrix, limits = inside.matrix[sample], inside.limits[sample]
    ends = zip(inside.lower[sample], inside.upper[sample], strict=True)
    found = linprog(
        row,
        A_ub=matrix[~equal],
        b_ub=limits[~equal],
        A_eq=matrix[equal] if equal.any() else None,
        b_eq=limits[equal] if equal.any() else None,
        bounds=list(ends),
    )
    return float(found.fun)


@pytest.mark.parametrize("name", ["inequality", "mixed"])
def test_a_linear_network_has_the_optimum_of_the_linear_program(name: str) -> None:
    inside: Any = SETS[name]
    linear = net(6, 3)
    weight = [p.detach().numpy() for p in linear.parameters()]
    bounds = sv.compute_bounds(linear, inside, sv.Crown())
    for sample in range(4):
        for row in range(3):
            low = program(inside, sample, weight[0][row]) + weight[1][row]
            high = -program(inside, sample, -weight[0][row]) + weight[1][row]
            assert float(bounds.outer.lower[sample, row]) == pytest.approx(low, abs=1e-9)
            assert float(bounds.outer.upper[sample, row]) == pytest.approx(high, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh])
def test_bounds_contain_the_set_and_are_inside_those_of_the_box(
    name: str, method: str, act: type[nn.Module]
) -> None:
    inside, network = SETS[name], traced(6, 8, 7, 3, act=act)
    values = net(6, 8, 7, 3, act=act)(torch.from_numpy(inside.sample(300)))
    for dtype, slack in (("float64", 1e-12), ("float32", 1e-5)):
        found = sv.compute_bounds(network, inside, sv.make_method(method), dtype=dtype)
        assert bool((found.outer.lower <= values.amin(0) + slack).all())
        assert bool((found.outer.upper >= values.amax(0) - slack).all())
        box = sv.compute_bounds(network, inside.enclosing, sv.make_method(method), dtype=dtype)
        if method != "alpha-crown":
            # Gradient steps with other bounds on hidden layers end elsewhere.
            assert bool((found.outer.lower >= box.outer.lower - slack).all())
            assert bool((found.outer.upper <= box.outer.upper + slack).all())
        assert found.outer.widths.mean() < 0.99 * box.outer.widths.mean()


@pytest.mark.parametrize("name", SETS)
def test_bounds_contain_what_gradients_find(name: str) -> None:
    inside, network = SETS[name], net(6, 8, 7, 3)
    labels = network(torch.from_numpy(X)).argmax(dim=1)
    found = sv.attack(network, torch.from_numpy(X), labels, tensors(inside), "pgd(steps=20)")
    assert inside.contains(found.points.numpy()).all()
    bounds = sv.compute_bounds(traced(6, 8, 7, 3), inside, sv.AlphaCrown())
    assert bool((found.outputs >= bounds.outer.lower - 1e-9).all())
    assert bool((found.outputs <= bounds.outer.upper + 1e-9).all())


@pytest.mark.parametrize("name", [name for name in SETS if name != "window"])
def test_images_are_bounded_as_vectors_are(name: str) -> None:
    inside = SETS[name]
    torch.manual_seed(0)
    conv = nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(6, 2)).double()
    flat = nn.Sequential(nn.Unflatten(1, (1, 2, 3)), *conv)
    shape = (4, 1, 2, 3)
    named = ("lower", "upper", "point")
    image = replace(inside, **{name: getattr(inside, name).reshape(shape) for name in named})
    of_images, of_vectors = from_module(conv, shape[1:]), from_module(flat, (6,))
    for method in METHODS:
        first = sv.compute_bounds(of_images, image, sv.make_method(method))
        second = sv.compute_bounds(of_vectors, inside, sv.make_method(method))
        assert torch.allclose(first.outer.lower, second.outer.lower, atol=1e-9)


@pytest.mark.parametrize("method", ["lp", "milp", "exact"])
@pytest.mark.parametrize("name", [name for name in SETS if name != "euclidean"])
def test_exact_methods_answer_over_the_set(name: str, method: str) -> None:
    inside, network = SETS[name][:1], traced(6, 5, 4, 2)
    bounds = sv.compute_bounds(network, inside, sv.make_method(method))
    values = net(6, 5, 4, 2)(torch.from_numpy(inside.sample(500)))
    assert bool((bounds.outer.lower <= values.amin(0) + 1e-7).all())
    assert bool((bounds.outer.upper >= values.amax(0) - 1e-7).all())
    crown = sv.compute_bounds(network, inside, sv.Crown())
    assert bool((bounds.outer.widths <= crown.outer.widths + 1e-7).all())
    for witness in (bounds.witness_lower, bounds.witness_upper):
        assert inside.contains(witness[0].unsqueeze(1).numpy(), tolerance=1e-8).all()
    if method != "lp":
        assert bool(bounds.optimal.all())
        assert torch.allclose(bounds.inner.lower, bounds.outer.lower, atol=1e-4)


def test_parameters_are_searched_by_methods_that_know_boxes() -> None:
    inside, network = SETS["varied"], net(6, 5, 4, 2)
    found = sv.compute_bounds(network, inside, sv.make_method("branch-and-bound"))
    exact = sv.compute_bounds(network, inside, sv.make_method("milp"))
    assert torch.allclose(found.outer.lower, exact.outer.lower, atol=1e-4)
    assert inside.contains(found.witness_upper[:, 0].numpy(), tolerance=1e-8).all()
    at = network(found.witness_upper[:, 0])[:, 0]
    assert torch.allclose(at, found.inner.upper[:, 0], atol=1e-9)


def test_methods_that_do_not_know_a_set_refuse_it_by_name() -> None:
    with pytest.raises(BadSetting, match=r"bisection .* 'ball'"):
        sv.compute_bounds(net(6, 3), SETS["sum"], sv.make_method("bisection"))
    for method in ("milp", "lp"):
        with pytest.raises(MissingRule, match="Euclidean ball"):
            sv.compute_bounds(net(6, 3), SETS["euclidean"], sv.make_method(method))


@pytest.mark.parametrize("decider", ["highs", "exact"])
@pytest.mark.parametrize("name", [name for name in SETS if name != "euclidean"])
def test_queries_are_about_the_inputs_of_the_set(name: str, decider: str) -> None:
    inside, network = SETS[name][:1], traced(6, 5, 4, 2)
    least = float(sv.compute_bounds(network, inside, sv.make_method("milp")).outer.lower[0, 0])
    box = float(
        sv.compute_bounds(network, inside.enclosing, sv.make_method("milp")).inner.lower[0, 0]
    )
    assert box <= least + 1e-6
    rows = np.array([[1.0, 0.0]])
    for limit, verdict in ((least - 0.005, sv.Verdict.UNSAT), (least + 0.005, sv.Verdict.SAT)):
        query = sv.Query(inside, rows, np.array([limit]), ((0,),))
        found = sv.make_decider(decider).decide(network, query)
        assert found.verdict is verdict
        if found.witness is not None:
            assert inside.contains(found.witness[None]).all()


def test_deciders_that_do_not_know_a_set_refuse_it_by_name() -> None:
    network = from_module(net(6, 2), (6,))
    query = sv.Query(SETS["euclidean"][:1], np.array([[1.0, 0.0]]), np.zeros(1), ((0,),))
    with pytest.raises(BadSetting, match="'ball'"):
        sv.make_decider("marabou").decide(network, query)


def test_lines_stand_below_and_above_the_clip() -> None:
    random = torch.Generator().manual_seed(0)
    low = torch.randn(500, generator=random, dtype=torch.float64)
    high = low + 2 * torch.rand(500, generator=random, dtype=torch.float64)
    lines = relax(Clip(-0.5, 0.6), low[None], high[None], Slope.ADAPTIVE)
    slope, above = lines.lower_slope.flatten(), lines.upper_slope.flatten()
    at, at_above = (
        torch.zeros_like(low) if each is None else each.flatten()
        for each in (lines.lower_intercept, lines.upper_intercept)
    )
    for share in np.linspace(0, 1, 101):
        u = low + share * (high - low)
        assert bool((slope * u + at <= u.clamp(-0.5, 0.6) + 1e-12).all())
        assert bool((above * u + at_above >= u.clamp(-0.5, 0.6) - 1e-12).all())
    # Where nothing is cut, or all is, nothing is lost.
    plain = (low >= 0.6) | (high <= -0.5) | ((low >= -0.5) & (high <= 0.6))
    gap = ((above - slope) * high + at_above - at)[plain]
    assert bool((gap < 1e-12).all())
    assert bool(plain.any())


def test_time_is_shared_by_the_samples_of_varied_inputs() -> None:
    given: list[float] = []

    class Noted(Branching):
        def bound(self, network: Any, box: Any, objectives: Any, *, watch: Any = None) -> Any:
            given.append(watch.left)
            return super().bound(network, box, objectives, watch=watch)

    sv.compute_bounds(net(6, 5, 2), SETS["varied"], Noted(seconds=400.0))
    assert len(given) == 4
    # A quarter of the time, a third of what is left, and so on.
    assert all(90 < left < 401 for left in given)
    assert given[0] <= 100
