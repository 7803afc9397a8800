"""Good inputs: always attained, inside the box, and good."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sensverify.bounds import forward_pass
from sensverify.core.box import Box
from sensverify.network import NetworkBuilder
from sensverify.network.operators import Conv, Relu
from sensverify.solvers import incumbents
from sensverify.solvers.incumbents import descend, search
from tests.contracts.networks import NETWORKS, Case, cases
from tests.solvers.branch_and_bound.cases import (
    chain,
    exact_ends,
    random_chain,
    tensors,
    unit_box,
    valley,
)


@given(cases(st.one_of(*NETWORKS.values())), st.integers(0, 2**31), st.sampled_from([1, 5, 64]))
@settings(max_examples=25)
def test_what_is_found_is_attained_inside_the_box(case: Case, seed: int, starts: int) -> None:
    network, box = tensors(case.network, case.box)
    rows = torch.tensor(np.random.default_rng(seed).normal(size=(box.batch, 3, case.outputs)))
    values, points = search(network, box, rows, seed=seed, starts=starts, steps=3)
    assert values.shape == (box.batch, 3)
    assert points.shape == (box.batch, 3, *box.shape)
    low, high = box.lower.unsqueeze(1), box.upper.unsqueeze(1)
    assert bool(((points >= low) & (points <= high)).all())
    outputs = forward_pass(network, points.flatten(0, 1)).reshape(box.batch, 3, -1)
    size = (outputs.abs() * rows.abs()).sum(-1) + 1e-9
    assert bool((((outputs * rows).sum(-1) - values).abs() <= 1e-9 * size).all())


@pytest.mark.parametrize("seed", range(4))
def test_minima_of_small_networks_are_found(seed: int) -> None:
    network, box = random_chain(seed), unit_box(2)
    exact = exact_ends(network, box, np.eye(2))[0]
    rows = torch.cat([torch.eye(2), -torch.eye(2)]).double().unsqueeze(0)
    values, _ = search(*tensors(network, box), rows, seed=seed)
    truth = np.concatenate([exact[:, 0], -exact[:, 1]])
    assert (values[0].numpy() >= truth - 1e-9).all()
    assert (values[0].numpy() <= truth + 0.05 * np.abs(exact).max()).all()


def test_a_minimum_at_a_corner_is_exact() -> None:
    network, box = chain(([[1.0, -2.0, 3.0]], None)), Box(-np.ones((1, 3)), 3 * np.ones((1, 3)))
    values, points = search(*tensors(network, box), torch.ones(1, 1, 1).double(), starts=4)
    assert float(values) == -1 - 6 - 3
    assert points.flatten().tolist() == [-1, 3, -1]


def test_more_steps_and_starts_are_no_worse() -> None:
    live = tensors(random_chain(5, 4, 10, 10, 2), unit_box(4))
    rows = torch.eye(2, dtype=torch.float64).unsqueeze(0)
    few, _ = search(*live, rows, starts=64, steps=0)
    many, _ = search(*live, rows, starts=64, steps=30)
    assert bool((many <= few).all())


def test_a_seed_gives_the_same_points_and_leaves_torch_alone() -> None:
    live = tensors(random_chain(1), unit_box(2, batch=3))
    rows = torch.eye(2, dtype=torch.float64).unsqueeze(0)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second, other = (search(*live, rows, seed=seed, steps=2) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[1], other[1])


def test_samples_are_taken_in_parts_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    live = tensors(random_chain(2), unit_box(2, batch=7))
    rows = torch.randn(7, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = search(*live, rows)
    monkeypatch.setattr(incumbents, "_NUMBERS", 1)
    parts = search(*live, rows)
    assert parts[0].shape == whole[0].shape
    torch.testing.assert_close(parts[0], whole[0], rtol=0.05, atol=0.05)


def test_inputs_of_several_axes() -> None:
    builder = NetworkBuilder((1, 3, 3))
    weight = np.random.default_rng(0).normal(size=(2, 1, 2, 2))
    node = builder.add(Conv(weight, None, (1, 1), (0, 0), (1, 1), 1), builder.input)
    network = builder.build(builder.add(Relu(), node))
    box = Box(-np.ones((2, 1, 3, 3)), np.ones((2, 1, 3, 3)))
    values, points = search(*tensors(network, box), torch.ones(1, 1, 8).double(), steps=2)
    assert values.shape == (2, 1)
    assert points.shape == (2, 1, 1, 3, 3)


def test_a_descent_never_ends_above_its_start() -> None:
    network, box = tensors(valley(1.0, at=0.3), unit_box(1, batch=5))
    start = torch.linspace(-1, 1, 5, dtype=torch.float64).unsqueeze(1)
    before = forward_pass(network, start).flatten()
    values, points = descend(network, box, start, lambda outputs: outputs[:, 0], steps=12)
    assert bool((values <= before).all())
    torch.testing.assert_close(forward_pass(network, points).flatten(), values)
    assert bool((values < 0.02).all())
    assert not points.requires_grad


def test_a_start_without_a_number_has_no_value() -> None:
    network, box = tensors(valley(1.0), unit_box(1, batch=2))
    start = torch.tensor([[0.5], [float("nan")]], dtype=torch.float64)
    values, _ = descend(network, box, start, lambda outputs: outputs[:, 0], steps=4)
    assert float(values[0]) <= 0.5
    assert float(values[1]) == float("inf")


def test_a_loss_without_a_gradient_is_looked_at_once() -> None:
    network, box = tensors(valley(1.0), unit_box(1, batch=2))
    start = torch.zeros(2, 1, dtype=torch.float64)
    calls = 0

    def loss(outputs: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return outputs[:, 0].detach()

    values, points = descend(network, box, start, loss, steps=5)
    assert calls == 1
    assert torch.equal(points, start)
    assert values.tolist() == [0, 0]


def test_points_of_a_point() -> None:
    point = np.array([[0.1, 0.7]])
    network = random_chain(0)
    values, points = search(*tensors(network, Box(point, point)), torch.eye(2).double()[None])
    assert np.array_equal(points[0].numpy(), np.repeat(point, 2, axis=0))
    torch.testing.assert_close(values[0], forward_pass(network, torch.tensor(point))[0])
