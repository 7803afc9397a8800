"""Interval arithmetic: what it saves changes nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sensverify import load
from sensverify.bounds import Crown, Ibp, Method, compute_bounds
from sensverify.bounds.forward import forward_pass
from sensverify.bounds.ibp import interval, interval_bounds
from sensverify.bounds.tensors import tensor_network
from sensverify.classification.margins import with_margins
from sensverify.core.box import Box
from sensverify.formats.modules import from_module
from sensverify.network import Network, NetworkBuilder, simplify
from sensverify.network.operators import Affine, Relu
from tests.contracts.networks import Case, cases, conv_nets, mlps, residual_nets

NETWORKS = st.one_of(mlps(), conv_nets(), residual_nets())


@given(cases(NETWORKS))
def test_memory_that_is_used_again_changes_nothing(case: Case) -> None:
    live = tensor_network(case.network, dtype=torch.float64, device=torch.device("cpu"))
    box = case.box_of(torch.float64)
    ends = torch.as_tensor(box.lower), torch.as_tensor(box.upper)
    every = interval_bounds(live, ends)
    seen: dict[int, tuple[Tensor, Tensor]] = {}

    def see(position: int, found: tuple[Tensor, Tensor]) -> None:
        seen[position] = found[0].clone(), found[1].clone()

    last = len(live.nodes) - 1
    kept = interval_bounds(live, ends, keep={last}, seen=see)
    assert set(kept) == {last} | ({0} if last == 0 else set())
    for position, pair in every.items():
        assert all(map(torch.equal, pair, seen[position]))


def _module(kind: str) -> tuple[torch.nn.Module, tuple[int, ...]]:
    torch.manual_seed(0)
    relu = torch.nn.ReLU()
    if kind == "dense":
        return torch.nn.Sequential(torch.nn.Linear(6, 9), relu, torch.nn.Linear(9, 3)), (6,)
    conv = torch.nn.Conv2d(2, 4, 3, padding=1)
    return torch.nn.Sequential(conv, relu, torch.nn.Flatten(), torch.nn.Linear(64, 3)), (2, 4, 4)


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("radius", [0.0, 1e-6, 0.1])
def test_one_radius_for_all_samples_is_one_product(
    kind: str, dtype: torch.dtype, radius: float
) -> None:
    module, shape = _module(kind)
    network = from_module(module.to(dtype), shape)
    x = torch.randn(5, *shape, dtype=dtype)
    together = compute_bounds(network, Box.around(x, radius), Ibp()).outer
    close = {"rtol": 1e-4 if dtype == torch.float32 else 1e-12, "atol": 1e-6}
    for sample in range(5):
        alone = compute_bounds(network, Box.around(x[sample : sample + 1], radius), Ibp()).outer
        torch.testing.assert_close(together.lower[sample], alone.lower[0], **close)
        torch.testing.assert_close(together.upper[sample], alone.upper[0], **close)


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("share", [1 + 1e-5, 1 + 1e-3, 2.0])
def test_a_sample_with_another_radius_has_its_own(kind: str, share: float) -> None:
    module, shape = _module(kind)
    network = from_module(module.double(), shape)
    x = torch.randn(4, *shape, dtype=torch.float64)
    radius = torch.full((4, *(1 for _ in shape)), 0.1, dtype=torch.float64)
    radius[2] *= share
    box = Box(x - radius, x + radius)
    together = compute_bounds(network, box, Ibp()).outer
    for sample in range(4):
        alone = compute_bounds(network, box[sample : sample + 1], Ibp()).outer
        assert torch.allclose(together.lower[sample], alone.lower[0], rtol=1e-12, atol=1e-12)
        assert torch.allclose(together.upper[sample], alone.upper[0], rtol=1e-12, atol=1e-12)


def test_equal_radii_contain_what_each_sample_attains() -> None:
    module, shape = _module("dense")
    network = from_module(module, shape)
    x = 100 * torch.randn(64, *shape)
    box = Box(x - 1e-3 * torch.ones_like(x), x + 1e-3)
    outer = compute_bounds(network, box, Ibp()).outer
    for corner in (box.lower, box.upper, torch.where(torch.rand_like(x) < 0.5, *box_ends(box))):
        values = forward_pass(network, torch.as_tensor(corner)).detach()
        slack = 1e-5 * (1 + values.abs())
        assert bool(((outer.lower - slack <= values) & (values <= outer.upper + slack)).all())


def box_ends(box: Box) -> tuple[Tensor, Tensor]:
    return torch.as_tensor(box.lower), torch.as_tensor(box.upper)


@given(cases(NETWORKS))
def test_a_simple_network_stays_the_same_object(case: Case) -> None:
    device = torch.device("cpu")
    live: Network = tensor_network(case.network, dtype=torch.float64, device=device)
    while simplify(live) is not live:
        live = simplify(live)
    assert tensor_network(live, dtype=torch.float64, device=device) is live
    assert tensor_network(live, dtype=torch.float32, device=device) is not live or not list(
        live.arrays()
    )


@pytest.mark.parametrize(("classes", "samples"), [(3, 40), (3, 3), (3, 1), (30, 40)])
def test_rows_that_samples_share_are_those_of_each(classes: int, samples: int) -> None:
    torch.manual_seed(1)
    layers = torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, classes)
    module = torch.nn.Sequential(*layers).double()
    network = from_module(module, (4,))
    x = torch.randn(samples, 4, dtype=torch.float64)
    box = Box.around(x, torch.rand(4, dtype=torch.float64))
    labels = (torch.arange(samples) + 2).flip(0) % classes
    rows = with_margins(labels, classes, torch.float64)
    together = compute_bounds(network, box, Ibp(), rows).outer
    weights = list(module.parameters())
    moved = torch.autograd.grad((together.upper - 2 * together.lower).sum(), weights)
    total = [torch.zeros_like(weight) for weight in weights]
    for i in range(samples):
        alone = compute_bounds(network, box[i : i + 1], Ibp(), rows[i]).outer
        torch.testing.assert_close(together.lower[i], alone.lower[0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(together.upper[i], alone.upper[0], rtol=1e-12, atol=1e-12)
        parts = torch.autograd.grad((alone.upper - 2 * alone.lower).sum(), weights)
        total = [a + b for a, b in zip(total, parts, strict=True)]
    torch.testing.assert_close(list(moved), total, rtol=1e-10, atol=1e-10)


def test_rows_with_a_gradient_have_one() -> None:
    module, shape = _module("dense")
    box = Box.around(torch.randn(3, *shape), 0.1)
    rows = torch.randn(3, 2, 3, requires_grad=True)
    outer = compute_bounds(module, box, Ibp(), rows).outer
    (found,) = torch.autograd.grad(outer.upper.sum(), rows)
    values = compute_bounds(module, box, Ibp()).outer
    chosen = torch.where(rows.detach() >= 0, values.upper[:, None], values.lower[:, None])
    # Rows and the last layer are one map: no wider than the outputs' own intervals.
    assert found.shape == rows.shape
    assert bool(torch.isfinite(found).all())
    assert bool((outer.upper <= (rows.detach() * chosen).sum(2) + 1e-4).all())


@pytest.mark.parametrize(
    "weight", [torch.full((1, 8), 1 / 8), torch.rand(3, 8)], ids=["mean", "random"]
)
def test_a_sum_of_what_is_not_below_zero_is_not_below_zero(weight: Tensor) -> None:
    lower, upper = torch.zeros(5, 8), 1e6 * torch.rand(5, 8)
    low, high = interval(Affine(weight), (lower, upper))
    assert bool((low == 0).all())
    torch.testing.assert_close(high, upper @ weight.T)
    low, high = interval(Affine(-weight), (lower, upper))
    torch.testing.assert_close(low, -upper @ weight.T)


@pytest.mark.parametrize("radius", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("method", [Ibp(), Crown()], ids=repr)
def test_normalisation_is_bounded_at_every_radius(method: Method, radius: float) -> None:
    network = load("digits-mixer")
    x = torch.rand(2, *network.input_shape)
    outer = compute_bounds(network, Box.around(x, radius), method).outer
    near = x + radius * (2 * torch.rand(200, *x.shape) - 1)
    values = forward_pass(network, near.flatten(0, 1)).reshape(200, 2, -1)
    slack = 1e-4 * (1 + values.abs())
    assert bool(((outer.lower - slack <= values) & (values <= outer.upper + slack)).all())


@pytest.mark.parametrize("method", [Ibp(), Crown()], ids=repr)
def test_a_layer_without_neurons_has_bounds(method: Method) -> None:
    builder = NetworkBuilder((3,))
    none = builder.add(Affine(torch.zeros(0, 3), torch.zeros(0)), builder.input)
    ones = Affine(torch.zeros(2, 0), torch.ones(2))
    network = builder.build(builder.add(ones, builder.add(Relu(), none)))
    outer = compute_bounds(network, Box(torch.zeros(2, 3), torch.ones(2, 3)), method).outer
    assert torch.equal(outer.lower, torch.ones(2, 2))
    assert torch.equal(outer.upper, torch.ones(2, 2))
