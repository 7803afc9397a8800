"""Margins and the search for inputs that change the label."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sensverify.bounds import Crown, Ibp, compute_bounds, forward_pass
from sensverify.bounds.rounding import slack
from sensverify.classification.margins import (
    SOLVER_SHARE,
    changes,
    finite_slack,
    proven,
    proven_margins,
    refuted,
    robust_cross_entropy,
    with_margins,
)
from sensverify.core.box import Box
from sensverify.core.results import Bounds, Guarantee
from sensverify.core.sensitivity import margin
from sensverify.formats.modules.importing import from_module
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Relu
from tests.contracts.cancelling import cancelling


def network(seed: int = 0, sizes: tuple[int, ...] = (4, 16, 3)) -> Network:
    rng = np.random.default_rng(seed)
    builder = NetworkBuilder((sizes[0],))
    last = builder.input
    for k, (inputs, outputs) in enumerate(pairwise(sizes)):
        if k:
            last = builder.add(Relu(), last)
        weight = rng.normal(size=(outputs, inputs)).astype(np.float32)
        last = builder.add(Affine(weight, rng.normal(size=outputs).astype(np.float32)), last)
    return builder.build(last)


def test_objectives_are_the_outputs_and_then_every_margin() -> None:
    rows = with_margins(torch.tensor([0, 2]), 3, torch.float64)
    assert rows.shape == (2, 5, 3)
    assert rows[0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, -1, 0], [1, 0, -1]]
    assert rows[1, 3:].tolist() == [[-1, 0, 1], [0, -1, 1]]


def normalised_network(depth: int) -> Network:
    """Layers that are normalised, each far beyond what intervals can follow."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Linear(4, 8)]
    for _ in range(depth):
        layers += [nn.Linear(8, 8), nn.LayerNorm(8), nn.GELU()]
    return from_module(nn.Sequential(*layers, nn.Linear(8, 3)).eval(), (4,))


def test_rounding_has_a_limit_where_intervals_have_none() -> None:
    net = normalised_network(6)
    x = torch.rand(2, 4, dtype=torch.float64)
    labels = forward_pass(net, x).argmax(dim=1)
    rows = with_margins(labels, 3, torch.float64)
    box = box_around(x, 1e-2)
    assert not bool(slack(net, box, rows[:, 3:]).isfinite().any())
    allowed = finite_slack(net, box, rows[:, 3:])
    assert bool((allowed < 1e-6).all())
    # No smaller than what rounding does: float32 beside float64, scaled by their units.
    points = (x + 1e-2 * (2 * torch.rand(50, *x.shape, dtype=torch.float64) - 1)).flatten(0, 1)
    points = points.float()
    with torch.no_grad():
        off = (forward_pass(net, points).double() - forward_pass(net, points.double())).abs().amax()
        found = compute_bounds(net, box, Crown(), rows)
    assert 0 < float(off) * 2.0**-29 <= float(allowed.min())
    margins = proven_margins(net, box, found, labels)
    kept = (found.outer.lower[:, 3:] > 1e-6).all(dim=1)
    assert bool(kept.any())
    assert bool((margins[kept] > 0).all())


def test_margin_of_a_label() -> None:
    outputs = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])
    assert margin(outputs, torch.tensor([0, 2])).tolist() == [1.0, -1.0]


def box_around(x: torch.Tensor, radius: float) -> Box:
    return Box(x - radius, x + radius)


@pytest.mark.parametrize("seed", range(4))
def test_finds_what_many_random_points_find(seed: int) -> None:
    net = network(seed)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(24, 4, generator=generator)
    labels = forward_pass(net, x).argmax(dim=1)
    box = box_around(x, 0.3)
    found, points = refuted(net, box, x, labels, seed=0)
    assert (forward_pass(net, points).argmax(dim=1) != labels)[found].all()
    assert box.contains(points)[found].all()
    sampled = torch.zeros(24, dtype=torch.bool)
    for _ in range(300):
        points = x + 0.3 * (2 * torch.rand(24, 4, generator=generator) - 1)
        sampled |= forward_pass(net, points).argmax(dim=1) != labels
    assert sampled.any()
    # A gradient search may miss one; as a whole it sees more than sampling.
    assert int((sampled & ~found).sum()) <= 1
    assert found.sum() >= sampled.sum() - 1


def test_a_wrong_prediction_is_a_change() -> None:
    net = network()
    x = torch.zeros(1, 4)
    best = int(forward_pass(net, x).argmax())
    wrong = torch.tensor([(best + 1) % 3])
    assert refuted(net, box_around(x, 0.0), x, wrong, seed=0)[0].tolist() == [True]
    assert refuted(net, box_around(x, 0.0), x, torch.tensor([best]), seed=0)[0].tolist() == [False]


def test_the_same_seed_gives_the_same_answer() -> None:
    net, x = network(5), torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
    labels = forward_pass(net, x).argmax(dim=1)
    state = torch.random.get_rng_state()
    one = refuted(net, box_around(x, 0.2), x, labels, seed=3)
    other = refuted(net, box_around(x, 0.2), x, labels, seed=3)
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
    # The caller's random numbers are left alone.
    assert torch.equal(state, torch.random.get_rng_state())


def linear(weight: float, *, dtype: torch.dtype = torch.float32) -> tuple[Network, Box]:
    """Outputs ``(x w - x w, 0)`` behind a ReLU, for x = 1: all of it cancels."""
    builder = NetworkBuilder((1,))
    node = builder.add(Affine(np.array([[weight], [weight]])), builder.input)
    node = builder.add(Relu(), node)
    network = builder.build(builder.add(Affine(np.array([[1.0, -1.0], [0.0, 0.0]])), node))
    return network, Box(torch.ones(1, 1, dtype=dtype), torch.ones(1, 1, dtype=dtype))


def bounds_of(network: Network, box: Box, lower: list[float], guarantee: Guarantee) -> Bounds:
    provenance = compute_bounds(network, box, Ibp()).provenance
    low = torch.tensor([lower], dtype=box.lower.dtype)
    return Bounds(outer=Box(low, low + 1), guarantee=guarantee, provenance=provenance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_margin_within_rounding_proves_nothing(dtype: torch.dtype) -> None:
    network, box = linear(1e6, dtype=dtype)
    unit = torch.finfo(dtype).eps / 2

    def is_proven(margin: float, guarantee: Guarantee = Guarantee.SOUND) -> bool:
        given = bounds_of(network, box, [0.0, 0.0, margin], guarantee)
        return bool(proven(network, box, given, torch.tensor([0]))[0])

    # What cancels are numbers of 1e6, however small the outputs are.
    assert not is_proven(2e6 * unit)
    assert is_proven(200e6 * unit)
    assert not is_proven(-1.0)
    assert not is_proven(0.0, Guarantee.CERTIFIED)
    # Rigorous arithmetic has covered its rounding.
    assert is_proven(1e-30, Guarantee.CERTIFIED)
    # A solver's tolerances are a share of the outputs.
    assert not is_proven(0.9 * SOLVER_SHARE, Guarantee.SOLVER)


def test_what_float32_leaves_open_is_bounded_again_in_float64() -> None:
    """The margin, 0.001, is far below what float32 may lose of 1e6, and far above float64's."""
    network, box = linear(1e6)
    nodes = network.nodes
    biased = replace(nodes[3], operator=replace(nodes[3].operator, bias=np.array([1e-3, 0.0])))
    network = Network((*nodes[:3], biased))
    labels = torch.tensor([0])
    bounds = compute_bounds(network, box, Crown(), with_margins(labels, 2, torch.float32))
    assert proven(network, box, bounds, labels).tolist() == [False]
    assert proven(network, box, bounds, labels, method=Crown()).tolist() == [True]


def test_a_proven_label_is_the_largest_output_at_every_point() -> None:
    """Networks whose outputs nearly cancel, against exact arithmetic."""
    counted = 0
    for seed in range(50):
        case = cancelling(seed)
        network, values = case.network, [case.exact(point) for point in case.points]
        for dtype in (torch.float32, torch.float64):
            box = Box(*(torch.from_numpy(end).to(dtype) for end in (case.lower, case.upper)))
            box = Box(box.lower[None], box.upper[None])
            for label in (0, 1):
                labels = torch.tensor([label])
                rows = with_margins(labels, 2, dtype)
                bounds = compute_bounds(network, box, Crown(), rows)
                if bool(proven(network, box, bounds, labels, method=Crown())[0]):
                    assert all(at[label] > at[1 - label] for at in values)
                    counted += 1
    assert counted > 10


def test_a_change_within_rounding_is_none() -> None:
    network, box = linear(1e6)
    nodes = network.nodes

    def changed(by: float) -> bool:
        last = replace(nodes[3], operator=replace(nodes[3].operator, bias=np.array([0.0, by])))
        net = Network((*nodes[:3], last))
        return bool(changes(net, box.lower, torch.tensor([0]))[0])

    assert not changed(0.0)
    assert not changed(1e6 * 2**-53)
    assert changed(1e6 * 2**-53 * 200)
    assert not changed(-1.0)
    assert changes(network, box.lower[:0], torch.tensor([], dtype=torch.int64)).tolist() == []


def test_of_margins_at_a_point_it_is_the_cross_entropy() -> None:
    outputs = torch.randn(
        6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    ).requires_grad_()
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    margins = outputs.gather(1, labels[:, None]) - outputs
    others = functional.one_hot(labels, 5) == 0
    margins = margins[others].reshape(6, 4)
    ours = robust_cross_entropy(margins)
    expected = functional.cross_entropy(outputs, labels, reduction="none")
    torch.testing.assert_close(ours, expected)
    gradients = (torch.autograd.grad(loss.sum(), outputs)[0] for loss in (ours, expected))
    torch.testing.assert_close(*gradients)


def test_smaller_margins_never_give_less() -> None:
    margins = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    less = margins - torch.rand(20, 4, generator=torch.Generator().manual_seed(1))
    assert bool((robust_cross_entropy(less) >= robust_cross_entropy(margins)).all())


def test_far_margins_neither_overflow_nor_fall_below_zero() -> None:
    margins = torch.tensor([[-1e30, 1.0], [1e30, 1e30], [-500.0, -500.0]])
    losses = robust_cross_entropy(margins)
    torch.testing.assert_close(losses, torch.tensor([1e30, 0.0, 500.6931472]))
