"""Without dead neurons a network and its bounds stay what they are on the boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import sensverify as sv
from sensverify.bounds import forward_pass
from sensverify.bounds.backward import backward_bounds
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Slope
from sensverify.certificates import certify_query
from sensverify.core.box import Box
from sensverify.core.proof import Proof
from sensverify.core.queries import Verdict
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Add, Affine, Relu
from sensverify.solvers.branch_and_bound import BranchAndBound
from sensverify.solvers.branch_and_bound.pruning import Pruned
from tests.contracts.certified import stored
from tests.solvers.branch_and_bound.cases import (
    exact_ends,
    points_in,
    query,
    random_chain,
    tensors,
    unit_box,
)

SIZES = (4, 20, 12, 9, 3)


def pruned(network: Network, box: Box) -> Pruned:
    live, boxes = tensors(network, box)
    return Pruned.of(LayerBounds(live, boxes, Slope.ADAPTIVE).fill())


def narrow(batch: int = 1) -> Box:
    """Boxes so small that most neurons are stable."""
    center = np.linspace(-0.5, 0.5, 4 * batch).reshape(batch, 4)
    return Box(center - 0.1, center + 0.1)


def bounds(layers: LayerBounds) -> tuple[Tensor, Tensor | None]:
    rows = torch.eye(3, dtype=torch.float64)[None]
    ends = layers.box.lower, layers.box.upper
    last = len(layers.network.nodes) - 1
    return backward_bounds(layers.network, last, rows, layers.relaxations, *ends)


@given(seed=st.integers(0, 9999), batch=st.integers(1, 3))
@settings(max_examples=30)
def test_values_and_bounds_stay(seed: int, batch: int) -> None:
    found = pruned(random_chain(seed, *SIZES), narrow(batch))
    assert found.kept
    for position, part in found.kept.items():
        high = found.whole.pre_activations[position][1]
        others = torch.ones(high.shape[1], dtype=torch.bool)
        others[part] = False
        assert bool((high[:, others] <= 0).all())
        assert found.layers.network.nodes[position].shape == (len(part),)
    box = found.whole.box
    points = points_in(box.lower, box.upper, 200, seed=seed).flatten(0, 1)
    values = (forward_pass(layers.network, points) for layers in (found.whole, found.layers))
    torch.testing.assert_close(*values, rtol=0, atol=1e-12)
    for old, new in zip(bounds(found.whole), bounds(found.layers), strict=True):
        torch.testing.assert_close(old, new, rtol=0, atol=1e-11)


def test_a_layer_without_living_neurons_keeps_one() -> None:
    builder = NetworkBuilder((2,))
    node = builder.add(Affine(np.ones((3, 2)), np.full(3, -9.0)), builder.input)
    node = builder.add(Affine(np.ones((1, 3)), np.ones(1)), builder.add(Relu(), node))
    found = pruned(builder.build(node), unit_box(2))
    assert [len(part) for part in found.kept.values()] == [1]
    assert forward_pass(found.layers.network, torch.zeros(1, 2).double()).item() == 1.0


def test_what_something_else_reads_stays() -> None:
    builder = NetworkBuilder((2,))
    first = builder.add(Affine(np.eye(2), np.array([-9.0, 0.0])), builder.input)
    hidden = builder.add(Relu(), first)
    found = pruned(builder.build(builder.add(Add(), hidden, first)), unit_box(2))
    assert not found.kept
    assert found.layers is found.whole


def test_numbers_and_arrays_of_the_whole_network() -> None:
    found = pruned(random_chain(3, *SIZES), narrow())
    shapes = {p: high.shape for p, (_, high) in found.whole.pre_activations.items()}
    assert found.kept.keys() < shapes.keys() or found.kept.keys() == shapes.keys()
    left, every, start = [], {}, 0
    for position, shape in shapes.items():
        part = found.kept.get(position, torch.arange(shape[1]))
        left += (start + part).tolist()
        start += shape[1]
        every[position] = torch.rand(2, shape[1])
    assert found.numbers.tolist() == left
    spread = found.spread(found.taken(every))
    for position, values in every.items():
        part = found.kept.get(position, torch.arange(values.shape[1]))
        assert torch.equal(spread[position][:, part], values[:, part])
        assert int((spread[position] != 0).sum()) == 2 * len(part)


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_proofs_are_of_the_whole_network(seed: int) -> None:
    network, box = random_chain(seed, 4, 14, 8, 1), unit_box(4, 0.25)
    assert pruned(network, box).kept
    least = float(exact_by_splitting(network, box))
    crown = float(sv.compute_bounds(network, box, sv.Crown()).outer.lower[0, 0])
    asked = query(box, [[1.0]], [least - 0.1 * (least - crown) - 1e-6], [[0]])
    for without in ((), ("pruning",)):
        method = BranchAndBound(split="neurons", without=without, proof=True)
        found = method.decide(network, asked)
        assert found.verdict is Verdict.UNSAT
        assert isinstance(found.certificate, Proof)
        assert certify_query(stored(network), asked, found.certificate) is not None


def exact_by_splitting(network: Network, box: Box) -> float:
    method = BranchAndBound(split="neurons", without=("pruning",))
    found = sv.compute_bounds(network, box, method)
    assert bool(found.optimal.all())
    return float(found.outer.lower[0, 0])


def test_ranges_are_the_exact_ones() -> None:
    network, box = random_chain(1, 3, 6, 4, 2), unit_box(3, 0.7)
    assert pruned(network, box).kept
    found = sv.compute_bounds(network, box, BranchAndBound(split="neurons"))
    truth = exact_ends(network, box, np.eye(2))[0]
    np.testing.assert_allclose(found.outer.lower.numpy()[0], truth[:, 0], atol=1e-8)
    np.testing.assert_allclose(found.outer.upper.numpy()[0], truth[:, 1], atol=1e-8)
